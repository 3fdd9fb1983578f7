//! Tokens for development; in production an identity provider issues them.

use std::time::{Duration, SystemTime};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Map, Value, json};

use super::{crypto, keys::KeyError, pattern::Patterns, token::Rules};

/// A key that signs tokens. `Debug` shows no secret.
#[derive(Debug)]
pub struct SigningKey {
    algorithm: Algorithm,
    encoding: EncodingKey,
}

/// The error of a failed signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key cannot sign a token")]
pub struct MintError;

impl SigningKey {
    /// A secret that is shared with the gateway (HS256).
    pub fn of_secret(secret: &[u8]) -> Self {
        crypto::install();
        Self {
            algorithm: Algorithm::HS256,
            encoding: EncodingKey::from_secret(secret),
        }
    }

    /// A private key (`-----BEGIN PRIVATE KEY-----`) for EdDSA, ES256, ES384 or RS256,
    /// depending on the key.
    ///
    /// # Errors
    /// The text is not such a key.
    pub fn of_pem(text: &[u8]) -> Result<Self, KeyError> {
        crypto::install();
        let candidates = [
            (Algorithm::EdDSA, EncodingKey::from_ed_pem(text)),
            (Algorithm::ES256, EncodingKey::from_ec_pem(text)),
            (Algorithm::ES384, EncodingKey::from_ec_pem(text)),
            (Algorithm::RS256, EncodingKey::from_rsa_pem(text)),
        ];
        let keys = candidates.into_iter().filter_map(|(algorithm, encoding)| {
            let encoding = encoding.ok()?;
            Some(Self {
                algorithm,
                encoding,
            })
        });
        // The PEM form identifies neither the curve nor whether the key is complete.
        let mut signing =
            keys.filter(|key| key.sign(&Header::new(key.algorithm), &json!({})).is_ok());
        signing.next().ok_or(KeyError::NotPrivatePem)
    }

    fn sign(&self, header: &Header, claims: &Value) -> Result<String, MintError> {
        encode(header, claims, &self.encoding).map_err(|_| MintError)
    }
}

/// The requested contents of a token.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// Channels that may be read.
    pub subscribe: Patterns,
    /// Channels that may be published on.
    pub publish: Patterns,
    /// Whether the token allows reading the gateway's metrics.
    pub metrics: bool,
    /// Time until the token expires.
    pub lifetime: Duration,
    /// Name of the key in a JWKS document.
    pub key_id: Option<String>,
}

impl Wish {
    /// Whether the token would permit nothing.
    pub fn is_empty(&self) -> bool {
        let no_channels = |patterns: &Patterns| patterns.iter().next().is_none();
        no_channels(&self.subscribe) && no_channels(&self.publish) && !self.metrics
    }
}

/// Signs a token that a gateway with these rules accepts.
///
/// # Errors
/// The key cannot sign.
pub fn mint(key: &SigningKey, wish: &Wish, rules: &Rules) -> Result<String, MintError> {
    let texts = |patterns: &Patterns| patterns.iter().map(ToString::to_string).collect::<Vec<_>>();
    let channels = json!({
        "subscribe": texts(&wish.subscribe),
        "publish": texts(&wish.publish),
        "metrics": wish.metrics,
    });
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.unwrap_or_default();
    let mut claims: Map<String, Value> = rules.claim.around(channels);
    claims.insert("iat".into(), now.as_secs().into());
    claims.insert("exp".into(), (now + wish.lifetime).as_secs().into());
    if let Some(audience) = &rules.audience {
        claims.insert("aud".into(), audience.as_str().into());
    }
    if let Some(issuer) = &rules.issuer {
        claims.insert("iss".into(), issuer.as_str().into());
    }
    let mut header = Header::new(key.algorithm);
    header.kid.clone_from(&wish.key_id);
    if let Some(token_type) = &rules.token_type {
        header.typ = Some(token_type.to_string());
    }
    key.sign(&header, &Value::Object(claims))
}
