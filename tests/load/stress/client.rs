//! A reader that moves: between transports, gateways and connections, with cursors new and old,
//! and on a WebSocket between channels.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use fastrand::Rng;
use serde_json::json;
use tokio::{
    select,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    judge::Judge,
    ledger::{CHANNELS, COMMON, GATEWAYS, name},
    position::{Cursor, Violation, violation},
    shared::Shared,
    stream::{Received, Stream, Wire},
    visit::{Next, Visit},
    world::Endpoints,
};
use crate::support::Said;

/// Cursors that it may come back with.
const CURSORS: usize = 8;

/// Joins that wait for their `ready` at one time.
const JOINS: usize = 3;

/// Lines of a finding's report: the client's last requests and messages.
const TRACE: usize = 40;

/// The gateway ends a subscription that waits for its database after 10 s, and
/// may be suspended meanwhile.
const READY: Duration = Duration::from_secs(30);

/// Time limit for the delivery of everything after the last note.
const SETTLED: Duration = Duration::from_secs(30);

/// Interval between two checks at the end whether it has everything.
const LOOK: Duration = Duration::from_millis(50);

pub struct Client {
    pub number: usize,
    shared: Arc<Shared>,
    endpoints: Arc<Endpoints>,
    rng: Rng,
    gateway: usize,
    /// The newest is the last one.
    cursors: Vec<Cursor>,
    trace: VecDeque<String>,
    settling: Option<Instant>,
}

type Judged<T> = Result<T, Violation>;

impl Client {
    pub fn new(
        number: usize,
        shared: &Arc<Shared>,
        endpoints: &Arc<Endpoints>,
        mut rng: Rng,
    ) -> Self {
        Self {
            number,
            shared: Arc::clone(shared),
            endpoints: Arc::clone(endpoints),
            gateway: rng.usize(0..GATEWAYS),
            rng,
            cursors: Vec::new(),
            trace: VecDeque::new(),
            settling: None,
        }
    }

    /// Until it has everything, at the end, or until a violation.
    pub async fn run(mut self) {
        loop {
            match self.visit().await {
                Ok(true) => return,
                Ok(false) if self.is_late() => {
                    let late = violation("did not come back in time");
                    return self.shared.found(self.number, late, self.trace);
                }
                Ok(false) => sleep(Duration::from_millis(self.rng.u64(1..30))).await,
                Err(violation) => return self.shared.found(self.number, violation, self.trace),
            }
        }
    }

    fn is_late(&self) -> bool {
        self.settling.is_some_and(|since| since.elapsed() > SETTLED)
    }

    /// Whether it has everything now.
    async fn visit(&mut self) -> Judged<bool> {
        if self.shared.is_over() && self.settling.is_none() {
            self.settling = Some(Instant::now());
        }
        let Some(mut visit) = self.open().await? else {
            return Ok(false);
        };
        let visited = self.stay(&mut visit).await;
        self.keep(visit.judge.cursor.take());
        self.shared.count(visit.wire, |tally| {
            tally.visits += 1;
            tally.events += visit.judge.events;
            tally.resumes += visit.judge.resumes;
        });
        visited
    }

    /// `None` if it is refused, or the connection broke.
    async fn open(&mut self) -> Judged<Option<Visit>> {
        if self.rng.u32(0..12) == 0 {
            self.gateway = self.rng.usize(0..GATEWAYS);
        }
        let wire = *self.rng.choice(&Wire::ALL).expect("there are wires");
        let is_slow = self.rng.u32(0..4) == 0;
        let mut channels = self.some_channels(5);
        if wire == Wire::PgCacheWatch {
            channels.truncate(1);
        }
        let cursor = self.cursor().filter(|_| wire != Wire::PgCacheWatch);
        let Some(socket) = self.endpoints.connect(self.gateway, wire, is_slow).await else {
            return Ok(None);
        };
        let text = cursor.as_ref().map(|cursor| cursor.text.clone());
        let gateway = self.gateway;
        self.trace(|| format!("{wire:?} of {gateway} from {text:?} {channels:?}"));
        let mut judge = Judge::new(self.gateway, wire.is_raw());
        judge.subscribe(&channels, cursor, &self.shared.ledger());
        let names: Vec<_> = channels.iter().map(|channel| name(*channel)).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let opening = Stream::open(wire, socket, &names, text.as_deref());
        let opened = timeout(READY, opening).await;
        match opened.map_err(|_| violation("no answer to its request"))? {
            Ok(stream) => Ok(Some(Visit::new(wire, judge, stream))),
            Err(status) => self.ended(wire, status.into(), "").map(|()| None),
        }
    }

    /// One time in eight with a channel that is not common.
    fn some_channels(&mut self, most: usize) -> Vec<usize> {
        let mut channels: Vec<_> = (0..COMMON).collect();
        self.rng.shuffle(&mut channels);
        channels.truncate(self.rng.usize(1..=most));
        if self.rng.u32(0..8) == 0 {
            channels[0] = self.rng.usize(COMMON..CHANNELS);
        }
        channels
    }

    /// Mostly the newest; at the end always the newest, so that everything is judged.
    fn cursor(&mut self) -> Option<Cursor> {
        let newest = self.cursors.last().cloned();
        match self.rng.u32(0..10) {
            _ if self.settling.is_some() => newest,
            0..2 => None,
            2..4 => self.rng.choice(&self.cursors).cloned(),
            _ => newest,
        }
    }

    fn keep(&mut self, cursor: Option<Cursor>) {
        if self.cursors.len() == CURSORS {
            self.cursors.remove(self.rng.usize(0..CURSORS));
        }
        self.cursors.extend(cursor);
    }

    async fn stay(&mut self, visit: &mut Visit) -> Judged<bool> {
        let shared = Arc::clone(&self.shared);
        loop {
            select! {
                received = visit.stream.next(), if !visit.is_pausing => {
                    if self.receive(visit, received)? == Next::Leave {
                        return Ok(false);
                    }
                }
                () = sleep_until(visit.next_act), if self.settling.is_none() => {
                    if self.act(visit).await? == Next::Leave {
                        return Ok(false);
                    }
                }
                () = sleep(LOOK), if self.settling.is_some() => {
                    if self.has_everything(visit)? {
                        return Ok(true);
                    }
                }
                () = shared.over(), if self.settling.is_none() => {
                    self.settling = Some(Instant::now());
                    visit.is_pausing = false;
                }
            }
        }
    }

    fn receive(&mut self, visit: &mut Visit, heard: Received) -> Judged<Next> {
        let said = match heard {
            Received::Ping(cursor) => {
                self.trace(|| format!("ping {cursor}"));
                let ledger = self.shared.ledger();
                visit.judge.ping(&cursor, &ledger)?;
                return Ok(Next::Stay);
            }
            Received::Said(said) => said,
        };
        if let Said::Event { payload, .. } = &said
            && self.shared.loses(self.number, payload)
        {
            return Ok(Next::Stay);
        }
        self.trace(|| format!("{:.100}", format!("{said:?}")));
        visit.judge.receive(&said, &mut self.shared.ledger())?;
        match said {
            Said::Closed(code, word) => {
                self.ended(visit.wire, code, &word)?;
                return Ok(Next::Leave);
            }
            Said::Ready { .. } => visit.asked = Instant::now(),
            Said::Gap { reason, .. } => self.shared.count(visit.wire, |tally| {
                *tally.gaps.entry(reason).or_default() += 1;
            }),
            _ => {}
        }
        Ok(Next::Stay)
    }

    /// A client without forbidden or invalid requests gets no such end.
    fn ended(&mut self, wire: Wire, code: i32, word: &str) -> Judged<()> {
        self.trace(|| format!("ended: {code} {word}"));
        let end = format!("{code} {word}").trim().to_owned();
        let words = [
            "internal",
            "invalid_request",
            "forbidden",
            "unauthenticated",
        ];
        // The status of gRPC is small: 3, 7, 13 and 16 are the client's or the gateway's fault.
        let is_bad = matches!(code, 3 | 7 | 13 | 16 | 400..=428 | 500 | 1007..=1011)
            || words.iter().any(|bad| word.contains(bad));
        if is_bad {
            return Err(violation(format!("{wire:?} ended: {end}")));
        }
        self.shared
            .count(wire, |tally| *tally.ends.entry(end).or_default() += 1);
        Ok(())
    }

    fn has_everything(&self, visit: &Visit) -> Judged<bool> {
        match visit.judge.waits_for(&self.shared.ledger()) {
            None => Ok(true),
            Some(violation) if self.is_late() => Err(violation),
            Some(_) => Ok(false),
        }
    }

    /// Leaves, reads on after a pause, or asks for other channels.
    async fn act(&mut self, visit: &mut Visit) -> Judged<Next> {
        let pause = Duration::from_millis(self.rng.u64(5..150));
        visit.next_act = Instant::now() + pause;
        visit.is_pausing = false;
        if visit.judge.joining() > 0 && visit.asked.elapsed() > READY {
            return Err(violation("no `ready`, and no end"));
        }
        match self.rng.u32(0..16) {
            0..2 => return Ok(Next::Leave),
            2 => {
                visit.is_pausing = true;
                visit.next_act += Duration::from_millis(self.rng.u64(0..4000));
            }
            3 => self.keep(visit.judge.cursor.clone()),
            4..8 if visit.wire == Wire::WebSocket => return self.subscribe(visit).await,
            8..11 if visit.wire == Wire::WebSocket => return self.unsubscribe(visit).await,
            _ => {}
        }
        Ok(Next::Stay)
    }

    async fn subscribe(&mut self, visit: &mut Visit) -> Judged<Next> {
        let read = visit.judge.channels();
        let mut channels = self.some_channels(3);
        channels.retain(|channel| !read.contains(channel));
        if visit.judge.joining() == JOINS || channels.is_empty() {
            return Ok(Next::Stay);
        }
        let cursor = self.cursor();
        let names: Vec<_> = channels.iter().map(|channel| name(*channel)).collect();
        let mut frame = json!({"type": "subscribe", "channels": names});
        if let Some(cursor) = &cursor {
            frame["cursor"] = cursor.text.clone().into();
        }
        if visit.judge.joining() == 0 {
            visit.asked = Instant::now();
        }
        let judge = &mut visit.judge;
        judge.subscribe(&channels, cursor, &self.shared.ledger());
        Ok(self.say(visit, frame).await)
    }

    /// Also of what is not ready yet.
    async fn unsubscribe(&mut self, visit: &mut Visit) -> Judged<Next> {
        let mut channels = visit.judge.channels();
        self.rng.shuffle(&mut channels);
        channels.truncate(self.rng.usize(1..=2));
        if channels.is_empty() {
            return Ok(Next::Stay);
        }
        visit.judge.unsubscribe(&channels);
        let names: Vec<_> = channels.iter().map(|channel| name(*channel)).collect();
        let frame = json!({"type": "unsubscribe", "channels": names});
        Ok(self.say(visit, frame).await)
    }

    async fn say(&mut self, visit: &mut Visit, frame: serde_json::Value) -> Next {
        self.trace(|| frame.to_string());
        match timeout(READY, visit.stream.say(&frame.to_string())).await {
            Ok(true) => Next::Stay,
            _ => Next::Leave,
        }
    }

    fn trace(&mut self, line: impl FnOnce() -> String) {
        if self.trace.len() == TRACE {
            self.trace.pop_front();
        }
        let line = line();
        self.trace.push_back(line);
    }
}
