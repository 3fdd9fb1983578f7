//! Pages loaded over plain HTTP from the host of a gateway that serves TLS: an
//! attacker between the browser and the host can insert anything into them.

use pgfan::proto::PublishRequest;

use crate::{
    grpc_web::Web,
    support::{
        Answer, Database, TestGateway, WebSocket, answer_over, get, get_h2_over, post_with,
        request_h2_over,
        tls::{Certificates, HOST, TlsClient},
        until,
    },
    tokens::{WITH_TOKENS, token},
};

const PLAIN: &str = "http://pgfan.test";
const SECURE: &str = "https://pgfan.test";

struct Secured {
    gateway: TestGateway,
    client: TlsClient,
    _certificates: Certificates,
    database: Database,
}

impl Secured {
    async fn with(more: &[(&str, &str)]) -> Self {
        let (database, certificates) = (Database::new().await, Certificates::new());
        let tls = certificates.settings();
        let tls = tls.iter().map(|(name, path)| (*name, path.as_str()));
        let settings: Vec<_> = tls.chain(more.iter().copied()).collect();
        let secured = Self {
            gateway: TestGateway::starting(&database.url, &settings),
            client: certificates.client(),
            _certificates: certificates,
            database,
        };
        until("/readyz is 200", || async {
            secured.ask("GET", "/readyz", &[], "").await.status == 200
        })
        .await;
        secured
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let socket = self.client.connect(self.gateway.address, "http/1.1").await;
        let body = body.to_owned();
        let answer = answer_over(socket.unwrap(), method, path, headers, body).await;
        answer.expect("an answer")
    }

    /// The status of the handshake.
    async fn web_socket(&self, path: &str, headers: &[(&str, &str)]) -> u16 {
        let socket = self.client.connect(self.gateway.address, "http/1.1").await;
        let socket = socket.unwrap();
        let opened = WebSocket::over_with_headers(socket, HOST, path, headers).await;
        opened.map_or_else(|status| status, |_| 101)
    }
}

fn is_refused(answer: &Answer, what: &str) {
    let found = (answer.status, answer.code());
    assert_eq!(found, (403, "forbidden".into()), "{what}");
    assert_eq!(answer.header("access-control-allow-origin"), "", "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_39_no_plain_page_of_its_host_uses_a_gateway_that_speaks_tls() {
    let open = ("allow-publish", "on");
    for settings in [&[WITH_TOKENS][..], &[open]] {
        let secured = Secured::with(settings).await;
        let cookie = format!("pgfan_token={}", token(&["a"]));
        let from = |origin| {
            let cookie = cookie.as_str();
            [("host", HOST), ("origin", origin), ("cookie", cookie)]
        };
        for path in ["/v1/ws?channel=a", "/pgpubsub/a"] {
            let plain = [("origin", PLAIN), ("cookie", cookie.as_str())];
            assert_eq!(secured.web_socket(path, &plain).await, 403, "{path}");
            let secure = [("origin", SECURE), ("cookie", cookie.as_str())];
            assert_eq!(secured.web_socket(path, &secure).await, 101, "{path}");
        }
        for path in ["/v1/sse?channel=a", "/", "/v1/status", "/metrics", "/up"] {
            is_refused(&secured.ask("GET", path, &from(PLAIN), "").await, path);
        }
        let publish = "/v1/channels/a";
        for path in [publish, "/v1/tickets"] {
            is_refused(&secured.ask("POST", path, &from(PLAIN), "evil").await, path);
        }
        let asks = [
            &from(PLAIN)[..],
            &[("access-control-request-method", "POST")],
        ]
        .concat();
        is_refused(
            &secured.ask("OPTIONS", publish, &asks, "").await,
            "preflight",
        );
        let web = [
            &from(PLAIN)[..],
            &[("content-type", "application/grpc-web")],
        ]
        .concat();
        let call = "/pgfan.v1.GatewayService/Publish";
        let refused = secured.ask("POST", call, &web, "").await;
        assert_eq!(refused.header("grpc-status"), "7", "PERMISSION_DENIED");
        let socket = secured.client.connect(secured.gateway.address, "h2").await;
        let refused = get_h2_over(socket.unwrap(), "/up", &from(PLAIN)).await;
        assert_eq!(refused.status(), 403, "HTTP/2");
        let published = secured.ask("POST", publish, &from(SECURE), "good").await;
        assert_eq!(published.status, 204);
        assert_eq!(published.header("access-control-allow-origin"), SECURE);
        secured.gateway.stop().await;
        drop(secured.database);
    }
}

/// The operator explicitly allows it.
#[tokio::test(flavor = "multi_thread")]
async fn a_plain_page_may_be_named() {
    let secured = Secured::with(&[("allow-origin", PLAIN)]).await;
    let from = [("host", HOST), ("origin", PLAIN)];
    let answer = secured.ask("GET", "/up", &from, "").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), PLAIN);
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_39_behind_a_proxy_the_scheme_is_the_client_s() {
    let database = Database::new().await;
    let trusting = ("trusted-proxies", "127.0.0.1");
    let message = PublishRequest {
        channel: "a".into(),
        payload: "evil".into(),
    };
    for settings in [&[trusting, WITH_TOKENS][..], &[WITH_TOKENS]] {
        let gateway = TestGateway::with(&database, settings).await;
        let address = gateway.address;
        let host = address.to_string();
        let (plain, secure) = (format!("http://{host}"), format!("https://{host}"));
        let cookie = format!("pgfan_token={}", token(&["a"]));
        for (name, value) in [
            ("x-forwarded-proto", "https"),
            ("x-forwarded-proto", "https, http"),
            ("forwarded", "for=192.0.2.1;proto=https"),
        ] {
            let over_tls = |origin| {
                let cookie = ("cookie", cookie.as_str());
                [("host", &*host), ("origin", origin), cookie, (name, value)]
            };
            let refused = over_tls(&plain);
            is_refused(&get(address, "/v1/sse?channel=a", &refused).await, value);
            let evil = post_with(address, "/v1/channels/a", &refused, "evil").await;
            is_refused(&evil, value);
            let opened = WebSocket::with_headers(address, "/v1/ws?channel=a", &refused[1..]).await;
            assert_eq!(opened.err(), Some(403), "{value}");
            let web = Web::call(address, "Publish", &refused, &message).await;
            assert_eq!(web.status, Some(tonic::Code::PermissionDenied as i32));
            let good = post_with(address, "/v1/channels/a", &over_tls(&secure), "good").await;
            assert_eq!(good.status, 204, "{value}");
        }
        // If the proxy sends no scheme, both are allowed.
        for origin in [&plain, &secure] {
            let headers = [("host", &*host), ("origin", origin)];
            assert_eq!(get(address, "/up", &headers).await.status, 200, "{origin}");
        }
    }
}

/// TLS between the proxy and the gateway is not that of the client.
#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxy_may_say_that_its_client_came_over_plain_http() {
    for (settings, status) in [(&[("trusted-proxies", "127.0.0.1")][..], 200), (&[], 403)] {
        let secured = Secured::with(settings).await;
        let headers = [
            ("host", HOST),
            ("origin", PLAIN),
            ("x-forwarded-proto", "http"),
        ];
        let answer = secured.ask("GET", "/up", &headers, "").await;
        assert_eq!(answer.status, status, "{settings:?}");
    }
}

/// RFC 6797: only over TLS, only for names, and only for this host.
#[tokio::test(flavor = "multi_thread")]
async fn attack_39_a_browser_remembers_to_come_over_tls() {
    const NAME: &str = "strict-transport-security";
    let secured = Secured::with(&[WITH_TOKENS]).await;
    for path in ["/", "/v1/status", "/nothing"] {
        let answer = secured.ask("GET", path, &[("host", HOST)], "").await;
        assert_eq!(answer.header(NAME), "max-age=2592000", "{path}");
    }
    let socket = secured.client.connect(secured.gateway.address, "h2").await;
    let named = [("host", HOST)];
    let answer = request_h2_over(socket.unwrap(), "GET", "/up", &named, Default::default()).await;
    assert_eq!(answer.unwrap().headers()[NAME], "max-age=2592000");
    for host in [
        "localhost",
        "app.localhost",
        "127.0.0.1",
        "[::1]",
        "pgfan.test:8443",
    ] {
        let answer = secured.ask("GET", "/", &[("host", host)], "").await;
        assert_eq!((answer.status, answer.header(NAME)), (200, ""), "{host}");
    }
    let gateway = TestGateway::with(&secured.database, &[WITH_TOKENS]).await;
    let headers = [("host", HOST), ("x-forwarded-proto", "https")];
    let answer = get(gateway.address, "/", &headers).await;
    assert_eq!(
        (answer.status, answer.header(NAME)),
        (200, ""),
        "plain HTTP"
    );
}
