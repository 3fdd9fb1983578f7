//! The subject of a token, for quotas.

use std::fmt;

use ring::digest::{SHA256, digest};
use serde_json::Value;

/// Identifies the subject of a token by a hash: tokens with the same `sub` and `iss`
/// have the same; a token without a `sub` is a subject of its own. The hash is long
/// enough that no collision can be found, and printing it reveals nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Subject([u8; 16]);

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Subject(…)")
    }
}

impl Subject {
    /// The subject of these claims. JSON text contains no NUL, so the boundary between
    /// the two names is unambiguous.
    pub(super) fn named(issuer: Option<&Value>, subject: &Value) -> Self {
        let issuer = issuer.map(Value::to_string).unwrap_or_default();
        Self::of(&format!("{issuer}\0{subject}"))
    }

    /// The subject of the token itself, without its signature: the holder of a token
    /// may be able to produce another valid signature.
    pub(super) fn of_token(token: &str) -> Self {
        let (signed, _) = token.rsplit_once('.').unwrap_or((token, ""));
        Self::of(signed)
    }

    /// The raw hash.
    pub fn id(self) -> [u8; 16] {
        self.0
    }

    /// The first half of the hash in hex, for log lines: does not reveal the `sub`, and
    /// can be computed from it.
    pub fn fingerprint(self) -> String {
        self.0[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    fn of(text: &str) -> Self {
        let mut half = [0; 16];
        half.copy_from_slice(&digest(&SHA256, text.as_bytes()).as_ref()[..16]);
        Self(half)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_is_one_with_its_issuer() {
        let (ann, issuer, other) = (json!("ann"), json!("https://a"), json!("https://b"));
        let named = Subject::named(Some(&issuer), &ann);
        assert_eq!(named, Subject::named(Some(&issuer), &ann));
        for other in [
            Subject::named(None, &ann),
            Subject::named(Some(&other), &ann),
            Subject::named(Some(&issuer), &json!("bob")),
            Subject::named(Some(&issuer), &json!(7)),
        ] {
            assert_ne!(named, other);
        }
    }

    #[test]
    fn another_signature_is_not_another_token() {
        let of = Subject::of_token;
        assert_eq!(of("head.claims.one"), of("head.claims.two"));
        assert_ne!(of("head.claims.one"), of("head.others.one"));
        assert_eq!(format!("{:?}", of("a.b.c")), "Subject(…)");
    }

    /// The command of the guide: `printf '"https://a"\0"ann"' | sha256sum`.
    #[test]
    fn the_fingerprint_can_be_computed_from_the_sub() {
        let named = Subject::named(Some(&json!("https://a")), &json!("ann"));
        assert_eq!(named.fingerprint(), "f53f578feb33ff00");
        let unsaid = Subject::named(None, &json!("ann"));
        assert_ne!(named.fingerprint(), unsaid.fingerprint());
    }
}
