//! Allowed origins: how browsers write them, and errors in them.

use http::Uri;

use super::rule::{Rule, refused};
use crate::transport::Origin;

/// A comma-separated list.
pub(super) fn origins(slot: &mut Vec<Origin>, text: &str) -> Result<(), Rule> {
    let origins = text.split(',').map(str::trim).map(origin);
    *slot = origins.collect::<Result<_, _>>()?;
    Ok(())
}

fn origin(text: &str) -> Result<Origin, Rule> {
    text.parse().map_err(|error| match written(text) {
        Some(written) => format!(
            "\"{written}\" is how browsers write it: scheme, host and port alone, in small letters, \
             without a `/` at the end and without a default port"
        )
        .into(),
        None => refused(text, reason(text).unwrap_or(&format!("{error}"))),
    })
}

/// The reason to refuse a wildcard or `null`.
fn reason(text: &str) -> Option<&'static str> {
    if text.contains('*') {
        return Some(
            "`*` is not taken: a page of any site could then use its visitors' cookies; name each \
             origin, like https://app.example,https://www.example",
        );
    }
    (text == "null").then_some(
        "every page in a sandbox, and every file, has the origin `null`; serve the page over http \
         and name its origin, like http://localhost:3000",
    )
}

/// The same origin as browsers write it (RFC 6454, section 6.2), without any user information,
/// which may hold a password.
fn written(text: &str) -> Option<String> {
    let uri = text.parse::<Uri>().ok()?;
    let scheme = uri.scheme_str()?.to_ascii_lowercase();
    let host = uri.host()?.to_ascii_lowercase();
    let default = if scheme == "https" { 443 } else { 80 };
    let port = uri.port_u16().filter(|port| *port != default);
    let port = port.map_or(String::new(), |port| format!(":{port}"));
    let written = format!("{scheme}://{host}{port}");
    let has_user = uri.authority()?.as_str().contains('@');
    (!has_user && written.parse::<Origin>().is_ok()).then_some(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> String {
        let mut slot = Vec::new();
        origins(&mut slot, text).expect_err(text).to_string()
    }

    #[test]
    fn a_near_miss_is_told_as_browsers_write_it() {
        for (text, written) in [
            ("https://app.example/", "https://app.example"),
            ("https://App.Example", "https://app.example"),
            ("HTTPS://app.example:443/x?y", "https://app.example"),
            ("http://localhost:3000/", "http://localhost:3000"),
            ("http://a, https://b/", "https://b"),
        ] {
            let rule = rule(text);
            let start = format!("\"{written}\" is how browsers write it");
            assert!(rule.starts_with(&start), "{rule}");
        }
    }

    #[test]
    fn a_star_is_refused_with_the_reason() {
        for text in ["*", "https://*.example", "http://a,*"] {
            assert!(rule(text).contains("`*` is not taken: "), "{text}");
        }
        assert!(rule("null").contains("has the origin `null`"));
        assert!(rule("app.example").starts_with("\"app.example\": not an origin"));
        for text in ["https://u:s3cret@h", "https://u:s3cret@h/", "ftp://s3cret"] {
            assert!(!rule(text).contains("s3cret"), "{text}");
        }
    }
}
