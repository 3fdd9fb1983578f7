//! Checks of the claims before the signature is verified: verification takes more
//! than a millisecond (ES384), and a forged token costs its sender nothing. The
//! earlier answer tells the sender only about claims that it wrote itself.
//!
//! These checks can only refuse. `jsonwebtoken` checks all claims again after the
//! signature, and only that result grants anything.

use jsonwebtoken::get_current_timestamp;
use serde_json::Value;

use super::{
    claims::{Claims, seconds},
    token::{Rules, TokenError},
};

pub(super) fn refuse(claims: &Claims, rules: &Rules) -> Result<(), TokenError> {
    let (now, leeway) = (get_current_timestamp(), rules.leeway.as_secs());
    let expires = claims.expires().ok_or(TokenError::Claim("exp"))?;
    if expires < now.saturating_sub(leeway) {
        return Err(TokenError::Expired);
    }
    if let Some(begins) = claims.get("nbf") {
        let begins = seconds(begins).ok_or(TokenError::Claim("nbf"))?;
        if begins > now.saturating_add(leeway) {
            return Err(TokenError::NotYet);
        }
    }
    for (name, wanted, refused) in [
        ("aud", &rules.audience, TokenError::Audience),
        ("iss", &rules.issuer, TokenError::Issuer),
    ] {
        let Some(wanted) = wanted else { continue };
        let names = names(claims.get(name), wanted).ok_or(TokenError::Claim(name))?;
        if !names {
            return Err(refused);
        }
    }
    Ok(())
}

/// Whether the claim is `wanted`, or a list of texts with it; `None` for a claim
/// that is missing or of another type.
fn names(claim: Option<&Value>, wanted: &str) -> Option<bool> {
    match claim? {
        Value::String(text) => Some(text == wanted),
        Value::Array(texts) if texts.iter().all(Value::is_string) => {
            Some(texts.iter().any(|text| text == wanted))
        }
        _ => None,
    }
}
