//! The client's token.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::PathBuf,
};

use http::HeaderValue;

use crate::text::path_prefix;

/// Limit of a token file, far more than any token: a device file would otherwise be
/// read without end.
const MAX_BYTES: u64 = 64 << 10;

/// Source of the token. A file is read for each connection, because the token may
/// have been renewed.
#[derive(Clone, Default)]
pub enum Token {
    /// No token.
    #[default]
    None,
    /// The token itself.
    Text(String),
    /// A file that contains only the token.
    File(PathBuf),
}

/// Error of a missing or invalid token. Never contains the token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("the token file cannot be read: {}{error}", path_prefix(.0), error = .1)]
    File(PathBuf, io::Error),
    /// RFC 6750, section 2.1.
    #[error("the token is not one line of visible ASCII characters")]
    Malformed,
}

impl Token {
    /// `Authorization: Bearer …`, if there is a token.
    ///
    /// # Errors
    /// The token cannot be read, or is not valid in a header.
    pub fn header(&self) -> Result<Option<HeaderValue>, TokenError> {
        let text = match self {
            Self::None => return Ok(None),
            Self::Text(text) => text.clone(),
            Self::File(path) => {
                let mut text = String::new();
                let file = File::open(path).map(|file| file.take(MAX_BYTES));
                file.and_then(|mut file| file.read_to_string(&mut text))
                    .map_err(|error| TokenError::File(path.clone(), error))?;
                text
            }
        };
        let token = text.trim();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenError::Malformed);
        }
        let value = HeaderValue::try_from(format!("Bearer {token}"));
        let mut value = value.map_err(|_| TokenError::Malformed)?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

impl fmt::Debug for Token {
    /// Does not print the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Text(_) => "Text",
            Self::File(_) => "File",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_word() {
        let header = |text: &str| Token::Text(text.to_owned()).header();
        let value = header(" e30.e30.abc\n").unwrap().unwrap();
        assert_eq!(value, "Bearer e30.e30.abc");
        assert!(value.is_sensitive());
        for text in ["", "\n", "a b", "a\nb", "é"] {
            assert!(matches!(header(text), Err(TokenError::Malformed)), "{text}");
        }
        assert!(Token::None.header().unwrap().is_none());
    }

    #[test]
    fn a_file_is_read_each_time() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let token = Token::File(file.path().to_owned());
        for text in ["first", "second"] {
            std::fs::write(file.path(), format!("{text}\n")).unwrap();
            let value = token.header().unwrap().unwrap();
            assert_eq!(value, format!("Bearer {text}"));
        }
        drop(file);
        assert!(matches!(token.header(), Err(TokenError::File(..))));
    }
}
