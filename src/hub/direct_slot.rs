//! Direct-write slot of an idle reader: new events go to its sink, and the
//! reader is not woken.
//!
//! Invariant: everything of the reader's channels up to `position` was
//! delivered. A worker that writes under the slot's lock advances `position`.

use std::{
    fmt::Debug,
    sync::{Mutex, MutexGuard, PoisonError},
    task::Waker,
};

use super::event_batch::EventBatch;
use crate::event::WireName;

/// Sink for a reader's events while the reader is idle.
pub trait EventSink: Debug + Send {
    /// Writes all of `batch`, in order, without waiting. Data that the client
    /// does not accept is buffered for the reader, which sends it before
    /// anything else: then this returns `false`.
    fn try_write(&mut self, batch: &EventBatch) -> bool;

    /// The reader has left: nothing more is written.
    fn close(&mut self);
}

/// Direct-write slot of a reader. One allocation with its sink: a delivery with
/// few lookups is fast.
#[derive(Debug)]
pub struct DirectSlot<O: ?Sized = dyn EventSink> {
    state: Mutex<State<O>>,
}

#[derive(Debug)]
struct State<O: ?Sized> {
    position: u64,
    /// `None` while the reader runs.
    parked: Option<Waker>,
    channels: u32,
    wire: WireName,
    /// Whether all earlier deliveries are written, so that more may follow.
    armed: bool,
    sink: O,
}

impl<O> DirectSlot<O> {
    /// A slot that no reader has attached yet.
    pub fn new(sink: O) -> Self {
        let state = State {
            position: 0,
            parked: None,
            channels: 0,
            wire: WireName::WebSocket,
            armed: false,
            sink,
        };
        Self {
            state: Mutex::new(state),
        }
    }

    /// Runs `act` on the sink; for a reader that has reclaimed the slot.
    pub fn with_sink<T>(&self, act: impl FnOnce(&mut O) -> T) -> T {
        act(&mut self.lock().sink)
    }
}

impl<O: EventSink + ?Sized> DirectSlot<O> {
    /// Parks the reader: it has read its `channels` up to `position` and waits
    /// for more, over this transport. Call it under the hub's lock, otherwise
    /// an event could arrive in between.
    pub(super) fn sleep(&self, wire: WireName, position: u64, channels: u32, waker: &Waker) {
        let mut state = self.lock();
        state.wire = wire;
        state.position = position;
        state.channels = channels;
        state.parked = Some(waker.clone());
    }

    /// The reader has written all it had; a worker may write what follows. Has
    /// no effect if the reader was woken meanwhile.
    pub(super) fn arm(&self) {
        self.lock().armed = true;
    }

    /// The reader runs and reads on from the returned position; it owns the sink.
    pub(super) fn reclaim(&self) -> u64 {
        let mut state = self.lock();
        state.armed = false;
        state.parked = None;
        state.position
    }

    pub(super) fn leave(&self) {
        let mut state = self.lock();
        state.parked = None;
        state.sink.close();
    }

    /// Writes a batch of one of the reader's channels, or wakes the reader if
    /// the batch is not all that comes next for it. Returns the transport if
    /// the batch was written.
    pub(super) fn give(&self, batch: &EventBatch) -> Option<WireName> {
        let mut state = self.lock();
        if state.parked.is_none() || state.position >= batch.until() {
            return None;
        }
        let mut given = None;
        if state.armed && batch.is_next_for(state.position, state.channels) {
            let taken = state.sink.try_write(batch);
            state.position = batch.until();
            given = Some(state.wire);
            if taken {
                return given;
            }
        }
        state.armed = false;
        let waker = state.parked.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        given
    }
}

impl<O: ?Sized> DirectSlot<O> {
    /// A panic under the lock would be a bug; the state that it leaves serves
    /// the reader better than a second panic.
    fn lock(&self) -> MutexGuard<'_, State<O>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
