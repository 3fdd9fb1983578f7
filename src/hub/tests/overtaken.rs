//! What the log lets go of, and the readers who had not read it.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_burst_beyond_the_history_reaches_who_is_reading() {
    let fixture = Fixture::live(small_history(10));
    let mut reader = fixture.reader(&["a"]);
    let payloads: Vec<_> = (0..10_000).map(|n| n.to_string()).collect();
    fixture.hub.ingest(|intake| {
        for payload in &payloads {
            intake.notification(notification("a", payload));
        }
    });
    let there = now(&mut reader);
    assert_eq!(there.len(), 10_000);
    assert!(
        there
            .iter()
            .zip(&payloads)
            .all(|(got, sent)| *got == format!("\"a\" {sent}"))
    );
}

#[tokio::test(start_paused = true)]
async fn an_overtaken_reader_gets_a_gap_and_goes_on_at_the_head() {
    let mut config = small_history(10);
    config.history.bytes = 1 << 20;
    let fixture = Fixture::live(config);
    let mut slow = fixture.reader(&["a"]);
    let payload = "x".repeat(7999);
    for _ in 0..200 {
        fixture.notify("a", &payload);
    }
    assert_eq!(now(&mut slow), ["slow_reader"]);
    fixture.notify("a", "next");
    assert_eq!(now(&mut slow), [r#""a" next"#]);
}

#[tokio::test(start_paused = true)]
async fn an_overtaken_reader_hears_what_became_of_the_source() {
    let mut config = small_history(1);
    config.history.bytes = 1 << 20;
    let fixture = Fixture::live(config);
    let mut slow = fixture.reader(&["a"]);
    let flood = || (0..200).for_each(|_| fixture.notify("a", &"x".repeat(7999)));
    flood();
    fixture.lose();
    assert_eq!(now(&mut slow), ["slow_reader", "interrupted"]);
    fixture.hub.ingest(|intake| intake.live(true));
    flood();
    assert_eq!(now(&mut slow), ["slow_reader", "live"]);
}

#[tokio::test(start_paused = true)]
async fn events_leave_at_their_age() {
    let fixture = Fixture::live(Config::default());
    let mut reader = fixture.subscribe(&["a"], None);
    let cursor = last_cursor(&mut reader);
    fixture.notify("a", "1");
    tokio::time::advance(Duration::from_secs(601)).await;
    fixture.hub.sweep();
    let mut again = fixture.subscribe(&["a"], cursor);
    assert_eq!(now(&mut again), ["cursor_too_old", r#"ready ["a"]"#]);
}
