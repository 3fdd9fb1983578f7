//! The hub's word on whether the gateway is well.

use super::*;

#[test]
fn the_first_thing_that_is_missing_is_the_one_that_is_told() {
    let fixture = Fixture::new(Config::default());
    let readiness = fixture.hub.readiness();
    let is = |readiness: &watch::Receiver<Readiness>| *readiness.borrow();
    assert_eq!(is(&readiness), Err(Unready::SourceAway));
    fixture.hub.ingest(|intake| intake.live(false));
    assert_eq!(is(&readiness), Ok(()));
    for (usage, told) in [
        (Some(0.26), Err(Unready::QueueFilling)),
        (None, Err(Unready::QueueUnseen)),
        (Some(0.25), Ok(())),
    ] {
        fixture.hub.ingest(|intake| intake.queue_usage(usage));
        assert_eq!(is(&readiness), told, "{usage:?}");
    }
    fixture.lose();
    assert_eq!(is(&readiness), Err(Unready::SourceAway));
    fixture.hub.close();
    assert_eq!(is(&readiness), Err(Unready::ShuttingDown));
}
