//! New limits while readers are connected.

use super::*;
use crate::hub::log::READER_GRACE;

#[tokio::test(start_paused = true)]
async fn other_bounds_hold_from_now_on() {
    let fixture = Fixture::live(small_history(5));
    let mut reader = fixture.reader(&["a"]);
    let cursor = last_cursor(&mut fixture.subscribe(&["a"], None));
    for n in 1..=5 {
        fixture.notify("a", &n.to_string());
    }
    let mut fewer = small_history(2);
    fewer.max_readers = 2;
    fewer.max_channels = 1;
    fixture.hub.reload(fewer);
    // Out of a cursor's reach at once, and still there for present readers.
    let mut again = fixture.subscribe(&["a"], cursor);
    assert_eq!(now(&mut again), ["cursor_too_old", r#"ready ["a"]"#]);
    let events: Vec<_> = (1..=5).map(|n| format!(r#""a" {n}"#)).collect();
    assert_eq!(now(&mut reader), events);
    let refused = fixture.hub.subscribe(WireName::Sse, CLIENT).err();
    assert_eq!(refused, Some(SubscribeError::TooMany));
    assert_eq!(reader.join(&names(&["b"]), None), Err(JoinError::TooMany));
    assert_eq!(fixture.hub.view().log_events, 5);
    tokio::time::advance(READER_GRACE + Duration::from_secs(1)).await;
    fixture.hub.sweep();
    assert_eq!(fixture.hub.view().log_events, 2);
}

/// A client may want another `ready` for all its channels.
#[tokio::test(start_paused = true)]
async fn fewer_channels_for_a_reader_take_none_away() {
    let fixture = Fixture::live(Config::default());
    let mut reader = fixture.reader(&["a", "b", "c"]);
    fixture.hub.reload(Config {
        max_channels_per_reader: 2,
        ..Config::default()
    });
    let all = names(&["a", "b", "c"]);
    assert_eq!(reader.join(&all, None), Ok(()));
    // While it waits for that, it may not request more.
    let refused = Err(JoinError::TooManyForReader(2));
    assert_eq!(reader.join(&all, None), refused);
    assert_eq!(now(&mut reader), [r#"ready ["a", "b", "c"]"#]);
    assert_eq!(reader.join(&names(&["c", "d"]), None), refused);
    assert_eq!(reader.join(&names(&["c"]), None), Ok(()));
    assert_eq!(now(&mut reader), [r#"ready ["c"]"#]);
    reader.unsubscribe(&names(&["a", "b"]));
    assert_eq!(reader.join(&names(&["d"]), None), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn what_is_done_is_counted() {
    let fixture = Fixture::live(Config::default());
    let mut reader = fixture.reader(&["a"]);
    fixture.notify("a", "1");
    fixture.notify("nobody's", "2");
    fixture.lose();
    fixture.hub.ingest(|intake| intake.live(true));
    let cursor = last_cursor(&mut reader);
    drop(reader);
    let mut again = fixture.subscribe(&["a"], cursor);
    assert_eq!(now(&mut again), [r#"ready ["a"]"#]);
    let mut strange = fixture.subscribe(&["a"], Some(Cursor::Invalid));
    assert_eq!(now(&mut strange), ["unknown_cursor", r#"ready ["a"]"#]);
    let view = fixture.hub.view();
    assert_eq!((view.events, view.unmatched, view.interruptions), (1, 1, 1));
    assert_eq!(view.deliveries, [1, 0, 0, 0]);
    assert_eq!((view.latency.count, view.resumes), (1, [1, 1]));
    assert_eq!(view.readers, [2, 0, 0, 0]);
    assert_eq!(view.gaps[GapReason::SourceLost as usize], 1);
    assert_eq!(view.gaps[GapReason::UnknownCursor as usize], 1);
}
