//! Reads the parent span from a payload: W3C Trace Context, level 1
//! (<https://www.w3.org/TR/trace-context-1/>), as members of a JSON object.

use std::time::SystemTime;

use serde::Deserialize;
use serde_json::Value;

use super::super::sent_at::timestamp;

/// A parent that was sampled; without one no span is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parent {
    pub(super) trace_id: [u8; 16],
    pub(super) span_id: [u8; 8],
    /// Unchanged; empty if it is missing or breaks a rule.
    pub(super) state: String,
}

/// Other members are ignored.
#[derive(Deserialize)]
struct Carrier {
    traceparent: Value,
    #[serde(default)]
    tracestate: Value,
    #[serde(default)]
    sent_at: Value,
}

/// The parent that a payload names, and when it was sent. A payload without the word costs a search
/// of its bytes. A context that breaks a rule is ignored, as the specification requires.
pub(super) fn of(payload: &str) -> Option<(Parent, Option<SystemTime>)> {
    // An array would be taken for the members in their order.
    if !payload.contains("\"traceparent\"") || !payload.trim_start().starts_with('{') {
        return None;
    }
    let carrier: Carrier = serde_json::from_str(payload).ok()?;
    let mut parent = parsed(carrier.traceparent.as_str()?)?;
    let state = carrier.tracestate.as_str().filter(|state| is_state(state));
    parent.state = state.unwrap_or_default().to_owned();
    Some((parent, carrier.sent_at.as_str().and_then(timestamp)))
}

/// Section 3.2: `version-trace_id-parent_id-flags`. A later version is read as far as it is known.
/// None also if the parent was not sampled.
fn parsed(text: &str) -> Option<Parent> {
    let mut parts = text.split('-');
    let [version] = hex(parts.next()?)?;
    let parent = Parent {
        trace_id: hex(parts.next()?)?,
        span_id: hex(parts.next()?)?,
        state: String::new(),
    };
    let [flags] = hex(parts.next()?)?;
    let is_whole = match version {
        0 => parts.next().is_none(),
        _ => version != 0xff,
    };
    let is_named = parent.trace_id != [0; 16] && parent.span_id != [0; 8];
    (is_whole && is_named && flags & 1 == 1).then_some(parent)
}

/// Exactly `N` bytes, in lower case.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// Section 3.3: at most 32 members. Every implementation has to pass on 512 characters; more is not
/// kept here.
fn is_state(text: &str) -> bool {
    let members = text
        .split(',')
        .map(|member| member.trim_matches([' ', '\t']));
    let is_key = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-*/@".contains(c);
    let is_value = |c: char| matches!(c, ' '..='~') && c != '=';
    let is_member = |member: &str| {
        let pair = member.split_once('=');
        member.is_empty()
            || pair.is_some_and(|(key, value)| {
                let begins = key.starts_with(|c: char| c.is_ascii_alphanumeric());
                begins
                    && key.chars().all(is_key)
                    && !value.is_empty()
                    && value.chars().all(is_value)
            })
    };
    text.len() <= 512 && members.clone().count() <= 32 && members.into_iter().all(is_member)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn state_of(payload: &str) -> Option<String> {
        of(payload).map(|(parent, _)| parent.state)
    }

    #[test]
    fn a_context_is_read_from_an_object() {
        let payload = format!(
            r#" {{"n": [{{}}], "sent_at": "1970-01-01T00:00:05Z", "traceparent": "{GOOD}",
            "tracestate": "congo=t61rcWkgMzE, rojo=1"}}"#
        );
        let (parent, sent_at) = of(&payload).unwrap();
        assert_eq!(parent.trace_id[..3], [0x4b, 0xf9, 0x2f]);
        assert_eq!(
            parent.span_id,
            [0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]
        );
        assert_eq!(parent.state, "congo=t61rcWkgMzE, rojo=1");
        let five = SystemTime::UNIX_EPOCH + Duration::from_secs(5);
        assert_eq!(sent_at, Some(five));
    }

    #[test]
    fn what_is_no_object_has_none() {
        for payload in [
            String::new(),
            GOOD.to_owned(),
            format!("\"traceparent\" {GOOD}"),
            format!(r#"["{GOOD}", "traceparent", null]"#),
            format!(r#"{{"a": {{"traceparent": "{GOOD}"}}}}"#),
            format!(r#"{{"traceparent": "{GOOD}""#),
            format!(r#"{{"traceparent": "{GOOD}", "traceparent": "{GOOD}"}}"#),
            format!(r#"{{"traceparent": ["{GOOD}"]}}"#),
            r#"{"traceparent": null}"#.to_owned(),
        ] {
            assert_eq!(of(&payload), None, "{payload}");
        }
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        for (text, is_good) in [
            (GOOD.to_owned(), true),
            (GOOD.replacen("00", "01", 1), true),
            (GOOD.replacen("00", "fe", 1) + "-what-comes", true),
            (GOOD.replacen("00", "fe", 1) + ".", false),
            (GOOD.replacen("00", "ff", 1), false),
            (GOOD.to_owned() + "-00", false),
            (GOOD.to_owned() + "-", false),
            (GOOD.to_owned() + " ", false),
            (GOOD.to_uppercase(), false),
            (GOOD.replace("-01", "-00"), false),
            (GOOD.replace("-01", "-fe"), false),
            (GOOD.replace("-01", "-ff"), true),
            (GOOD.replace("-01", "-1"), false),
            (GOOD.replace("-01", "-0g"), false),
            (GOOD.replace("-01", ""), false),
            (
                GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
                false,
            ),
            (GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)), false),
            (GOOD.replace("4bf", "bf"), false),
            (GOOD.replace("4bf", "é4"), false),
            (GOOD.replace('-', "_"), false),
        ] {
            assert_eq!(parsed(&text).is_some(), is_good, "{text}");
        }
    }

    #[test]
    fn a_state_that_breaks_a_rule_is_left_out_alone() {
        let long = format!("a={}", "b".repeat(511));
        let many = "a=b,".repeat(32) + "a=b";
        for (state, is_good) in [
            ("\"a=1\"", true),
            ("\"1a@b=x y\"", true),
            ("\"a=1,,b=2\"", true),
            ("\"A=1\"", false),
            ("\"a\"", false),
            ("\"a=\"", false),
            ("\"a=1=2\"", false),
            ("\"a=é\"", false),
            ("7", false),
            (&format!("\"{long}\""), false),
            (&format!("\"{many}\""), false),
        ] {
            let payload = format!(r#"{{"traceparent": "{GOOD}", "tracestate": {state}}}"#);
            let expected = if is_good { state.trim_matches('"') } else { "" };
            assert_eq!(state_of(&payload).as_deref(), Some(expected), "{state}");
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(trace: [u8; 16], span: [u8; 8], flags: u8) {
            prop_assume!(trace != [0; 16] && span != [0; 8]);
            let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
            let text = format!("00-{}-{}-{flags:02x}", hex(&trace), hex(&span));
            let expected = Parent { trace_id: trace, span_id: span, state: String::new() };
            prop_assert_eq!(parsed(&text), (flags & 1 == 1).then_some(expected));
        }

        #[test]
        fn nothing_else_makes_it_stumble(text in "[0-9a-f-]{0,60}|.{0,60}") {
            prop_assert!(parsed(&text).is_none() || text.len() >= 55);
        }
    }
}
