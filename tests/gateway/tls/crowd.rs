//! Many handshakes at once, and TLS features that could be abused.

use std::{net::SocketAddr, sync::Arc};

use rcgen::{CertificateParams, KeyPair};
use rustls::{ClientConfig, ClientConnection, RootCertStore, crypto::ring, pki_types::ServerName};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

use super::Secured;
use crate::support::{
    Wire, answer_over,
    certificates::Issued,
    tls::{HOST, TlsClient},
    until, within,
};

/// A ClientHello; the gateway's answer to it costs a signature.
fn hello() -> Vec<u8> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(RootCertStore::empty());
    let config = Arc::new(config.with_no_client_auth());
    let name = ServerName::try_from(HOST).unwrap();
    let mut client = ClientConnection::new(config, name).unwrap();
    let mut said = Vec::new();
    client.write_tls(&mut said).unwrap();
    said
}

/// An RSA certificate, the most expensive kind of signature.
fn dear() -> Issued {
    let pem = include_str!("../../security/keys/rsa.private.pem");
    let key = KeyPair::from_pem(pem).unwrap();
    let params = CertificateParams::new(vec![HOST.to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    Issued {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    }
}

/// Whether it was answered. On a slow machine it may be dropped after 10 s in
/// the queue; no signature was computed for it then.
async fn ask(address: SocketAddr, hello: Arc<Vec<u8>>) -> bool {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(&hello).await.unwrap();
    let length = within("an end", socket.read(&mut [0; 64])).await;
    length.is_ok_and(|length| length > 0)
}

const CROWD: usize = 1000;

/// Lower bound of events received one after the other during the handshakes:
/// thousands on an idle machine, nine if every event had to wait for all
/// handshakes.
const FEWEST: usize = 40;

/// Existing readers receive their events during the handshakes, not after them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crowd_at_the_handshake_keeps_nobody_waiting() {
    let secured = Secured::with(&[]).await;
    let mut reader = secured.reader(Wire::WebSocket).await;
    let dear = dear();
    secured.certificates.put(&dear);
    let client = TlsClient::trusting(&dear.certificate);
    until("it shows the dear one", || async {
        client.connect(secured.gateway.address, "").await.is_ok()
    })
    .await;
    let hello = Arc::new(hello());
    let begun = Instant::now();
    let crowd: Vec<_> = (0..CROWD)
        .map(|_| tokio::spawn(ask(secured.gateway.address, Arc::clone(&hello))))
        .collect();
    let mut waited = Vec::new();
    while !crowd.iter().all(|one| one.is_finished()) {
        let notified = Instant::now();
        secured.database.notify("a", "meanwhile").await;
        assert_eq!(reader.event().await.1, "meanwhile");
        waited.push(notified.elapsed());
    }
    let lasted = begun.elapsed();
    let mut answered = 0;
    for one in crowd {
        answered += usize::from(one.await.unwrap());
    }
    assert!(answered > 100, "{answered}");
    let longest = waited.iter().max().unwrap();
    eprintln!(
        "{answered} handshakes in {lasted:?}: {} events, the slowest {longest:?}",
        waited.len()
    );
    assert!(waited.len() >= FEWEST, "{waited:?} within {lasted:?}");
    secured.gateway.stop().await;
}

/// RFC 7301, section 3.2: without a common protocol the connection is refused.
#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_spoken_can_be_agreed_on() {
    let secured = Secured::with(&[]).await;
    let (client, address) = (secured.certificates.client(), secured.gateway.address);
    for foreign in ["h3", "http/1.0", "spdy/3", "H2"] {
        let refused = client.connect(address, foreign).await.unwrap_err();
        let reason = refused.to_string();
        assert!(
            reason.contains("NoApplicationProtocol"),
            "{foreign}: {reason}"
        );
    }
    // The negotiated protocol is enforced.
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for (agreed, said) in [
        ("h2", &b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"[..]),
        ("http/1.1", preface),
        ("", preface),
    ] {
        let mut socket = client.connect(address, agreed).await.unwrap();
        socket.write_all(said).await.unwrap();
        let mut heard = Vec::new();
        let _ = within("it ends", socket.read_to_end(&mut heard)).await;
        let text = String::from_utf8_lossy(&heard);
        assert!(!text.contains("200 OK"), "{agreed}: {text}");
    }
    secured.gateway.stop().await;
}

/// A TLS session ticket would bypass the check of the certificate.
#[tokio::test(flavor = "multi_thread")]
async fn no_session_is_taken_up_again() {
    let secured = Secured::with(&[]).await;
    let (client, address) = (secured.certificates.client(), secured.gateway.address);
    for _ in 0..3 {
        let socket = client.connect(address, "http/1.1").await.unwrap();
        let (_, session) = socket.get_ref();
        assert_eq!(session.handshake_kind(), Some(rustls::HandshakeKind::Full));
        assert_eq!(session.tls13_tickets_received(), 0);
        let answer = answer_over(socket, "GET", "/healthz", &[], "").await;
        assert_eq!(answer.unwrap().status, 200);
    }
    secured.gateway.stop().await;
}
