//! A reader that sleeps where a writer can serve it: what comes next goes to
//! its outlet, and it need not be woken.
//!
//! What holds of a seat: its reader has had everything of its channels up to
//! `position`. Whoever holds the seat's lock and writes moves it on.

use std::{
    fmt::Debug,
    sync::{Mutex, MutexGuard, PoisonError},
    task::Waker,
};

use super::event_batch::EventBatch;
use crate::event::WireName;

/// Where a reader's events can go without it.
pub trait EventSink: Debug + Send {
    /// Takes all of `batch`, in its order, without waiting. What the client
    /// does not take is kept for the reader, which stands before whatever it
    /// writes next: then the answer is no.
    fn try_write(&mut self, batch: &EventBatch) -> bool;

    /// The reader has left: nothing more is put.
    fn close(&mut self);
}

/// See the module. One piece of memory with its outlet: a delivery that has to
/// look for little is a fast one.
#[derive(Debug)]
pub struct DirectSlot<O: ?Sized = dyn EventSink> {
    state: Mutex<State<O>>,
}

#[derive(Debug)]
struct State<O: ?Sized> {
    position: u64,
    /// None while the reader is at work.
    parked: Option<Waker>,
    channels: u32,
    wire: WireName,
    /// Whether what it had before is written, so that more may follow.
    armed: bool,
    sink: O,
}

impl<O> DirectSlot<O> {
    /// Nobody's yet.
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

    /// What a reader that has risen does with its outlet.
    pub fn with_sink<T>(&self, act: impl FnOnce(&mut O) -> T) -> T {
        act(&mut self.lock().sink)
    }
}

impl<O: EventSink + ?Sized> DirectSlot<O> {
    /// The reader has read its `channels` up to `position`, and sleeps until
    /// something comes by its `wire`. To be called under the hub's lock, or
    /// something could come in between.
    pub(super) fn sleep(&self, wire: WireName, position: u64, channels: u32, waker: &Waker) {
        let mut state = self.lock();
        state.wire = wire;
        state.position = position;
        state.channels = channels;
        state.parked = Some(waker.clone());
    }

    /// The reader has written what it had; its outlet takes what follows. Not
    /// if it was woken meanwhile.
    pub(super) fn arm(&self) {
        self.lock().armed = true;
    }

    /// The reader is at work, and reads on from here; the outlet is its own.
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

    /// Gives the reader a burst of one of its channels, or wakes it, where
    /// that is not all that comes next. By which wire it was given.
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
    /// A panic under the lock would be a bug of ours; what the state then holds
    /// serves the reader better than a second one.
    fn lock(&self) -> MutexGuard<'_, State<O>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
