//! Attack 12: forged tokens. There are more in `src/auth`; here each goes
//! through the whole gateway, and all answers are the same.

use serde_json::{Value, json};

use crate::{
    attempts::{Outcome, Wire, read},
    support::{Database, TestGateway, get},
    tokens::{SECRET, WITH_TOKENS, base64, now, signed, token},
};

const PUBLIC: &str = include_str!("keys/rsa.public.pem");
const PUBLIC_FILE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/security/keys/rsa.public.pem"
);

/// Claims that would grant everything in a correctly signed token.
fn claims() -> Value {
    json!({
        "exp": now() + 3600, "aud": "pgfan", "iss": "https://id.example",
        "pgfan": {"subscribe": ["**"]},
    })
}

/// A token without one claim, or with another value for it.
fn with(name: &str, value: Option<Value>) -> String {
    let mut claims = claims();
    let object = claims.as_object_mut().unwrap();
    match value {
        Some(value) => drop(object.insert(name.into(), value)),
        None => drop(object.remove(name)),
    }
    by_secret(json!({"alg": "HS256"}), &claims.to_string())
}

fn by_secret(header: Value, claims: &str) -> String {
    signed(&header.to_string(), claims, SECRET.as_bytes())
}

fn unsigned() -> String {
    format!(
        "{}.{}.",
        base64(r#"{"alg":"none"}"#),
        base64(claims().to_string())
    )
}

/// A token signed by a key of the attacker, to which its header points.
fn pointing(header: Value) -> String {
    signed(&header.to_string(), &claims().to_string(), &[b'e'; 32])
}

fn twice() -> String {
    let claims = claims().to_string();
    let twice = claims.replacen('{', r#"{"exp":1,"#, 1);
    by_secret(json!({"alg": "HS256"}), &twice)
}

fn tokens() -> [(&'static str, String); 12] {
    let good = claims().to_string();
    let own = json!({"kty": "oct", "k": base64([b'e'; 32]), "alg": "HS256", "kid": "e"});
    [
        ("no algorithm", unsigned()),
        (
            "the public key as a secret",
            signed(r#"{"alg":"HS256"}"#, &good, PUBLIC.as_bytes()),
        ),
        (
            "a path as the key's name",
            pointing(json!({"alg": "HS256", "kid": "../../dev/null"})),
        ),
        (
            "SQL as the key's name",
            pointing(json!({"alg": "HS256", "kid": "x' UNION SELECT 'e"})),
        ),
        (
            "keys elsewhere",
            pointing(json!({"alg": "HS256", "jku": "http://127.0.0.1:1/jwks"})),
        ),
        (
            "a key of its own",
            pointing(json!({"alg": "HS256", "jwk": own})),
        ),
        ("no end", with("exp", None)),
        ("not yet", with("nbf", Some(json!(now() + 3600)))),
        ("another audience", with("aud", Some(json!("other")))),
        (
            "another issuer",
            with("iss", Some(json!("https://evil.example"))),
        ),
        (
            "claims that are none",
            signed(r#"{"alg":"HS256"}"#, "[\"a\"]", SECRET.as_bytes()),
        ),
        ("an end that stands there twice", twice()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_12_twelve_tokens_and_the_same_answer() {
    let database = Database::new().await;
    let rules = [
        ("token-audience", "pgfan"),
        ("token-issuer", "https://id.example"),
    ];
    let mut gateways = Vec::new();
    for key in [WITH_TOKENS, ("token-key-file", PUBLIC_FILE)] {
        gateways.push(TestGateway::with(&database, &[&[key], &rules[..]].concat()).await);
    }
    let good = by_secret(json!({"alg": "HS256"}), &claims().to_string());
    let path = "/v1/sse?channel=a";
    let bearer = format!("Bearer {good}");
    let address = gateways[0].address;
    let headers = [("authorization", bearer.as_str())];
    let opened = crate::support::EventStream::try_open(address, path, &headers).await;
    assert!(opened.is_ok(), "what the others differ from");
    let mut answers = Vec::new();
    for gateway in &gateways {
        for (what, token) in tokens() {
            let bearer = format!("Bearer {token}");
            let answer = get(gateway.address, path, &[("authorization", &bearer)]).await;
            assert_eq!(
                (answer.status, answer.code()),
                (401, "unauthenticated".into()),
                "{what}"
            );
            assert_eq!(answer.header("www-authenticate"), "Bearer");
            answers.push(answer.body);
            for wire in [
                Wire::WebSocket,
                Wire::PgCacheWatch,
                Wire::Grpc,
                Wire::GrpcWeb,
            ] {
                let outcome = read(wire, gateway.address, Some(&token), "a", None, "last").await;
                let expected = match wire {
                    Wire::Grpc | Wire::GrpcWeb => tonic::Code::Unauthenticated as i32,
                    _ => 401,
                };
                assert_eq!(outcome, Outcome::Refused(expected), "{what} {wire:?}");
            }
        }
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "they tell what was wrong: {answers:?}");
}

/// Headers other than exactly one bearer token.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_single_bearer_token_is_none() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[WITH_TOKENS]).await;
    let (good, path) = (token(&["a"]), "/v1/channels/a");
    let (bearer, basic) = (format!("Bearer {good}"), format!("Basic {good}"));
    let (twice, bare) = (format!("Bearer {good}, Bearer {good}"), good.as_str());
    for headers in [
        &[("authorization", basic.as_str())][..],
        &[("authorization", bare)],
        &[("authorization", &twice)],
        &[("authorization", "Bearer ")],
        &[("authorization", &bearer), ("authorization", &bearer)],
        &[("x-authorization", &bearer)],
        &[("proxy-authorization", &bearer)],
    ] {
        let answer = crate::support::post_with(gateway.address, path, headers, "x").await;
        assert_eq!(answer.status, 401, "{headers:?}");
    }
}
