//! Keys that verify signatures, each with its own algorithms. The key and algorithm in
//! a token's header only select among them.

use std::fmt;

use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use ring::digest::{SHA256, digest};
use serde::Deserialize;
use serde_json::Value;

use super::{
    crypto,
    jwk::{self, LeftOut},
};

/// Maximum number of keys in a set; an identity provider has two or three. A larger set
/// is refused.
const MAX_KEYS: usize = 100;

/// Minimum length of a secret in bytes: the length of the hash of HS256 (RFC 7518,
/// section 3.2).
const MIN_SECRET: usize = 32;

/// Reason why a text contains no keys. The text itself is not repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The secret is too easy to guess.
    #[error("a shared secret has at least 32 bytes")]
    ShortSecret,
    /// A private key can sign tokens; the gateway must only verify them.
    #[error("holds a private key; the public one is needed, and enough")]
    Private,
    /// The text is not a public key in PEM form.
    #[error("holds no public key of RSA, P-256, P-384 or Ed25519 as PEM")]
    NotPem,
    /// The text is not a private key in PEM form.
    #[error("holds no private key of RSA, P-256, P-384 or Ed25519 as PEM (PKCS #8)")]
    NotPrivatePem,
    /// The text is not a JWKS document (RFC 7517).
    #[error("not a JWKS document (line {line}, column {column})")]
    NotJwks {
        /// Line of the error, from 1.
        line: usize,
        /// Column of the error, from 1.
        column: usize,
    },
    /// The document has no signature key of a supported kind.
    #[error("the JWKS document holds no public key for signatures that could be used{}", because(.0))]
    NoneUsable(
        /// Description of the first entry.
        Option<String>,
    ),
    /// The document has more keys than an identity provider would.
    #[error("the JWKS document holds more than {MAX_KEYS} keys")]
    TooMany,
}

fn because(first: &Option<String>) -> String {
    first
        .as_ref()
        .map_or(String::new(), |first| format!(": {first}"))
}

/// Fingerprint of a key: a hash of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct KeyFingerprint([u8; 16]);

impl fmt::Debug for KeyFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Print(…)")
    }
}

impl KeyFingerprint {
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut half = [0; 16];
        half.copy_from_slice(&digest(&SHA256, bytes).as_ref()[..16]);
        Self(half)
    }
}

/// One key and its algorithms.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) id: Option<String>,
    /// Identifies the key without revealing anything of it.
    pub(super) print: KeyFingerprint,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) decoding: DecodingKey,
}

/// A set of keys. `Debug` shows no secret.
#[derive(Debug, Default)]
pub struct Keys {
    keys: Vec<Key>,
    /// Unused entries of the document.
    left_out: Vec<LeftOut>,
}

/// A JWKS document. Its other members are ignored (RFC 7517, section 5).
#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

/// Some programs write this before UTF-8, although JSON must not begin with it (RFC
/// 8259, section 8.1).
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

impl Keys {
    /// One shared secret.
    ///
    /// # Errors
    /// It is too short.
    pub fn of_secret(secret: &[u8]) -> Result<Self, KeyError> {
        if secret.len() < MIN_SECRET {
            return Err(KeyError::ShortSecret);
        }
        Ok(Self::one(
            KeyFingerprint::of(secret),
            DecodingKey::from_secret(secret),
            AlgorithmFamily::Hmac.algorithms(),
        ))
    }

    /// One public key (`-----BEGIN PUBLIC KEY-----`).
    ///
    /// # Errors
    /// The text is not a public key, or is a private one.
    pub fn of_pem(text: &[u8]) -> Result<Self, KeyError> {
        let begins = |what: &[u8]| text.windows(what.len()).any(|window| window == what);
        if begins(b"PRIVATE KEY-----") {
            return Err(KeyError::Private);
        }
        if begins(b"CERTIFICATE-----") {
            return Err(KeyError::NotPem);
        }
        let print = KeyFingerprint::of(text.trim_ascii());
        if let Ok(key) = DecodingKey::from_ed_pem(text) {
            return Ok(Self::one(print, key, AlgorithmFamily::Ed.algorithms()));
        }
        if let Ok(key) = DecodingKey::from_ec_pem(text) {
            let algorithm = match key.try_get_as_bytes().map(<[u8]>::len) {
                Ok(P256_POINT) => Algorithm::ES256,
                Ok(P384_POINT) => Algorithm::ES384,
                _ => return Err(KeyError::NotPem),
            };
            return Ok(Self::one(print, key, &[algorithm]));
        }
        let key = DecodingKey::from_rsa_pem(text).map_err(|_| KeyError::NotPem)?;
        Ok(Self::one(print, key, AlgorithmFamily::Rsa.algorithms()))
    }

    /// The signature keys of a JWKS document (RFC 7517). Entries for other purposes are
    /// valid in such documents, and are left out.
    ///
    /// # Errors
    /// The text is not a JWKS document, has too many keys, or has no usable key.
    pub fn of_jwks(text: &[u8]) -> Result<Self, KeyError> {
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        let document: Document =
            serde_json::from_slice(text).map_err(|error| KeyError::NotJwks {
                line: error.line(),
                column: error.column(),
            })?;
        if document.keys.len() > MAX_KEYS {
            return Err(KeyError::TooMany);
        }
        let (mut keys, mut left_out) = (Vec::new(), Vec::new());
        for (number, entry) in (1..).zip(&document.keys) {
            match jwk::key(entry) {
                Ok(key) => keys.push(key),
                Err(why) => left_out.push(LeftOut::new(number, entry, why)),
            }
        }
        if keys.is_empty() {
            let first = left_out.first().map(ToString::to_string);
            return Err(KeyError::NoneUsable(first));
        }
        crypto::install();
        Ok(Self { keys, left_out })
    }

    fn one(print: KeyFingerprint, decoding: DecodingKey, algorithms: &[Algorithm]) -> Self {
        crypto::install();
        let key = Key {
            id: None,
            print,
            algorithms: algorithms.to_vec(),
            decoding,
        };
        Self {
            keys: vec![key],
            left_out: Vec::new(),
        }
    }

    /// The keys with the name `id` of a token: two keys may have the same name while
    /// one replaces the other. A single key needs no name.
    pub(super) fn named(&self, id: Option<&str>) -> impl Iterator<Item = &Key> {
        let is_only = self.keys.len() == 1;
        self.keys.iter().filter(move |key| match (&key.id, id) {
            (None, _) | (_, None) => is_only,
            (Some(own), Some(id)) => own == id,
        })
    }

    /// Unused entries of the document.
    pub(super) fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// Whether the set contains this key.
    pub(super) fn contains(&self, print: KeyFingerprint) -> bool {
        self.keys.iter().any(|key| key.print == print)
    }

    /// Whether both sets contain the same keys, in any order.
    pub(super) fn are(&self, others: &Self) -> bool {
        let within =
            |ours: &Self, theirs: &Self| ours.keys.iter().all(|key| theirs.contains(key.print));
        within(self, others) && within(others, self)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// Length of an uncompressed point (SEC 1, section 2.3.3).
const P256_POINT: usize = 65;
const P384_POINT: usize = 97;
