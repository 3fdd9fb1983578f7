//! (No token, a forged one, an expired one, one for another channel, the right
//! one) × (read, publish, resume from a guessed cursor) × every transport.

use crate::{
    attempts::{Outcome, Wire, publish, read, repeat},
    support::{Database, TestGateway, WebSocket},
    tokens::{WITH_TOKENS, expired, forged, token},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    None,
    Forged,
    Expired,
    WrongChannel,
    Right,
}

const KINDS: [Kind; 5] = [
    Kind::None,
    Kind::Forged,
    Kind::Expired,
    Kind::WrongChannel,
    Kind::Right,
];

/// For the channel `mine.a`.
fn of_kind(kind: Kind) -> Option<String> {
    let mine = &["mine.*"];
    match kind {
        Kind::None => None,
        Kind::Forged => Some(forged(mine)),
        Kind::Expired => Some(expired(mine)),
        Kind::WrongChannel => Some(token(&["yours.*", "mine", "mine.a.*"])),
        Kind::Right => Some(token(mine)),
    }
}

/// Section 6 of the contract.
fn refusal(wire: Wire, kind: Kind) -> Outcome {
    let is_unknown = kind != Kind::WrongChannel;
    Outcome::Refused(match (wire, is_unknown) {
        (Wire::Grpc | Wire::GrpcWeb, true) => tonic::Code::Unauthenticated as i32,
        (Wire::Grpc | Wire::GrpcWeb, false) => tonic::Code::PermissionDenied as i32,
        // Without a token it is expected in the first frame.
        (Wire::WebSocket, true) if kind == Kind::None => 4401,
        (_, true) => 401,
        (_, false) => 403,
    })
}

async fn gateway(database: &Database) -> TestGateway {
    TestGateway::with(database, &[WITH_TOKENS]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads() {
    let database = Database::new().await;
    let gateway = gateway(&database).await;
    for wire in Wire::READING {
        for kind in KINDS {
            let token = of_kind(kind);
            let reading = read(
                wire,
                gateway.address,
                token.as_deref(),
                "mine.a",
                None,
                "last",
            );
            let outcome = if kind == Kind::Right {
                tokio::select! {
                    outcome = reading => outcome,
                    () = repeat(&database, "mine.a", "last") => unreachable!(),
                }
            } else {
                reading.await
            };
            match kind {
                Kind::Right => assert_eq!(outcome, Outcome::Read(vec![]), "{wire:?}"),
                _ => assert_eq!(outcome, refusal(wire, kind), "{wire:?} {kind:?}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_publishes() {
    let database = Database::new().await;
    let gateway = gateway(&database).await;
    let right = token(&["mine.*"]);
    let bearer = format!("Bearer {right}");
    let headers = [("authorization", bearer.as_str())];
    let opened = WebSocket::with_headers(gateway.address, "/pgpubsub/mine.a", &headers).await;
    let (mut listener, _) = opened.unwrap();
    for wire in Wire::PUBLISHING {
        for kind in KINDS {
            let token = of_kind(kind);
            let payload = format!("{wire:?} {kind:?}");
            let outcome =
                publish(wire, gateway.address, token.as_deref(), "mine.a", &payload).await;
            match kind {
                Kind::Right => {
                    assert_eq!(outcome, Outcome::Published, "{wire:?}");
                    // It is the first event, so no other attempt was published.
                    assert_eq!(listener.text().await.unwrap(), payload);
                }
                // The stream stays open for what the token allows.
                Kind::WrongChannel if wire == Wire::WebSocket => {
                    assert_eq!(outcome, Outcome::Error("forbidden".into()));
                }
                _ => assert_eq!(outcome, refusal(wire, kind), "{wire:?} {kind:?}"),
            }
        }
    }
}

/// Attack 24: the history is shared, and a cursor can be guessed; here it is the
/// best possible guess, that of an authorized reader.
#[tokio::test(flavor = "multi_thread")]
async fn attack_24_who_resumes_from_a_cursor_of_another() {
    let database = Database::new().await;
    let gateway = gateway(&database).await;
    let right = token(&["mine.*"]);
    let bearer = format!("Bearer {right}");
    let headers = [("authorization", bearer.as_str())];
    let path = "/v1/ws?channel=mine.a";
    let (mut owner, _) = WebSocket::with_headers(gateway.address, path, &headers)
        .await
        .unwrap();
    let cursor = owner.said().await.cursor().unwrap().to_owned();
    for payload in ["private 1", "private 2", "last"] {
        database.notify("mine.a", payload).await;
        owner.said().await;
    }
    for wire in Wire::RESUMING {
        for kind in KINDS {
            let token = of_kind(kind);
            let (token, cursor) = (token.as_deref(), Some(cursor.as_str()));
            let outcome = read(wire, gateway.address, token, "mine.a", cursor, "last").await;
            match kind {
                Kind::Right => {
                    let heard = ["private 1", "private 2"].map(str::to_owned).to_vec();
                    assert_eq!(outcome, Outcome::Read(heard), "{wire:?}");
                }
                _ => assert_eq!(outcome, refusal(wire, kind), "{wire:?} {kind:?}"),
            }
        }
    }
}
