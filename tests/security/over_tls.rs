//! Tokens, pages and client certificates over TLS.

use std::time::Duration;

use crate::{
    attempts::bearer,
    support::{
        Answer, Database, EventStream, Said, TestGateway, WebSocket, answer_over,
        tls::{Certificates, HOST, TlsClient},
        until, within,
    },
    tokens::{WITH_TOKENS, expired, forged, lasting, token},
};

struct Secured {
    database: Database,
    gateway: TestGateway,
    client: TlsClient,
}

impl Secured {
    /// With tokens, and the certificate of a client if one is required.
    async fn new(certificates: &Certificates, client: TlsClient, more: &[(&str, &str)]) -> Self {
        let database = Database::new().await;
        let tls = certificates.settings();
        let tls = tls.iter().map(|(name, path)| (*name, path.as_str()));
        let settings: Vec<_> = tls
            .chain([WITH_TOKENS])
            .chain(more.iter().copied())
            .collect();
        let gateway = TestGateway::starting(&database.url, &settings);
        let secured = Self {
            database,
            gateway,
            client,
        };
        until("/readyz is 200", || async {
            secured.ask("/readyz", &[]).await.status == 200
        })
        .await;
        secured
    }

    async fn ask(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let socket = self.client.connect(self.gateway.address, "http/1.1").await;
        let answer = answer_over(socket.unwrap(), "GET", path, headers, "").await;
        answer.expect("an answer")
    }

    /// Both kinds of reader end with their token.
    async fn ends(&self, channel: &str) {
        let token = lasting(Duration::from_secs(2), &[channel]);
        let bearer = bearer(Some(&token));
        let headers = [(bearer[0].0, bearer[0].1.as_str())];
        let connect = || self.client.connect(self.gateway.address, "http/1.1");
        let path = format!("/v1/ws?channel={channel}");
        let socket = connect().await.unwrap();
        let opened = WebSocket::over_with_headers(socket, HOST, &path, &headers).await;
        let (mut socket, _) = opened.unwrap();
        let path = format!("/v1/sse?channel={channel}");
        let mut stream = EventStream::over(connect().await.unwrap(), &path, &headers)
            .await
            .unwrap();
        let web_socket = async {
            loop {
                if let Said::Closed(code, reason) = socket.said().await {
                    return (code, reason);
                }
            }
        };
        let (code, reason) = within("an end of the WebSocket", web_socket).await;
        assert_eq!((code, &*reason), (4401, "unauthenticated"), "{channel}");
        let sse = async {
            let mut last = String::new();
            while let Some(message) = stream.next().await {
                last = message.data;
            }
            last
        };
        let last = within("an end of the event stream", sse).await;
        assert!(last.contains("the token has expired"), "{channel}: {last}");
    }

    /// The status of a WebSocket handshake; 101 if it was accepted.
    async fn web_socket(&self, headers: &[(&str, &str)]) -> u16 {
        let socket = self.client.connect(self.gateway.address, "").await.unwrap();
        let path = "/v1/ws?channel=a";
        match WebSocket::over_with_headers(socket, HOST, path, headers).await {
            Ok((mut socket, _)) => {
                assert!(matches!(socket.said().await, Said::Ready { .. }));
                101
            }
            Err(status) => status,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_needed_over_tls_too() {
    let certificates = Certificates::new();
    let secured = Secured::new(&certificates, certificates.client(), &[]).await;
    let good = token(&["a"]);
    for (token, status) in [
        (forged(&["a"]), 401),
        (expired(&["a"]), 401),
        (token(&["b"]), 403),
    ] {
        let bearer = bearer(Some(&token));
        let headers = [(bearer[0].0, bearer[0].1.as_str())];
        assert_eq!(
            secured.ask("/v1/sse?channel=a", &headers).await.status,
            status
        );
        assert_eq!(secured.web_socket(&headers).await, status);
    }
    assert_eq!(secured.ask("/v1/sse?channel=a", &[]).await.status, 401);
    let bearer = bearer(Some(&good));
    assert_eq!(
        secured.web_socket(&[(bearer[0].0, &bearer[0].1)]).await,
        101
    );
    let cookie = format!("pgfan_token={good}");
    assert_eq!(secured.web_socket(&[("cookie", &cookie)]).await, 101);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_of_the_same_host_over_tls_too() {
    let certificates = Certificates::new();
    let secured = Secured::new(&certificates, certificates.client(), &[]).await;
    let cookie = format!("pgfan_token={}", token(&["a"]));
    let own = format!("https://{HOST}");
    for (origin, status) in [
        (own.as_str(), 101),
        ("https://evil.example", 403),
        ("null", 403),
        ("https://pgfan.test.evil.example", 403),
        ("https://pgfan.test:444", 403),
    ] {
        let headers = [("origin", origin), ("cookie", cookie.as_str())];
        assert_eq!(secured.web_socket(&headers).await, status, "{origin}");
        // Here the client sends the host `localhost`.
        let answer = secured.ask("/readyz", &[("origin", origin)]).await;
        assert_eq!(answer.status, 403, "{origin}");
        assert_eq!(answer.header("access-control-allow-origin"), "");
        assert_eq!(answer.header("vary"), "origin");
    }
    let answer = secured
        .ask("/readyz", &[("origin", "https://localhost")])
        .await;
    assert_eq!(
        answer.header("access-control-allow-origin"),
        "https://localhost"
    );
}

/// Over TLS only the reader's own task writes to its socket, so it also has to
/// check the clock, even during continuous events.
#[tokio::test(flavor = "multi_thread")]
async fn attack_13_over_tls_too() {
    let certificates = Certificates::new();
    let secured = Secured::new(&certificates, certificates.client(), &[]).await;
    let flood = async {
        loop {
            secured.database.notify_range("busy", 1, 200).await;
        }
    };
    tokio::select! {
        () = flood => unreachable!(),
        () = async {
            for channel in ["a", "busy"] {
                secured.ends(channel).await;
            }
        } => {}
    }
}

/// A client certificate is required in addition to a token and grants no
/// channel.
#[tokio::test(flavor = "multi_thread")]
async fn a_clients_certificate_grants_nothing() {
    let (certificates, clients) = (Certificates::new(), Certificates::new());
    let own = clients.authority.client("ann");
    let known = TlsClient::new(&certificates.authority, Some(&own));
    let more = [("tls-client-ca", &*clients.path("ca"))];
    let secured = Secured::new(&certificates, known, &more).await;
    assert_eq!(secured.ask("/v1/sse?channel=a", &[]).await.status, 401);
    let good = token(&["a"]);
    let bearer = bearer(Some(&good));
    let headers = [(bearer[0].0, bearer[0].1.as_str())];
    assert_eq!(secured.web_socket(&headers).await, 101);
    // Nor does a token replace the certificate.
    let stranger = certificates.client();
    let socket = stranger.connect(secured.gateway.address, "http/1.1").await;
    let answer = async {
        match socket {
            Ok(socket) => answer_over(socket, "GET", "/v1/sse?channel=a", &headers, "").await,
            Err(_) => None,
        }
    };
    let answer = within("an end", answer).await;
    assert!(answer.is_none(), "{answer:?}");
}
