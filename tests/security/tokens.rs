//! Tokens of all kinds.

use std::time::{Duration, SystemTime};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use serde_json::{Value, json};

/// Token secret of the gateways in these tests.
pub const SECRET: &str = "s3cret-canary-s3cret-canary-s3cret-canary";

/// The setting for it.
pub const WITH_TOKENS: (&str, &str) = ("token-secret", SECRET);

pub fn now() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap().as_secs().try_into().unwrap()
}

pub fn base64(text: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// A token of any header and claims, as texts.
pub fn signed(header: &str, claims: &str, secret: &[u8]) -> String {
    let message = format!("{}.{}", base64(header), base64(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let tag = hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", base64(tag))
}

pub fn with_claims(claims: &Value) -> String {
    signed(r#"{"alg":"HS256"}"#, &claims.to_string(), SECRET.as_bytes())
}

/// A token for reading and publishing these channels that outlasts every test.
pub fn token(channels: &[&str]) -> String {
    lasting(Duration::from_secs(3600), channels)
}

/// A token that expires at a whole second, not before `lifetime`.
pub fn lasting(lifetime: Duration, channels: &[&str]) -> String {
    let end = SystemTime::now() + lifetime;
    let end = end.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let exp = end.as_secs() + u64::from(end.subsec_nanos() > 0);
    let channels = json!({"subscribe": channels, "publish": channels});
    with_claims(&json!({"exp": exp, "pgfan": channels}))
}

/// A token with this `pgfan` claim, in JSON.
pub fn token_of(claim: &str) -> String {
    let claim: Value = serde_json::from_str(claim).unwrap();
    with_claims(&json!({"exp": now() + 3600, "pgfan": claim}))
}

/// A token that expired a minute ago.
pub fn expired(channels: &[&str]) -> String {
    let channels = json!({"subscribe": channels, "publish": channels});
    with_claims(&json!({"exp": now() - 60, "pgfan": channels}))
}

/// A token with good claims, signed with another secret.
pub fn forged(channels: &[&str]) -> String {
    let channels = json!({"subscribe": channels, "publish": channels});
    let claims = json!({"exp": now() + 3600, "pgfan": channels}).to_string();
    signed(r#"{"alg":"HS256"}"#, &claims, &[b'x'; 40])
}
