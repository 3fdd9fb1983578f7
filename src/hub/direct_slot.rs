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

use super::event_batch::Burst;
use crate::event::WireName;

/// Where a reader's events can go without it.
pub trait Outlet: Debug + Send {
    /// Takes all of `burst`, in its order, without waiting. What the client
    /// does not take is kept for the reader, which stands before whatever it
    /// writes next: then the answer is no.
    fn put(&mut self, burst: &Burst) -> bool;

    /// The reader has left: nothing more is put.
    fn close(&mut self);
}

/// See the module. One piece of memory with its outlet: a delivery that has to
/// look for little is a fast one.
#[derive(Debug)]
pub struct Seat<O: ?Sized = dyn Outlet> {
    state: Mutex<State<O>>,
}

#[derive(Debug)]
struct State<O: ?Sized> {
    position: u64,
    /// None while the reader is at work.
    asleep: Option<Waker>,
    channels: u32,
    wire: WireName,
    /// Whether what it had before is written, so that more may follow.
    served: bool,
    outlet: O,
}

impl<O> Seat<O> {
    /// Nobody's yet.
    pub fn new(outlet: O) -> Self {
        let state = State {
            position: 0,
            asleep: None,
            channels: 0,
            wire: WireName::WebSocket,
            served: false,
            outlet,
        };
        Self {
            state: Mutex::new(state),
        }
    }

    /// What a reader that has risen does with its outlet.
    pub fn with_outlet<T>(&self, act: impl FnOnce(&mut O) -> T) -> T {
        act(&mut self.lock().outlet)
    }
}

impl<O: Outlet + ?Sized> Seat<O> {
    /// The reader has read its `channels` up to `position`, and sleeps until
    /// something comes by its `wire`. To be called under the hub's lock, or
    /// something could come in between.
    pub(super) fn sleep(&self, wire: WireName, position: u64, channels: u32, waker: &Waker) {
        let mut state = self.lock();
        state.wire = wire;
        state.position = position;
        state.channels = channels;
        state.asleep = Some(waker.clone());
    }

    /// The reader has written what it had; its outlet takes what follows. Not
    /// if it was woken meanwhile.
    pub(super) fn serve(&self) {
        self.lock().served = true;
    }

    /// The reader is at work, and reads on from here; the outlet is its own.
    pub(super) fn rise(&self) -> u64 {
        let mut state = self.lock();
        state.served = false;
        state.asleep = None;
        state.position
    }

    pub(super) fn leave(&self) {
        let mut state = self.lock();
        state.asleep = None;
        state.outlet.close();
    }

    /// Gives the reader a burst of one of its channels, or wakes it, where
    /// that is not all that comes next. By which wire it was given.
    pub(super) fn give(&self, burst: &Burst) -> Option<WireName> {
        let mut state = self.lock();
        if state.asleep.is_none() || state.position >= burst.until() {
            return None;
        }
        let mut given = None;
        if state.served && burst.follows(state.position, state.channels) {
            let taken = state.outlet.put(burst);
            state.position = burst.until();
            given = Some(state.wire);
            if taken {
                return given;
            }
        }
        state.served = false;
        let waker = state.asleep.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        given
    }
}

impl<O: ?Sized> Seat<O> {
    /// A panic under the lock would be a bug of ours; what the state then holds
    /// serves the reader better than a second one.
    fn lock(&self) -> MutexGuard<'_, State<O>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
