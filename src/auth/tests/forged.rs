//! Failed signatures: which tokens are verified at all, and how failures count.

use std::{
    future::poll_fn,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use tokio::time::{Instant, sleep};

use super::*;

/// The failures of one address.
#[derive(Default)]
struct Address {
    failed: AtomicUsize,
    /// Its limit is reached.
    is_over: AtomicBool,
}

impl Attempts for Address {
    fn may_try(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed)
    }

    fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }
}

impl Address {
    fn failed(&self) -> usize {
        self.failed.load(Ordering::Relaxed)
    }
}

struct Pair {
    key: EncodingKey,
    public: String,
}

impl Pair {
    fn new() -> Self {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        Self {
            key: EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap(),
            public: pair.public_key_pem(),
        }
    }

    fn keys(&self) -> KeySource {
        KeySource::fixed(Keys::of_pem(self.public.as_bytes()).unwrap())
    }

    fn authenticator(&self) -> Authenticator {
        authenticator(self.keys(), Rules::default())
    }

    fn signed(&self, header: &Value, claims: &Value) -> String {
        let (header, claims) = (header.to_string(), claims.to_string());
        signed(&header, &claims, &self.key, Algorithm::ES384)
    }

    fn good(&self) -> String {
        self.signed(&json!({"alg": "ES384"}), &json!({"exp": now() + 60}))
    }
}

/// The token with another signature of the same length.
fn forged(token: &str, number: u8) -> String {
    let (message, _) = token.rsplit_once('.').unwrap();
    format!("{message}.{}", base64(&[number; 96]))
}

/// Each fault that is found without the signature, with a signature that would fail.
#[tokio::test]
async fn what_a_token_says_is_refused_before_its_signature_is_looked_at() {
    let pair = Pair::new();
    let rules = Rules {
        audience: Some("pgfan".into()),
        issuer: Some("https://id.example".into()),
        token_type: Some("at+jwt".parse().unwrap()),
        ..Rules::default()
    };
    let authenticator = authenticator(pair.keys(), rules);
    let good_header = json!({"alg": "ES384", "typ": "at+jwt"});
    let good = json!({"exp": now() + 60, "aud": "pgfan", "iss": "https://id.example"});
    let with = |of: &Value, name: &str, value: Value| {
        let mut changed = of.clone();
        changed[name] = value;
        changed
    };
    let claim = |name, value| forged(&pair.signed(&good_header, &with(&good, name, value)), 7);
    let header = |name, value| forged(&pair.signed(&with(&good_header, name, value), &good), 7);
    let whole = pair.signed(&good_header, &good);
    let (message, _) = whole.rsplit_once('.').unwrap();
    let address = Address::default();
    for (what, token) in [
        ("expired", claim("exp", json!(now() - 5))),
        ("no end", claim("exp", json!(null))),
        ("an end that is none", claim("exp", json!("never"))),
        ("not yet", claim("nbf", json!(now() + 50))),
        ("a beginning that is none", claim("nbf", json!("now"))),
        ("another audience", claim("aud", json!(["a", "b"]))),
        (
            "an audience that is none",
            claim("aud", json!(["pgfan", 7])),
        ),
        ("no audience", claim("aud", json!(null))),
        (
            "another issuer",
            claim("iss", json!("https://evil.example")),
        ),
        ("no issuer", claim("iss", json!(null))),
        ("another type", header("typ", json!("JWT"))),
        ("no type", header("typ", json!(null))),
        ("another algorithm", header("alg", json!("ES256"))),
        (
            "a short signature",
            format!("{message}.{}", base64(&[7; 64])),
        ),
        (
            "a long signature",
            format!("{message}.{}", base64(&[7; 97])),
        ),
        ("no signature", format!("{message}.")),
    ] {
        let refused = authenticator.with_token(&token, &address).await;
        assert_eq!(refused, Err(AuthError::Token), "{what}");
        assert_eq!(address.failed(), 0, "{what}");
    }
    let refused = authenticator.with_token(&forged(&whole, 7), &address).await;
    assert_eq!((refused, address.failed()), (Err(AuthError::Token), 1));
    let taken = authenticator.with_token(&whole, &address).await;
    assert!(
        taken.is_ok() && address.failed() == 1,
        "what all differ from"
    );
}

#[tokio::test]
async fn a_signature_has_the_length_of_its_key_s() {
    let (secret, header) = (of_secret(&json!({"alg": "HS256"}), &json!({})), "HS256");
    let (message, _) = secret.rsplit_once('.').unwrap();
    let rsa = Keys::of_pem(RSA_PUBLIC.as_bytes()).unwrap();
    let rsa = rsa.named(None).next().unwrap().decoding.clone();
    assert_eq!(crypto::signature_bytes(Algorithm::RS256, &rsa), Some(256));
    assert_eq!(crypto::signature_bytes(Algorithm::PS512, &rsa), Some(256));
    let cut = format!("{message}.{}", base64(&[7; 31]));
    let refused = by_secret(Rules::default()).with_token(&cut, &()).await;
    assert_eq!(refused, Err(AuthError::Token), "{header}");
    let mut components = vec![0, 0xc3];
    components.resize(257, 7);
    let jwk = json!({"kty": "RSA", "n": base64(&components), "e": "AQAB", "kid": "k"});
    let keys = Keys::of_jwks(json!({"keys": [jwk]}).to_string().as_bytes()).unwrap();
    let key = keys.named(Some("k")).next().unwrap().decoding.clone();
    assert_eq!(crypto::signature_bytes(Algorithm::RS256, &key), Some(256));
}

#[tokio::test]
async fn a_forged_token_is_looked_at_once_until_the_keys_are_others() {
    let pair = Pair::new();
    let (authenticator, address) = (pair.authenticator(), Address::default());
    let token = forged(&pair.good(), 7);
    for _ in 0..3 {
        let refused = authenticator.with_token(&token, &address).await;
        assert_eq!((refused, address.failed()), (Err(AuthError::Token), 1));
    }
    authenticator.reload(Config {
        keys: Some(pair.keys()),
        ..Config::open(false)
    });
    let refused = authenticator.with_token(&token, &address).await;
    assert_eq!((refused, address.failed()), (Err(AuthError::Token), 2));
}

/// Failures of its neighbours do not lock it out.
#[tokio::test]
async fn a_token_that_was_good_has_its_turn_at_an_address_that_has_none() {
    let pair = Pair::new();
    let (authenticator, address) = (pair.authenticator(), Address::default());
    let (known, new) = (pair.good(), pair.good());
    assert_ne!(known, new, "a signature of ECDSA is another each time");
    assert!(authenticator.with_token(&known, &address).await.is_ok());
    address.is_over.store(true, Ordering::Relaxed);
    assert!(authenticator.with_token(&known, &address).await.is_ok());
    let refused = authenticator.with_token(&new, &address).await;
    assert_eq!(refused, Err(AuthError::TooMany));
    let elsewhere = authenticator.with_token(&new, &Address::default()).await;
    assert!(elsewhere.is_ok());
    // The token is still verified: without its key it is refused.
    authenticator.reload(Config {
        keys: Some(Pair::new().keys()),
        ..Config::open(false)
    });
    let refused = authenticator.with_token(&known, &address).await;
    assert_eq!(refused, Err(AuthError::Token));
}

/// While one key replaces the other, a good token may fail with the first.
#[tokio::test]
async fn a_good_token_of_the_second_key_is_not_counted() {
    let (first, second) = (Pair::new(), Pair::new());
    let keys = first.keys().and(second.keys());
    let authenticator = authenticator(keys, Rules::default());
    let address = Address::default();
    assert!(
        authenticator
            .with_token(&second.good(), &address)
            .await
            .is_ok()
    );
    assert_eq!(address.failed(), 0);
    let refused = authenticator
        .with_token(&forged(&first.good(), 7), &address)
        .await;
    assert_eq!((refused, address.failed()), (Err(AuthError::Token), 2));
}

/// The signature of a secret costs less than the rest of the request.
#[tokio::test]
async fn a_secret_waits_for_nobody() {
    let address = Address::default();
    address.is_over.store(true, Ordering::Relaxed);
    let good = of_secret(&json!({"alg": "HS256"}), &json!({"exp": now() + 60}));
    let authenticator = by_secret(Rules::default());
    assert!(authenticator.with_token(&good, &address).await.is_ok());
    let (message, _) = good.rsplit_once('.').unwrap();
    let forged = format!("{message}.{}", base64(&[7; 32]));
    let refused = authenticator.with_token(&forged, &address).await;
    assert_eq!((refused, address.failed()), (Err(AuthError::Token), 0));
}

/// With all permits taken, a token that needs one is refused after a time, and one
/// that needs none is answered at once.
#[tokio::test(start_paused = true)]
async fn a_token_waits_for_its_turn_and_not_for_ever() {
    let turns = Turns::default();
    let all = u32::try_from(
        std::thread::available_parallelism()
            .unwrap()
            .get()
            .div_ceil(2),
    );
    let semaphore = turns.permits();
    let held = semaphore.acquire_many(all.unwrap()).await.unwrap();
    let pair = Pair::new();
    let authenticator = Authenticator::new(Config {
        keys: Some(pair.keys()),
        anonymous: false,
        turns: turns.clone(),
        ..Config::open(false)
    });
    let good = pair.good();
    let refused = authenticator.with_token(&good, &()).await;
    assert_eq!(refused, Err(AuthError::Busy));
    let expired = pair.signed(&json!({"alg": "ES384"}), &json!({"exp": now() - 5}));
    let refused = authenticator.with_token(&expired, &()).await;
    assert_eq!(refused, Err(AuthError::Token));
    drop(held);
    assert!(authenticator.with_token(&good, &()).await.is_ok());
}

/// As after a restart: each of them takes a millisecond, and all of them longer than a
/// token waits.
#[tokio::test(start_paused = true)]
async fn a_crowd_of_handshakes_delays_no_token() {
    let turns = Turns::default();
    let crowd = 6000 * turns.permits().available_permits();
    for _ in 0..crowd {
        let mut handshake = turns.for_handshakes();
        tokio::spawn(async move {
            let turn = poll_fn(|cx| handshake.poll_turn(cx)).await;
            sleep(Duration::from_millis(1)).await;
            drop(turn);
        });
    }
    sleep(Duration::from_millis(10)).await;
    let pair = Pair::new();
    let authenticator = Authenticator::new(Config {
        keys: Some(pair.keys()),
        anonymous: false,
        turns,
        ..Config::open(false)
    });
    let begun = Instant::now();
    assert!(authenticator.with_token(&pair.good(), &()).await.is_ok());
    let waited = begun.elapsed();
    assert!(waited < Duration::from_millis(100), "{waited:?}");
}

/// Of many addresses, so that no rate of one of them ends it.
#[tokio::test(start_paused = true)]
async fn a_crowd_of_new_tokens_delays_none_that_was_good() {
    let (turns, pair) = (Turns::default(), Pair::new());
    let authenticator = Authenticator::new(Config {
        keys: Some(pair.keys()),
        anonymous: false,
        turns: turns.clone(),
        ..Config::open(false)
    });
    let (known, new) = (pair.good(), pair.good());
    assert!(authenticator.with_token(&known, &()).await.is_ok());
    for _ in 0..6000 * turns.permits().available_permits() {
        let turns = turns.clone();
        tokio::spawn(async move {
            let turn = turns.for_token(false).await;
            sleep(Duration::from_millis(1)).await;
            drop(turn);
        });
    }
    sleep(Duration::from_millis(10)).await;
    let begun = Instant::now();
    assert!(authenticator.with_token(&known, &()).await.is_ok());
    let waited = begun.elapsed();
    assert!(waited < Duration::from_millis(100), "{waited:?}");
    let refused = authenticator.with_token(&new, &()).await;
    assert_eq!(refused, Err(AuthError::Busy));
}
