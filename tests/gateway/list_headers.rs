//! Header fields that are lists, on one line and on several (RFC 9110, section
//! 5.3): as the bytes that clients and proxies send.

use std::{net::SocketAddr, time::Duration};

use pgfan::auth::{Rules, SigningKey, Wish, mint};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Database, TestGateway, get_h2_with, within};

const SECRET: &str = "a-secret-of-thirty-two-bytes-or-more";

/// The head of the answer to these header lines.
async fn head(address: SocketAddr, request: &str, lines: &[&str], body: &str) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    held(&mut socket, request, lines, body).await
}

async fn held(socket: &mut TcpStream, request: &str, lines: &[&str], body: &str) -> String {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let text = format!("{request} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n{body}");
    socket.write_all(text.as_bytes()).await.unwrap();
    let mut heard = Vec::new();
    let end = loop {
        let end = heard.windows(4).position(|part| part == b"\r\n\r\n");
        if let Some(end) = end {
            break end;
        }
        let read = within("a head", socket.read_buf(&mut heard)).await;
        assert!(read.unwrap() > 0, "{:?}", String::from_utf8_lossy(&heard));
    };
    String::from_utf8(heard[..end].to_vec())
        .unwrap()
        .to_lowercase()
}

fn status(head: &str) -> u16 {
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

const VERSION: &str = "Sec-WebSocket-Version: 13";
/// The example of RFC 6455, section 1.3.
const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";

const UPGRADES: [&[&str]; 9] = [
    &["Connection: Upgrade", "Upgrade: websocket"],
    &[
        "Connection: keep-alive",
        "Connection: Upgrade",
        "Upgrade: websocket",
    ],
    &[
        "Connection: upgrade",
        "Connection: keep-alive",
        "Upgrade: WebSocket",
    ],
    &["Connection: keep-alive, Upgrade", "Upgrade: websocket"],
    &["Connection: keep-alive,upgrade,", "Upgrade: websocket"],
    &["Connection: Upgrade", "Upgrade: websocket, x"],
    &["Connection: Upgrade", "Upgrade: h2c, websocket"],
    &["Connection: Upgrade", "Upgrade: x", "Upgrade: websocket"],
    &[
        "Connection:",
        "Connection: ,Upgrade",
        "Upgrade: websocket",
        "Upgrade: x",
    ],
];

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_is_asked_for_on_one_line_or_several() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    for path in [
        "/v1/ws?channel=a",
        "/v1/ws?channel=a&format=raw",
        "/pgpubsub/a",
    ] {
        for upgrade in UPGRADES {
            let lines = [upgrade, &[VERSION, KEY]].concat();
            let head = head(gateway.address, &format!("GET {path}"), &lines, "").await;
            assert_eq!(status(&head), 101, "{path} {upgrade:?}: {head}");
            assert!(
                head.contains("\r\nsec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="),
                "{head}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_ask_for_an_upgrade_is_told_what_is_missing() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let [connection, upgrade] = ["Connection: Upgrade", "Upgrade: websocket"];
    for lines in [
        &[upgrade, VERSION, KEY][..],
        &[
            "Connection: keep-alive",
            "Connection: close",
            upgrade,
            VERSION,
            KEY,
        ],
        &["Connection: upgraded", upgrade, VERSION, KEY],
        &[connection, VERSION, KEY],
        &[connection, "Upgrade: websocket2, xwebsocket", VERSION, KEY],
        &[connection, upgrade, KEY],
        // Not a list (RFC 6455, section 11.3), so it would be ambiguous.
        &[connection, upgrade, "Sec-WebSocket-Version: 13, 8", KEY],
        &[
            connection,
            upgrade,
            VERSION,
            "Sec-WebSocket-Version: 8",
            KEY,
        ],
        &[connection, upgrade, VERSION],
        &[connection, upgrade, VERSION, KEY, "Sec-WebSocket-Key: AAAA"],
    ] {
        let head = head(gateway.address, "GET /v1/ws?channel=a", lines, "").await;
        assert_eq!(status(&head), 400, "{lines:?}: {head}");
        assert!(head.contains("\r\nsec-websocket-version: 13"), "{head}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn offers_of_a_websocket_are_one_list() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[("token-secret", SECRET)]).await;
    let bearer = format!("Sec-WebSocket-Protocol: pgfan.bearer.{}", token());
    let begin = ["Connection: Upgrade", "Upgrade: websocket", VERSION, KEY];
    let extensions = ["Sec-WebSocket-Extensions: x", "Sec-WebSocket-Extensions: y"];
    for protocols in [
        &[
            "Sec-WebSocket-Protocol: chat",
            "Sec-WebSocket-Protocol: pgfan.v1",
            &bearer,
        ][..],
        &[&bearer, "Sec-WebSocket-Protocol: pgfan.v1"],
        &[&format!("{bearer} ,, pgfan.v1")],
    ] {
        let lines = [&begin[..], protocols, &extensions].concat();
        let head = head(gateway.address, "GET /v1/ws?channel=a", &lines, "").await;
        assert_eq!(status(&head), 101, "{head}");
        assert!(
            head.contains("\r\nsec-websocket-protocol: pgfan.v1"),
            "{head}"
        );
        assert!(!head.contains("extensions"), "{head}");
    }
}

fn token() -> String {
    let wish = Wish {
        subscribe: ["a".parse().unwrap()].into_iter().collect(),
        lifetime: Duration::from_secs(600),
        ..Wish::default()
    };
    let key = SigningKey::of_secret(SECRET.as_bytes());
    mint(&key, &wish, &Rules::default()).unwrap()
}

/// On HTTP/2 each cookie may be a line of its own (RFC 9113, section 8.2.3).
#[tokio::test(flavor = "multi_thread")]
async fn cookies_come_on_several_lines() {
    let database = Database::new().await;
    let settings = [("token-secret", SECRET), ("token-claim", "pgfan")];
    let gateway = TestGateway::with(&database, &settings).await;
    let own = format!("pgfan_token={}", token());
    for (lines, expected) in [
        (&["x=1", &*own][..], 403),
        (&[&*own, "y=2; z=3"], 403),
        (&["x=1", "y=2"], 401),
        // One of them could be injected.
        (&[&*own, "pgfan_token=x"], 401),
    ] {
        let headers: Vec<_> = lines.iter().map(|line| ("cookie", *line)).collect();
        let answer = get_h2_with(gateway.address, "/v1/sse?channel=b", &headers).await;
        assert_eq!(answer.status, expected, "{lines:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_accepts_and_knows_is_one_list() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let accept = [
        "Accept: text/plain;q=0.5",
        "Accept: application/openmetrics-text",
    ];
    let answer = head(gateway.address, "GET /metrics", &accept, "").await;
    assert!(
        answer.contains("\r\ncontent-type: application/openmetrics-text;"),
        "{answer}"
    );
    let first = head(gateway.address, "GET /pgfan.js", &[], "").await;
    let lines = first.lines();
    let tag = lines.filter_map(|line| line.strip_prefix("etag: ")).next();
    let known = format!("If-None-Match: {}", tag.unwrap());
    for lines in [
        &["If-None-Match: \"x\"", &*known][..],
        &[&*known, "If-None-Match: \"x\""],
    ] {
        let answer = head(gateway.address, "GET /pgfan.js", lines, "").await;
        assert_eq!(status(&answer), 304, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn codings_of_a_body_are_one_list() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[("allow-publish", "on")]).await;
    for (codings, expected) in [
        (&["Content-Encoding: identity"][..], 204),
        (&["Content-Encoding: identity, Identity"], 204),
        (
            &["Content-Encoding: identity", "Content-Encoding: gzip"],
            415,
        ),
        (
            &["Content-Encoding: gzip", "Content-Encoding: identity"],
            415,
        ),
        (&["Content-Encoding: identity, gzip"], 415),
    ] {
        let lines = [codings, &["Content-Length: 1"]].concat();
        let answer = head(gateway.address, "POST /v1/channels/a", &lines, "x").await;
        assert_eq!(status(&answer), expected, "{codings:?}: {answer}");
    }
}

/// The proxy's line is the last one, whatever lines the client sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_adds_a_line_of_its_own() {
    let database = Database::new().await;
    for (name, of) in [("X-Forwarded-For", ""), ("Forwarded", "for=")] {
        let settings = [
            ("trusted-proxies", "127.0.0.1"),
            ("max-readers-per-address", "1"),
        ];
        let gateway = TestGateway::with(&database, &settings).await;
        let mut readers = Vec::new();
        for (first, last, expected) in [
            ("6.6.6.6", "192.0.2.1", 200),
            ("7.7.7.7", "192.0.2.1", 429),
            ("192.0.2.1", "192.0.2.2", 200),
        ] {
            let lines = [first, last].map(|address| format!("{name}: {of}{address}"));
            let lines = lines.each_ref().map(String::as_str);
            let mut socket = TcpStream::connect(gateway.address).await.unwrap();
            let answer = held(&mut socket, "GET /v1/sse?channel=a", &lines, "").await;
            assert_eq!(status(&answer), expected, "{lines:?}: {answer}");
            readers.push(socket);
        }
    }
}
