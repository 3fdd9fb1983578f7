//! The set of channels that a session listens to. It has one owner, and one statement
//! is in flight at a time.
//!
//! Requests that arrive meanwhile are only recorded. A batch reflects what is wanted
//! when it is sent: a LISTEN is for a name that is wanted and not committed, an
//! UNLISTEN for one that is committed and not wanted, so a name is never in both parts.
//! LISTENs go first, and no name waits for all names of another request ([`Waiting`]).

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    future::pending,
    mem,
    pin::Pin,
    sync::Arc,
};

use tokio_postgres::Client;
use tracing::debug;

use super::{
    SourceItem, listen,
    sizes::Sizes,
    statements::{Failure, are_kept, run},
    waiting::Waiting,
};
use crate::{
    channel_demand::{Generation, ListenRequest},
    event::ChannelName,
};

/// The channels that the hub asks for, and the newest request for each. Outlives the
/// session.
pub(super) type Wanted = HashMap<ChannelName, Generation>;

/// LISTENs and UNLISTENs of one round trip.
#[derive(Debug, Default)]
struct Batch {
    listen: Vec<ChannelName>,
    unlisten: Vec<ChannelName>,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.listen.is_empty() && self.unlisten.is_empty()
    }
}

type InFlight = Pin<Box<dyn Future<Output = (Batch, Result<(), Failure>)> + Send>>;

/// The channels of one session: committed, waiting, and to be left.
pub(super) struct ListenSet {
    client: Arc<Client>,
    /// Whether the server's encoding may change a name.
    respells: bool,
    sizes: Sizes,
    /// The session's private channel, always wanted.
    private: ChannelName,
    /// Whether all channels that were wanted at the start have been sent.
    is_set_up: bool,
    committed: HashSet<ChannelName>,
    /// Contains each name that is wanted and not committed, in flight or a suspect, and
    /// perhaps others.
    waiting: Waiting,
    /// Contains each name that is committed and not wanted, and perhaps others. At most
    /// as many as are committed.
    leaving: BTreeSet<ChannelName>,
    /// Parts of failed batches, each to be sent alone, the oldest first. Together no
    /// more than two batches.
    suspects: VecDeque<Vec<ChannelName>>,
    /// Whether the previous batch was a suspect one.
    suspects_had_turn: bool,
    /// Whether a batch was rolled back together with its UNLISTENs.
    owes_unlistens: bool,
    in_flight: Option<InFlight>,
    /// Whether the server has truncated a name of the batch in flight.
    has_cut: bool,
    /// Results to report, in this order.
    said: VecDeque<SourceItem>,
}

impl ListenSet {
    /// Starts to listen to all `wanted` channels and to `private`.
    pub(super) fn begin(
        client: Arc<Client>,
        respells: bool,
        private: ChannelName,
        wanted: &Wanted,
    ) -> Self {
        let mut waiting = Waiting::default();
        // Requests never have this generation.
        waiting.insert(private.clone(), 0, 0);
        for (name, generation) in wanted {
            waiting.insert(name.clone(), *generation, 0);
        }
        let mut listening = Self {
            client,
            respells,
            sizes: Sizes::default(),
            private,
            is_set_up: false,
            committed: HashSet::new(),
            waiting,
            leaving: BTreeSet::new(),
            suspects: VecDeque::new(),
            suspects_had_turn: false,
            owes_unlistens: false,
            in_flight: None,
            has_cut: false,
            said: VecDeque::new(),
        };
        listening.send_next(wanted);
        listening
    }

    /// Whether a statement is in flight.
    pub(super) fn is_busy(&self) -> bool {
        self.in_flight.is_some()
    }

    /// A name is too long in the server's encoding, so the session listens to another
    /// one. Called before the answer to the statement.
    pub(super) fn name_truncated(&mut self) {
        self.has_cut = self.is_busy();
    }

    /// The next result of the requests.
    pub(super) fn say(&mut self) -> Option<SourceItem> {
        self.said.pop_front()
    }

    /// Waits for the statement in flight; pending if there is none. [`Self::send_next`]
    /// then sends the next one. Cancel-safe.
    pub(super) async fn advance(&mut self, wanted: &mut Wanted) -> Result<(), Failure> {
        let (batch, result) = match &mut self.in_flight {
            Some(statement) => statement.await,
            None => pending().await,
        };
        self.in_flight = None;
        let Batch { listen, unlisten } = batch;
        let has_cut = mem::take(&mut self.has_cut);
        match result {
            // It has committed, but with another name.
            Ok(()) if has_cut => self.unlistened(&unlisten),
            Err(Failure::Respelt) => self.unlistened(&unlisten),
            Ok(()) => {
                debug!(
                    listen = listen.len(),
                    unlisten = unlisten.len(),
                    "committed"
                );
                self.unlistened(&unlisten);
                self.listened(listen, wanted);
                return Ok(());
            }
            // Only a LISTEN can be at fault: the encoding can hold all committed names.
            Err(failure) if failure.is_about_the_text() && !listen.is_empty() => {
                self.owes_unlistens = !unlisten.is_empty();
                self.leaving.extend(unlisten);
            }
            Err(failure) => return Err(failure),
        }
        self.narrow_down(listen, wanted);
        Ok(())
    }

    /// Applies new requests.
    pub(super) fn follow(
        &mut self,
        wishes: HashMap<ChannelName, ListenRequest>,
        wanted: &mut Wanted,
    ) {
        for (name, wish) in wishes {
            match wish {
                ListenRequest::Listen(generation, rank) => {
                    wanted.insert(name.clone(), generation);
                    self.waiting.insert(name, generation, rank);
                }
                ListenRequest::Unlisten => {
                    wanted.remove(&name);
                    self.waiting.remove(&name);
                    if self.committed.contains(&name) {
                        self.leaving.insert(name);
                    }
                }
            }
        }
    }

    /// Sends the next batch, if there is something to send and no statement is in
    /// flight.
    pub(super) fn send_next(&mut self, wanted: &Wanted) {
        if self.is_busy() {
            return;
        }
        let batch = self.next_batch(wanted);
        if batch.is_empty() {
            self.is_set_up = true;
            return;
        }
        let (client, respells) = (Arc::clone(&self.client), self.respells);
        self.in_flight = Some(Box::pin(async move {
            let sql = listen::statements(batch.listen.iter(), batch.unlisten.iter());
            let mut result = run(&client, &sql).await;
            if respells && result.is_ok() && !batch.listen.is_empty() {
                result = are_kept(&client, &batch.listen).await;
            }
            (batch, result)
        }));
    }

    /// The next batch. While names make batches fail, each batch of new names is
    /// followed by at most one of its UNLISTENs and one of suspects.
    fn next_batch(&mut self, wanted: &Wanted) -> Batch {
        if mem::take(&mut self.owes_unlistens) {
            let unlisten = self.leaving(self.limit(), wanted);
            if !unlisten.is_empty() {
                let listen = Vec::new();
                return Batch { listen, unlisten };
            }
        }
        let suspects: usize = self.suspects.iter().map(Vec::len).sum();
        let have_turn = !self.suspects_had_turn || suspects > self.sizes.most;
        self.suspects_had_turn = have_turn && suspects > 0;
        if self.suspects_had_turn {
            return self.suspected();
        }
        let batch = self.ordinary(wanted);
        if batch.is_empty() {
            return self.suspected();
        }
        batch
    }

    fn suspected(&mut self) -> Batch {
        Batch {
            listen: self.suspects.pop_front().unwrap_or_default(),
            unlisten: Vec::new(),
        }
    }

    fn ordinary(&mut self, wanted: &Wanted) -> Batch {
        let limit = self.limit();
        let listen = self.coming(limit, wanted);
        let unlistens = self.sizes.unlistens(listen.len(), limit);
        let unlisten = self.leaving(unlistens, wanted);
        Batch { listen, unlisten }
    }

    /// Maximum number of LISTENs in the next batch. A session that is being set up may
    /// send more, since no client waits for its notifications.
    fn limit(&self) -> usize {
        match self.is_set_up {
            true => self.sizes.listens(self.committed.len()),
            false => self.sizes.most,
        }
    }

    fn coming(&mut self, most: usize, wanted: &Wanted) -> Vec<ChannelName> {
        self.waiting.next_batch();
        let (mut names, mut have) = (Vec::new(), Vec::new());
        while names.len() < most
            && let Some(name) = self.waiting.pop()
        {
            if self.committed.contains(&name) {
                have.push(name);
            } else if self.is_wanted(&name, wanted) {
                names.push(name);
            }
        }
        self.say_committed(have, wanted);
        names
    }

    fn leaving(&mut self, most: usize, wanted: &Wanted) -> Vec<ChannelName> {
        let mut names = Vec::new();
        while names.len() < most
            && let Some(name) = self.leaving.pop_first()
        {
            if self.committed.contains(&name) && !self.is_wanted(&name, wanted) {
                names.push(name);
            }
        }
        names
    }

    fn is_wanted(&self, name: &ChannelName, wanted: &Wanted) -> bool {
        wanted.contains_key(name) || *name == self.private
    }

    fn unlistened(&mut self, names: &[ChannelName]) {
        for name in names {
            self.committed.remove(name);
        }
    }

    /// Names that are no longer wanted were not yet committed when that was recorded,
    /// so they are added to `leaving` here.
    fn listened(&mut self, names: Vec<ChannelName>, wanted: &Wanted) {
        for name in &names {
            self.committed.insert(name.clone());
            self.waiting.remove(name);
            if !self.is_wanted(name, wanted) {
                self.leaving.insert(name.clone());
            }
        }
        self.say_committed(names, wanted);
    }

    /// Reports the newest request for each name as committed.
    fn say_committed(&mut self, names: Vec<ChannelName>, wanted: &Wanted) {
        let answers = names.into_iter().filter_map(|name| {
            let generation = *wanted.get(&name)?;
            Some((name, generation))
        });
        let answers: Vec<_> = answers.collect();
        if !answers.is_empty() {
            self.said.push_back(SourceItem::Listening(answers));
        }
    }

    /// Searches a failed batch for a name that the database's encoding cannot hold, or
    /// not as a whole: halving finds it in a few round trips, and the others succeed.
    /// All are sent again, wanted or not, since the batch may have committed, and the
    /// committed names have to be known. A name that was truncated or changed gets no
    /// UNLISTEN, which would be changed too and hit the other name.
    fn narrow_down(&mut self, mut names: Vec<ChannelName>, wanted: &mut Wanted) {
        if names.len() > 1 {
            let half = names.split_off(names.len().div_ceil(2));
            self.suspects.extend([names, half]);
        } else if let Some(name) = names.pop() {
            self.waiting.remove(&name);
            if let Some(generation) = wanted.remove(&name) {
                self.said.push_back(SourceItem::Refused(name, generation));
            }
        }
    }
}

#[cfg(test)]
mod tests;
