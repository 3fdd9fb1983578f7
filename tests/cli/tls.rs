//! A gateway behind a TLS proxy, as operators run it, and the token on its way.

use std::{convert::Infallible, fs, net::SocketAddr, sync::Arc};

use http_body_util::Empty;
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    listen::{WIRES, object},
    support::{
        Database, TestGateway,
        certificates::{Authority, Issued},
        gateway_process::pgfan,
        program::{Program, run},
        within,
    },
};

/// Terminates TLS, and passes the data on.
async fn behind_tls(issued: &Issued, gateway: SocketAddr) -> u16 {
    let chain = CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let mut config = builder
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut socket = acceptor.accept(socket).await.ok()?;
                let mut onward = TcpStream::connect(gateway).await.ok()?;
                copy_bidirectional(&mut socket, &mut onward).await.ok()
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn each_wire_and_publish_go_through_tls() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[("allow-publish", "on")]).await;
    let (authority, other) = (Authority::new("ours"), Authority::new("another"));
    let issued = authority.server(&["localhost"]);
    let port = behind_tls(&issued, gateway.address).await;
    let folder = TempDir::new().unwrap();
    let (ours, others) = (folder.path().join("ours"), folder.path().join("others"));
    fs::write(&ours, &authority.certificate).unwrap();
    fs::write(&others, &other.certificate).unwrap();
    let url = format!("https://localhost:{port}");
    let mut programs = Vec::new();
    for wire in WIRES {
        let mut command = pgfan();
        command.env("SSL_CERT_FILE", &ours).env("PGFAN_URL", &url);
        let mut program = Program::start(command.args(["listen", "a", "--via", wire]));
        object(&mut program, "ready").await;
        programs.push(program);
    }
    let mut command = pgfan();
    command.env("SSL_CERT_FILE", &ours).env("PGFAN_URL", &url);
    let published = run(command.args(["publish", "a", "x"])).await;
    assert_eq!(published.status.code(), Some(0), "{published:?}");
    for program in &mut programs {
        assert_eq!(object(program, "event").await["payload"], "x");
    }
    for (roots, url) in [
        (&others, url.as_str()),
        (&ours, &format!("https://127.0.0.1:{port}")),
    ] {
        let mut command = pgfan();
        command.env("SSL_CERT_FILE", roots);
        let refused = run(command.args(["publish", "a", "x", "--url", url])).await;
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        assert!(
            refused.stderr.contains("invalid peer certificate"),
            "{refused:?}"
        );
        let remedy = "trusts, or the file named by SSL_CERT_FILE\n";
        assert!(refused.stderr.ends_with(remedy), "{refused:?}");
    }
    let mut command = pgfan();
    command.env("SSL_CERT_FILE", &ours);
    let url = format!("https://{}", gateway.address);
    let refused = run(command.args(["health", "--url", &url])).await;
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let remedy = "what answers there speaks no TLS: --url http://…\n";
    assert!(refused.stderr.ends_with(remedy), "{refused:?}");
}

/// A server that records the heads of requests and does not answer.
async fn heads() -> (u16, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, heads) = mpsc::channel(8);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                socket.read_buf(&mut head).await.unwrap();
            }
            sender.send(String::from_utf8(head).unwrap()).await.unwrap();
            let answer = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";
            socket.write_all(answer).await.unwrap();
        }
    });
    (port, heads)
}

/// In a file that is renewed meanwhile, or a variable.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_sent_and_read_anew_for_each_connection() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("token");
    for wire in ["ws", "sse"] {
        let (port, mut heads) = heads().await;
        fs::write(&file, "first.token\n").unwrap();
        let url = format!("http://127.0.0.1:{port}");
        let arguments = ["listen", "a", "--via", wire, "--url", &url, "--token-file"];
        let mut program = Program::start(pgfan().args(arguments).arg(&file));
        let head = within("a request", heads.recv()).await.unwrap();
        assert!(
            head.contains("authorization: Bearer first.token\r\n"),
            "{head}"
        );
        fs::write(&file, "second.token").unwrap();
        let mut head = String::new();
        while !head.contains("authorization: Bearer second.token\r\n") {
            head = within("a request", heads.recv()).await.unwrap();
        }
        let said = program.stderr.line("503").await;
        assert!(said.contains("(unreachable)"), "{said}");
    }
    let (port, mut heads) = heads().await;
    let mut command = pgfan();
    command.env("PGFAN_TOKEN", "a.variable");
    let url = format!("http://127.0.0.1:{port}");
    let ended = run(command.args(["publish", "a", "x", "--url", &url])).await;
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let head = heads.recv().await.unwrap();
    assert!(
        head.contains("authorization: Bearer a.variable\r\n"),
        "{head}"
    );
    assert!(
        head.starts_with("POST /v1/channels/a HTTP/1.1\r\n"),
        "{head}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_sent_over_grpc_too() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut command = pgfan();
    let url = format!("http://127.0.0.1:{port}");
    command.args(["listen", "a", "--via", "grpc", "--url", &url]);
    let _program = Program::start(command.env("PGFAN_TOKEN", "over.grpc"));
    let (socket, _) = within("a connection", listener.accept()).await.unwrap();
    let (sender, mut seen) = mpsc::channel(1);
    let service = service_fn(move |request: Request<Incoming>| {
        let head = (
            request.uri().path().to_owned(),
            request.headers()["authorization"]
                .to_str()
                .unwrap()
                .to_owned(),
        );
        sender.try_send(head).unwrap();
        std::future::pending::<Result<Response<Empty<Bytes>>, Infallible>>()
    });
    let server = http2::Builder::new(TokioExecutor::new());
    tokio::spawn(server.serve_connection(TokioIo::new(socket), service));
    let (path, token) = within("a request", seen.recv()).await.unwrap();
    assert_eq!(path, "/pgfan.v1.GatewayService/Subscribe");
    assert_eq!(token, "Bearer over.grpc");
}
