//! One entry of a JWKS document (RFC 7517). One that cannot be used is left out,
//! and the others are used (section 5): identity providers publish keys for other
//! purposes, of new kinds, and sometimes a broken one.

use std::fmt;

use base64_bytes::length_in_bits;
use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk},
};
use serde_json::{Map, Value};

use super::keys::{Key, KeyFingerprint};

/// Bits of the RSA moduli that `ring` takes.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// Bytes of a text of the document that are logged.
const MAX_SHOWN: usize = 40;

/// Reason why an entry is not used. Texts of the document are escaped and short.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unused {
    #[error("is not an object")]
    NoObject,
    #[error("has a `{0}` that is not a text")]
    NoText(&'static str),
    #[error("is for another purpose than signatures")]
    OtherUse,
    #[error("has an `alg` that is none of its kind of key")]
    OtherAlgorithm,
    #[error("is a shared secret, which many may read here")]
    Secret,
    #[error("is of a kind that is not supported (`kty` {0}, `crv` {1})")]
    Kind(String, String),
    #[error("has {0} bits, and RSA keys have 2048 to 8192")]
    Size(usize),
    #[error("has a part that is missing or cannot be read")]
    Material,
}

impl Unused {
    /// Whether valid documents also contain such entries.
    fn is_usual(&self) -> bool {
        matches!(self, Self::OtherUse | Self::OtherAlgorithm)
    }
}

/// An unused entry and its position in the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LeftOut {
    /// Position, from 1.
    number: usize,
    id: Option<String>,
    why: Unused,
}

impl LeftOut {
    pub(super) fn new(number: usize, entry: &Value, why: Unused) -> Self {
        let id = entry.get("kid").and_then(Value::as_str).map(shown);
        Self { number, id, why }
    }

    /// Whether it is logged as a warning.
    pub(super) fn is_fault(&self) -> bool {
        !self.why.is_usual()
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, id, why } = self;
        match id {
            Some(id) => write!(f, "key {number} (`kid` {id}) {why}"),
            None => write!(f, "key {number} {why}"),
        }
    }
}

/// A text of the document, escaped and shortened for a log line.
fn shown(text: &str) -> String {
    let end = text
        .char_indices()
        .nth(MAX_SHOWN)
        .map_or(text.len(), |(end, _)| end);
    format!("\"{}\"", text[..end].escape_default())
}

/// The members used to verify a signature. Others, such as `x5c` and `x5u`, are not
/// read and may have any value.
const READ: [&str; 10] = [
    "kty", "crv", "n", "e", "x", "y", "kid", "alg", "use", "key_ops",
];

/// The members whose values are texts (section 4).
const TEXTS: [&str; 9] = ["kty", "crv", "n", "e", "x", "y", "kid", "alg", "use"];

pub(super) fn key(entry: &Value) -> Result<Key, Unused> {
    let object = entry.as_object().ok_or(Unused::NoObject)?;
    let of = |name: &str| object.get(name).filter(|value| !value.is_null());
    for name in TEXTS {
        if of(name).is_some_and(|value| !value.is_string()) {
            return Err(Unused::NoText(name));
        }
    }
    let text = |name: &str| of(name).and_then(Value::as_str);
    if text("use").is_some_and(|purpose| purpose != "sig") || !may_verify(of("key_ops")) {
        return Err(Unused::OtherUse);
    }
    let of_its_kind: &[Algorithm] = match (text("kty"), text("crv")) {
        (Some("RSA"), _) => AlgorithmFamily::Rsa.algorithms(),
        (Some("EC"), Some("P-256")) => &[Algorithm::ES256],
        (Some("EC"), Some("P-384")) => &[Algorithm::ES384],
        (Some("OKP"), Some("Ed25519")) => &[Algorithm::EdDSA],
        (Some("oct"), _) => return Err(Unused::Secret),
        (kty, crv) => {
            let [kty, crv] = [kty, crv].map(|name| name.map_or("missing".into(), shown));
            return Err(Unused::Kind(kty, crv));
        }
    };
    let mut algorithms = of_its_kind.to_vec();
    if let Some(named) = text("alg") {
        algorithms.retain(|algorithm| format!("{algorithm:?}") == named);
    }
    if algorithms.is_empty() {
        return Err(Unused::OtherAlgorithm);
    }
    let read = READ
        .iter()
        .filter(|name| !["alg", "use", "key_ops"].contains(*name));
    let read = read.filter_map(|name| Some(((*name).to_owned(), of(name)?.clone())));
    let read: Map<String, Value> = read.collect();
    let jwk: Jwk = serde_json::from_value(read.into()).map_err(|_| Unused::Material)?;
    check_size(&jwk.algorithm)?;
    let decoding = DecodingKey::from_jwk(&jwk).map_err(|_| Unused::Material)?;
    let id = jwk.common.key_id.clone();
    let material = serde_json::to_vec(&(&id, &jwk.algorithm)).map_err(|_| Unused::Material)?;
    Ok(Key {
        id,
        print: KeyFingerprint::of(&material),
        algorithms,
        decoding,
    })
}

/// RFC 7517, section 4.3.
fn may_verify(operations: Option<&Value>) -> bool {
    match operations {
        None => true,
        Some(Value::Array(operations)) => operations.iter().any(|one| one == "verify"),
        Some(_) => false,
    }
}

/// Checks the size: a key of another length would be accepted but could not verify
/// anything.
fn check_size(parameters: &AlgorithmParameters) -> Result<(), Unused> {
    let bits = |text: &str| length_in_bits(text).ok_or(Unused::Material);
    let fits = match parameters {
        AlgorithmParameters::RSA(key) => {
            let size = bits(&key.n)?;
            if !RSA_BITS.contains(&size) {
                return Err(Unused::Size(size));
            }
            (2..=33).contains(&bits(&key.e)?)
        }
        AlgorithmParameters::EllipticCurve(key) => {
            let characters = match key.curve {
                EllipticCurve::P256 => 43,
                _ => 64,
            };
            let fits = |part: &str| Ok(part.len() == characters && bits(part)? > 0);
            fits(&key.x)? && fits(&key.y)?
        }
        AlgorithmParameters::OctetKeyPair(key) => key.x.len() == 43 && bits(&key.x)? > 0,
        _ => false,
    };
    match fits {
        true => Ok(()),
        false => Err(Unused::Material),
    }
}

/// base64url without padding (RFC 4648, section 5), as far as needed here.
mod base64_bytes {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    /// Bit length of the number that `text` encodes, without its leading zeros.
    pub(super) fn length_in_bits(text: &str) -> Option<usize> {
        let value = |byte: u8| ALPHABET.iter().position(|one| *one == byte);
        let values: Vec<_> = text.bytes().map(value).collect::<Option<_>>()?;
        let whole = values.len() * 6 / 8 * 8;
        if values.len() % 4 == 1 {
            return None;
        }
        let first = values.iter().position(|value| *value != 0)?;
        let zeros = first * 6 + (values[first].leading_zeros() - (usize::BITS - 6)) as usize;
        whole.checked_sub(zeros)
    }
}
