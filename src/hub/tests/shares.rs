//! The limit on the channels of one client.

use std::cell::RefCell;

use proptest::prelude::*;

use super::*;

const ANN: ClientKey = CLIENT;

fn client(number: u8) -> ClientKey {
    ClientKey::new(1, [number; 16])
}

fn config(max_channels: usize, max_channels_per_client: usize) -> Config {
    Config {
        max_channels,
        max_channels_per_client,
        ..Config::default()
    }
}

impl Fixture {
    fn join(&self, client: ClientKey, channels: &[&str]) -> Result<Subscription, JoinError> {
        let mut reader = self.hub.subscribe(WireName::WebSocket, client).unwrap();
        reader.join(&names(channels), None).map(|()| reader)
    }

    fn owned<const N: usize>(&self, clients: [ClientKey; N]) -> [usize; N] {
        let state = self.hub.lock();
        clients.map(|client| state.readers.owned(client))
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_is_refused_at_its_limit_and_others_are_not() {
    let (bob, fixture) = (client(1), Fixture::live(config(5, 3)));
    let _ann = fixture.join(ANN, &["a", "b"]).unwrap();
    let _again = fixture.join(ANN, &["c"]).unwrap();
    let refused = JoinError::TooManyForClient(3);
    assert_eq!(fixture.join(ANN, &["d"]).unwrap_err(), refused);
    // All or none; joining an existing channel is free.
    assert_eq!(fixture.join(ANN, &["a", "d"]).unwrap_err(), refused);
    let _free = fixture.join(ANN, &["a", "b", "c"]).unwrap();
    let _bob = fixture.join(bob, &["a", "d", "e"]).unwrap();
    assert_eq!(fixture.join(bob, &["f"]).unwrap_err(), JoinError::TooMany);
    let _free = fixture.join(ANN, &["d", "e"]).unwrap();
    assert_eq!(fixture.owned([ANN, bob]), [3, 2]);
}

#[tokio::test(start_paused = true)]
async fn idle_channels_count_and_are_given_up_first() {
    let (bob, fixture) = (client(1), Fixture::live(config(10, 3)));
    let second = Duration::from_secs(1);
    for (client, channel) in [(bob, "o"), (ANN, "a"), (ANN, "b"), (ANN, "c")] {
        drop(fixture.join(client, &[channel]).unwrap());
        tokio::time::advance(second).await;
    }
    fixture.obey();
    assert_eq!(fixture.owned([ANN, bob]), [3, 1]);
    // Its own, the oldest first, except those that the join names.
    let _reader = fixture.join(ANN, &["a", "d"]).unwrap();
    assert_eq!(fixture.obey(), names(&["b"]));
    let _another = fixture.join(ANN, &["e"]).unwrap();
    assert_eq!(fixture.obey(), names(&["c"]));
    let refused = fixture.join(ANN, &["f"]).unwrap_err();
    assert_eq!(refused, JoinError::TooManyForClient(3));
    assert_eq!(fixture.obey(), []);
    tokio::time::advance(Config::default().linger).await;
    fixture.hub.sweep();
    assert_eq!(fixture.obey(), names(&["o"]));
    assert_eq!(fixture.owned([ANN, bob]), [3, 0]);
}

#[tokio::test(start_paused = true)]
async fn at_the_total_limit_own_idle_channels_are_given_up_first() {
    let (bob, fixture) = (client(1), Fixture::live(config(4, 4)));
    for (client, channel) in [(bob, "o"), (ANN, "a"), (bob, "p"), (ANN, "b")] {
        drop(fixture.join(client, &[channel]).unwrap());
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    fixture.obey();
    let _one = fixture.join(ANN, &["c"]).unwrap();
    assert_eq!(fixture.obey(), names(&["a"]));
    let _two = fixture.join(ANN, &["d", "e"]).unwrap();
    let mut given_up = fixture.obey();
    given_up.sort();
    assert_eq!(given_up, names(&["b", "o"]));
    assert_eq!(fixture.owned([ANN, bob]), [3, 1]);
}

/// Otherwise a client could use up the limit of another by reading its channels.
#[tokio::test(start_paused = true)]
async fn a_channel_that_only_others_read_changes_its_owner() {
    let (bob, fixture) = (client(1), Fixture::live(config(10, 2)));
    let ann = fixture.join(ANN, &["a", "b"]).unwrap();
    let bobs = fixture.join(bob, &["a", "b"]).unwrap();
    assert_eq!(fixture.owned([ANN, bob]), [2, 0]);
    drop(ann);
    assert_eq!(fixture.owned([ANN, bob]), [0, 2]);
    let _ann = fixture.join(ANN, &["c", "d"]).unwrap();
    let refused = fixture.join(bob, &["e"]).unwrap_err();
    assert_eq!(refused, JoinError::TooManyForClient(2));
    // The next reader of an idle channel becomes its owner.
    drop(bobs);
    let cara = client(2);
    let _cara = fixture.join(cara, &["a", "b"]).unwrap();
    assert_eq!(fixture.owned([ANN, bob, cara]), [2, 0, 2]);
    let _bob = fixture.join(bob, &["e", "f"]).unwrap();
}

/// Otherwise two clients, one that creates and one that stays, could own all.
#[tokio::test(start_paused = true)]
async fn a_client_at_its_limit_takes_over_no_channel() {
    let (bob, fixture) = (client(1), Fixture::live(config(100, 2)));
    let ann = fixture.join(ANN, &["a", "b"]).unwrap();
    let mut held = vec![fixture.join(bob, &["a", "b"]).unwrap()];
    drop(ann);
    let ann = fixture.join(ANN, &["c", "d"]).unwrap();
    held.push(fixture.join(bob, &["c", "d"]).unwrap());
    drop(ann);
    assert_eq!(fixture.owned([ANN, bob]), [2, 2]);
    let refused = fixture.join(ANN, &["e"]).unwrap_err();
    assert_eq!(refused, JoinError::TooManyForClient(2));
    // The next reader that has room takes it over.
    let cara = client(2);
    let _cara = fixture.join(cara, &["c"]).unwrap();
    assert_eq!(fixture.owned([ANN, bob, cara]), [1, 2, 1]);
    held.pop();
    held.pop();
    assert_eq!(fixture.owned([ANN, bob, cara]), [1, 2, 1]);
    let _ann = fixture.join(ANN, &["e"]).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_changes_its_client_takes_its_channels_along() {
    let (bob, fixture) = (client(1), Fixture::live(config(100, 2)));
    let mut reader = fixture.join(ANN, &["a", "b"]).unwrap();
    let _bob = fixture.join(bob, &["c"]).unwrap();
    reader.change_client(bob);
    assert_eq!(fixture.owned([ANN, bob]), [1, 2]);
    reader.change_client(ANN);
    assert_eq!(fixture.owned([ANN, bob]), [2, 1]);
    reader.change_client(client(2));
    drop(reader);
    assert_eq!(fixture.owned([ANN, bob, client(2)]), [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_lowered_client_limit_keeps_existing_channels() {
    let fixture = Fixture::live(config(100, 3));
    let _reader = fixture.join(ANN, &["a", "b", "c"]).unwrap();
    fixture.hub.reload(config(100, 1));
    let _again = fixture.join(ANN, &["a", "b", "c"]).unwrap();
    let refused = fixture.join(ANN, &["d"]).unwrap_err();
    assert_eq!(refused, JoinError::TooManyForClient(1));
}

#[tokio::test(start_paused = true)]
async fn creation_is_asked_for_last_and_only_for_new_channels() {
    let fixture = Fixture::live(config(10, 3));
    let asked = RefCell::new(Vec::new());
    let join = |channels: &[&str], answer: bool| {
        let mut reader = fixture.hub.subscribe(WireName::WebSocket, ANN).unwrap();
        let joined = reader.join_if(&names(channels), None, |new| {
            asked.borrow_mut().push((new.count, new.client_limit));
            answer
        });
        joined.map(|()| reader)
    };
    let _one = join(&["a", "b", "a"], true).unwrap();
    let two = join(&["a", "c"], true).unwrap();
    drop(join(&["a", "b", "c"], false).unwrap());
    assert!(join(&["d"], true).is_err());
    assert_eq!(asked.take(), [(2, 3), (1, 3)]);
    drop(two);
    fixture.obey();
    let refused = join(&["e"], false).unwrap_err();
    assert_eq!(refused, JoinError::CreationRefused);
    assert_eq!(fixture.obey(), [], "nothing was given up");
    assert_eq!(fixture.owned([ANN]), [3]);
}

const CLIENTS: u8 = 3;
const SHARE: usize = 3;
const CHANNELS: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];

#[derive(Debug, Clone)]
enum Step {
    Join(u8, usize),
    Leave(usize),
    Change(usize, u8),
    Wait,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..CLIENTS, 0..CHANNELS.len()).prop_map(|(c, n)| Step::Join(c, n)),
        4 => any::<usize>().prop_map(Step::Leave),
        1 => (any::<usize>(), 0..CLIENTS).prop_map(|(r, c)| Step::Change(r, c)),
        1 => Just(Step::Wait),
    ]
}

/// Each channel has one owner, no client exceeds its limit, and a client that is
/// refused is at its limit.
fn check(steps: Vec<Step>) {
    let fixture = Fixture::live(Config {
        linger: Duration::ZERO,
        ..config(100, SHARE)
    });
    let clients = std::array::from_fn::<_, { CLIENTS as usize }, _>(|n| client(n as u8));
    let mut readers = Vec::new();
    for step in steps {
        match step {
            Step::Join(number, channel) => {
                match fixture.join(client(number), &[CHANNELS[channel]]) {
                    Ok(reader) => readers.push(reader),
                    Err(error) => {
                        assert_eq!(error, JoinError::TooManyForClient(SHARE));
                        assert_eq!(fixture.owned([client(number)]), [SHARE]);
                    }
                }
            }
            Step::Leave(_) | Step::Change(..) if readers.is_empty() => {}
            Step::Leave(reader) => drop(readers.swap_remove(reader % readers.len())),
            Step::Change(reader, number) => {
                let reader = reader % readers.len();
                readers[reader].change_client(client(number));
            }
            Step::Wait => fixture.hub.sweep(),
        }
        let owned = fixture.owned(clients);
        assert!(owned.iter().all(|count| *count <= SHARE), "{owned:?}");
        let in_all: usize = owned.iter().sum();
        assert_eq!(in_all, fixture.hub.view().channels);
    }
    drop(readers);
    fixture.hub.sweep();
    assert_eq!(fixture.owned(clients), [0; CLIENTS as usize]);
}

proptest! {
    #[test]
    fn ownership_is_conserved(steps in proptest::collection::vec(step(), 1..200)) {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_time().build().unwrap();
        let _entered = runtime.enter();
        check(steps);
    }
}
