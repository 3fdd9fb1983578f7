//! Idle readers that a worker writes to.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Wake},
};

use super::*;

/// Counts the events it is given; accepts all.
#[derive(Debug, Default)]
pub(super) struct Given(Arc<AtomicUsize>);

impl EventSink for Given {
    fn try_write(&mut self, batch: &EventBatch) -> bool {
        let events = batch.events().len();
        self.0.fetch_add(events, Ordering::Relaxed);
        true
    }

    fn close(&mut self) {}
}

/// A reader of `a`, its worker, and the number of events written to it.
fn attached() -> (Fixture, FanoutWorker, Reading, Arc<AtomicUsize>) {
    let fixture = Fixture::live(Config::default());
    let worker = fixture.hub.fanout_workers(1).pop().unwrap();
    let mut reader = fixture.reader(&["a"]);
    let given = Given::default();
    let count = given.0.clone();
    reader.attach(Arc::new(DirectSlot::new(given)));
    (fixture, worker, Reading::of(reader), count)
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_sleeps_is_served_without_being_woken() {
    let (fixture, mut worker, mut reading, count) = attached();
    let armed = || count.load(Ordering::Relaxed);
    reading.sleep();
    for n in 0..5 {
        fixture.notify("a", &n.to_string());
        while worker.round().now_or_never().is_some() {}
    }
    assert_eq!((armed(), reading.woken()), (5, 0));
    // It is woken for anything but an event, and continues after the last event.
    fixture.lose();
    assert_eq!(reading.woken(), 1);
    assert_eq!(now(&mut reading.reader), ["interrupted"]);
    assert_eq!(armed(), 5);
}

#[tokio::test(start_paused = true)]
async fn an_outlet_is_the_readers_until_it_has_written() {
    let (fixture, mut worker, mut reading, count) = attached();
    let mut notify = |payload| {
        fixture.notify("a", payload);
        while worker.round().now_or_never().is_some() {}
        count.load(Ordering::Relaxed)
    };
    // It has read everything there is, and is still writing it.
    reading.read();
    assert_eq!((notify("1"), reading.woken()), (0, 1));
    // It reports that it has written, not knowing yet that it was woken.
    reading.reader.arm();
    assert_eq!((notify("2"), reading.woken()), (0, 1));
    assert_eq!(now(&mut reading.reader), ["\"a\" 1", "\"a\" 2"]);
    reading.sleep();
    assert_eq!((notify("3"), reading.woken()), (1, 1));
}

/// The change may be that the reader loses its right to the next events.
#[tokio::test(start_paused = true)]
async fn who_was_woken_with_all_is_given_nothing_until_it_has_looked() {
    let (fixture, mut worker, mut reading, count) = attached();
    let mut notify = |payload| {
        fixture.notify("a", payload);
        while worker.round().now_or_never().is_some() {}
        count.load(Ordering::Relaxed)
    };
    reading.sleep();
    assert_eq!(notify("1"), 1);
    fixture.hub.wake_all();
    assert_eq!((notify("2"), notify("3")), (1, 1));
    assert_eq!(now(&mut reading.reader), ["\"a\" 2", "\"a\" 3"]);
    reading.sleep();
    assert_eq!(notify("4"), 2);
}

/// A reader, and how often it was woken.
pub(super) struct Reading {
    reader: Subscription,
    wakes: Arc<Wakes>,
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Reading {
    pub(super) fn of(reader: Subscription) -> Self {
        let wakes = Arc::default();
        Self { reader, wakes }
    }

    pub(super) fn sleep(&mut self) {
        self.read();
        self.reader.arm();
    }

    /// Reads all available deliveries.
    pub(super) fn read(&mut self) {
        let waker = self.wakes.clone().into();
        let mut cx = Context::from_waker(&waker);
        let next = futures_util::StreamExt::poll_next_unpin(&mut self.reader, &mut cx);
        assert!(next.is_pending());
    }

    pub(super) fn woken(&self) -> usize {
        self.wakes.0.load(Ordering::Relaxed)
    }
}
