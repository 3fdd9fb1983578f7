//! Fuzz targets for tokens and channel patterns. See `crate::fuzz`.

use std::{
    sync::{Arc, LazyLock},
    time::{Duration, SystemTime},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::FutureExt;
use ring::hmac;
use serde_json::Value;

use super::{
    keys::Keys,
    pattern::{Pattern, Patterns},
    token::{Checked, Rules, TokenError, Unchecked},
    toll::Toll,
};
use crate::{event::ChannelName, turns::Turns};

const SECRET: &[u8] = b"a secret of thirty-two bytes, yes";

static KEYS: LazyLock<[Arc<Keys>; 1]> = LazyLock::new(|| {
    [Arc::new(
        Keys::of_secret(SECRET).expect("it is long enough"),
    )]
});

const MAX_BYTES: usize = 8 << 10;

/// Tolerance for two readings of the clock.
const MOMENT: Duration = Duration::from_secs(5);

/// Checks a raw token, which is accepted only with a valid signature; or, if the input
/// has two lines, a correctly signed token with these as header and claims.
pub(crate) fn token(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    try_one(text);
    if let Some((head, claims)) = text.split_once('\n') {
        let signed = format!("{}.{}", base64(head), base64(claims));
        let tag = hmac::sign(&key(), signed.as_bytes());
        try_one(&format!("{signed}.{}", base64(tag)));
    }
}

fn try_one(text: &str) {
    let Ok(unchecked) = Unchecked::parse(text, MAX_BYTES) else {
        return;
    };
    assert!(text.len() <= MAX_BYTES);
    if let Ok(checked) = check(&unchecked, &Rules::default()) {
        may_be_taken(text, &checked);
    }
    let rules = Rules {
        audience: Some("a".into()),
        issuer: Some("i".into()),
        ..Rules::default()
    };
    if let Ok(checked) = check(&unchecked, &rules) {
        let claims = may_be_taken(text, &checked);
        let is = |claim: &Value, wanted: &str| {
            let one_of = claim
                .as_array()
                .is_some_and(|all| all.contains(&wanted.into()));
            claim == wanted || one_of
        };
        assert!(
            is(&claims["aud"], "a") && is(&claims["iss"], "i"),
            "{claims}"
        );
    }
}

fn check(token: &Unchecked<'_>, rules: &Rules) -> Result<Checked, TokenError> {
    let turns = Turns::default();
    let mut toll = Toll::new(&(), &turns, false);
    let checked = token.check(&*KEYS, rules, &mut toll).now_or_never();
    checked.expect("a secret waits for no turn")
}

/// Checks an accepted token again, independently of the code under test.
fn may_be_taken(text: &str, checked: &Checked) -> Value {
    let (signed, tag) = text.rsplit_once('.').expect("a signature");
    let tag = URL_SAFE_NO_PAD.decode(tag).expect("it is base64");
    hmac::verify(&key(), signed.as_bytes(), &tag).expect("it is signed");
    let (head, claims) = signed.split_once('.').expect("two parts");
    let (head, claims) = (json(head), json(claims));
    assert_eq!(head["alg"], "HS256");
    assert!(head["crit"].is_null(), "{head}");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.expect("it is later").as_secs_f64();
    assert!(claims["exp"].as_f64().expect("a number") > now - MOMENT.as_secs_f64());
    let not_before = &claims["nbf"];
    let begun = not_before
        .as_f64()
        .is_some_and(|nbf| nbf < now + MOMENT.as_secs_f64());
    assert!(begun || not_before.is_null(), "{claims}");
    let said = claims["pgfan"].to_string();
    for patterns in [&checked.channels.subscribe, &checked.channels.publish] {
        assert!(patterns.iter().count() <= 100);
        for pattern in patterns.iter() {
            let quoted = Value::from(pattern.to_string()).to_string();
            assert!(
                said.contains(quoted.trim_matches('"')),
                "{pattern} is not in {said}"
            );
        }
    }
    claims
}

/// The first line is a pattern, the other lines are channel names.
pub(crate) fn pattern(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let mut lines = text.split('\n');
    let first = lines.next().unwrap_or_default();
    let Ok(pattern) = first.parse::<Pattern>() else {
        return assert!(first.is_empty() || first.len() > 63 || first.contains('*'));
    };
    assert_eq!(pattern.to_string(), first);
    let wanted: Vec<_> = first.split('.').collect();
    let patterns: Patterns = [pattern].into_iter().collect();
    for channel in lines.filter_map(|name| ChannelName::new(name).ok()) {
        let given: Vec<_> = channel.as_str().split('.').collect();
        assert_eq!(
            patterns.matches(&channel),
            is_meant(&wanted, &given),
            "{first} {channel:?}"
        );
    }
}

/// Matching as the README describes it.
fn is_meant(wanted: &[&str], given: &[&str]) -> bool {
    match wanted {
        [before @ .., "**"] => {
            given.len() > before.len() && is_meant(before, &given[..before.len()])
        }
        _ => {
            wanted.len() == given.len()
                && wanted.iter().zip(given).all(|(w, g)| *w == "*" || w == g)
        }
    }
}

fn key() -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, SECRET)
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn json(part: &str) -> Value {
    let text = URL_SAFE_NO_PAD.decode(part).expect("it is base64");
    serde_json::from_slice(&text).expect("it is JSON")
}
