//! The claims of a token, and the location of its channel permissions among them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, de::Error};
use serde_json::{Map, Value};

use super::{
    pattern::{Pattern, Patterns},
    subject::Subject,
    unique_keys::EachOnce,
};

/// Maximum number of patterns, for reading and for publishing each. Tokens rarely name
/// more than a few channels. A token with more is refused, because each connection
/// keeps its patterns.
const MAX_PATTERNS: usize = 100;

/// The word in a list of permissions. It has a prefix, because a bare `metrics` may
/// belong to another program.
const METRICS: &str = "pgfan:metrics";

/// The claims of a token, with unique names: of two claims with the same name, another
/// program might read the other one (RFC 7519, section 4).
#[derive(Debug)]
pub(super) struct Claims(Value);

impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match EachOnce::deserialize(deserializer)?.0 {
            claims @ Value::Object(_) => Ok(Self(claims)),
            _ => Err(D::Error::custom("claims are an object")),
        }
    }
}

/// Location of the channel permissions in the claims: a name or a JSON pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimPath(String);

/// The error of parsing a [`ClaimPath`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a claim's name, like pgfan, or a JSON pointer (RFC 6901), like /resource_access/pgfan/roles"
)]
pub struct ClaimPathError;

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Default for ClaimPath {
    fn default() -> Self {
        Self("pgfan".to_owned())
    }
}

impl FromStr for ClaimPath {
    type Err = ClaimPathError;

    fn from_str(text: &str) -> Result<Self, ClaimPathError> {
        if text.is_empty() || text == "/" {
            return Err(ClaimPathError);
        }
        Ok(Self(text.to_owned()))
    }
}

impl ClaimPath {
    /// The names along the path, unescaped (RFC 6901, section 4). A text that does not
    /// begin with a slash is a single name, whatever it contains: many claim names are
    /// URLs.
    fn names(&self) -> Vec<String> {
        match self.0.strip_prefix('/') {
            None => vec![self.0.clone()],
            Some(rest) => rest
                .split('/')
                .map(|name| name.replace("~1", "/").replace("~0", "~"))
                .collect(),
        }
    }

    /// Nests `value` at the end of the path.
    pub(super) fn around(&self, value: Value) -> Map<String, Value> {
        let mut names = self.names();
        let first = names.remove(0);
        let wrap = |inner, name: String| Value::Object(Map::from_iter([(name, inner)]));
        let inner = names.into_iter().rev().fold(value, wrap);
        Map::from_iter([(first, inner)])
    }
}

/// Reason why the channels of a token cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum GrantsError {
    #[error("its channels are neither an object, a list nor a text")]
    Shape,
    #[error("one of its channel patterns is none")]
    Pattern,
    #[error("it has more than {MAX_PATTERNS} channel patterns")]
    TooMany,
}

/// Channel patterns for reading and for publishing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Channels {
    pub(super) subscribe: Patterns,
    pub(super) publish: Patterns,
    /// Whether the token allows reading the gateway's metrics.
    pub(super) metrics: bool,
}

impl Claims {
    /// The subject of the token, if it has a `sub`.
    pub(super) fn subject(&self) -> Option<Subject> {
        let subject = self.get("sub")?;
        Some(Subject::named(self.0.get("iss"), subject))
    }

    /// A claim that is not `null`.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// The `exp` claim, in seconds since 1970.
    pub(super) fn expires(&self) -> Option<u64> {
        seconds(self.get("exp")?)
    }

    /// The channel permissions:
    /// `{"subscribe": ["a.*"], "publish": ["b"], "metrics": true}`, or a list of
    /// `subscribe:a.*`, `publish:b` and `pgfan:metrics` among
    /// other words, like roles and scopes. A text is such a list, separated by spaces.
    /// A token without channel permissions grants no channels.
    pub(super) fn channels(&self, path: &ClaimPath) -> Result<Channels, GrantsError> {
        let names = path.names();
        let at = |value: Option<&Value>| value.cloned().unwrap_or_default();
        let mut claim = Some(&self.0);
        for name in &names {
            claim = claim.and_then(|value| value.get(name));
        }
        match at(claim) {
            Value::Null => Ok(Channels::default()),
            Value::Object(object) => Ok(Channels {
                subscribe: patterns(words(&at(object.get("subscribe")))?.into_iter())?,
                publish: patterns(words(&at(object.get("publish")))?.into_iter())?,
                metrics: match object.get("metrics") {
                    None | Some(Value::Null) => false,
                    Some(Value::Bool(metrics)) => *metrics,
                    Some(_) => return Err(GrantsError::Shape),
                },
            }),
            list => {
                let words = words(&list)?;
                let of = |prefix: &str| {
                    let named = words.iter().filter_map(|word| word.strip_prefix(prefix));
                    patterns(named.map(str::to_owned))
                };
                Ok(Channels {
                    subscribe: of("subscribe:")?,
                    publish: of("publish:")?,
                    metrics: words.iter().any(|word| word == METRICS),
                })
            }
        }
    }
}

/// Reads a NumericDate. RFC 7519 allows fractions; `jsonwebtoken` checks the rounded
/// number.
pub(super) fn seconds(value: &Value) -> Option<u64> {
    let rounded = || value.as_f64().map(|seconds| seconds.round() as u64);
    value.as_u64().or_else(rounded)
}

fn words(value: &Value) -> Result<Vec<String>, GrantsError> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::String(text) => Ok(text.split_whitespace().map(str::to_owned).collect()),
        Value::Array(items) => {
            let texts = items.iter().map(|item| item.as_str().map(str::to_owned));
            texts.collect::<Option<_>>().ok_or(GrantsError::Shape)
        }
        _ => Err(GrantsError::Shape),
    }
}

fn patterns(words: impl Iterator<Item = String>) -> Result<Patterns, GrantsError> {
    let patterns = words.map(|word| word.parse::<Pattern>());
    let patterns: Vec<_> = patterns
        .collect::<Result<_, _>>()
        .map_err(|_| GrantsError::Pattern)?;
    if patterns.len() > MAX_PATTERNS {
        return Err(GrantsError::TooMany);
    }
    Ok(patterns.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channels(claims: &str, path: &str) -> Result<(String, String), GrantsError> {
        let claims: Claims = serde_json::from_str(claims).unwrap();
        let channels = claims.channels(&path.parse().unwrap())?;
        let text = |patterns: &Patterns| {
            let texts: Vec<_> = patterns.iter().map(ToString::to_string).collect();
            texts.join(" ")
        };
        Ok((text(&channels.subscribe), text(&channels.publish)))
    }

    fn is(subscribe: &str, publish: &str) -> Result<(String, String), GrantsError> {
        Ok((subscribe.to_owned(), publish.to_owned()))
    }

    #[test]
    fn channels_stand_where_identity_providers_put_such_things() {
        let table = [
            (
                r#"{"pgfan":{"subscribe":["a.*","b"],"publish":["c"]}}"#,
                "pgfan",
                is("a.* b", "c"),
            ),
            (r#"{"pgfan":{"subscribe":"a b"}}"#, "pgfan", is("a b", "")),
            (
                r#"{"scope":"openid subscribe:a.* publish:b email"}"#,
                "scope",
                is("a.*", "b"),
            ),
            (
                r#"{"resource_access":{"pgfan":{"roles":["subscribe:a","admin"]}}}"#,
                "/resource_access/pgfan/roles",
                is("a", ""),
            ),
            (
                r#"{"https://example.com/pgfan":["publish:b"]}"#,
                "https://example.com/pgfan",
                is("", "b"),
            ),
            (r#"{"a/b":{"~":["subscribe:c"]}}"#, "/a~1b/~0", is("c", "")),
            (r#"{"pgfan":null}"#, "pgfan", is("", "")),
            ("{}", "pgfan", is("", "")),
            ("{}", "/a/b", is("", "")),
            (r#"{"a":7}"#, "/a/b", is("", "")),
        ];
        for (claims, path, expected) in table {
            assert_eq!(channels(claims, path), expected, "{claims} {path}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_not_taken_for_less() {
        let many = format!(r#"{{"pgfan":{{"subscribe":{:?}}}}}"#, vec!["a"; 101]);
        let table = [
            (r#"{"pgfan":7}"#, GrantsError::Shape),
            (r#"{"pgfan":[7]}"#, GrantsError::Shape),
            (r#"{"pgfan":{"subscribe":{"a":1}}}"#, GrantsError::Shape),
            (r#"{"pgfan":{"subscribe":["ord*"]}}"#, GrantsError::Pattern),
            (r#"{"pgfan":["publish:"]}"#, GrantsError::Pattern),
            (&many, GrantsError::TooMany),
        ];
        for (claims, expected) in table {
            assert_eq!(channels(claims, "pgfan"), Err(expected), "{claims}");
        }
    }

    #[test]
    fn the_metrics_are_for_whom_the_token_says_so() {
        for (claims, expected) in [
            (r#"{"pgfan":{"metrics":true}}"#, Ok(true)),
            (r#"{"pgfan":{"metrics":false}}"#, Ok(false)),
            (r#"{"pgfan":{"subscribe":["**"]}}"#, Ok(false)),
            (r#"{"pgfan":{"metrics":"true"}}"#, Err(GrantsError::Shape)),
            (r#"{"pgfan":"subscribe:a pgfan:metrics"}"#, Ok(true)),
            (
                r#"{"pgfan":["metrics","subscribe:pgfan:metrics"]}"#,
                Ok(false),
            ),
        ] {
            let read: Claims = serde_json::from_str(claims).unwrap();
            let channels = read.channels(&ClaimPath::default());
            assert_eq!(channels.map(|c| c.metrics), expected, "{claims}");
        }
    }

    #[test]
    fn a_claim_stands_there_once() {
        assert!(serde_json::from_str::<Claims>(r#"{"a":1,"b":1}"#).is_ok());
        for twice in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":1}"#,
            r#"{"pgfan":{"subscribe":["a"],"subscribe":["b"]}}"#,
            r#"{"x":[{"y":{"a":1,"a":1}}]}"#,
        ] {
            assert!(serde_json::from_str::<Claims>(twice).is_err(), "{twice}");
        }
        let all = r#"{"a":[{"a":null,"b":true},-1,1.5,18446744073709551615,"a"]}"#;
        let claims: Claims = serde_json::from_str(all).unwrap();
        assert_eq!(claims.0.to_string(), all);
        assert!(serde_json::from_str::<Claims>(r#"["a"]"#).is_err());
    }

    #[test]
    fn what_is_put_at_the_end_of_a_way_is_found_there() {
        for path in ["pgfan", "/pgfan", "/a/b~1c/~0", "https://x/y"] {
            let path: ClaimPath = path.parse().unwrap();
            let claims = Claims(Value::Object(path.around("subscribe:a".into())));
            assert!(claims.channels(&path).unwrap().subscribe.iter().count() == 1);
        }
        for bad in ["", "/"] {
            assert_eq!(bad.parse::<ClaimPath>(), Err(ClaimPathError));
        }
    }
}
