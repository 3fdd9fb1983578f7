//! Tokens of every make.

use std::time::{Duration, SystemTime};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use serde_json::{Value, json};

/// What the gateways of these tests check tokens with.
pub const SECRET: &str = "s3cret-canary-s3cret-canary-s3cret-canary";

/// The setting of it.
pub const WITH_TOKENS: (&str, &str) = ("token-secret", SECRET);

pub fn now() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap().as_secs().try_into().unwrap()
}

pub fn base64(text: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// Any header before any claims, as texts.
pub fn signed(header: &str, claims: &str, secret: &[u8]) -> String {
    let message = format!("{}.{}", base64(header), base64(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let tag = hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", base64(tag))
}

pub fn with_claims(claims: &Value) -> String {
    signed(r#"{"alg":"HS256"}"#, &claims.to_string(), SECRET.as_bytes())
}

/// For reading and publishing the same, as long as no test lasts.
pub fn token(channels: &[&str]) -> String {
    lasting(Duration::from_secs(3600), channels)
}

/// It ends at a whole second, no sooner than asked for.
pub fn lasting(lifetime: Duration, channels: &[&str]) -> String {
    let end = SystemTime::now() + lifetime;
    let end = end.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let exp = end.as_secs() + u64::from(end.subsec_nanos() > 0);
    let channels = json!({"subscribe": channels, "publish": channels});
    with_claims(&json!({"exp": exp, "pgfan": channels}))
}

/// With this as its `pgfan` claim, in JSON.
pub fn token_of(claim: &str) -> String {
    let claim: Value = serde_json::from_str(claim).unwrap();
    with_claims(&json!({"exp": now() + 3600, "pgfan": claim}))
}

/// It was good a minute ago.
pub fn expired(channels: &[&str]) -> String {
    let channels = json!({"subscribe": channels, "publish": channels});
    with_claims(&json!({"exp": now() - 60, "pgfan": channels}))
}

/// As good as a good one, but signed with another secret.
pub fn forged(channels: &[&str]) -> String {
    let channels = json!({"subscribe": channels, "publish": channels});
    let claims = json!({"exp": now() + 3600, "pgfan": channels}).to_string();
    signed(r#"{"alg":"HS256"}"#, &claims, &[b'x'; 40])
}
