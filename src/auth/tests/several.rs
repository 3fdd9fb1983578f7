//! Keys from several settings: a secret and its successor, and a provider that replaces
//! a secret by keys of its own.

use super::*;

const OTHER: &[u8] = b"another secret of thirty-two bytes or more";

fn by(secret: &[u8]) -> KeySource {
    KeySource::fixed(Keys::of_secret(secret).unwrap())
}

fn of_jwks(keys: &[Value]) -> KeySource {
    let document = json!({"keys": keys}).to_string();
    KeySource::fixed(Keys::of_jwks(document.as_bytes()).unwrap())
}

/// A token signed by any key, with any key name.
fn by_key(signing: &SigningKey, id: Option<&str>) -> String {
    let wish = Wish {
        key_id: id.map(str::to_owned),
        ..wish("a")
    };
    mint(signing, &wish, &Rules::default()).unwrap()
}

fn pair() -> (KeyPair, SigningKey) {
    let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let signing = SigningKey::of_pem(pair.serialize_pem().as_bytes()).unwrap();
    (pair, signing)
}

async fn is_taken(authenticator: &Authenticator, token: &str) -> bool {
    match authenticator.with_token(token, &()).await {
        Ok(_) => true,
        Err(AuthError::Token) => false,
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_token_of_each_secret_is_taken() {
    let both = authenticator(by(SECRET).and(by(OTHER)), Rules::default());
    for (secret, expected) in [
        (SECRET, true),
        (OTHER, true),
        (b"a third secret of thirty-two bytes or more", false),
    ] {
        for id in [None, Some("x")] {
            let token = by_key(&SigningKey::of_secret(secret), id);
            assert_eq!(is_taken(&both, &token).await, expected, "{id:?}");
        }
    }
}

/// The header selects the candidate keys; the key determines the algorithm.
#[tokio::test]
async fn beside_a_secret_each_key_keeps_its_algorithm() {
    let (ours, signing) = pair();
    let keys = of_jwks(&[jwk(&ours, "k", json!({}))]);
    let pem = KeySource::fixed(Keys::of_pem(RSA_PUBLIC.as_bytes()).unwrap());
    let all = authenticator(by(SECRET).and(keys).and(pem), Rules::default());
    let rsa = SigningKey::of_pem(RSA_PRIVATE.as_bytes()).unwrap();
    for (what, token, expected) in [
        (
            "the secret",
            by_key(&SigningKey::of_secret(SECRET), None),
            true,
        ),
        (
            "the secret, by the name of a key",
            by_key(&SigningKey::of_secret(SECRET), Some("k")),
            true,
        ),
        ("the provider's key", by_key(&signing, Some("k")), true),
        ("the PEM key", by_key(&rsa, None), true),
        (
            "another key of that name",
            by_key(&pair().1, Some("k")),
            false,
        ),
        (
            "a public key as a secret",
            by_key(&SigningKey::of_secret(RSA_PUBLIC.as_bytes()), None),
            false,
        ),
        (
            "the provider's public key as a secret",
            by_key(&SigningKey::of_secret(ours.public_key_raw()), Some("k")),
            false,
        ),
    ] {
        assert_eq!(is_taken(&all, &token).await, expected, "{what}");
    }
    let head = |algorithm: &str| json!({"alg": algorithm, "kid": "k"}).to_string();
    let claims = json!({"exp": now() + 60, "pgfan": {"subscribe": ["a"]}}).to_string();
    for algorithm in ["EdDSA", "RS256", "ES256", "none"] {
        let secret = EncodingKey::from_secret(SECRET);
        let token = signed(&head(algorithm), &claims, &secret, Algorithm::HS256);
        assert!(!is_taken(&all, &token).await, "{algorithm}");
    }
}

/// While one replaces the other and keeps its name.
#[tokio::test]
async fn of_two_keys_with_one_name_each_is_tried() {
    let [(one, by_one), (two, by_two)] = [pair(), pair()];
    let named = [jwk(&one, "k", json!({})), jwk(&two, "k", json!({}))];
    let both = authenticator(of_jwks(&named), Rules::default());
    for signing in [&by_one, &by_two] {
        assert!(is_taken(&both, &by_key(signing, Some("k"))).await);
        assert!(!is_taken(&both, &by_key(signing, Some("x"))).await);
        assert!(!is_taken(&both, &by_key(signing, None)).await);
    }
}

/// While the keys of the provider cannot be fetched, a removed secret is still refused.
#[tokio::test]
async fn what_cannot_be_had_keeps_nobody_out_and_nobody_in() {
    let nowhere = || KeySource::jwks_url(Url::parse("http://127.0.0.1:1/", false).unwrap());
    let config = |keys: KeySource| Config {
        keys: Some(keys),
        anonymous: false,
        ..Config::open(false)
    };
    let both = Authenticator::new(config(by(SECRET).and(nowhere())));
    let by_secret = by_key(&SigningKey::of_secret(SECRET), None);
    let grant = both.with_token(&by_secret, &()).await.unwrap();
    let by_provider = both.with_token(&by_key(&pair().1, Some("k")), &()).await;
    assert_eq!(by_provider, Err(AuthError::Unavailable));
    both.reload(config(by(SECRET).and(by(OTHER)).and(nowhere())));
    assert!(both.reauthorize(&grant).is_ok());
    both.reload(config(by(OTHER).and(nowhere())));
    assert_eq!(both.reauthorize(&grant), Err(AuthError::Token));
}
