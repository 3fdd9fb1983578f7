//! Keys of an identity provider, and how they change: a server of its own
//! that answers what a test wants.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use pgfan::auth::{Rules, SigningKey, Wish, mint};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_ED25519,
};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
    time::{Duration, Instant, interval},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    support::{Database, TestGateway, gateway_process::GatewayProcess, post_with, until},
    tokens::base64,
};

/// An answer of the provider, from its status line on.
type Answer = Arc<dyn Fn() -> Vec<u8> + Send + Sync>;

struct Provider {
    address: SocketAddr,
    answer: Arc<Mutex<Answer>>,
    asked: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
}

impl Provider {
    async fn start(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let none: Answer = Arc::new(|| b"HTTP/1.1 500 x\r\ncontent-length: 0\r\n\r\n".to_vec());
        let answer = Arc::new(Mutex::new(none));
        let asked = Arc::new(AtomicUsize::new(0));
        let (answers, count) = (answer.clone(), asked.clone());
        let serving = tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                let (answers, tls) = (answers.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(socket, answers).await,
                        Some(tls) => {
                            if let Ok(socket) = tls.accept(socket).await {
                                serve(socket, answers).await;
                            }
                        }
                    }
                });
            }
        });
        Self {
            address,
            answer,
            asked,
            serving,
        }
    }

    fn answers(&self, answer: impl Fn() -> Vec<u8> + Send + Sync + 'static) {
        *self.answer.lock().unwrap() = Arc::new(answer);
    }

    fn has(&self, keys: Value) {
        let body = json!({"keys": keys}).to_string();
        self.answers(move || ok(&body));
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    fn url(&self) -> String {
        format!("http://{}/jwks.json", self.address)
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn ok(body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
}

async fn serve(mut socket: impl AsyncRead + AsyncWrite + Unpin, answers: Arc<Mutex<Answer>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if socket.read_buf(&mut head).await.unwrap_or(0) == 0 {
            return;
        }
    }
    assert!(head.starts_with(b"GET /jwks.json HTTP/1.1\r\n"), "{head:?}");
    let answer = answers.lock().unwrap().clone();
    let _ = socket.write_all(&answer()).await;
    // Kept open: who waits for the end waits for ever.
    let _ = socket.read_buf(&mut head).await;
}

struct Key {
    pair: KeyPair,
    id: &'static str,
}

impl Key {
    fn new(id: &'static str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        Self { pair, id }
    }

    fn public(&self) -> Value {
        let x = base64(self.pair.public_key_raw());
        json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": self.id, "x": x})
    }

    /// A token for publishing on `a`.
    fn token(&self) -> String {
        let key = SigningKey::of_pem(self.pair.serialize_pem().as_bytes()).unwrap();
        let wish = Wish {
            publish: "a".parse().into_iter().collect(),
            lifetime: Duration::from_secs(3600),
            key_id: Some(self.id.into()),
            ..Wish::default()
        };
        mint(&key, &wish, &Rules::default()).unwrap()
    }
}

async fn publishes(address: SocketAddr, key: &Key) -> u16 {
    let bearer = format!("Bearer {}", key.token());
    let headers = [("authorization", bearer.as_str())];
    post_with(address, "/v1/channels/a", &headers, "x")
        .await
        .status
}

async fn gateway(database: &Database, provider: &Provider) -> TestGateway {
    TestGateway::with(database, &[("jwks-url", &provider.url())]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_change_and_nobody_can_make_the_gateway_ask_all_the_time() {
    let database = Database::new().await;
    let (old, new, evil) = (Key::new("old"), Key::new("new"), Key::new("evil"));
    let provider = Provider::start(None).await;
    provider.has(json!([old.public()]));
    let gateway = gateway(&database, &provider).await;
    assert_eq!(publishes(gateway.address, &old).await, 204);
    provider.has(json!([old.public(), new.public()]));
    // Unknown names, as fast as they can be said, for longer than the gap.
    let began = Instant::now();
    let mut ticks = interval(Duration::from_millis(20));
    while publishes(gateway.address, &new).await != 204 {
        assert_eq!(publishes(gateway.address, &evil).await, 401);
        assert!(
            began.elapsed() < Duration::from_secs(15),
            "the new key is found"
        );
        ticks.tick().await;
    }
    let most = 2 + began.elapsed().as_secs() as usize / 10;
    assert!(provider.asked() <= most, "{} of {most}", provider.asked());
    assert_eq!(publishes(gateway.address, &old).await, 204);
    assert_eq!(publishes(gateway.address, &evil).await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_away_is_waited_for_and_then_missed_by_nobody() {
    let database = Database::new().await;
    let key = Key::new("key");
    let provider = Provider::start(None).await;
    let gateway = gateway(&database, &provider).await;
    // It is not the token's fault: come back.
    assert_eq!(publishes(gateway.address, &key).await, 503);
    provider.has(json!([key.public()]));
    until("the keys are there", || async {
        publishes(gateway.address, &key).await == 204
    })
    .await;
    provider.serving.abort();
    assert_eq!(publishes(gateway.address, &key).await, 204);
    assert_eq!(publishes(gateway.address, &Key::new("other")).await, 401);
}

/// What could fill the memory, take for ever, or lead elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_has_an_end_and_is_no_other_ones() {
    let database = Database::new().await;
    let key = Key::new("key");
    let good = json!({"keys": [key.public()]}).to_string();
    let elsewhere = Provider::start(None).await;
    elsewhere.has(json!([key.public()]));
    let padded = format!("{good}{}", " ".repeat(256 << 10));
    let slow = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{{",
        good.len()
    );
    let redirect = format!(
        "HTTP/1.1 302 x\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n",
        elsewhere.url()
    );
    let answers = [
        ("too long", ok(&padded)),
        ("too slow", slow.into_bytes()),
        ("elsewhere", redirect.into_bytes()),
        ("no JSON", ok("<html>")),
        ("no keys", ok("{\"keys\":[]}")),
        ("no HTTP", b"SSH-2.0-x\r\n\r\n".to_vec()),
    ];
    let trials = answers.map(|(what, answer)| {
        let (database, key) = (&database, &key);
        async move {
            let provider = Provider::start(None).await;
            provider.answers(move || answer.clone());
            let gateway = gateway(database, &provider).await;
            assert_eq!(publishes(gateway.address, key).await, 503, "{what}");
            assert!(provider.asked() <= 2, "{what}");
        }
    });
    futures_util::future::join_all(trials).await;
    assert_eq!(elsewhere.asked(), 0);
}

/// A certificate authority, and its certificate for 127.0.0.1.
fn authority(folder: &TempDir) -> (String, TlsAcceptor) {
    let root_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.distinguished_name.push(DnType::CommonName, "the root");
    let root_certificate = root.self_signed(&root_key).unwrap();
    let issuer = Issuer::new(root, root_key);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let leaf = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    let path = folder.path().join("root.pem");
    std::fs::write(&path, root_certificate.pem()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = config.unwrap().with_no_client_auth();
    let config = config
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    (
        path.display().to_string(),
        TlsAcceptor::from(Arc::new(config)),
    )
}

/// `SSL_CERT_FILE` is where the system's trust can be named.
async fn process(database: &Database, provider: &Provider, trusted: &str) -> GatewayProcess {
    let url = format!("https://{}/jwks.json", provider.address);
    let variables = [
        ("PGFAN_JWKS_URL", url.as_str()),
        ("DATABASE_URL", &database.url),
        ("SSL_CERT_FILE", trusted),
    ];
    let gateway = GatewayProcess::with_variables(&variables).await;
    gateway.ready().await;
    gateway
}

#[tokio::test(flavor = "multi_thread")]
async fn over_https_only_from_whom_the_system_trusts() {
    let database = Database::new().await;
    let (folder, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (trusted, tls) = authority(&folder);
    let (untrusted, _) = authority(&other);
    let provider = Provider::start(Some(tls)).await;
    let key = Key::new("key");
    provider.has(json!([key.public()]));
    let good = process(&database, &provider, &trusted).await;
    until("the keys are there", || async {
        publishes(good.address, &key).await == 204
    })
    .await;
    let mut bad = process(&database, &provider, &untrusted).await;
    assert_eq!(publishes(bad.address, &key).await, 503);
    let line = bad.logged("no new keys for tokens").await;
    assert!(
        line.contains("place=127.0.0.1") && line.contains("invalid peer certificate"),
        "{line}"
    );
}
