//! Pages of other sites, in a browser that has a cookie for the gateway.

use std::net::SocketAddr;

use pgfan::proto::PublishRequest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    grpc_web::Web,
    support::{
        Answer, Database, EventStream, TestGateway, WebSocket, ask,
        gateway_process::{GatewayProcess, pgfan},
        get, post_with, within,
    },
    tokens::{WITH_TOKENS, token},
};

const GOOD: &str = "https://good.example";
const LISTED: (&str, &str) = ("allow-origin", "https://good.example,http://localhost:3000");

/// Origins that are neither the allowed one nor the gateway's own host.
const FOREIGN: [&[&str]; 9] = [
    &["https://evil.example"],
    &["null"],
    &["https://good.example.evil.example"],
    &["https://evilgood.example"],
    &["HTTPS://GOOD.EXAMPLE"],
    &["https://good.example:444"],
    &["http://good.example"],
    &["http://localhost:3001"],
    &[GOOD, GOOD],
];

/// Headers with a valid cookie, as a browser sends it for every page.
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

/// The complete answer in place of the 101.
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
        // npm: event-source-polyfill; then what tracing adds to every request.
        (
            "/v1/sse?channel=a",
            "GET",
            "authorization,cache-control,last-event-id,pragma,x-requested-with",
        ),
        (
            "/v1/channels/a",
            "POST",
            "baggage,b3,content-type,sentry-trace,traceparent,tracestate,x-b3-sampled,x-b3-spanid,\
             x-b3-traceid,x-datadog-origin,x-datadog-parent-id,x-datadog-sampling-priority,\
             x-datadog-trace-id,newrelic,elastic-apm-traceparent,x-request-id,x-correlation-id",
        ),
        ("/v1/channels/a", "POST", "authorization,content-type"),
        ("/v1/tickets", "POST", "authorization"),
        (
            "/pgfan.v1.GatewayService/Subscribe",
            "POST",
            "authorization,connect-protocol-version,connect-timeout-ms,content-type,\
             grpc-timeout,x-grpc-web,x-user-agent",
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
    // The page can read the refusal too.
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

/// A cached answer must not be used for a page of another origin.
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
    // Not a request of a page.
    let answer = ask(
        gateway.address,
        "OPTIONS",
        "/v1/channels/a",
        &[("origin", GOOD)],
    )
    .await;
    assert_eq!(answer.status, 405);
}

/// The operator of a page that does not work looks into the gateway's log.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_origin_is_logged_once_with_the_remedy() {
    let database = Database::new().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "allow-origin = \"https://good.example\"\n").unwrap();
    let mut command = pgfan();
    command.env("DATABASE_URL", &database.url).arg("serve");
    command.arg("--config").arg(file.path());
    let mut gateway = GatewayProcess::serve(&mut command).await;
    let from = async |address, origin: &[u8]| {
        let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = [
            &b"GET /v1/sse?channel=a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nOrigin: "
                [..],
            origin,
            b"\r\n\r\n",
        ];
        socket.write_all(&request.concat()).await.unwrap();
        let mut heard = Vec::new();
        within("an answer", socket.read_to_end(&mut heard))
            .await
            .unwrap();
        assert!(heard.starts_with(b"HTTP/1.1 403 "));
    };
    let refused = "a page of this origin was refused origin=";
    for (origin, name, remedy) in [
        (
            &b"https://app.example"[..],
            "https://app.example",
            "add it to --allow-origin",
        ),
        (
            b"https://good.example:444",
            "https://good.example:444",
            "add it to --allow-origin",
        ),
        (b"null", "null", "no setting allows it"),
        // They would colour a terminal, or reverse the line.
        (
            b"https://a\tb\xe2\x80\xae",
            "https://a\\tb\\xe2\\x80\\xae",
            "no setting allows it",
        ),
    ] {
        for _ in 0..3 {
            from(gateway.address, origin).await;
        }
        let line = gateway.logged(&format!("{refused}{name} ")).await;
        assert!(line.contains("WARN") && line.contains(remedy), "{line}");
    }
    // It may be a different mistake: after a reload it is logged again.
    gateway.program.signal("HUP").await;
    gateway.logged("the settings were read again").await;
    from(gateway.address, b"https://app.example").await;
    gateway
        .logged(&format!("{refused}https://app.example "))
        .await;
    for number in 0..100 {
        from(
            gateway.address,
            format!("https://{number}.example").as_bytes(),
        )
        .await;
    }
    gateway.logged("pages of many origins were refused").await;
    let log = gateway.stop().await.stderr;
    assert_eq!(log.matches(refused).count(), 4 + 64, "{log}");
    assert_eq!(log.matches("pages of many origins").count(), 1, "{log}");
}
