//! Tickets, for a page's `EventSource`, which has nothing but its URL.

use std::time::{Duration, SystemTime};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    support::{Answer, Database, EventStream, TestGateway, get, post_with, until, within},
    tokens::{WITH_TOKENS, forged, lasting, now, token, with_claims},
};

async fn ask_for_ticket(gateway: &TestGateway, headers: &[(&str, &str)]) -> Answer {
    post_with(gateway.address, "/v1/tickets", headers, "").await
}

async fn ticket(gateway: &TestGateway, token: &str) -> String {
    let bearer = format!("Bearer {token}");
    let answer = ask_for_ticket(gateway, &[("authorization", &bearer)]).await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("content-type"), "application/json");
    let object = answer.json();
    assert_eq!(object["expires_in"], 30);
    object["ticket"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_lets_in_once_and_to_its_own_channels() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[WITH_TOKENS]).await;
    let address = gateway.address;
    let one = ticket(&gateway, &token(&["a"])).await;
    // At least 128 bits.
    assert!(one.len() >= 32 && one.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let path = format!("/v1/sse?channel=a&ticket={one}");
    let mut stream = EventStream::open(address, &path, &[]).await;
    stream.message().await;
    database.notify("a", "1").await;
    assert!(stream.message().await.data.contains(r#""payload":"1""#));
    let again = get(address, &path, &[]).await;
    assert_eq!(
        (again.status, again.code()),
        (401, "unauthenticated".into())
    );
    let other = ticket(&gateway, &token(&["a"])).await;
    assert_ne!(one, other);
    let beyond = get(address, &format!("/v1/sse?channel=b&ticket={other}"), &[]).await;
    assert_eq!((beyond.status, beyond.code()), (403, "forbidden".into()));
    // It is then used up.
    let spent = get(address, &format!("/v1/sse?channel=a&ticket={other}"), &[]).await;
    assert_eq!(spent.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_is_for_those_who_have_a_token_and_ends_with_it() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[WITH_TOKENS]).await;
    assert_eq!(ask_for_ticket(&gateway, &[]).await.status, 401);
    let bearer = format!("Bearer {}", forged(&["a"]));
    assert_eq!(
        ask_for_ticket(&gateway, &[("authorization", &bearer)])
            .await
            .status,
        401
    );
    let cookie = format!("pgfan_token={}", token(&["a"]));
    assert_eq!(
        ask_for_ticket(&gateway, &[("cookie", &cookie)])
            .await
            .status,
        201
    );
    let short = ticket(&gateway, &lasting(Duration::from_secs(1), &["a"])).await;
    let path = format!("/v1/sse?channel=a&ticket={short}");
    let mut stream = EventStream::open(gateway.address, &path, &[]).await;
    stream.message().await;
    assert!(stream.message().await.data.contains("unauthenticated"));
    assert_eq!(within("the end", stream.next()).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_else_in_a_url_lets_anybody_in() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[WITH_TOKENS]).await;
    let (good, guessed) = (token(&["a"]), "0".repeat(64));
    let ticket = ticket(&gateway, &good).await;
    for (path, status) in [
        (format!("/v1/sse?channel=a&token={good}"), 400),
        (format!("/v1/sse?channel=a&access_token={good}"), 400),
        (format!("/v1/sse?channel=a&ticket={good}"), 401),
        (format!("/v1/sse?channel=a&ticket={guessed}"), 401),
        ("/v1/sse?channel=a&ticket=".into(), 401),
        (
            format!("/v1/sse?channel=a&ticket={ticket}&ticket={ticket}"),
            400,
        ),
        (format!("/pgpubsub/a?token={good}"), 400),
    ] {
        let answer = get(gateway.address, &path, &[]).await;
        assert_eq!(answer.status, status, "{path}");
        let body = String::from_utf8_lossy(&answer.body);
        assert!(!body.contains(&good) && !body.contains(&ticket), "{body}");
    }
    // WebSockets have better ways; the ticket stays valid.
    let path = format!("/v1/ws?channel=a&ticket={ticket}");
    let refused = crate::support::WebSocket::with_headers(gateway.address, &path, &[]).await;
    assert_eq!(refused.err(), Some(400));
    let path = format!("/v1/sse?channel=a&ticket={ticket}");
    EventStream::open(gateway.address, &path, &[]).await;
}

/// A client that can read nothing needs none; otherwise a few of them could
/// take all.
#[tokio::test(flavor = "multi_thread")]
async fn attack_29_tickets_are_for_those_who_can_read() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[WITH_TOKENS]).await;
    let of = |subject: &str, pgfan: serde_json::Value| {
        let claims = json!({"sub": subject, "exp": now() + 3600, "pgfan": pgfan});
        format!("Bearer {}", with_claims(&claims))
    };
    for rights in [
        json!({}),
        json!({"subscribe": []}),
        json!({"publish": ["a"]}),
        json!({"metrics": true}),
    ] {
        for n in 0..8 {
            let bearer = of(&format!("nobody {n}"), rights.clone());
            let answer = ask_for_ticket(&gateway, &[("authorization", &bearer)]).await;
            let told = (answer.status, answer.code());
            assert_eq!(told, (403, "forbidden".into()), "{rights}");
        }
    }
    let bearer = of("ann", json!({"subscribe": ["a"]}));
    let answer = ask_for_ticket(&gateway, &[("authorization", &bearer)]).await;
    assert_eq!(answer.status, 201);
}

/// A token that expires at the second after next, and that moment.
fn short() -> (String, Duration) {
    let claims = json!({"exp": now() + 2, "pgfan": {"subscribe": ["a"], "publish": ["a"]}});
    (with_claims(&claims), Duration::from_secs(now() as u64 + 2))
}

/// Returns when the clock has passed `moment`.
async fn past(moment: Duration) {
    until("the token has expired", || async {
        SystemTime::now() > SystemTime::UNIX_EPOCH + moment
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_28_a_ticket_ends_with_its_token() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[WITH_TOKENS]).await;
    let (short, end) = short();
    let late = ticket(&gateway, &short).await;
    let mut reader = EventStream::open(
        gateway.address,
        &format!(
            "/v1/sse?channel=a&ticket={}",
            ticket(&gateway, &token(&["a"])).await
        ),
        &[],
    )
    .await;
    reader.message().await;
    database.notify("a", "of the history").await;
    reader.message().await;
    past(end).await;
    let path = format!("/v1/sse?channel=a&ticket={late}&cursor=0");
    let answer = get(gateway.address, &path, &[]).await;
    assert_eq!(
        (answer.status, answer.code()),
        (401, "unauthenticated".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_28_a_publish_whose_body_comes_after_the_token_s_end() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[WITH_TOKENS]).await;
    let (short, end) = short();
    let mut socket = TcpStream::connect(gateway.address).await.unwrap();
    let head = format!(
        "POST /v1/channels/a HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {short}\r\n\
         content-length: 1\r\nconnection: close\r\n\r\n",
        gateway.address
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    past(end).await;
    socket.write_all(b"1").await.unwrap();
    let mut answer = String::new();
    within("the answer", socket.read_to_string(&mut answer))
        .await
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
}
