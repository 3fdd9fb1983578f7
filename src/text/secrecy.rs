//! Whether a text that was given in the wrong place may be a secret: then an error does not repeat
//! it.

use std::path::Path;

/// Length of a part that may be a key: the shortest shared secret for tokens has as many bytes, and
/// keys in base64 have more.
const LONG: usize = 32;

/// A connection string, a URL with a password, a token or a key.
pub(crate) fn may_be_secret(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let named = ["pass", "pwd", "secret"]
        .iter()
        .any(|name| lower.contains(name));
    named || has_form_of_secret(text, &[' ', ','])
}

/// The content of a file in place of its path. Folders are called /run/secrets without holding a
/// secret in that name.
fn may_be_content(path: &str) -> bool {
    match path.contains('/') {
        true => has_form_of_secret(path, &['/']),
        false => may_be_secret(path),
    }
}

/// `path: `, or nothing if the path does not exist and may be the content of the file.
pub(crate) fn path_prefix(path: &Path) -> String {
    let text = path.to_string_lossy();
    match may_be_content(&text) && !path.exists() {
        true => String::new(),
        false => format!("{text}: "),
    }
}

/// `between` separates the parts of the text.
fn has_form_of_secret(text: &str, between: &[char]) -> bool {
    let lower = text.to_ascii_lowercase();
    let signs = ["://", "@", "-----", "eyj", "="];
    let is_key = |part: &str| part.len() >= LONG;
    signs.iter().any(|sign| lower.contains(sign)) || text.split(between).any(is_key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_their_form() {
        for secret in [
            "postgresql://u:s3cret@h/d",
            "host=h PASSWORD=s3cret",
            "Pwd s3cret",
            "user:s3cret@host",
            "eyJhbGciOiJI.s3cret",
            "-----BEGIN PRIVATE KEY-----",
            "0123456789abcdef0123456789abcdef",
        ] {
            assert!(may_be_secret(secret), "{secret}");
            assert!(may_be_content(secret), "{secret}");
        }
        for text in ["", "60s", "/etc/pgfan.toml", "orders.*", "1GB of memory"] {
            assert!(!may_be_secret(text) && !may_be_content(text), "{text}");
        }
        assert_eq!(path_prefix(Path::new("/run/secrets/x")), "/run/secrets/x: ");
        assert_eq!(path_prefix(Path::new("eyJhbGciOiJI.x.y")), "");
    }
}
