//! Readiness of the gateway as the hub reports it.

use super::*;

#[test]
fn the_first_thing_that_is_missing_is_the_one_that_is_told() {
    let fixture = Fixture::new(Config::default());
    let readiness = fixture.hub.readiness();
    let is = |readiness: &watch::Receiver<Readiness>| *readiness.borrow();
    assert_eq!(is(&readiness), Err(Unready::SourceAway));
    fixture.hub.ingest(|intake| intake.live(false));
    assert_eq!(is(&readiness), Ok(()));
    fixture.hub.ingest(|batch| batch.health(Err("a reason")));
    assert_eq!(is(&readiness), Err(Unready::Degraded("a reason")));
    fixture.hub.ingest(|batch| batch.health(Ok(())));
    assert_eq!(is(&readiness), Ok(()));
    fixture.lose();
    assert_eq!(is(&readiness), Err(Unready::SourceAway));
    fixture.hub.close();
    assert_eq!(is(&readiness), Err(Unready::ShuttingDown));
}
