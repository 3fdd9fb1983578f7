//! Refused origins and unknown hosts, each logged once by name: a failing page shows
//! its user nothing, and its browser reports only that something failed.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use http::{HeaderMap, header};
use tracing::{debug, warn};

use super::{hosts::shown, origin::Origin};
use crate::transport::protocol::list_header;

/// Maximum number of names remembered until the settings are reloaded. A deployment has
/// a few applications; a client that sends made-up origins causes this many log lines
/// at most.
const MAX_NAMES: usize = 64;

/// Bytes of a name that are remembered and logged: a host name of 253 (RFC 1035,
/// section 2.3.4) with its scheme and port fits.
const MAX_BYTES: usize = 270;

/// Remedy for a page of another host, or behind a proxy that names another host.
const NOT_LISTED: &str = "add it to --allow-origin; a page of the gateway's own host needs \
                          no entry if the proxy passes on `Host`, and the page came over https if \
                          the gateway's clients do";

/// Remedy for `null`, or a text that no browser writes.
const NO_NAME: &str = "no setting allows it: a page in a sandboxed frame, or opened from a file, \
                       has no origin of its own; serve it over http or https";

/// Bounded sets of the logged origins and hosts. They are separate, so that made-up
/// names of one kind do not suppress log lines of the other.
#[derive(Debug, Default)]
pub(super) struct RefusedOrigins {
    origins: Mutex<Names>,
    hosts: Mutex<Names>,
}

#[derive(Debug, Default)]
struct Names {
    names: HashSet<String>,
    is_full: bool,
}

/// Whether and how a refusal is logged.
#[derive(Debug, PartialEq, Eq)]
enum LogThrottle {
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
        // ASCII only: other characters can change the direction of the line.
        let name = origin.as_bytes();
        let name = name[..name.len().min(MAX_BYTES)].escape_ascii().to_string();
        match learn(&self.origins, &name) {
            LogThrottle::New => warn!(origin = %name, remedy, "a page of this origin was refused"),
            LogThrottle::Full => warn!(
                limit = MAX_NAMES,
                "pages of many origins were refused: others are logged at debug level only"
            ),
            LogThrottle::None => debug!(origin = %name, "a page of this origin was refused"),
        }
    }

    /// Logs the host that a request named, unless it was logged before.
    pub(super) fn note_host(&self, host: &[u8]) {
        let host = shown(host);
        match learn(&self.hosts, &host) {
            LogThrottle::New => warn!(
                %host,
                remedy = "if it is a name of this gateway, add it to --allow-host",
                "a request for this host was refused"
            ),
            LogThrottle::Full => warn!(
                limit = MAX_NAMES,
                "requests for many hosts were refused: others are logged at debug level only"
            ),
            LogThrottle::None => debug!(%host, "a request for this host was refused"),
        }
    }

    /// Empties the sets, as the new settings may allow other names.
    pub(super) fn forget(&self) {
        for known in [&self.origins, &self.hosts] {
            *known.lock().unwrap_or_else(PoisonError::into_inner) = Names::default();
        }
    }
}

fn learn(known: &Mutex<Names>, name: &str) -> LogThrottle {
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    if known.names.contains(name) {
        return LogThrottle::None;
    }
    if known.names.len() < MAX_NAMES {
        known.names.insert(name.to_owned());
        return LogThrottle::New;
    }
    match std::mem::replace(&mut known.is_full, true) {
        true => LogThrottle::None,
        false => LogThrottle::Full,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_news_once_and_they_are_bounded() {
        let refused = RefusedOrigins::default();
        for number in 0..MAX_NAMES {
            assert_eq!(
                learn(&refused.origins, &format!("https://{number}")),
                LogThrottle::New
            );
            assert_eq!(
                learn(&refused.origins, &format!("https://{number}")),
                LogThrottle::None
            );
        }
        assert_eq!(learn(&refused.origins, "https://more"), LogThrottle::Full);
        for name in ["https://more", "https://yet-more", "https://0"] {
            assert_eq!(learn(&refused.origins, name), LogThrottle::None);
        }
        assert_eq!(refused.origins.lock().unwrap().names.len(), MAX_NAMES);
        assert_eq!(learn(&refused.hosts, "https://more"), LogThrottle::New);
        refused.forget();
        assert_eq!(learn(&refused.origins, "https://more"), LogThrottle::New);
    }
}
