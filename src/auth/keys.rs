//! What signatures are checked with: each key with the algorithms it is for.
//! What a token's header says of keys and algorithms only chooses among them.

use std::fmt;

use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse},
};

use ring::digest::{SHA256, digest};

use super::crypto;

/// Keys of a set; an identity provider has two or three. More are refused.
const MAX_KEYS: usize = 100;

/// Bytes of a secret at the least: as long as the hash of HS256 (RFC 7518, section 3.2).
const MIN_SECRET: usize = 32;

/// Why a text holds no keys. The text itself is not repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Guessed too easily.
    #[error("a shared secret has at least 32 bytes")]
    ShortSecret,
    /// Whoever has it can make tokens; the gateway only checks them.
    #[error("holds a private key; the public one is needed, and enough")]
    Private,
    /// Not the PEM form of a public key.
    #[error("holds no public key of RSA, P-256, P-384 or Ed25519 as PEM")]
    NotPem,
    /// Not a private key in PEM form.
    #[error("holds no private key of RSA, P-256, P-384 or Ed25519 as PEM (PKCS #8)")]
    NotPrivatePem,
    /// RFC 7517.
    #[error("not a JWKS document (line {line}, column {column})")]
    NotJwks {
        /// Where, from 1.
        line: usize,
        /// Where, from 1.
        column: usize,
    },
    /// None that is for signatures and that pgfan knows.
    #[error("the JWKS document holds no public key for signatures that could be used")]
    NoneUsable,
    /// More than an identity provider has.
    #[error("the JWKS document holds more than {MAX_KEYS} keys")]
    TooMany,
}

/// A hash of a key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Print([u8; 16]);

impl fmt::Debug for Print {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Print(…)")
    }
}

impl Print {
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut half = [0; 16];
        half.copy_from_slice(&digest(&SHA256, bytes).as_ref()[..16]);
        Self(half)
    }
}

/// One key, and what it is for.
#[derive(Debug)]
pub(super) struct Key {
    id: Option<String>,
    /// Tells this key from every other one; shows nothing of it.
    pub(super) print: Print,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) decoding: DecodingKey,
}

/// All keys there are. Printing them shows no secret.
#[derive(Debug, Default)]
pub struct Keys(Vec<Key>);

impl Keys {
    /// One secret that both sides know.
    ///
    /// # Errors
    /// It is too short.
    pub fn of_secret(secret: &[u8]) -> Result<Self, KeyError> {
        if secret.len() < MIN_SECRET {
            return Err(KeyError::ShortSecret);
        }
        Ok(Self::one(
            Print::of(secret),
            DecodingKey::from_secret(secret),
            AlgorithmFamily::Hmac.algorithms(),
        ))
    }

    /// One public key (`-----BEGIN PUBLIC KEY-----`).
    ///
    /// # Errors
    /// It is none, or a private one.
    pub fn of_pem(text: &[u8]) -> Result<Self, KeyError> {
        let begins = |what: &[u8]| text.windows(what.len()).any(|window| window == what);
        if begins(b"PRIVATE KEY-----") {
            return Err(KeyError::Private);
        }
        if begins(b"CERTIFICATE-----") {
            return Err(KeyError::NotPem);
        }
        let print = Print::of(text.trim_ascii());
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

    /// The keys of a JWKS document (RFC 7517) that are for signatures; others
    /// stand in such documents too, and are left out.
    ///
    /// # Errors
    /// It is none, or has too many keys or none that can be used.
    pub fn of_jwks(text: &[u8]) -> Result<Self, KeyError> {
        let set: JwkSet = serde_json::from_slice(text).map_err(|error| KeyError::NotJwks {
            line: error.line(),
            column: error.column(),
        })?;
        if set.keys.len() > MAX_KEYS {
            return Err(KeyError::TooMany);
        }
        let keys: Vec<_> = set.keys.iter().filter_map(key).collect();
        if keys.is_empty() {
            return Err(KeyError::NoneUsable);
        }
        crypto::install();
        Ok(Self(keys))
    }

    fn one(print: Print, decoding: DecodingKey, algorithms: &[Algorithm]) -> Self {
        crypto::install();
        Self(vec![Key {
            id: None,
            print,
            algorithms: algorithms.to_vec(),
            decoding,
        }])
    }

    /// The key that a token names by `id`. One that stands alone needs no name.
    pub(super) fn find(&self, id: Option<&str>) -> Option<&Key> {
        match (self.0.as_slice(), id) {
            ([only], None) => Some(only),
            ([only], _) if only.id.is_none() => Some(only),
            (keys, Some(id)) => keys.iter().find(|key| key.id.as_deref() == Some(id)),
            _ => None,
        }
    }

    /// Whether a key is among them.
    pub(super) fn contains(&self, print: Print) -> bool {
        self.0.iter().any(|key| key.print == print)
    }

    /// Whether they are the same, in whatever order.
    pub(super) fn are(&self, others: &Self) -> bool {
        let within =
            |ours: &Self, theirs: &Self| ours.0.iter().all(|key| theirs.contains(key.print));
        within(self, others) && within(others, self)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A point that is not compressed (SEC 1, section 2.3.3).
const P256_POINT: usize = 65;
const P384_POINT: usize = 97;

/// A symmetric key is left out: what many may read is no secret.
fn key(jwk: &Jwk) -> Option<Key> {
    let of_its_type: &[Algorithm] = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => AlgorithmFamily::Rsa.algorithms(),
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => &[Algorithm::ES256],
            EllipticCurve::P384 => &[Algorithm::ES384],
            _ => return None,
        },
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            &[Algorithm::EdDSA]
        }
        _ => return None,
    };
    if !matches!(
        jwk.common.public_key_use,
        None | Some(PublicKeyUse::Signature)
    ) {
        return None;
    }
    let mut algorithms = of_its_type.to_vec();
    if let Some(named) = jwk.common.key_algorithm {
        let named = Algorithm::try_from(named).ok()?;
        algorithms.retain(|algorithm| *algorithm == named);
    }
    let decoding = DecodingKey::from_jwk(jwk).ok()?;
    let id = jwk.common.key_id.clone();
    let material = serde_json::to_vec(&(&id, &jwk.algorithm)).ok()?;
    (!algorithms.is_empty()).then_some(Key {
        id,
        print: Print::of(&material),
        algorithms,
        decoding,
    })
}
