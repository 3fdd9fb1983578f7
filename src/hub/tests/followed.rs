//! Calls that the follower of a notification receives.

use std::sync::Mutex;

use super::direct_slots::{Given, Reading};
use super::*;
use crate::event::{EventId, Followed, Follower};

/// The calls, in order.
#[derive(Debug, Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Follower for Told {
    fn taken_in(&self, id: EventId, _: SystemTime, readers: usize) {
        let text = format!("{} for {readers}", id.sequence);
        self.0.lock().unwrap().push(text);
    }

    fn given(&self) {
        self.0.lock().unwrap().push("given".to_owned());
    }
}

impl Told {
    fn follow(&self, fixture: &Fixture, channel: &str) {
        let followed = Followed::by(self.clone());
        fixture
            .hub
            .ingest(|intake| intake.followed(notification(channel, "1"), followed));
    }

    fn said(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// It may still be writing the event until it waits.
#[tokio::test(start_paused = true)]
async fn a_reader_has_been_given_it_when_it_rests() {
    let fixture = Fixture::live(Config::default());
    let mut reader = fixture.reader(&["a"]);
    let told = Told::default();
    told.follow(&fixture, "a");
    let Some(Some(Ok(Delivery::Event(event)))) = reader.next().now_or_never() else {
        panic!("there was an event")
    };
    let taken = format!("{} for 1", event.id.sequence);
    assert_eq!(told.said(), [&*taken]);
    assert!(reader.next().now_or_never().is_none());
    assert_eq!(told.said(), [&taken, "given"]);
}

#[tokio::test(start_paused = true)]
async fn a_writer_has_given_it_when_it_has_written() {
    let fixture = Fixture::live(Config::default());
    let mut worker = fixture.hub.fanout_workers(1).pop().unwrap();
    let mut reader = fixture.reader(&["a"]);
    reader.attach(Arc::new(DirectSlot::new(Given::default())));
    let mut reading = Reading::of(reader);
    reading.sleep();
    let told = Told::default();
    told.follow(&fixture, "a");
    assert_eq!(told.said().len(), 1);
    while worker.round().now_or_never().is_some() {}
    assert_eq!(told.said()[1..], ["given"]);
    assert_eq!(reading.woken(), 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_said_of_what_is_nobodys() {
    let fixture = Fixture::live(Config::default());
    let told = Told::default();
    told.follow(&fixture, "a");
    assert_eq!(told.said(), [""; 0]);
    drop(fixture.reader(&["a"]));
    told.follow(&fixture, "a");
    assert!(told.said()[0].ends_with(" for 0"), "{:?}", told.said());
    assert_eq!(told.said().len(), 1);
}
