//! Pages of other sites, in a browser that has a cookie for the gateway.

use std::net::SocketAddr;

use pgfan::transport::pb::PublishRequest;

use crate::{
    grpc_web::Web,
    support::{Answer, Database, EventStream, TestGateway, WebSocket, ask, get, post_with},
    tokens::{WITH_TOKENS, token},
};

const GOOD: &str = "https://good.example";
const LISTED: (&str, &str) = ("allow-origin", "https://good.example,http://localhost:3000");

/// None of them is the good one, or of the gateway's own host.
const FOREIGN: [&[&str]; 9] = [
    &["https://evil.example"],
    &["null"],
    &["https://good.example.evil.example"],
    &["https://evilgood.example"],
    &["HTTPS://GOOD.EXAMPLE"],
    &["https://good.example:444"],
    &["http://good.example"],
    &["http://localhost"],
    &[GOOD, GOOD],
];

/// With a cookie that is right, as a browser sends it for every page.
fn headers<'a>(cookie: &'a str, origins: &[&'a str]) -> Vec<(&'a str, &'a str)> {
    let origins = origins.iter().map(|origin| ("origin", *origin));
    origins.chain([("cookie", cookie)]).collect()
}

fn is_refused(answer: &Answer, what: &[&str]) {
    assert_eq!(
        (answer.status, answer.code()),
        (403, "forbidden".into()),
        "{what:?}"
    );
    assert_eq!(answer.header("vary"), "origin", "{what:?}");
    assert_eq!(answer.header("access-control-allow-origin"), "", "{what:?}");
    assert_eq!(answer.header("set-cookie"), "");
}

fn allows(answer: &hyper::HeaderMap, origin: &str) {
    assert_eq!(answer["access-control-allow-origin"], origin);
    assert_eq!(answer["access-control-allow-credentials"], "true");
    assert_eq!(answer["vary"], "origin");
    let exposed = answer["access-control-expose-headers"].to_str().unwrap();
    for name in ["grpc-status", "grpc-message", "grpc-status-details-bin"] {
        assert!(exposed.contains(name), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_1_no_foreign_page_opens_a_websocket() {
    let database = Database::new().await;
    for settings in [&[WITH_TOKENS, LISTED][..], &[LISTED]] {
        let gateway = TestGateway::with(&database, settings).await;
        let cookie = format!("pgfan_token={}", token(&["a"]));
        let host = gateway.address.to_string();
        let paths = [
            "/v1/ws?channel=a",
            "/v1/ws?channel=a&format=raw",
            "/pgpubsub/a",
            "/v1/ws",
        ];
        for path in paths {
            for foreign in FOREIGN {
                let headers = headers(&cookie, foreign);
                let refused = WebSocket::with_headers(gateway.address, path, &headers).await;
                assert_eq!(refused.err(), Some(403), "{path} {foreign:?}");
            }
            let own = [format!("http://{host}"), format!("https://{host}")];
            for origins in [&[GOOD][..], &[&own[0]], &[&own[1]], &[]] {
                let headers = headers(&cookie, origins);
                let opened = WebSocket::with_headers(gateway.address, path, &headers).await;
                let (_, answer) = opened.unwrap_or_else(|status| panic!("{origins:?}: {status}"));
                if let [origin] = origins {
                    allows(&answer, origin);
                }
            }
        }
        is_refused(
            &upgrade(gateway.address, "https://evil.example").await,
            &["problem"],
        );
    }
}

/// The answer instead of the 101, as a whole.
async fn upgrade(address: SocketAddr, origin: &str) -> Answer {
    let headers = [
        ("origin", origin),
        ("upgrade", "websocket"),
        ("connection", "upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    get(address, "/pgpubsub/a", &headers).await
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_2_no_foreign_page_reads_or_publishes() {
    let database = Database::new().await;
    let open = ("allow-publish", "on");
    for settings in [&[WITH_TOKENS, LISTED][..], &[LISTED, open]] {
        let gateway = TestGateway::with(&database, settings).await;
        let cookie = format!("pgfan_token={}", token(&["a"]));
        let mut heard =
            WebSocket::with_headers(gateway.address, "/pgpubsub/a", &headers(&cookie, &[]))
                .await
                .unwrap()
                .0;
        for foreign in FOREIGN {
            let headers = headers(&cookie, foreign);
            for path in ["/v1/sse?channel=a", "/readyz", "/nothing"] {
                is_refused(&get(gateway.address, path, &headers).await, foreign);
            }
            for path in ["/v1/channels/a", "/v1/tickets"] {
                is_refused(
                    &post_with(gateway.address, path, &headers, "evil").await,
                    foreign,
                );
            }
            let asks = [&headers[..], &[("access-control-request-method", "POST")]].concat();
            let preflight = ask(gateway.address, "OPTIONS", "/v1/channels/a", &asks).await;
            is_refused(&preflight, foreign);
            assert_eq!(preflight.header("access-control-allow-methods"), "");
            let message = PublishRequest {
                channel: "a".into(),
                payload: "evil".into(),
            };
            let web = Web::call(gateway.address, "Publish", &headers, &message).await;
            assert_eq!(web.status, Some(tonic::Code::PermissionDenied as i32));
            assert!(!web.headers.contains_key("access-control-allow-origin"));
        }
        let from_good = headers(&cookie, &[GOOD]);
        let answer = post_with(gateway.address, "/v1/channels/a", &from_good, "good").await;
        assert_eq!(answer.status, 204);
        assert_eq!(
            heard.text().await.unwrap(),
            "good",
            "nothing came before it"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listed_page_may_use_the_whole_api() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[WITH_TOKENS, LISTED]).await;
    let address = gateway.address;
    for (path, method, wanted) in [
        ("/v1/sse?channel=a", "GET", "authorization"),
        ("/v1/channels/a", "POST", "authorization,content-type"),
        ("/v1/tickets", "POST", "authorization"),
        (
            "/pgfan.v1.GatewayService/Subscribe",
            "POST",
            "authorization,content-type,x-grpc-web,x-user-agent,grpc-timeout",
        ),
    ] {
        let headers = [
            ("origin", GOOD),
            ("access-control-request-method", method),
            ("access-control-request-headers", wanted),
        ];
        let preflight = ask(address, "OPTIONS", path, &headers).await;
        assert_eq!(preflight.status, 204, "{path}");
        allows(&preflight.headers, GOOD);
        assert!(
            preflight
                .header("access-control-allow-methods")
                .contains(method)
        );
        let allowed = preflight.header("access-control-allow-headers");
        for name in wanted.split(',') {
            assert!(allowed.split(", ").any(|one| one == name), "{name}");
        }
    }
    let bearer = format!("Bearer {}", token(&["a"]));
    let headers = [("origin", GOOD), ("authorization", bearer.as_str())];
    let stream = EventStream::open(address, "/v1/sse?channel=a", &headers).await;
    allows(&stream.headers, GOOD);
    // A refusal can be read too.
    let answer = get(address, "/v1/sse?channel=b", &headers).await;
    assert_eq!(answer.status, 403);
    allows(&answer.headers, GOOD);
    let message = PublishRequest {
        channel: "b".into(),
        payload: "x".into(),
    };
    let web = Web::call(address, "Publish", &headers, &message).await;
    assert_eq!(web.status, Some(tonic::Code::PermissionDenied as i32));
    allows(&web.headers, GOOD);
}

/// What is in a cache must not be handed to a page of another origin.
#[tokio::test(flavor = "multi_thread")]
async fn every_answer_varies_by_origin_and_none_is_for_all() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[WITH_TOKENS, LISTED]).await;
    for path in [
        "/healthz",
        "/readyz",
        "/up",
        "/nothing",
        "/v1/sse?channel=a",
        "/v1/channels/a",
    ] {
        for headers in [
            &[][..],
            &[("origin", GOOD)],
            &[("origin", "https://evil.example")],
        ] {
            let answer = get(gateway.address, path, headers).await;
            assert_eq!(answer.header("vary"), "origin", "{path} {headers:?}");
            assert_ne!(answer.header("access-control-allow-origin"), "*");
        }
    }
    // Not a page's question.
    let answer = ask(
        gateway.address,
        "OPTIONS",
        "/v1/channels/a",
        &[("origin", GOOD)],
    )
    .await;
    assert_eq!(answer.status, 405);
}
