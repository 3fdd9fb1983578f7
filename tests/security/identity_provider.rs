//! Keys of an identity provider and their rotation, with a server that sends the
//! answers of the test.

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
    tokens::{SECRET, base64, now, signed},
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
    // Requires the headers that gateways in front of some providers require.
    let text = String::from_utf8_lossy(&head).to_lowercase();
    let accept = "\r\naccept: application/json, application/jwk-set+json\r\n";
    let is_polite = text.contains("\r\nuser-agent: pgfan/") && text.contains(accept);
    let answer = match is_polite {
        true => answer(),
        false => b"HTTP/1.1 403 x\r\ncontent-length: 0\r\n\r\n".to_vec(),
    };
    let _ = socket.write_all(&answer).await;
    // Kept open: a client that waits for the end of the connection never
    // finishes.
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
    // Unknown key ids, at the highest rate, for longer than the minimum interval
    // between fetches.
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
    // Not an error of the token: the client should retry.
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

/// Answers that could fill the memory, take too long, or redirect to another
/// server.
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

/// `SSL_CERT_FILE` names the system's trusted authorities.
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

/// A provider migrates from a secret to its own keys; some of these are unusable.
#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_moves_from_a_secret_to_keys_of_its_own() {
    let database = Database::new().await;
    let key = Key::new("key");
    let provider = Provider::start(None).await;
    let odd = [
        json!("no object"),
        json!({"kty": "RSA", "kid": 7, "n": "AQAB", "e": "AQAB"}),
        json!({"kty": "AKP", "alg": "ML-DSA-44", "kid": "later\n"}),
        json!({"kty": "RSA", "alg": "RSA-OAEP", "use": "enc", "n": "AQAB", "e": "AQAB"}),
    ];
    let mut last = key.public();
    last["x5c"] = json!("a text, and no list");
    let keys = odd.into_iter().chain([last]).collect::<Vec<_>>();
    let body = format!("\u{feff}{}", json!({"keys": keys}));
    provider.answers(move || ok(&body));
    let url = provider.url();
    let previous = "the one before the s3cret-canary of today";
    let variables = [
        ("PGFAN_JWKS_URL", url.as_str()),
        ("PGFAN_TOKEN_SECRET", SECRET),
        ("PGFAN_TOKEN_SECRET_PREVIOUS", previous),
        ("DATABASE_URL", &database.url),
    ];
    let gateway = GatewayProcess::with_variables(&variables).await;
    gateway.ready().await;
    until("the keys are there", || async {
        publishes(gateway.address, &key).await == 204
    })
    .await;
    let claims = json!({"exp": now() + 3600, "pgfan": {"publish": ["a"]}}).to_string();
    for (secret, expected) in [
        (SECRET, 204),
        (previous, 204),
        ("a secret that was never one of this gateway", 401),
    ] {
        for head in [r#"{"alg":"HS256"}"#, r#"{"alg":"HS256","kid":"key"}"#] {
            let bearer = format!("Bearer {}", signed(head, &claims, secret.as_bytes()));
            let headers = [("authorization", bearer.as_str())];
            let answer = post_with(gateway.address, "/v1/channels/a", &headers, "x").await;
            assert_eq!(answer.status, expected, "{secret} {head}");
        }
    }
    assert_eq!(publishes(gateway.address, &Key::new("key")).await, 401);
    let log = gateway.stop().await.stderr;
    for (text, count) in [
        ("a key for tokens is left out: key 1 is not an object", 1),
        ("left out: key 2 has a `kid` that is not a text", 1),
        (
            r#"left out: key 3 (`kid` "later\n") is of a kind that is not supported"#,
            1,
        ),
        // Normal, and logged at debug level.
        ("left out: key 4", 0),
        (
            "PGFAN_TOKEN_SECRET, PGFAN_TOKEN_SECRET_PREVIOUS, PGFAN_JWKS_URL: tokens of each",
            1,
        ),
        ("s3cret-canary", 0),
    ] {
        assert_eq!(log.matches(text).count(), count, "{text}: {log}");
    }
}
