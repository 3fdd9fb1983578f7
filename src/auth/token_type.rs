//! The `typ` of a token's header. An identity provider signs ID tokens and others
//! with the same key (RFC 8725, section 3.11); access tokens are `at+jwt` (RFC 9068).

use std::{fmt, str::FromStr};

/// A media type. Compared without regard to upper and lower case, and as if
/// `application/` stood before one without a slash (RFC 7515, section 4.1.9).
#[derive(Debug, Clone)]
pub struct TokenType(String);

/// The error of parsing a [`TokenType`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a media type, like at+jwt or application/at+jwt")]
pub struct TokenTypeError;

impl TokenType {
    /// Whether a header with this `typ` is of the type.
    pub(super) fn is(&self, typ: Option<&str>) -> bool {
        typ.is_some_and(|typ| subtype(typ).eq_ignore_ascii_case(subtype(&self.0)))
    }
}

impl PartialEq for TokenType {
    fn eq(&self, other: &Self) -> bool {
        self.is(Some(&other.0))
    }
}

impl Eq for TokenType {}

/// The text without `application/`, which is optional.
fn subtype(text: &str) -> &str {
    const APPLICATION: &str = "application/";
    match text.split_at_checked(APPLICATION.len()) {
        Some((start, rest)) if start.eq_ignore_ascii_case(APPLICATION) => rest,
        _ => text,
    }
}

impl fmt::Display for TokenType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TokenType {
    type Err = TokenTypeError;

    /// RFC 6838, section 4.2.
    fn from_str(text: &str) -> Result<Self, TokenTypeError> {
        let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
        let is_name = |name: &str| !name.is_empty() && name.bytes().all(is_of_name);
        let is_type = match text.split_once('/') {
            None => is_name(text),
            Some((kind, name)) => is_name(kind) && is_name(name),
        };
        match is_type {
            true => Ok(Self(text.to_owned())),
            false => Err(TokenTypeError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_application_make_no_difference() {
        for (wanted, typ, is) in [
            ("at+jwt", Some("at+jwt"), true),
            ("at+jwt", Some("AT+JWT"), true),
            ("at+jwt", Some("application/at+jwt"), true),
            ("at+jwt", Some("Application/AT+jwt"), true),
            ("application/at+jwt", Some("at+jwt"), true),
            ("APPLICATION/at+jwt", Some("application/AT+JWT"), true),
            ("at+jwt", None, false),
            ("at+jwt", Some(""), false),
            ("at+jwt", Some("JWT"), false),
            ("at+jwt", Some("at+jwt "), false),
            ("at+jwt", Some("text/at+jwt"), false),
            ("at+jwt", Some("application/application/at+jwt"), false),
            ("text/at+jwt", Some("at+jwt"), false),
            ("text/at+jwt", Some("TEXT/at+jwt"), true),
            ("at+jwt", Some("applicatioñ/at+jwt"), false),
        ] {
            let wanted: TokenType = wanted.parse().unwrap();
            assert_eq!(wanted.is(typ), is, "{wanted} {typ:?}");
        }
    }

    #[test]
    fn what_is_no_media_type_is_none() {
        for text in [
            "",
            "/",
            "application/",
            "/jwt",
            "a/b/c",
            "at jwt",
            "jwt,at+jwt",
            "jẃt",
        ] {
            assert_eq!(text.parse::<TokenType>(), Err(TokenTypeError), "{text}");
        }
    }
}
