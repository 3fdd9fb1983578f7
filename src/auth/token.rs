//! One token: a JWT (RFC 7519, RFC 8725), checked once for each connection. Cheap
//! checks come before the verification of its signature.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use jsonwebtoken::{
    AlgorithmFamily, Header, Validation, dangerous::insecure_decode_claims, decode, decode_header,
    errors::ErrorKind,
};
use serde_json::{Map, Value};

use super::{
    claims::{Channels, ClaimPath, Claims, GrantsError},
    crypto::signature_bytes,
    early,
    keys::{Key, KeyFingerprint, Keys},
    subject::Subject,
    token_type::TokenType,
    toll::Toll,
};

/// Maximum number of keys tried for one token. Several keys match only if they have the
/// same name, or no name, like a shared secret and its successor.
const MAX_TRIES: usize = 16;

/// 9999-12-31T23:59:59Z: the last moment that can be written as a date.
const LAST_SECOND: u64 = 253_402_300_799;

/// Required claims of a token, in addition to its expiry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// A required entry of `aud`.
    pub audience: Option<String>,
    /// The required `iss`.
    pub issuer: Option<String>,
    /// The required `typ`: providers sign ID tokens with the same key.
    pub token_type: Option<TokenType>,
    /// Tolerance for the clocks of token issuers: a token is valid this much longer and
    /// this much earlier.
    pub leeway: Duration,
    /// Location of the channel permissions.
    pub claim: ClaimPath,
}

/// Reason why a token is invalid. Only for the log, and without any text of the token;
/// clients get the same answer in all cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum TokenError {
    #[error("it is longer than --max-header-bytes")]
    TooLong,
    #[error("it is no JWT, or of an algorithm that is not known")]
    Malformed,
    #[error("its claims are no JSON object, or name a thing twice")]
    NoClaims,
    #[error("its header demands what is not understood (crit)")]
    Critical,
    #[error("it is of another type (typ), or of none")]
    Type,
    #[error("it names no key that is known")]
    UnknownKey,
    #[error("its algorithm is not its key's")]
    Algorithm,
    #[error("its signature is not its key's")]
    Signature,
    #[error("it has expired (exp)")]
    Expired,
    #[error("it is not valid yet (nbf)")]
    NotYet,
    #[error("it is for another audience (aud)")]
    Audience,
    #[error("it is of another issuer (iss)")]
    Issuer,
    #[error("its `{0}` is missing, or not of the type that it must have")]
    Claim(&'static str),
    #[error("{0}")]
    Grants(#[from] GrantsError),
    #[error("its key may be one that could not be fetched yet")]
    Missing,
    #[error("its address has sent too many with a wrong signature")]
    TooMany,
    #[error("it has waited too long for the verification of its signature")]
    Busy,
}

impl TokenError {
    /// Whether the token could be valid with another key.
    pub(super) fn is_of_key(&self) -> bool {
        matches!(self, Self::UnknownKey | Self::Algorithm | Self::Signature)
    }
}

/// A token whose header was parsed; nothing else was checked yet.
#[derive(Debug)]
pub(super) struct Unchecked<'a> {
    text: &'a str,
    header: Header,
}

/// A verified token and its permissions.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) channels: Channels,
    pub(super) subject: Subject,
    /// The key that verified the signature.
    pub(super) key: KeyFingerprint,
    /// Expiry, including the leeway.
    pub(super) expires: SystemTime,
}

impl<'a> Unchecked<'a> {
    pub(super) fn parse(text: &'a str, max_bytes: usize) -> Result<Self, TokenError> {
        if text.len() > max_bytes {
            return Err(TokenError::TooLong);
        }
        let header = decode_header(text).map_err(|_| TokenError::Malformed)?;
        // RFC 7515, section 4.1.11; pgfan supports no extensions.
        if header.crit.is_some() || names_crit(text) {
            return Err(TokenError::Critical);
        }
        Ok(Self { text, header })
    }

    /// Selects the key. No other part of the header does: the keys offered in `jku`,
    /// `jwk`, `x5u` and `x5c` are ignored.
    pub(super) fn key_id(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// Whether its header names an algorithm of shared secrets.
    pub(super) fn is_of_secret(&self) -> bool {
        self.header.alg.family() == AlgorithmFamily::Hmac
    }

    /// Checks the token with each key that may match.
    pub(super) async fn check(
        &self,
        keys: &[Arc<Keys>],
        rules: &Rules,
        toll: &mut Toll<'_>,
    ) -> Result<Checked, TokenError> {
        self.refuse_early(rules)?;
        let candidates = self.candidates(keys)?;
        for key in &candidates {
            let _turn = match self.is_of_secret() {
                true => None,
                false => Some(toll.turn().await?),
            };
            match self.check_with(key, rules) {
                Err(TokenError::Signature) => {}
                checked => return checked,
            }
        }
        if !self.is_of_secret() {
            toll.failed(candidates.len());
        }
        Err(TokenError::Signature)
    }

    /// Checks that need no signature. They can only refuse: all claims are checked
    /// again after the signature.
    fn refuse_early(&self, rules: &Rules) -> Result<(), TokenError> {
        let named = self.header.typ.as_deref();
        if rules
            .token_type
            .as_ref()
            .is_some_and(|wanted| !wanted.is(named))
        {
            return Err(TokenError::Type);
        }
        let claims = insecure_decode_claims(self.text).map_err(|_| TokenError::NoClaims)?;
        early::refuse(&claims, rules)
    }

    /// The keys to try. The header's algorithm only excludes keys, as does the length
    /// of the signature: a key is never used with an algorithm that is not its own.
    fn candidates<'k>(&self, keys: &'k [Arc<Keys>]) -> Result<Vec<&'k Key>, TokenError> {
        let named = keys.iter().flat_map(|keys| keys.named(self.key_id()));
        let named: Vec<_> = named.collect();
        if named.is_empty() {
            return Err(TokenError::UnknownKey);
        }
        let algorithm = self.header.alg;
        let fitting = named.into_iter();
        let fitting = fitting.filter(|key| key.algorithms.contains(&algorithm));
        let mut fitting = fitting.take(MAX_TRIES).peekable();
        if fitting.peek().is_none() {
            return Err(TokenError::Algorithm);
        }
        let (_, signature) = self.text.rsplit_once('.').unwrap_or_default();
        let may_be_its = |key: &&Key| {
            let bytes = signature_bytes(algorithm, &key.decoding);
            // In base64url without padding (RFC 7515, section 2).
            bytes.is_none_or(|bytes| signature.len() == (4 * bytes).div_ceil(3))
        };
        Ok(fitting.filter(may_be_its).collect())
    }

    /// Verifies the signature, with one of the key's algorithms, and then the claims.
    fn check_with(&self, key: &Key, rules: &Rules) -> Result<Checked, TokenError> {
        let mut validation = Validation::default();
        validation.algorithms.clone_from(&key.algorithms);
        validation.leeway = rules.leeway.as_secs();
        validation.validate_nbf = true;
        let mut required = vec!["exp"];
        // Only if configured: otherwise every token with an `aud` would be refused.
        validation.validate_aud = rules.audience.is_some();
        if let Some(audience) = &rules.audience {
            validation.set_audience(&[audience]);
            required.push("aud");
        }
        if let Some(issuer) = &rules.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        validation.set_required_spec_claims(&required);
        let decoded = decode::<Claims>(self.text, &key.decoding, &validation);
        let claims = decoded.map_err(|error| reason(error.kind()))?.claims;
        let seconds = claims
            .expires()
            .ok_or(TokenError::Claim("exp"))?
            .min(LAST_SECOND);
        let expires = Duration::from_secs(seconds) + rules.leeway;
        let expires = expires.min(Duration::from_secs(LAST_SECOND));
        Ok(Checked {
            channels: claims.channels(&rules.claim)?,
            subject: claims
                .subject()
                .unwrap_or_else(|| Subject::of_token(self.text)),
            key: key.print,
            expires: SystemTime::UNIX_EPOCH + expires,
        })
    }
}

/// Whether the header contains `crit`, with any value: `null` is parsed as if it were
/// missing.
fn names_crit(text: &str) -> bool {
    let head = text.split('.').next().unwrap_or_default();
    // Decoded as claims, which may have any name; only the names are used.
    let head = insecure_decode_claims::<Map<String, Value>>(format!("{head}.{head}."));
    head.is_ok_and(|head| head.contains_key("crit"))
}

fn reason(kind: &ErrorKind) -> TokenError {
    match kind {
        ErrorKind::InvalidSignature => TokenError::Signature,
        ErrorKind::InvalidAlgorithm | ErrorKind::MissingAlgorithm => TokenError::Algorithm,
        ErrorKind::ExpiredSignature => TokenError::Expired,
        ErrorKind::ImmatureSignature => TokenError::NotYet,
        ErrorKind::InvalidAudience => TokenError::Audience,
        ErrorKind::InvalidIssuer => TokenError::Issuer,
        ErrorKind::MissingRequiredClaim(name) | ErrorKind::InvalidClaimFormat(name) => {
            TokenError::Claim(known(name))
        }
        ErrorKind::Json(_) => TokenError::NoClaims,
        _ => TokenError::Malformed,
    }
}

/// Maps to the names of the checked claims; never returns text of the token.
fn known(name: &str) -> &'static str {
    let names = ["exp", "nbf", "aud", "iss", "sub"];
    names
        .into_iter()
        .find(|one| *one == name)
        .unwrap_or("claim")
}
