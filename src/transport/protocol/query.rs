//! URL parsing: the parameters of a stream, and the channel in a path.
//!
//! Decoding is strict: a lossily decoded text would name another channel than
//! the intended one, which would never have an event.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::{
    codes::Refusal,
    cursor::{cursor, latest},
};
use crate::hub::Cursor;

/// Format of deliveries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::transport) enum Format {
    /// JSON objects with all fields.
    #[default]
    Json,
    /// Only the payload.
    Raw,
}

/// `?channel=a&channel=b&cursor=…&format=json|raw`. `EventSource` polyfills
/// that cannot set a header also send `lastEventId` or `Last-Event-ID` on
/// reconnect.
#[derive(Default)]
#[cfg_attr(any(test, fuzzing), derive(Debug, PartialEq, Eq))]
pub(in crate::transport) struct StreamQuery {
    pub(in crate::transport) channels: Vec<String>,
    pub(in crate::transport) cursor: Option<Vec<u8>>,
    pub(in crate::transport) last_event_ids: Vec<Vec<u8>>,
    pub(in crate::transport) format: Format,
    pub(in crate::transport) ticket: Option<String>,
}

impl StreamQuery {
    /// Parses form encoding
    /// (<https://url.spec.whatwg.org/#application/x-www-form-urlencoded>): `+`
    /// is a space, as browsers write it. An unknown parameter is refused: a
    /// mistyped `cursor` would be a silent loss.
    pub(in crate::transport) fn parse(query: Option<&str>) -> Result<Self, Refusal> {
        let mut parsed = Self::default();
        let mut format = None;
        for pair in query
            .unwrap_or_default()
            .split('&')
            .filter(|p| !p.is_empty())
        {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = value.replace('+', " ");
            let (name, value) = (decode(name)?, value.as_str());
            match name.as_ref() {
                "channel" => parsed.channels.push(decode(value)?.into_owned()),
                "cursor" => once(
                    &mut parsed.cursor,
                    "cursor",
                    percent_decode_str(value).collect(),
                )?,
                "lastEventId" | "Last-Event-ID" => parsed
                    .last_event_ids
                    .push(percent_decode_str(value).collect()),
                "ticket" => once(&mut parsed.ticket, "ticket", decode(value)?.into_owned())?,
                "format" => once(&mut format, "format", decode(value)?.parse()?)?,
                _ => return Err(Refusal::invalid(format!("unknown parameter {name:?}"))),
            }
        }
        parsed.format = format.unwrap_or_default();
        if parsed.format == Format::Raw || parsed.cursor().is_some() {
            parsed.demand_channel()?;
        }
        Ok(parsed)
    }

    /// Cursor to resume from: the latest of all given.
    pub(in crate::transport) fn cursor(&self) -> Option<Cursor> {
        let ids = self.cursor.iter().chain(&self.last_event_ids);
        latest(ids.filter_map(|id| cursor(id)))
    }

    /// For requests in which the client can send a token.
    pub(in crate::transport) fn refuse_ticket(&self) -> Result<(), Refusal> {
        match self.ticket {
            None => Ok(()),
            Some(_) => Err(Refusal::invalid("a ticket is for /v1/sse alone")),
        }
    }

    /// For requests that cannot subscribe to channels later, or not with this
    /// cursor.
    pub(in crate::transport) fn demand_channel(&self) -> Result<(), Refusal> {
        if self.channels.is_empty() {
            return Err(Refusal::invalid(
                "at least one parameter `channel` is needed",
            ));
        }
        Ok(())
    }
}

impl std::str::FromStr for Format {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        match text {
            "json" => Ok(Self::Json),
            "raw" => Ok(Self::Raw),
            _ => Err(Refusal::invalid("`format` is `json` or `raw`")),
        }
    }
}

fn once<T>(slot: &mut Option<T>, name: &str, value: T) -> Result<(), Refusal> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Refusal::invalid(format!(
            "`{name}` is given more than once"
        ))),
    }
}

/// The last segment of `path`, a channel name.
pub(in crate::transport) fn last_segment(path: &str) -> Result<String, Refusal> {
    let segment = path.rsplit('/').next().unwrap_or_default();
    decode(segment).map(Cow::into_owned)
}

/// Percent-decoding (RFC 3986, section 2.1); the bytes must be UTF-8.
fn decode(text: &str) -> Result<Cow<'_, str>, Refusal> {
    let mut escapes = text.split('%').skip(1).map(str::as_bytes);
    let is_escape = |e: &[u8]| e.len() >= 2 && e[..2].iter().all(u8::is_ascii_hexdigit);
    if !escapes.all(is_escape) {
        return Err(Refusal::invalid(format!(
            "{text:?} has a % that is not followed by two hexadecimal digits"
        )));
    }
    percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| Refusal::invalid(format!("{text:?} is not UTF-8 when decoded")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channels(query: &str) -> Result<Vec<String>, String> {
        let parsed = StreamQuery::parse(Some(query));
        parsed.map(|q| q.channels).map_err(|r| r.message)
    }

    #[test]
    fn names_arrive_exactly() {
        assert_eq!(channels("channel=a&channel=B").unwrap(), ["a", "B"]);
        assert_eq!(channels("channel=a+b%2Bc%26%3D").unwrap(), ["a b+c&="]);
        assert_eq!(channels("channel=%C3%A9%00%0a").unwrap(), ["é\0\n"]);
        assert_eq!(channels("channel=").unwrap(), [""]);
        assert_eq!(last_segment("/pgpubsub/a%2Fb+c").unwrap(), "a/b+c");
    }

    #[test]
    fn what_decodes_lossily_is_refused() {
        for query in [
            "channel=%FF",
            "channel=%E2%82",
            "channel=%",
            "channel=%4",
            "channel=%zz",
        ] {
            assert!(channels(query).is_err(), "{query}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(
            channels("cusor=1"),
            Err("unknown parameter \"cusor\"".into())
        );
        assert!(channels("cursor=1&cursor=2").is_err());
        assert!(channels("format=xml").is_err());
        assert!(channels("channel=a&format=raw&format=raw").is_err());
        assert!(channels("cursor=1").is_err());
        assert!(channels("format=raw").is_err());
    }

    #[test]
    fn a_cursor_may_be_anything() {
        let parsed = StreamQuery::parse(Some("channel=a&cursor=%FF%zz")).unwrap();
        assert_eq!(parsed.cursor.as_deref(), Some(&b"\xff%zz"[..]));
        assert_eq!(parsed.cursor(), Some(Cursor::Invalid));
    }

    #[test]
    fn what_a_polyfill_appends_is_a_cursor() {
        let cursor = |query: &str| {
            let parsed = StreamQuery::parse(Some(&format!("channel=a&{query}")));
            parsed.unwrap().cursor()
        };
        let at = |text: &str| Some(Cursor::At(text.parse().unwrap()));
        for name in ["lastEventId", "Last-Event-ID"] {
            assert_eq!(cursor(&format!("{name}=e-7")), at("e-7"));
            assert_eq!(cursor(&format!("cursor=e-5&{name}=e-7")), at("e-7"));
            assert_eq!(cursor(&format!("cursor=e-9&{name}=e-7")), at("e-9"));
            assert_eq!(cursor(&format!("{name}=e-7&{name}=e-8")), at("e-8"));
            assert_eq!(cursor(&format!("{name}=&{name}=")), None);
            // With two epochs, the cursor of the previous connection.
            assert_eq!(cursor(&format!("cursor=f-9&{name}=e-7")), at("e-7"));
            let strange = Some(Cursor::Invalid);
            assert_eq!(cursor(&format!("cursor=e-5&{name}=%FF")), strange);
        }
    }
}
