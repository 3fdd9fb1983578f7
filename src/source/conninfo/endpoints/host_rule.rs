//! The syntax of hosts. A host is looked up, and logged at each attempt to connect; a fragment of
//! a connection string that was split in the wrong place is rejected here.

use std::net::Ipv6Addr;

use super::super::foreign;

/// The rule that `host`, one of a list, breaks; the rest of a sentence.
///
/// libpq accepts any text and leaves it to the name lookup. No lookup finds a name with other
/// characters than these (RFC 1123, section 2.1, and `_`, which some networks use).
pub(super) fn broken_by(host: &str) -> Option<&'static str> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if host.chars().all(is_of_name) || is_ipv6(host) {
        return None;
    }
    if host.contains("://") || foreign::is_connection_string(host) {
        return Some(
            "holds a connection string or several settings; the whole string goes into \
             DATABASE_URL or --database-url",
        );
    }
    if host.starts_with('/') {
        return None;
    }
    Some(match host {
        _ if host.starts_with('@') => "must not begin with `@`: abstract sockets are not supported",
        _ if host.starts_with('[') => "must be an IPv6 address without brackets, except in a URI",
        _ if has_port(host) => "must be a name without a port, which goes into port (PGPORT)",
        _ if !host.is_ascii() => "must be a name of ASCII letters; others are written as xn--…",
        _ => "must be a name or an address: letters, digits, `.`, `-` and `_`",
    })
}

/// Whether `host` is an IPv6 address, perhaps with a zone like `fe80::1%eth0` (RFC 4007, section
/// 11).
fn is_ipv6(host: &str) -> bool {
    let (address, zone) = host.split_once('%').unwrap_or((host, ""));
    let is_zone = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    address.parse::<Ipv6Addr>().is_ok() && zone.chars().all(is_zone)
}

fn has_port(host: &str) -> bool {
    let port = host.rsplit_once(':').map(|(_, port)| port);
    port.is_some_and(|port| port.parse::<u16>().is_ok())
}
