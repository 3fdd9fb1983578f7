//! Requests that a page of another site makes a browser send without an Origin: images,
//! frames, links. The browser attaches its user's cookie.

use std::net::SocketAddr;

use hyper::HeaderMap;
use pgfan::proto::SubscribeRequest;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    grpc_web::Web,
    support::{
        Answer, Database, EventStream, TestGateway, WebSocket, answer_over, ask, get, get_h2_with,
        post_with, within,
    },
    tokens::{WITH_TOKENS, token},
};

const GOOD: &str = "https://good.example";
const SETTINGS: [&[(&str, &str)]; 2] = [
    &[WITH_TOKENS, ("allow-origin", GOOD)],
    &[("allow-publish", "on"), ("allow-origin", GOOD)],
];
const PATHS: [&str; 4] = [
    "/v1/sse?channel=a",
    "/v1/sse?channel=a&format=raw",
    "/pgpubsub/a",
    "/v1/ws?channel=a",
];

/// Fetch metadata of a browser, and the cookie that it holds for the gateway.
fn from<'a>(
    cookie: &'a str,
    site: &'a str,
    mode: &'a str,
    dest: &'a str,
) -> Vec<(&'a str, &'a str)> {
    vec![
        ("cookie", cookie),
        ("sec-fetch-site", site),
        ("sec-fetch-mode", mode),
        ("sec-fetch-dest", dest),
    ]
}

fn is_refused(answer: &Answer, what: &str) {
    assert_eq!(
        (answer.status, answer.code()),
        (403, "forbidden".into()),
        "{what}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_41_what_a_foreign_page_loads_makes_no_reader() {
    let database = Database::new().await;
    for settings in SETTINGS {
        let gateway = TestGateway::with(&database, settings).await;
        let address = gateway.address;
        let cookie = format!("pgfan_token={}", token(&["a"]));
        for (site, mode, dest) in [
            ("cross-site", "no-cors", "image"),
            ("same-site", "no-cors", "script"),
            ("cross-site", "navigate", "iframe"),
            ("cross-site", "navigate", "document"),
            ("cross-site", "websocket", "empty"),
        ] {
            let headers = from(&cookie, site, mode, dest);
            for path in PATHS {
                is_refused(
                    &get(address, path, &headers).await,
                    &format!("{dest} {path}"),
                );
                let answer = get_h2_with(address, path, &headers).await;
                is_refused(&answer, &format!("HTTP/2 {dest} {path}"));
            }
            for path in ["/v1/channels/a", "/v1/tickets", "/"] {
                is_refused(&post_with(address, path, &headers, "evil").await, path);
            }
            let opened = WebSocket::with_headers(address, "/v1/ws", &headers).await;
            assert_eq!(opened.err(), Some(403), "{dest}");
            let message = SubscribeRequest::default();
            let web = Web::call(address, "Subscribe", &headers, &message).await;
            assert_eq!(web.status, Some(tonic::Code::PermissionDenied as i32));
        }
        // In a frame of a foreign page the console is not shown either.
        let framed = from(&cookie, "cross-site", "navigate", "iframe");
        is_refused(&get(address, "/", &framed).await, "a frame");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_41_links_and_allowed_pages_go_on() {
    let database = Database::new().await;
    for settings in SETTINGS {
        let gateway = TestGateway::with(&database, settings).await;
        let address = gateway.address;
        let cookie = format!("pgfan_token={}", token(&["a"]));
        for site in ["cross-site", "same-site", "none"] {
            let followed = from(&cookie, site, "navigate", "document");
            for path in ["/", "/v1/status", "/readyz"] {
                let status = get(address, path, &followed).await.status;
                assert_eq!(status, 200, "{site} {path}");
            }
        }
        let path = PATHS[0];
        let own = format!("http://{address}");
        let host = address.to_string();
        let fetched = from(&cookie, "cross-site", "cors", "empty");
        for headers in [
            // Opened by the user, and fetched by the console.
            from(&cookie, "none", "navigate", "document"),
            from(&cookie, "same-origin", "cors", "empty"),
            [&fetched[..], &[("origin", GOOD)]].concat(),
            [&fetched[..], &[("origin", &*own), ("host", &*host)]].concat(),
        ] {
            EventStream::open(address, path, &headers).await;
        }
        let opened = [
            &from(&cookie, "cross-site", "websocket", "empty")[..],
            &[("origin", GOOD)],
        ];
        let opened = WebSocket::with_headers(address, "/v1/ws", &opened.concat()).await;
        assert!(opened.is_ok());
        let published = [&fetched[..], &[("origin", GOOD)]].concat();
        let published = post_with(address, "/v1/channels/a", &published, "good").await;
        assert_eq!(published.status, 204);
    }
}

/// The head of the answer to this request.
async fn head_of(address: SocketAddr, request: &str) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut heard = Vec::new();
    within("a head", async {
        while !heard.windows(4).any(|end| end == b"\r\n\r\n") {
            assert!(socket.read_buf(&mut heard).await.unwrap() > 0);
        }
    })
    .await;
    let text = String::from_utf8_lossy(&heard).to_lowercase();
    text.split("\r\n\r\n").next().unwrap().to_owned()
}

/// An address that has used up its connections is answered by another route.
async fn told_when_there_is_no_room(database: &Database, is_safe: impl Fn(&HeaderMap, &str)) {
    let settings = [("max-readers-per-address", "1")];
    let gateway = TestGateway::with(database, &settings).await;
    let mut crowd = Vec::new();
    for _ in 0..64 {
        crowd.push(TcpStream::connect(gateway.address).await.unwrap());
    }
    for path in ["/up", "/healthz"] {
        let socket = TcpStream::connect(gateway.address).await.unwrap();
        let answer = answer_over(socket, "GET", path, &[], "").await;
        let answer = answer.expect("it is told so");
        let expected = if path == "/up" { 429 } else { 200 };
        assert_eq!(answer.status, expected, "{path}");
        is_safe(&answer.headers, path);
    }
}

/// If a browser sniffed another type, the text of a payload could be a page or a script.
#[tokio::test(flavor = "multi_thread")]
async fn attack_41_every_answer_is_of_its_type_and_for_its_own_pages() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[("allow-origin", GOOD)]).await;
    let address = gateway.address;
    let is_safe = |answer: &HeaderMap, what: &str| {
        assert_eq!(answer["x-content-type-options"], "nosniff", "{what}");
        assert_eq!(
            answer["cross-origin-resource-policy"], "same-origin",
            "{what}"
        );
    };
    for path in [
        "/",
        "/console/main.js",
        "/pgfan.js",
        "/metrics",
        "/v1/status",
        "/healthz",
        "/readyz",
        "/up",
        "/nothing",
        "/v1/ws",
        "/v1/channels/a",
        "/v1/sse",
    ] {
        for headers in [
            &[][..],
            &[("origin", GOOD)],
            &[("origin", "https://evil.example")],
            &[("host", "evil.example")],
            &[("sec-fetch-site", "cross-site")],
            &[("if-none-match", "*")],
        ] {
            is_safe(&get(address, path, headers).await.headers, path);
        }
        is_safe(&get_h2_with(address, path, &[]).await.headers, path);
    }
    let asks = [("origin", GOOD), ("access-control-request-method", "POST")];
    is_safe(
        &ask(address, "OPTIONS", "/v1/channels/a", &asks)
            .await
            .headers,
        "preflight",
    );
    is_safe(
        &post_with(address, "/v1/channels/a", &[], "x").await.headers,
        "403",
    );
    let stream = EventStream::open(address, "/v1/sse?channel=a", &[]).await;
    is_safe(&stream.headers, "a stream");
    let (_socket, answer) = WebSocket::with_headers(address, "/v1/ws?channel=a", &[])
        .await
        .unwrap();
    is_safe(&answer, "101");
    let message = SubscribeRequest {
        channels: vec!["a".into()],
        ..SubscribeRequest::default()
    };
    let web = Web::call(address, "Subscribe", &[], &message).await;
    is_safe(&web.headers, "gRPC-Web");
    let grpc = [("content-type", "application/grpc")];
    is_safe(
        &post_with(address, "/nothing", &grpc, "").await.headers,
        "gRPC",
    );
    told_when_there_is_no_room(&database, is_safe).await;
    // Refused before routing.
    let coded = "POST /v1/channels/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n";
    let head = head_of(address, coded).await;
    assert!(head.starts_with("http/1.1 501 "), "{head}");
    for line in [
        "x-content-type-options: nosniff",
        "cross-origin-resource-policy: same-origin",
    ] {
        assert!(head.contains(line), "{head}");
    }
}
