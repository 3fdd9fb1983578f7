//! DNS rebinding: a page's own name is made to resolve to the gateway. To its browser, the
//! gateway is then the page's own host.

use std::io;

use hyper_util::rt::TokioIo;
use pgfan::proto::{
    PublishRequest, SubscribeRequest, gateway_service_client::GatewayServiceClient,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::{
    grpc_web::Web,
    support::{
        Answer, Database, TestGateway, WebSocket, Wire, answer_over, ask,
        gateway_process::{GatewayProcess, pgfan},
        get, get_h2_with, post_with,
        tls::Certificates,
        until, within,
    },
    tokens::{WITH_TOKENS, token},
};

const REBOUND: &str = "rebound.example:8000";
const PUBLISH: (&str, &str) = ("allow-publish", "on");
const ADMIN: (&str, &str) = ("admin-listen", "127.0.0.1:0");

fn is_misdirected(answer: &Answer, what: &str) {
    let found = (answer.status, answer.code());
    assert_eq!(found, (421, "forbidden".into()), "{what}");
    assert_eq!(answer.header("access-control-allow-origin"), "", "{what}");
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    let says = [
        "\"rebound.example",
        "--allow-host rebound.example",
        "localhost",
    ];
    assert!(says.iter().all(|part| detail.contains(part)), "{detail}");
}

/// A gRPC client that requests this host, independently of the address.
async fn asking_for(address: std::net::SocketAddr, host: &str) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{host}")).unwrap();
    let connector = tower::service_fn(move |_| async move {
        let socket = TcpStream::connect(address).await?;
        Ok::<_, io::Error>(TokioIo::new(socket))
    });
    endpoint.connect_with_connector(connector).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_40_a_name_that_leads_here_neither_reads_nor_publishes() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[PUBLISH]).await;
    let address = gateway.address;
    let mut reader = gateway.reader(Wire::Sse, "a").await;
    let own = format!("http://{REBOUND}");
    for headers in [
        &[("host", REBOUND)][..],
        &[("host", REBOUND), ("origin", &*own)],
        &[("host", "rebound.example")],
        &[("host", "localhost"), ("host", REBOUND)],
        &[("host", REBOUND), ("sec-fetch-site", "same-origin")],
    ] {
        for path in [
            "/v1/sse?channel=a",
            "/v1/sse?channel=a&format=raw",
            "/v1/status",
            "/metrics",
            "/readyz",
            "/up",
            "/",
            "/console/main.js",
            "/pgfan.js",
            "/nothing",
        ] {
            is_misdirected(&get(address, path, headers).await, path);
        }
        for path in ["/v1/channels/a", "/v1/tickets"] {
            is_misdirected(&post_with(address, path, headers, "evil").await, path);
        }
        let preflight = ask(address, "OPTIONS", "/v1/channels/a", headers).await;
        is_misdirected(&preflight, "OPTIONS");
        let message = PublishRequest {
            channel: "a".into(),
            payload: "evil".into(),
        };
        let web = Web::call(address, "Publish", headers, &message).await;
        assert_eq!(web.status, Some(Code::PermissionDenied as i32));
        let alive = get(address, "/healthz", headers).await;
        assert_eq!(alive.status, 200, "a prober may ask by any name");
    }
    for path in ["/v1/ws?channel=a", "/v1/ws", "/pgpubsub/a"] {
        let socket = TcpStream::connect(address).await.unwrap();
        let headers = [("origin", &*own)];
        let opened = WebSocket::over_with_headers(socket, REBOUND, path, &headers).await;
        assert_eq!(opened.err(), Some(421), "{path}");
    }
    let answer = get_h2_with(address, "/v1/status", &[("host", REBOUND)]).await;
    is_misdirected(&answer, "HTTP/2");
    let published = post_with(address, "/v1/channels/a", &[], "good").await;
    assert_eq!(published.status, 204);
    assert_eq!(reader.event().await.1, "good", "nothing came before it");
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_40_nor_does_a_call_of_grpc() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[PUBLISH]).await;
    let channel = asking_for(gateway.address, REBOUND).await;
    let mut client = GatewayServiceClient::new(channel.clone());
    let subscribe = SubscribeRequest {
        channels: vec!["a".into()],
        ..SubscribeRequest::default()
    };
    let publish = PublishRequest {
        channel: "a".into(),
        payload: "evil".into(),
    };
    let statuses = [
        client.subscribe(subscribe.clone()).await.map(drop),
        client.publish(publish).await.map(drop),
        HealthClient::new(channel)
            .check(HealthCheckRequest::default())
            .await
            .map(drop),
    ];
    for status in statuses {
        let status = status.expect_err("refused");
        assert_eq!(status.code(), Code::PermissionDenied);
        let flag = "--allow-host rebound.example";
        assert!(status.message().contains(flag), "{status}");
    }
    let channel = asking_for(gateway.address, "localhost:8000").await;
    let mut client = GatewayServiceClient::new(channel);
    client.subscribe(subscribe).await.expect("a reader");
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_40_the_address_for_those_who_run_it_asks_for_no_token() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[WITH_TOKENS, ADMIN]).await;
    let admin = gateway.admin.expect("an address");
    for path in ["/metrics", "/v1/status", "/", "/readyz"] {
        is_misdirected(&get(admin, path, &[("host", REBOUND)]).await, path);
        assert_eq!(get(admin, path, &[]).await.status, 200, "{path}");
    }
    // A page of that name has no token of the gateway.
    let rebound = [("host", REBOUND)];
    let answer = get(gateway.address, "/v1/sse?channel=a", &rebound).await;
    assert_eq!(answer.status, 401);
    let bearer = format!("Bearer {}", token(&["a"]));
    let shown = [("host", REBOUND), ("authorization", &*bearer)];
    let published = post_with(gateway.address, "/v1/channels/a", &shown, "x").await;
    assert_eq!(published.status, 204);
    // Tokens are optional here.
    let both = [WITH_TOKENS, ("anonymous", "on")];
    let gateway = TestGateway::with(&database, &both).await;
    let answer = get(gateway.address, "/v1/status", &rebound).await;
    is_misdirected(&answer, "anonymous");
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_40_named_hosts_and_addresses_may_be_asked_for() {
    let database = Database::new().await;
    let settings = [
        ("allow-host", "events.example.com, my_service"),
        ("allow-origin", "https://app.example:3000"),
    ];
    let gateway = TestGateway::with(&database, &settings).await;
    let address = gateway.address;
    let own = address.to_string();
    for host in [
        "events.example.com",
        "Events.Example.com.:8000",
        "my_service:8000",
        "app.example",
        "app.example:8000",
        "localhost:8000",
        "app.localhost",
        "192.0.2.1:8000",
        "[::1]:8000",
        &own,
    ] {
        let answer = get(address, "/up", &[("host", host)]).await;
        assert_eq!(answer.status, 200, "{host}");
        let answer = get_h2_with(address, "/up", &[("host", host)]).await;
        assert_eq!(answer.status, 200, "{host}");
    }
    for host in ["sub.events.example.com", "example.com", "localhost.example"] {
        let answer = get(address, "/up", &[("host", host)]).await;
        assert_eq!(answer.status, 421, "{host}");
    }
    // No browser sends a request without a host.
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(b"GET /up HTTP/1.0\r\n\r\n").await.unwrap();
    let mut heard = String::new();
    within("an answer", socket.read_to_string(&mut heard))
        .await
        .unwrap();
    assert!(heard.starts_with("HTTP/1.0 200 "), "{heard}");
}

/// A browser that gets no certificate for the name sends no request.
#[tokio::test(flavor = "multi_thread")]
async fn over_tls_any_name_may_be_asked_for() {
    let (database, certificates) = (Database::new().await, Certificates::new());
    let tls = certificates.settings();
    let settings = tls.each_ref().map(|(name, path)| (*name, path.as_str()));
    let gateway = TestGateway::starting(&database.url, &settings);
    let client = certificates.client();
    let status = async || {
        let socket = client.connect(gateway.address, "http/1.1").await.unwrap();
        let headers = [("host", "any.example")];
        let answer = answer_over(socket, "GET", "/readyz", &headers, "").await;
        answer.expect("an answer").status
    };
    until("it is ready", || async { status().await == 200 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_host_is_logged_once_with_the_remedy() {
    let database = Database::new().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut command = pgfan();
    command.env("DATABASE_URL", &database.url).arg("serve");
    command.arg("--config").arg(file.path());
    let mut gateway = GatewayProcess::serve(&mut command).await;
    let address = gateway.address;
    let ask = async |host: &str| get(address, "/up", &[("host", host)]).await.status;
    let refused = "a request for this host was refused host=";
    for _ in 0..3 {
        assert_eq!(ask("shop:8000").await, 421);
    }
    let line = gateway.logged(&format!("{refused}shop:8000 ")).await;
    assert!(line.contains("WARN") && line.contains("add it to --allow-host"));
    std::fs::write(&file, "allow-host = \"shop\"\n").unwrap();
    gateway.program.signal("HUP").await;
    gateway.logged("the settings were read again").await;
    assert_eq!(ask("shop:8000").await, 200);
    for number in 0..100 {
        assert_eq!(ask(&format!("{number}.example")).await, 421);
    }
    gateway.logged("requests for many hosts were refused").await;
    let log = gateway.stop().await.stderr;
    assert_eq!(log.matches(refused).count(), 1 + 64, "{log}");
}
