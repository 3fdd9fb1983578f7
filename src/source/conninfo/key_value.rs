//! Connection strings of the form `host=localhost password='it\'s secret'`:
//! <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-KEYWORD-VALUE>

use super::error::ConnInfoError;
use super::pair::{Pair, Pairs};

/// Parses keywords and values. The keywords are not checked here.
///
/// # Errors
/// The first position at which the text is malformed; never the text itself, since a blank inside
/// an unquoted password makes its tail look like a keyword.
pub(super) fn parse(text: &str) -> Result<Pairs, ConnInfoError> {
    let mut reader = Reader { text, rest: text };
    let mut pairs = Pairs::new();
    reader.skip_blanks();
    while !reader.rest.is_empty() {
        let position = reader.position(reader.rest);
        let keyword = reader.keyword()?;
        let value = reader.value()?;
        pairs.push(Pair {
            keyword,
            value,
            position,
        });
        reader.skip_blanks();
    }
    Ok(pairs)
}

struct Reader<'a> {
    text: &'a str,
    /// The unread tail of `text`.
    rest: &'a str,
}

impl Reader<'_> {
    /// A keyword with its `=` and the blanks around it.
    fn keyword(&mut self) -> Result<String, ConnInfoError> {
        let start = self.rest;
        let end = start
            .find(|c| c == '=' || is_blank(c))
            .unwrap_or(start.len());
        self.rest = &start[end..];
        self.skip_blanks();
        let Some(rest) = self.rest.strip_prefix('=') else {
            return Err(self.mistake_at(start, "a keyword without `=`; quote a value with blanks"));
        };
        self.rest = rest;
        self.skip_blanks();
        Ok(start[..end].to_owned())
    }

    fn value(&mut self) -> Result<String, ConnInfoError> {
        let start = self.rest;
        let quoted = start.starts_with('\'');
        let mut value = String::new();
        let mut chars = start.char_indices().skip(usize::from(quoted));
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
                '\'' if quoted => {
                    self.rest = &start[at + 1..];
                    return Ok(value);
                }
                c if !quoted && is_blank(c) => {
                    self.rest = &start[at..];
                    return Ok(value);
                }
                c => value.push(c),
            }
        }
        self.rest = "";
        if quoted {
            Err(self.mistake_at(start, "a quoted value without its closing quote"))
        } else {
            Ok(value)
        }
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches(is_blank);
    }

    /// `tail` must be a tail of the text.
    fn mistake_at(&self, tail: &str, rule: &'static str) -> ConnInfoError {
        ConnInfoError::Syntax {
            position: self.position(tail),
            rule,
        }
    }

    /// Position in characters from 1; `tail` must be a tail of the text.
    fn position(&self, tail: &str) -> usize {
        let offset = self.text.len() - tail.len();
        self.text[..offset].chars().count() + 1
    }
}

/// Blanks according to C's `isspace`.
fn is_blank(c: char) -> bool {
    c.is_ascii_whitespace() || c == '\x0b'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let pairs = parse(text).expect("the string is well formed").into_iter();
        pairs.map(|pair| (pair.keyword, pair.value)).collect()
    }

    fn pair(keyword: &str, value: &str) -> (String, String) {
        (keyword.to_owned(), value.to_owned())
    }

    #[test]
    fn documentation_example() {
        assert_eq!(
            pairs("host=localhost port=5432 dbname=mydb connect_timeout=10"),
            [
                pair("host", "localhost"),
                pair("port", "5432"),
                pair("dbname", "mydb"),
                pair("connect_timeout", "10")
            ]
        );
    }

    #[test]
    fn quotes_escapes_and_blanks() {
        for (text, value) in [
            (r"password=plain", "plain"),
            (r"  password =  spaced  ", "spaced"),
            (r"password=''", ""),
            (r"password=", ""),
            (r"password='a b'", "a b"),
            (r"password='it\'s'", "it's"),
            (r"password=it\'s", "it's"),
            (r"password=it's", "it's"),
            (r"password='back\\slash'", r"back\slash"),
            (r"password=a\ b", "a b"),
            (r"password=tail\", "tail"),
            ("password\t=\n'a=b'", "a=b"),
            ("password=a=b", "a=b"),
            ("password='pässwörd'", "pässwörd"),
        ] {
            assert_eq!(pairs(text), [pair("password", value)], "{text}");
        }
    }

    #[test]
    fn a_quoted_value_may_touch_the_next_keyword() {
        assert_eq!(
            pairs("user='a'port=1"),
            [pair("user", "a"), pair("port", "1")]
        );
    }

    #[test]
    fn nothing_is_a_valid_string() {
        assert_eq!(pairs(" \t"), []);
    }

    #[test]
    fn mistakes_name_the_place_and_not_the_text() {
        for (text, position) in [
            ("mydb", 1),
            ("postgre://", 1),
            ("user=ü password=my secret", 20),
            ("user=u password = 'open\\'", 19),
            ("host", 1),
        ] {
            let mistake = parse(text).expect_err(text);
            assert!(
                matches!(mistake, ConnInfoError::Syntax { position: at, .. } if at == position),
                "{text}: {mistake}"
            );
            assert!(!mistake.to_string().contains("secret"));
        }
    }
}
