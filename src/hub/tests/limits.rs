//! Limits, and the readers that a refusal ends.

use super::*;

#[tokio::test(start_paused = true)]
async fn limits_refuse_the_next_and_leave_the_others_alone() {
    let mut config = Config::default();
    (
        config.max_readers,
        config.max_channels,
        config.max_channels_per_reader,
    ) = (2, 3, 2);
    let fixture = Fixture::live(config);
    let mut one = fixture.subscribe(&["a", "b"], None);
    assert_eq!(
        one.join(&names(&["c"]), None),
        Err(JoinError::TooManyForReader(2))
    );
    let mut two = fixture.subscribe(&["c"], None);
    assert_eq!(two.join(&names(&["d"]), None), Err(JoinError::TooMany));
    assert_eq!(
        fixture.hub.subscribe(WireName::WebSocket, CLIENT).err(),
        Some(SubscribeError::TooMany)
    );
    drop(one);
    fixture.hub.subscribe(WireName::WebSocket, CLIENT).unwrap();
    two.join(&names(&["d"]), None).unwrap();
    fixture.obey();
    assert_eq!(now(&mut two), [r#"ready ["c"]"#, r#"ready ["d"]"#]);
}

#[tokio::test(start_paused = true)]
async fn a_lower_limit_leaves_the_channels_that_there_are() {
    let fixture = Fixture::live(Config::default());
    let _readers = fixture.reader(&["a", "b", "c"]);
    let last_cursor = last_cursor(&mut fixture.subscribe(&["d"], None));
    fixture.hub.reload(Config {
        max_channels: 2,
        ..Config::default()
    });
    let mut another = fixture.subscribe(&["a", "c"], None);
    assert_eq!(now(&mut another), [r#"ready ["a", "c"]"#]);
    assert_eq!(another.join(&names(&["e"]), None), Err(JoinError::TooMany));
    // An idle channel is not given up for a join that names it.
    let mut resumed = fixture.subscribe(&["d"], last_cursor);
    assert_eq!(now(&mut resumed), [r#"ready ["d"]"#]);
}

/// After a failover to a database of another encoding.
#[tokio::test(start_paused = true)]
async fn a_name_that_can_no_longer_be_listened_to_ends_its_readers() {
    let fixture = Fixture::live(Config::default());
    let mut reader = fixture.reader(&["a"]);
    let mut other = fixture.reader(&["b"]);
    fixture.lose();
    fixture.hub.ingest(|intake| {
        intake.refused(&names(&["a"])[0], 1);
        intake.live(true);
    });
    let ended = Ended::Refused(names(&["a"]).remove(0));
    assert_eq!(reader.next().await, Some(Err(ended.clone())));
    let mut late = fixture.subscribe(&["a"], None);
    assert_eq!(late.next().await, Some(Err(ended)));
    fixture.notify("b", "goes on");
    assert_eq!(
        now(&mut other)[1..],
        ["source_lost", "live", r#""b" goes on"#]
    );
}

#[tokio::test(start_paused = true)]
async fn a_name_that_cannot_be_listened_to_ends_its_readers() {
    let fixture = Fixture::live(Config::default());
    let mut reader = fixture.hub.subscribe(WireName::WebSocket, CLIENT).unwrap();
    let name = names(&["→"]).remove(0);
    reader.join(std::slice::from_ref(&name), None).unwrap();
    fixture.hub.ingest(|intake| intake.refused(&name, 1));
    assert_eq!(reader.next().await, Some(Err(Ended::Refused(name))));
}

#[tokio::test(start_paused = true)]
async fn the_place_of_the_channel_that_lingers_longest_is_taken_first() {
    let fixture = Fixture::live(Config {
        max_channels: 3,
        ..Config::default()
    });
    for channel in ["a", "b", "c"] {
        drop(fixture.reader(&[channel]));
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    let _again = fixture.reader(&["a"]);
    let join = |channel: &str| {
        let mut reader = fixture.hub.subscribe(WireName::WebSocket, CLIENT).unwrap();
        let joined = reader.join(&names(&[channel]), None);
        (reader, joined, fixture.obey())
    };
    let (mut one, _, given_up) = join("d");
    assert_eq!(given_up, names(&["b"]));
    let (mut two, _, given_up) = join("e");
    assert_eq!(given_up, names(&["c"]));
    assert_eq!(now(&mut one), [r#"ready ["d"]"#]);
    assert_eq!(now(&mut two), [r#"ready ["e"]"#]);
    let (_, refused, given_up) = join("f");
    assert_eq!((refused, given_up), (Err(JoinError::TooMany), vec![]));
}

/// Otherwise many new clients, each with a channel of its own, would occupy the
/// lock: scanning all idle channels took most of a minute here.
#[test]
fn however_many_linger_a_place_is_found_at_once() {
    let fixture = Fixture::live(Config::default());
    let come_and_go = |names: &str, count: usize| {
        for n in 0..count {
            drop(fixture.subscribe(&[&format!("{names} {n}")], None));
        }
    };
    come_and_go("old", Config::default().max_channels);
    let begun = Instant::now();
    come_and_go("new", 2000);
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
}
