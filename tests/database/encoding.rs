//! Databases whose encoding is not UTF8: text that it can represent arrives
//! exactly, other text is refused, and no other reader is affected.

use futures_util::future::join_all;

use crate::support::{Database, Reader, Said, TestGateway, Wire, grpc_client, post};

const ARROW: &str = "%E2%86%92";

/// The contract's `invalid_request`, in the form of each transport.
fn is_invalid_request(wire: Wire, said: &Said) -> bool {
    let Said::Closed(code, reason) = said else {
        return false;
    };
    match wire {
        Wire::WebSocket => (*code, reason.as_str()) == (1008, "invalid_request"),
        Wire::Sse => (*code, reason.as_str()) == (200, "invalid_request"),
        Wire::Grpc => *code == tonic::Code::InvalidArgument as i32,
        Wire::PgCacheWatch => *code == 400,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_latin1_can_hold_arrives_exactly() {
    let database = Database::with_encoding("LATIN1").await;
    let gateway = TestGateway::with(&database, &[("allow-publish", "on")]).await;
    for wire in Wire::ALL {
        let mut reader = gateway.reader(wire, "é").await;
        database.notify("é", "où, naïf").await;
        assert_eq!(reader.event().await.1, "où, naïf", "{wire:?}");
        let answer = post(gateway.address, "/v1/channels/%C3%A9", "déjà").await;
        assert_eq!(answer.status, 204);
        assert_eq!(reader.event().await.1, "déjà", "{wire:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_it_cannot_hold_is_refused_and_touches_nobody() {
    let database = Database::with_encoding("LATIN1").await;
    let gateway = TestGateway::on(&database).await;
    let mut others = Vec::new();
    for wire in Wire::ALL {
        others.push(gateway.reader(wire, "other").await);
    }
    let before = database.listeners().await;
    for wire in Wire::ALL {
        let mut reader = Reader::open(wire, gateway.address, &["→"], None).await;
        let said = reader.said().await;
        assert!(is_invalid_request(wire, &said), "{wire:?}: {said:?}");
        database.notify("other", "still here").await;
        for other in &mut others {
            assert_eq!(other.event().await.1, "still here", "{wire:?}");
        }
    }
    assert_eq!(database.listeners().await, before, "the same session");
}

/// In that encoding a letter takes more bytes than in UTF-8, and LISTEN truncates
/// the name to that of another channel; so would UNLISTEN.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_too_long_in_it_is_refused_and_touches_nobody() {
    let database = Database::with_encoding("EUC_JP").await;
    let gateway = TestGateway::on(&database).await;
    let (fits, too_long) = ("é".repeat(21), "é".repeat(22));
    let mut others = Vec::new();
    for wire in Wire::ALL {
        others.push(gateway.reader(wire, &fits).await);
    }
    for wire in Wire::ALL {
        let mut reader = Reader::open(wire, gateway.address, &[&too_long, "a"], None).await;
        let said = reader.said().await;
        assert!(is_invalid_request(wire, &said), "{wire:?}: {said:?}");
        database.notify(&fits, "still here").await;
        for other in &mut others {
            assert_eq!(other.event().await.1, "still here", "{wire:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_cannot_hold_cannot_be_published() {
    let database = Database::with_encoding("LATIN1").await;
    let gateway = TestGateway::with(&database, &[("allow-publish", "on")]).await;
    let mut reader = gateway.reader(Wire::Sse, "a").await;
    for (channel, payload) in [(ARROW, "x"), ("a", "→")] {
        let path = format!("/v1/channels/{channel}");
        let answer = post(gateway.address, &path, payload).await;
        assert_eq!(answer.status, 400, "{path} {payload}");
        assert_eq!(answer.code(), "invalid_request");
    }
    let answer = post(gateway.address, "/v1/channels/a", "after").await;
    assert_eq!(answer.status, 204);
    assert_eq!(reader.event().await.1, "after");
}

#[tokio::test(flavor = "multi_thread")]
async fn among_many_names_only_the_bad_one_is_refused() {
    let database = Database::with_encoding("LATIN1").await;
    let gateway = TestGateway::on(&database).await;
    let client = grpc_client(gateway.address).await;
    let name = |n| match n {
        137 => "→".to_owned(),
        n => format!("name {n}"),
    };
    // All are sent before the first is answered.
    let mut readers: Vec<_> = (0..300)
        .map(|n| Reader::on_channel(&client, &name(n)))
        .collect();
    let said = join_all(readers.iter_mut().map(Reader::said)).await;
    for (n, said) in said.iter().enumerate() {
        match said {
            Said::Ready { channels, .. } => assert_eq!(*channels, [name(n)]),
            other => assert!(
                n == 137 && is_invalid_request(Wire::Grpc, other),
                "{n}: {other:?}"
            ),
        }
    }
    for n in [0, 136, 138, 299] {
        database.notify(&name(n), "heard").await;
        assert_eq!(readers[n].event().await.1, "heard");
    }
}

/// Two characters of UTF-8 that are the same one in the other encoding; the second
/// is what is converted back.
const TWINS: [&str; 2] = ["\u{a6}", "\u{ffe4}"];

/// Its events would have another name, and reach no reader. Existing readers
/// continue on the same session: there is no gap.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_comes_back_as_another_is_refused_and_touches_nobody() {
    let database = Database::with_encoding("EUC_JP").await;
    let gateway = TestGateway::on(&database).await;
    let [respelt, kept] = TWINS;
    let mut others = Vec::new();
    for wire in Wire::ALL {
        others.push(gateway.reader(wire, kept).await);
    }
    for wire in Wire::ALL {
        let mut reader = Reader::open(wire, gateway.address, &[respelt, "a"], None).await;
        let said = reader.said().await;
        assert!(is_invalid_request(wire, &said), "{wire:?}: {said:?}");
        database.notify(kept, "still here").await;
        for other in &mut others {
            assert_eq!(other.event().await.1, "still here", "{wire:?}");
        }
    }
}

/// The published text would be committed as another one.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_back_as_another_text_cannot_be_published() {
    let database = Database::with_encoding("EUC_JP").await;
    let gateway = TestGateway::with(&database, &[("allow-publish", "on")]).await;
    let [respelt, kept] = TWINS;
    let mut reader = gateway.reader(Wire::Sse, "a").await;
    for (channel, payload) in [("%C2%A6", "x"), ("a", respelt)] {
        let path = format!("/v1/channels/{channel}");
        let answer = post(gateway.address, &path, payload).await;
        assert_eq!(answer.status, 400, "{path} {payload}");
        assert_eq!(answer.code(), "invalid_request");
    }
    let answer = post(gateway.address, "/v1/channels/a", kept).await;
    assert_eq!(answer.status, 204);
    assert_eq!(reader.event().await.1, kept);
}
