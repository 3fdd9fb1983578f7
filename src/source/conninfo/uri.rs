//! Connection URIs, parsed like in libpq:
//! <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS>

use super::error::ConnInfoError;
use super::pair::{Pair, Pairs};

const SCHEMES: [&str; 2] = ["postgresql://", "postgres://"];

const AT_IN_HOST: &str = "`@` in a host; in a user or password write it as `%40`";
const AT_IN_DATABASE: &str = "`@` behind the host; in a user or password write `/` as `%2F`, in \
    the name of a database `@` as `%40`";
const BARE_PERCENT: &str = "`%` without two hexadecimal digits; `%` itself is written as `%25`";

/// Parses a URI into keywords and values; `None` if the text is not a URI. The keywords are not
/// checked here.
///
/// # Errors
/// The first position at which the URI is malformed.
pub(super) fn parse(uri: &str) -> Option<Result<Pairs, ConnInfoError>> {
    let rest = SCHEMES.iter().find_map(|scheme| uri.strip_prefix(scheme))?;
    Some(
        Reader {
            uri,
            rest,
            pairs: Pairs::new(),
        }
        .read(),
    )
}

pub(super) fn is_uri(text: &str) -> bool {
    SCHEMES.iter().any(|scheme| text.starts_with(scheme))
}

struct Reader<'a> {
    uri: &'a str,
    /// The unread tail of `uri`.
    rest: &'a str,
    pairs: Pairs,
}

impl<'a> Reader<'a> {
    fn read(mut self) -> Result<Pairs, ConnInfoError> {
        self.credentials()?;
        self.hosts()?;
        if self.skip('/') {
            let database = self.take_until(&['?']);
            if database.contains('@') {
                // The rest of a password with a `/`: its beginning was read as host and port, and
                // this part would appear in the log as the name of a database.
                return Err(self.mistake_at(database, AT_IN_DATABASE));
            }
            self.store("dbname", database)?;
        }
        if self.skip('?') {
            self.parameters()?;
        }
        Ok(self.pairs)
    }

    /// `user:password@`, if an `@` comes before the first `/`.
    fn credentials(&mut self) -> Result<(), ConnInfoError> {
        let Some(end) = self
            .rest
            .find(['@', '/'])
            .filter(|&end| self.rest[end..].starts_with('@'))
        else {
            return Ok(());
        };
        let credentials = &self.rest[..end];
        let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
        self.store("user", user)?;
        self.store("password", password)?;
        self.rest = &self.rest[end + 1..];
        Ok(())
    }

    /// `host:port,host:port`: the hosts and the ports each become one list with an entry for every
    /// pair.
    fn hosts(&mut self) -> Result<(), ConnInfoError> {
        let position = self.position(self.rest);
        let (mut hosts, mut ports) = (String::new(), String::new());
        loop {
            hosts += &self.host()?;
            if self.skip(':') {
                let port = self.take_until(&['/', '?', ',']);
                ports += &self.decode(port)?;
            }
            if !self.skip(',') {
                break;
            }
            hosts.push(',');
            ports.push(',');
        }
        self.store_decoded("host", hosts, position);
        self.store_decoded("port", ports, position);
        Ok(())
    }

    fn host(&mut self) -> Result<String, ConnInfoError> {
        if self.skip('[') {
            return self.bracketed_address();
        }
        let host = self.take_until(&[':', '/', '?', ',']);
        if host.contains('@') {
            // Almost certainly the rest of a password: libpq would look it up as a name and send
            // it to the DNS server.
            return Err(self.mistake_at(host, AT_IN_HOST));
        }
        self.decode(host)
    }

    /// An IPv6 address; its opening bracket is already read.
    fn bracketed_address(&mut self) -> Result<String, ConnInfoError> {
        let start = self.rest;
        let address = self.take_until(&[']']);
        if !self.skip(']') {
            return Err(self.mistake_at(start, "no `]` after the IPv6 address"));
        }
        if address.is_empty() {
            return Err(self.mistake_at(start, "the IPv6 address is empty"));
        }
        if !self.rest.is_empty() && !self.rest.starts_with([':', '/', '?', ',']) {
            return Err(self.mistake_at(
                self.rest,
                "expected `:`, `,`, `/` or `?` after the IPv6 address",
            ));
        }
        self.decode(address)
    }

    fn parameters(&mut self) -> Result<(), ConnInfoError> {
        while !self.rest.is_empty() {
            let parameter = self.take_until(&['&']);
            self.skip('&');
            let Some((keyword, value)) = parameter.split_once('=') else {
                return Err(self.mistake_at(parameter, "no `=` in the parameter"));
            };
            if value.contains('=') {
                return Err(self.mistake_at(parameter, "more than one `=` in the parameter"));
            }
            let position = self.position(parameter);
            let (keyword, value) = (self.decode(keyword)?, self.decode(value)?);
            self.pairs.push(jdbc_alias(Pair {
                keyword,
                value,
                position,
            }));
        }
        Ok(())
    }

    /// Stores a value. Empty parts are not stored: the variable or the default stays in effect.
    fn store(&mut self, keyword: &str, raw: &str) -> Result<(), ConnInfoError> {
        let value = self.decode(raw)?;
        self.store_decoded(keyword, value, self.position(raw));
        Ok(())
    }

    fn store_decoded(&mut self, keyword: &str, value: String, position: usize) {
        if !value.is_empty() {
            self.pairs.push(Pair {
                keyword: keyword.to_owned(),
                value,
                position,
            });
        }
    }

    fn skip(&mut self, expected: char) -> bool {
        let stripped = self.rest.strip_prefix(expected);
        self.rest = stripped.unwrap_or(self.rest);
        stripped.is_some()
    }

    fn take_until(&mut self, ends: &[char]) -> &'a str {
        let (taken, rest) = self
            .rest
            .split_at(self.rest.find(ends).unwrap_or(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// Percent-decodes (RFC 3986, section 2.1); a `+` stays a `+`, as in libpq.
    fn decode(&self, raw: &str) -> Result<String, ConnInfoError> {
        let mut bytes = Vec::with_capacity(raw.len());
        let mut rest = raw.as_bytes();
        while let [first, tail @ ..] = rest {
            rest = tail;
            if *first != b'%' {
                bytes.push(*first);
                continue;
            }
            let octet = tail.get(..2).and_then(hexadecimal);
            bytes.push(match octet {
                Some(0) => return Err(self.mistake_at(raw, "`%00` is forbidden")),
                Some(octet) => octet,
                None => return Err(self.mistake_at(raw, BARE_PERCENT)),
            });
            rest = &tail[2..];
        }
        String::from_utf8(bytes)
            .map_err(|_| self.mistake_at(raw, "not UTF-8 after percent-decoding"))
    }

    /// `part` must be a slice of the URI.
    fn mistake_at(&self, part: &str, rule: &'static str) -> ConnInfoError {
        ConnInfoError::Syntax {
            position: self.position(part),
            rule,
        }
    }

    /// Position in characters from 1. `part` must be a slice of the URI, or empty: the position is
    /// the difference of the two addresses.
    fn position(&self, part: &str) -> usize {
        let offset = (part.as_ptr() as usize).wrapping_sub(self.uri.as_ptr() as usize);
        let before = self.uri.get(..offset).unwrap_or_default();
        before.chars().count() + 1
    }
}

fn hexadecimal(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let value = digit(digits[0])? * 16 + digit(digits[1])?;
    u8::try_from(value).ok()
}

/// Converts `ssl=true` of JDBC URIs; libpq reads it as `sslmode=require`.
fn jdbc_alias(pair: Pair) -> Pair {
    match (pair.keyword.as_str(), pair.value.as_str()) {
        ("ssl", "true") => Pair {
            keyword: "sslmode".to_owned(),
            value: "require".to_owned(),
            position: pair.position,
        },
        _ => pair,
    }
}

#[cfg(test)]
mod tests;
