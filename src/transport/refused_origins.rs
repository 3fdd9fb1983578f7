//! Origins whose pages were refused, so that each is logged once by its name: a
//! page that does not work shows its user nothing, and its browser says only
//! that something failed.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use http::{HeaderMap, header};
use tracing::{debug, warn};

use super::{list_header, origin::Origin};

/// Names that are remembered until the settings are read again. A deployment has
/// a few applications; a client that sends made-up origins gets this many lines
/// into the log, and no more.
const MAX_NAMES: usize = 64;

/// Bytes of a name that are remembered and logged: a host name of 253 (RFC 1035,
/// section 2.3.4) with its scheme and port fits.
const MAX_BYTES: usize = 270;

/// A page of another host, or one behind a proxy that names another host.
const NOT_LISTED: &str = "add it to --allow-origin, or let the proxy pass on `Host`";

/// `null`, or what no browser writes.
const NO_NAME: &str = "no setting allows it: a page in a sandboxed frame, or opened from a file, \
                       has no origin of its own; serve it over http or https";

/// Bounded set of the origins that were logged.
#[derive(Debug, Default)]
pub(super) struct RefusedOrigins(Mutex<Names>);

#[derive(Debug, Default)]
struct Names {
    names: HashSet<String>,
    is_full: bool,
}

/// Whether a refusal is logged, and how.
#[derive(Debug, PartialEq, Eq)]
enum News {
    New,
    /// The first one after the set was full.
    Full,
    None,
}

impl RefusedOrigins {
    /// Logs the origin of these headers, unless it was logged before.
    pub(super) fn note(&self, headers: &HeaderMap) {
        let origin = list_header::line(headers, &header::ORIGIN);
        let remedy = match origin.parse::<Origin>() {
            Ok(_) => NOT_LISTED,
            Err(_) => NO_NAME,
        };
        // ASCII alone: other characters can change the direction of the line.
        let name = origin.as_bytes();
        let name = name[..name.len().min(MAX_BYTES)].escape_ascii().to_string();
        match self.learn(&name) {
            News::New => warn!(origin = %name, remedy, "a page of this origin was refused"),
            News::Full => warn!(
                limit = MAX_NAMES,
                "pages of many origins were refused: others are logged at debug level only"
            ),
            News::None => debug!(origin = %name, "a page of this origin was refused"),
        }
    }

    /// Empties the set, as the new settings may allow other origins.
    pub(super) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Names::default();
    }

    fn learn(&self, name: &str) -> News {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.names.contains(name) {
            return News::None;
        }
        if known.names.len() < MAX_NAMES {
            known.names.insert(name.to_owned());
            return News::New;
        }
        match std::mem::replace(&mut known.is_full, true) {
            true => News::None,
            false => News::Full,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_news_once_and_they_are_bounded() {
        let refused = RefusedOrigins::default();
        for number in 0..MAX_NAMES {
            assert_eq!(refused.learn(&format!("https://{number}")), News::New);
            assert_eq!(refused.learn(&format!("https://{number}")), News::None);
        }
        assert_eq!(refused.learn("https://more"), News::Full);
        for name in ["https://more", "https://yet-more", "https://0"] {
            assert_eq!(refused.learn(name), News::None);
        }
        assert_eq!(refused.0.lock().unwrap().names.len(), MAX_NAMES);
        refused.forget();
        assert_eq!(refused.learn("https://more"), News::New);
    }
}
