//! The set of names a session listens to. It has one owner, and one statement
//! is in flight at a time; what is wished meanwhile waits, and goes out
//! together.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    future::pending,
    mem,
    pin::Pin,
    sync::Arc,
};

use tokio_postgres::Client;
use tracing::debug;

use super::{
    SourceItem, listen,
    statements::{Failure, are_kept, run},
};
use crate::{
    demand::{Generation, Wish},
    event::ChannelName,
};

/// Names in one round trip: 10,000 channels take ten, and the text of one
/// stays under 140 KB.
const BATCH: usize = 1000;

/// The channels somebody reads, and the newest wish for each. Outlives the
/// session.
pub(super) type Wanted = HashMap<ChannelName, Generation>;

/// LISTENs and UNLISTENs of one round trip.
#[derive(Debug, Default)]
struct Batch {
    listen: Vec<ChannelName>,
    unlisten: Vec<ChannelName>,
}

type InFlight = Pin<Box<dyn Future<Output = (Batch, Result<(), Failure>)> + Send>>;

/// See the module.
pub(super) struct Listening {
    client: Arc<Client>,
    /// The server's encoding may change a name.
    respells: bool,
    committed: HashSet<ChannelName>,
    todo: VecDeque<Batch>,
    in_flight: Option<InFlight>,
    /// The server has cut a name of it.
    has_cut: bool,
    /// To be said, in this order.
    said: VecDeque<SourceItem>,
}

impl Listening {
    /// Begins to listen to `names`.
    pub(super) fn begin(client: Arc<Client>, respells: bool, names: Vec<ChannelName>) -> Self {
        let mut listening = Self {
            client,
            respells,
            committed: HashSet::new(),
            todo: VecDeque::new(),
            in_flight: None,
            has_cut: false,
            said: VecDeque::new(),
        };
        listening.plan(names, Vec::new());
        listening
    }

    /// Whether something is still to be committed.
    pub(super) fn is_busy(&self) -> bool {
        self.in_flight.is_some()
    }

    /// A name is too long in the server's encoding: what was listened to is
    /// another one. Said before the answer to the statement.
    pub(super) fn was_cut(&mut self) {
        self.has_cut = self.is_busy();
    }

    /// What became of the wishes.
    pub(super) fn say(&mut self) -> Option<SourceItem> {
        self.said.pop_front()
    }

    /// Waits for the statement in flight, for ever when there is none.
    /// Cancel-safe.
    pub(super) async fn advance(&mut self, wanted: &mut Wanted) -> Result<(), Failure> {
        let (batch, result) = match &mut self.in_flight {
            Some(statement) => statement.await,
            None => pending().await,
        };
        self.in_flight = None;
        let has_cut = mem::take(&mut self.has_cut) && !batch.listen.is_empty();
        match result {
            Ok(()) if has_cut => self.narrow_down(batch, wanted),
            Ok(()) => self.done(batch, wanted),
            Err(failure) if failure.is_about_the_text() => self.narrow_down(batch, wanted),
            Err(failure) => return Err(failure),
        }
        self.send_next();
        Ok(())
    }

    /// To be called when nothing is in flight.
    pub(super) fn follow(&mut self, wishes: HashMap<ChannelName, Wish>, wanted: &mut Wanted) {
        let (mut listen, mut unlisten, mut have) = (Vec::new(), Vec::new(), Vec::new());
        for (name, wish) in wishes {
            let is_committed = self.committed.contains(&name);
            match wish {
                Wish::Listen(generation) => {
                    wanted.insert(name.clone(), generation);
                    let names = if is_committed { &mut have } else { &mut listen };
                    names.push(name);
                }
                Wish::Unlisten => {
                    wanted.remove(&name);
                    unlisten.extend(is_committed.then_some(name));
                }
            }
        }
        self.say_committed(have, wanted);
        self.plan(listen, unlisten);
    }

    fn plan(&mut self, mut listen: Vec<ChannelName>, mut unlisten: Vec<ChannelName>) {
        while !listen.is_empty() || !unlisten.is_empty() {
            self.todo.push_back(Batch {
                listen: listen.split_off(listen.len().saturating_sub(BATCH)),
                unlisten: unlisten.split_off(unlisten.len().saturating_sub(BATCH)),
            });
        }
        self.send_next();
    }

    fn send_next(&mut self) {
        let batch = self.todo.pop_front();
        let respells = self.respells;
        self.in_flight = batch.map(|batch| -> InFlight {
            let client = Arc::clone(&self.client);
            Box::pin(async move {
                let sql = listen::statements(batch.listen.iter(), batch.unlisten.iter());
                let mut result = run(&client, &sql).await;
                if respells && result.is_ok() && !batch.listen.is_empty() {
                    result = are_kept(&client, &batch.listen).await;
                }
                (batch, result)
            })
        });
    }

    fn done(&mut self, batch: Batch, wanted: &Wanted) {
        let (listen, unlisten) = (batch.listen.len(), batch.unlisten.len());
        debug!(listen, unlisten, "committed");
        for name in &batch.unlisten {
            self.committed.remove(name);
        }
        self.committed.extend(batch.listen.iter().cloned());
        self.say_committed(batch.listen, wanted);
    }

    /// The answer to the newest wish for each.
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

    /// One name that the database's encoding cannot hold, or not whole, spoils
    /// the batch: halving finds it in a few round trips, and the others go on. One
    /// that was cut is not unlistened to: that would be cut too.
    fn narrow_down(&mut self, mut batch: Batch, wanted: &mut Wanted) {
        let half = batch.listen.split_off(batch.listen.len().div_ceil(2));
        if !half.is_empty() {
            self.todo.push_front(Batch {
                listen: half,
                unlisten: Vec::new(),
            });
        } else if let Some(name) = batch.listen.pop()
            && let Some(generation) = wanted.remove(&name)
        {
            self.said.push_back(SourceItem::Refused(name, generation));
        }
        if !batch.listen.is_empty() || !batch.unlisten.is_empty() {
            self.todo.push_front(batch);
        }
    }
}
