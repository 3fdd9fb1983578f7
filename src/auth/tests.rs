//! Tests with valid and with crafted tokens.

mod cost;
mod crafted;
mod documents;
mod forged;
mod rotation;
mod several;

use std::time::SystemTime;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, crypto::sign};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
use serde_json::{Value, json};

use super::*;
use crate::event::ChannelName;

const SECRET: &[u8] = b"a secret of thirty-two bytes, yes";
const RSA_PRIVATE: &str = include_str!("../../tests/security/keys/rsa.private.pem");
const RSA_PUBLIC: &str = include_str!("../../tests/security/keys/rsa.public.pem");

const MAX_TOKEN: usize = 32 << 10;

fn now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap().as_secs()
}

fn base64(text: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// Signs any header and claims, given as texts so that no library corrects them.
fn signed(header: &str, claims: &str, key: &EncodingKey, algorithm: Algorithm) -> String {
    crypto::install();
    let message = format!(
        "{}.{}",
        base64(header.as_bytes()),
        base64(claims.as_bytes())
    );
    let signature = sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}

fn of_secret(header: &Value, claims: &Value) -> String {
    let key = EncodingKey::from_secret(SECRET);
    signed(
        &header.to_string(),
        &claims.to_string(),
        &key,
        Algorithm::HS256,
    )
}

fn authenticator(keys: KeySource, rules: Rules) -> Authenticator {
    Authenticator::new(Config {
        keys: Some(keys),
        rules,
        anonymous: false,
        allow_publish: false,
        channels: Patterns::all(),
        max_token: MAX_TOKEN,
        turns: Turns::default(),
    })
}

fn by_secret(rules: Rules) -> Authenticator {
    authenticator(KeySource::fixed(Keys::of_secret(SECRET).unwrap()), rules)
}

fn wish(subscribe: &str) -> Wish {
    Wish {
        subscribe: subscribe.parse().into_iter().collect(),
        lifetime: Duration::from_secs(60),
        ..Wish::default()
    }
}

fn may_read(grant: &Grant, name: &str) -> bool {
    grant.may_subscribe(&ChannelName::new(name).unwrap())
}

#[tokio::test]
async fn what_is_minted_is_taken_with_every_kind_of_key() {
    let mut kinds = vec![(RSA_PRIVATE.to_owned(), RSA_PUBLIC.to_owned())];
    for kind in [
        &PKCS_ED25519,
        &PKCS_ECDSA_P256_SHA256,
        &PKCS_ECDSA_P384_SHA384,
    ] {
        let pair = KeyPair::generate_for(kind).unwrap();
        kinds.push((pair.serialize_pem(), pair.public_key_pem()));
    }
    for (private, public) in kinds {
        let key = SigningKey::of_pem(private.as_bytes()).unwrap();
        let token = mint(&key, &wish("orders.*"), &Rules::default()).unwrap();
        let keys = Keys::of_pem(public.as_bytes()).unwrap();
        let authenticator = authenticator(KeySource::fixed(keys), Rules::default());
        let grant = authenticator.with_token(&token, &()).await.unwrap();
        assert!(may_read(&grant, "orders.new"), "{public}");
        assert!(!may_read(&grant, "orders"), "{public}");
        // A gateway with another key refuses the token.
        let other = by_secret(Rules::default()).with_token(&token, &()).await;
        assert_eq!(other, Err(AuthError::Token));
        assert_eq!(
            Keys::of_pem(private.as_bytes()).err(),
            Some(KeyError::Private)
        );
    }
    let key = SigningKey::of_secret(SECRET);
    let token = mint(&key, &wish("**"), &Rules::default()).unwrap();
    let grant = by_secret(Rules::default())
        .with_token(&token, &())
        .await
        .unwrap();
    assert!(may_read(&grant, "orders.new.eu"));
}

#[tokio::test]
async fn all_algorithms_of_a_keys_kind_are_its_own() {
    let claims = json!({"exp": now() + 60}).to_string();
    let rsa = EncodingKey::from_rsa_pem(RSA_PRIVATE.as_bytes()).unwrap();
    let keys = || KeySource::fixed(Keys::of_pem(RSA_PUBLIC.as_bytes()).unwrap());
    use Algorithm::*;
    for algorithm in [RS256, RS384, RS512, PS256, PS384, PS512] {
        let token = signed(
            &format!(r#"{{"alg":"{algorithm:?}"}}"#),
            &claims,
            &rsa,
            algorithm,
        );
        let grant = authenticator(keys(), Rules::default())
            .with_token(&token, &())
            .await;
        assert!(grant.is_ok(), "{algorithm:?}");
    }
    let secret = EncodingKey::from_secret(SECRET);
    for algorithm in [HS256, HS384, HS512] {
        let token = signed(
            &format!(r#"{{"alg":"{algorithm:?}"}}"#),
            &claims,
            &secret,
            algorithm,
        );
        assert!(
            by_secret(Rules::default())
                .with_token(&token, &())
                .await
                .is_ok()
        );
    }
}

#[tokio::test]
async fn a_token_expires_at_its_second_and_the_leeway_after() {
    let header = json!({"alg": "HS256"});
    let exp = now() + 100;
    for (leeway, exp_claim) in [
        (0, json!(exp)),
        (60, json!(exp)),
        (0, json!(exp as f64 + 0.2)),
    ] {
        let rules = Rules {
            leeway: Duration::from_secs(leeway),
            ..Rules::default()
        };
        let token = of_secret(&header, &json!({"exp": exp_claim}));
        let grant = by_secret(rules).with_token(&token, &()).await.unwrap();
        let expected = SystemTime::UNIX_EPOCH + Duration::from_secs(exp + leeway);
        assert_eq!(grant.expires(), Some(expected));
    }
}

/// Even with the largest `exp`: a WebSocket reports the expiry to its client.
#[tokio::test]
async fn a_token_ends_when_a_date_can_be_written_still() {
    let last = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    let token = of_secret(&json!({"alg": "HS256"}), &json!({"exp": u64::MAX}));
    for leeway in [Duration::ZERO, Duration::from_secs(60)] {
        let rules = Rules {
            leeway,
            ..Rules::default()
        };
        let grant = by_secret(rules).with_token(&token, &()).await.unwrap();
        assert_eq!(grant.expires(), Some(last), "{leeway:?}");
    }
}

#[tokio::test]
async fn audience_and_issuer_are_checked_where_they_are_set() {
    let rules = Rules {
        audience: Some("pgfan".into()),
        issuer: Some("https://id.example".into()),
        ..Rules::default()
    };
    let header = json!({"alg": "HS256"});
    let exp = now() + 60;
    let good = "https://id.example";
    for (claims, expected) in [
        (json!({"exp": exp, "aud": "pgfan", "iss": good}), true),
        (
            json!({"exp": exp, "aud": ["other", "pgfan"], "iss": good}),
            true,
        ),
        (json!({"exp": exp, "aud": "other", "iss": good}), false),
        (json!({"exp": exp, "aud": 7, "iss": good}), false),
        (json!({"exp": exp, "iss": good}), false),
        (json!({"exp": exp, "aud": "pgfan"}), false),
        (
            json!({"exp": exp, "aud": "pgfan", "iss": "https://id.example/"}),
            false,
        ),
    ] {
        let token = of_secret(&header, &claims);
        let taken = by_secret(rules.clone())
            .with_token(&token, &())
            .await
            .is_ok();
        assert_eq!(taken, expected, "{claims}");
    }
    let token = of_secret(&header, &json!({"exp": exp, "aud": "any", "iss": "any"}));
    assert!(
        by_secret(Rules::default())
            .with_token(&token, &())
            .await
            .is_ok()
    );
}

/// The public half of a key in the form of RFC 8037.
fn jwk(pair: &KeyPair, id: &str, more: Value) -> Value {
    let mut jwk = json!({
        "kty": "OKP", "crv": "Ed25519", "kid": id, "x": base64(pair.public_key_raw()),
    });
    jwk.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    jwk
}

#[test]
fn of_a_jwks_document_only_what_checks_signatures_is_taken() {
    let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let secret = json!({"kty": "oct", "k": base64(SECRET), "kid": "s", "alg": "HS256"});
    let curve = json!({"kty": "EC", "crv": "secp256k1", "kid": "k", "x": "AA", "y": "AA"});
    let enc = jwk(&pair, "e", json!({"use": "enc"}));
    let other = jwk(&pair, "o", json!({"alg": "RS256"}));
    let good = jwk(
        &pair,
        "g",
        json!({"use": "sig", "alg": "EdDSA", "x5c": ["MA=="]}),
    );
    let keys = [&secret, &curve, &enc, &other, &good];
    let keys = Keys::of_jwks(json!({"keys": keys}).to_string().as_bytes()).unwrap();
    for (id, found) in [
        ("s", false),
        ("k", false),
        ("e", false),
        ("o", false),
        ("g", true),
    ] {
        // A single key needs no name, but a wrong name is an error.
        assert_eq!(keys.named(Some(id)).next().is_some(), found, "{id}");
    }
    assert!(keys.named(None).next().is_some());
    let of = |text: &str| Keys::of_jwks(text.as_bytes()).err();
    let none = json!({"keys": [secret, curve]}).to_string();
    let secret = "key 1 (`kid` \"s\") is a shared secret, which many may read here";
    let because = Some(secret.to_owned());
    assert_eq!(of(&none), Some(KeyError::NoneUsable(because)));
    assert_eq!(of(r#"{"keys":[]}"#), Some(KeyError::NoneUsable(None)));
    assert!(matches!(
        of("s3cret"),
        Some(KeyError::NotJwks { line: 1, .. })
    ));
    let many = json!({"keys": vec![good; 101]}).to_string();
    assert_eq!(of(&many), Some(KeyError::TooMany));
}

#[tokio::test]
async fn an_open_gateway_asks_for_nothing_and_a_closed_one_for_a_token() {
    let open = Authenticator::new(Config::open(false));
    assert!(may_read(&open.without_token().unwrap(), "a"));
    // A token of another program on the same host is ignored.
    assert!(open.with_token("no token at all", &()).await.is_ok());
    let closed = by_secret(Rules::default());
    assert_eq!(closed.without_token(), Err(AuthError::Required));
    assert_eq!(
        closed.with_token("no token at all", &()).await,
        Err(AuthError::Token)
    );
    assert_eq!(closed.with_ticket("none"), Err(AuthError::Ticket));
}

#[test]
fn nothing_that_is_printed_shows_a_secret() {
    let texts = [
        format!("{:?}", by_secret(Rules::default())),
        format!("{:?}", SigningKey::of_secret(SECRET)),
        format!("{:?}", SigningKey::of_pem(RSA_PRIVATE.as_bytes()).unwrap()),
    ];
    let bytes = format!("{:?}", SECRET);
    for text in texts {
        assert!(
            !text.contains("thirty") && !text.contains(&bytes[1..30]),
            "{text}"
        );
        assert!(!text.contains("48, 130"), "{text}");
    }
}
