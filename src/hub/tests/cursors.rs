//! Resuming: exactly the missed events, or a gap.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_cursor_gets_exactly_what_was_missed() {
    let fixture = Fixture::live(Config::default());
    let mut reader = fixture.reader(&["a", "b"]);
    fixture.notify("a", "1");
    let cursor = last_cursor(&mut reader);
    drop(reader);
    fixture.notify("b", "2");
    fixture.notify("a", "3");
    let mut reader = fixture.subscribe(&["a", "b"], cursor);
    fixture.notify("a", "4");
    assert_eq!(
        now(&mut reader),
        [r#""b" 2"#, r#""a" 3"#, r#""a" 4"#, r#"ready ["a", "b"]"#]
    );
    fixture.notify("a", "5");
    assert_eq!(now(&mut reader), [r#""a" 5"#]);
}

#[tokio::test(start_paused = true)]
async fn a_loss_in_between_stands_at_its_place() {
    let fixture = Fixture::live(Config::default());
    let mut reader = fixture.subscribe(&["a"], None);
    let cursor = last_cursor(&mut reader);
    drop(reader);
    fixture.notify("a", "1");
    fixture.lose();
    fixture.hub.ingest(|intake| intake.live(true));
    fixture.notify("a", "2");
    let mut reader = fixture.subscribe(&["a"], cursor);
    assert_eq!(
        now(&mut reader),
        [r#""a" 1"#, "source_lost", r#""a" 2"#, r#"ready ["a"]"#]
    );
}

#[tokio::test(start_paused = true)]
async fn a_cursor_that_cannot_be_honoured_gets_one_gap() {
    let fixture = Fixture::live(small_history(2));
    let other = Fixture::live(Config::default());
    let foreign = last_cursor(&mut other.subscribe(&["a"], None));
    let mut reader = fixture.subscribe(&["a"], None);
    let old = last_cursor(&mut reader);
    let Some(Cursor::At(id)) = old else { panic!() };
    for payload in ["1", "2", "3"] {
        fixture.notify("a", payload);
    }
    let future = Some(Cursor::At(crate::event::EventId { sequence: 99, ..id }));
    for (cursor, reason) in [
        (foreign, "unknown_cursor"),
        (future, "unknown_cursor"),
        (Some(Cursor::Invalid), "unknown_cursor"),
        (old, "cursor_too_old"),
    ] {
        let mut reader = fixture.subscribe(&["a"], cursor);
        assert_eq!(now(&mut reader), [reason, r#"ready ["a"]"#], "{cursor:?}");
        fixture.notify("a", "more");
        assert_eq!(now(&mut reader), [r#""a" more"#]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_cursor_of_ready_after_a_gap_resumes() {
    let fixture = Fixture::live(Config::default());
    let mut reader = fixture.subscribe(&["a"], Some(Cursor::Invalid));
    assert_eq!(now(&mut reader), ["unknown_cursor", r#"ready ["a"]"#]);
    let mut reader = fixture.subscribe(&["a"], Some(Cursor::Invalid));
    let cursor = last_cursor(&mut reader);
    fixture.notify("a", "1");
    let mut again = fixture.subscribe(&["a"], cursor);
    assert_eq!(now(&mut again), [r#""a" 1"#, r#"ready ["a"]"#]);
}

/// Three batches of events; those that arrive meanwhile come after `ready`.
#[tokio::test(start_paused = true)]
async fn ready_stands_behind_all_that_was_missed() {
    let fixture = Fixture::live(Config::default());
    let mut reader = fixture.reader(&["a"]);
    let mut keeps_b = fixture.subscribe(&["b"], None);
    let cursor = last_cursor(&mut keeps_b);
    (0..8).for_each(|n| fixture.notify("b", &n.to_string()));
    reader.join(&names(&["b"]), cursor).unwrap();
    let first = reader.next().now_or_never().flatten();
    assert!(matches!(first, Some(Ok(Delivery::Event(_)))), "{first:?}");
    // No cursor beyond the delivered events.
    assert_eq!(reader.cursor(), None);
    fixture.notify("a", "meanwhile");
    let missed = (1..8).map(|n| format!(r#""b" {n}"#));
    let after = [r#"ready ["b"]"#, r#""a" meanwhile"#].map(str::to_owned);
    let expected: Vec<_> = missed.chain(after).collect();
    assert_eq!(now(&mut reader), expected);
    assert!(reader.cursor().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_is_given_up_leaves_the_others_theirs() {
    let fixture = Fixture::live(Config::default());
    let mut keeper = fixture.subscribe(&["b", "c"], None);
    let cursor = last_cursor(&mut keeper);
    let mut reader = fixture.reader(&["a"]);
    for n in 0..4 {
        fixture.notify("b", &n.to_string());
        fixture.notify("c", &n.to_string());
    }
    reader.join(&names(&["b", "c"]), cursor).unwrap();
    assert!(reader.next().now_or_never().is_some());
    reader.unsubscribe(&names(&["b"]));
    let missed = (0..4).map(|n| format!(r#""c" {n}"#));
    let ready = r#"ready ["c"]"#.to_owned();
    let expected: Vec<_> = missed.chain([ready]).collect();
    assert_eq!(now(&mut reader), expected);
    reader.join(&names(&["b"]), cursor).unwrap();
    assert!(reader.next().now_or_never().is_some());
    reader.unsubscribe(&names(&["b"]));
    assert!(now(&mut reader).is_empty());
    fixture.notify("a", "1");
    assert_eq!(now(&mut reader), [r#""a" 1"#]);
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_is_overtaken_ends_in_a_gap_before_ready() {
    let mut config = small_history(1000);
    config.history.bytes = 1 << 20;
    let fixture = Fixture::live(config);
    let cursor = last_cursor(&mut fixture.subscribe(&["a"], None));
    (0..8).for_each(|n| fixture.notify("a", &n.to_string()));
    let mut reader = fixture.subscribe(&["a"], cursor);
    assert!(reader.next().now_or_never().is_some());
    (0..200).for_each(|_| fixture.notify("a", &"x".repeat(7999)));
    fixture.lose();
    let there = now(&mut reader);
    let end = [
        "cursor_too_old",
        r#"ready ["a"]"#,
        "slow_reader",
        "interrupted",
    ];
    assert_eq!(there[2..], end, "{there:?}");
}

#[tokio::test(start_paused = true)]
async fn a_quiet_channels_cursor_outlives_a_busy_one() {
    let fixture = Fixture::live(small_history(2));
    let mut reader = fixture.subscribe(&["quiet", "busy"], None);
    let cursor = last_cursor(&mut reader);
    fixture.notify("quiet", "1");
    for _ in 0..100 {
        fixture.notify("busy", "x");
    }
    let mut quiet = fixture.subscribe(&["quiet"], cursor);
    assert_eq!(now(&mut quiet), [r#""quiet" 1"#, r#"ready ["quiet"]"#]);
}

#[tokio::test(start_paused = true)]
async fn a_channel_given_up_in_between_is_a_gap() {
    let fixture = Fixture::live(Config::default());
    let mut reader = fixture.subscribe(&["a"], None);
    let cursor = last_cursor(&mut reader);
    drop(reader);
    tokio::time::advance(Duration::from_secs(59)).await;
    fixture.hub.sweep();
    assert!(fixture.obey().is_empty());
    tokio::time::advance(Duration::from_secs(1)).await;
    fixture.hub.sweep();
    assert_eq!(fixture.obey(), names(&["a"]));
    let mut again = fixture.subscribe(&["a"], cursor);
    assert_eq!(now(&mut again), ["cursor_too_old", r#"ready ["a"]"#]);
}

#[tokio::test(start_paused = true)]
async fn it_is_a_gap_though_nothing_else_happened() {
    let fixture = Fixture::live(Config::default());
    let cursor = last_cursor(&mut fixture.subscribe(&["a"], None));
    tokio::time::advance(Duration::from_secs(60)).await;
    fixture.hub.sweep();
    fixture.notify("a", "heard by the session, but by no reader");
    let mut again = fixture.subscribe(&["a"], cursor);
    assert_eq!(now(&mut again), ["cursor_too_old", r#"ready ["a"]"#]);
}

/// The log remembers the last 340 outages.
#[tokio::test(start_paused = true)]
async fn a_loss_that_is_forgotten_is_a_gap() {
    let fixture = Fixture::live(Config::default());
    let mut reader = fixture.subscribe(&["a"], None);
    let cursor = last_cursor(&mut reader);
    for _ in 0..400 {
        fixture.lose();
        fixture.hub.ingest(|intake| intake.live(true));
    }
    let mut again = fixture.subscribe(&["a"], cursor);
    assert_eq!(now(&mut again), ["cursor_too_old", r#"ready ["a"]"#]);
    // The same holds for a reader that has waited all the time.
    assert_eq!(now(&mut reader), ["slow_reader"]);
    fixture.notify("a", "1");
    assert_eq!(now(&mut reader), [r#""a" 1"#]);
}

/// Its channel is unknown.
#[tokio::test(start_paused = true)]
async fn what_could_not_be_decoded_is_a_gap_for_all_at_its_place() {
    let fixture = Fixture::live(Config::default());
    let mut reader = fixture.subscribe(&["a"], None);
    let cursor = last_cursor(&mut reader);
    let mut other = fixture.reader(&["b"]);
    fixture.notify("a", "1");
    fixture.hub.ingest(|intake| intake.unreadable());
    fixture.notify("a", "2");
    let heard = [r#""a" 1"#, "unreadable", r#""a" 2"#];
    assert_eq!(now(&mut reader), heard);
    assert_eq!(now(&mut other), ["unreadable"]);
    let mut again = fixture.subscribe(&["a"], cursor);
    assert_eq!(now(&mut again)[..3], heard);
}
