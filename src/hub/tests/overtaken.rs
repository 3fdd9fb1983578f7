//! Eviction, and the readers that had not read the evicted events.

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

/// Several times as many bytes as the log holds.
#[tokio::test(start_paused = true)]
async fn a_channel_that_fills_the_log_evicts_its_own_events() {
    let mut config = small_history(10_000);
    config.history.bytes = 1 << 20;
    let fixture = Fixture::live(config);
    let mut readers = ["a", "b"].map(|name| fixture.reader(&[name]));
    let cursor = last_cursor(&mut fixture.subscribe(&["quiet"], None));
    fixture.notify("quiet", "1");
    for _ in 0..300 {
        for name in ["a", "b"] {
            fixture.notify(name, &"x".repeat(7999));
        }
        // Encodings are added after the append; the sweep finds the log full.
        for reader in &mut readers {
            for delivery in std::iter::from_fn(|| reader.next().now_or_never()) {
                if let Some(Ok(Delivery::Event(event))) = delivery {
                    let encode = || bytes::Bytes::from(vec![0; 48_000]);
                    event
                        .encodings
                        .get_or_encode(crate::event::Form::Sse, encode);
                }
            }
        }
        fixture.hub.sweep();
    }
    fixture.notify("quiet", "2");
    assert!(fixture.hub.view().log_bytes <= 1 << 20);
    let mut resumed = fixture.subscribe(&["quiet"], cursor);
    let expected = [r#""quiet" 1"#, r#""quiet" 2"#, r#"ready ["quiet"]"#];
    assert_eq!(now(&mut resumed), expected);
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
