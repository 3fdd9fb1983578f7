//! Host names that requests may name, as a defence against DNS rebinding: if a page's own
//! name is made to resolve to this machine, its browser treats the gateway as the page's
//! host, so no check of origins detects it. Its requests still name that host. A listener
//! that needs no token therefore answers only requests for known names.

use std::{net::IpAddr, str::FromStr};

use http::{HeaderMap, HeaderValue, Uri, header, uri::Authority};

use super::origin::Browsers;

/// A host name without a port, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostName(String);

/// Error for a text that is not a [`HostName`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a host name like events.example.com: no scheme, port, path or `*`")]
pub struct HostNameError;

/// Maximum length of a host name (RFC 1035, section 2.3.4).
const MAX_NAME: usize = 253;

impl FromStr for HostName {
    type Err = HostNameError;

    /// Accepts letters, digits, `-`, `.`, and `_`, which occurs in service names of
    /// containers.
    fn from_str(text: &str) -> Result<Self, HostNameError> {
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let is_label = |label: &str| {
            let mut bytes = label.bytes();
            !label.is_empty() && bytes.all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        };
        match name.len() <= MAX_NAME && name.split('.').all(is_label) {
            true => Ok(Self(name)),
            false => Err(HostNameError),
        }
    }
}

/// Unknown host of a request: as the request has it, and as `--allow-host` would have it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UnknownHost<'a> {
    pub(super) asked: &'a [u8],
    pub(super) name: Option<HostName>,
}

impl UnknownHost<'_> {
    /// Message for people: the input, the rule and the flag.
    pub(super) fn rule(&self) -> String {
        let shown = shown(self.asked);
        let name = self.name.as_ref().map_or("NAME", |name| name.0.as_str());
        format!(
            "host \"{shown}\" is not allowed: requests must ask for an \
             IP address, localhost, or a host of --allow-origin or --allow-host (if it is a name \
             of this gateway: --allow-host {name})"
        )
    }
}

/// Bytes of a host that are logged and repeated: a name of [`MAX_NAME`] and a port fit.
const MAX_SHOWN: usize = 260;

/// Printable form, in ASCII only: other characters can change the direction of a line.
pub(super) fn shown(host: &[u8]) -> String {
    host[..host.len().min(MAX_SHOWN)].escape_ascii().to_string()
}

/// First unknown host of a request. A request may name its host twice, as HTTP/2's
/// `:authority` or in an absolute target, and in `Host`: each must be known. A request
/// without a host (HTTP/1.0) does not come from a browser.
pub(super) fn unknown_host<'a>(
    browsers: &Browsers,
    uri: &'a Uri,
    headers: &'a HeaderMap,
) -> Option<UnknownHost<'a>> {
    let target = uri.authority().map(|target| target.as_str().as_bytes());
    let hosts = headers.get_all(header::HOST).iter();
    let mut asked = target.into_iter().chain(hosts.map(HeaderValue::as_bytes));
    let asked = asked.find(|asked| !asked.is_empty() && !is_known(browsers, asked))?;
    let name = host(asked).and_then(|(host, _)| host.parse().ok());
    Some(UnknownHost { asked, name })
}

/// Whether browsers may remember to use only TLS for this host (RFC 6797): it is a name,
/// on the default port. Such a rule applies to all ports of a host, and on another port
/// the host is rarely the gateway's alone. Browsers do not remember it for addresses
/// (section 8.1.1), and localhost belongs to every program.
pub(super) fn is_for_tls_alone(uri: &Uri, headers: &HeaderMap) -> bool {
    let target = uri.authority().map(|target| target.as_str().as_bytes());
    let asked = headers.get(header::HOST).map(HeaderValue::as_bytes);
    let asked = asked.or(target).and_then(host);
    asked.is_some_and(|(host, port)| {
        matches!(port, None | Some(443)) && !is_address(&host) && !is_localhost(&host)
    })
}

fn is_known(browsers: &Browsers, asked: &[u8]) -> bool {
    let Some((host, _)) = host(asked) else {
        return false;
    };
    let mut names = browsers.allow_host.iter().map(|HostName(name)| &**name);
    let mut origins = browsers.allow_origin.iter().filter_map(|origin| {
        let (host, _) = self::host(origin.authority()?.as_bytes())?;
        Some(host)
    });
    is_address(&host)
        || is_localhost(&host)
        || names.any(|name| name == host)
        || origins.any(|name| name == host)
}

/// Name, in lower case and without a trailing dot, and port.
fn host(asked: &[u8]) -> Option<(String, Option<u16>)> {
    let authority = Authority::try_from(asked).ok()?;
    let host = authority.host();
    // Rejects user information before the host, and text after an address in brackets.
    let port = authority.as_str().strip_prefix(host)?;
    let port = port.strip_prefix(':').unwrap_or(port);
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit());
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    (is_port && !name.is_empty()).then(|| (name, authority.port_u16()))
}

/// Whether the host is an IP address. A page of that host has the address as its origin:
/// there is nothing to rebind, as no name leads to it.
fn is_address(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|v| v.strip_suffix(']'));
    bare.unwrap_or(host).parse::<IpAddr>().is_ok()
}

/// Whether the host is a localhost name: browsers resolve these to the loopback
/// themselves, and no registry assigns them (RFC 6761, section 6.3).
fn is_localhost(host: &str) -> bool {
    host == "localhost" || host.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn browsers() -> Browsers {
        Browsers {
            allow_origin: vec!["https://app.example:3000".parse().unwrap()],
            allow_host: vec!["Events.example.com".parse().unwrap()],
            ..Browsers::default()
        }
    }

    fn is_refused(target: &'static str, hosts: &[&[u8]]) -> bool {
        let hosts = hosts.iter().map(|host| HeaderValue::from_bytes(host));
        let headers = hosts.map(|host| (header::HOST, host.unwrap())).collect();
        unknown_host(&browsers(), &Uri::from_static(target), &headers).is_some()
    }

    #[test]
    fn addresses_localhost_and_named_hosts_are_known() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:8000",
            "192.0.2.1:80",
            "[::1]:8000",
            "[2001:db8::1]",
            "localhost",
            "LocalHost:8000",
            "localhost.",
            "app.localhost:8000",
            "events.example.com",
            "EVENTS.example.com.:8000",
            "app.example",
            "app.example:8000",
            "",
        ] {
            assert!(!is_refused("/", &[host.as_bytes()]), "{host}");
        }
        assert!(!is_refused("/", &[]), "HTTP/1.0 has none");
        assert!(!is_refused("http://localhost/", &[b"127.0.0.1"]));
    }

    #[test]
    fn every_other_host_is_not() {
        for host in [
            &b"evil.example"[..],
            b"evil.example:8000",
            b"localhost.evil.example",
            b"evillocalhost",
            b"127.0.0.1.evil.example",
            b"example.com",
            b"a.events.example.com",
            b"[::1].evil.example",
            b"localhost@evil.example",
            b"evil.example@localhost",
            b"localhost, evil.example",
            b"localhost/",
            b".",
            b":8000",
            b"\xe9",
        ] {
            assert!(is_refused("/", &[host]), "{}", shown(host));
        }
        assert!(is_refused("/", &[b"localhost", b"evil.example"]));
        assert!(is_refused("http://evil.example/", &[b"localhost"]));
        assert!(is_refused("http://localhost/", &[b"evil.example"]));
    }

    #[test]
    fn the_rule_names_the_host_and_the_flag() {
        let rule = |host: &str| {
            let headers = [(header::HOST, HeaderValue::from_str(host).unwrap())];
            let headers = headers.into_iter().collect();
            let uri = Uri::from_static("/");
            unknown_host(&browsers(), &uri, &headers).unwrap().rule()
        };
        let named = rule("Evil.example:8000");
        assert!(named.starts_with("host \"Evil.example:8000\" is not allowed"));
        assert!(named.ends_with("--allow-host evil.example)"), "{named}");
        assert!(rule("a b").ends_with("--allow-host NAME)"));
        assert!(rule(&"x".repeat(9000)).len() < 600);
    }

    #[test]
    fn a_host_name_has_no_more_than_a_name() {
        for text in [
            "pgfan",
            "events.example.com",
            "my_service",
            "10.0.0.1",
            "A.",
        ] {
            assert!(text.parse::<HostName>().is_ok(), "{text}");
        }
        let long = "x".repeat(MAX_NAME + 1);
        for text in [
            "",
            ".",
            "a..b",
            "*.example.com",
            "https://a",
            "a:8000",
            "a/b",
            "a b",
            "é",
            "[::1]",
            &long,
        ] {
            assert_eq!(text.parse::<HostName>(), Err(HostNameError), "{text}");
        }
    }

    #[test]
    fn tls_alone_is_for_names_of_the_default_port() {
        let is_alone = |host: &'static str| {
            let headers = [(header::HOST, HeaderValue::from_static(host))];
            is_for_tls_alone(&Uri::from_static("/"), &headers.into_iter().collect())
        };
        assert!(is_alone("events.example.com") && is_alone("events.example.com:443"));
        for host in [
            "a.example:8000",
            "192.0.2.1",
            "[::1]",
            "localhost",
            "a.localhost",
            "",
        ] {
            assert!(!is_alone(host), "{host}");
        }
        let uri = Uri::from_static("https://events.example.com/");
        assert!(is_for_tls_alone(&uri, &HeaderMap::new()));
    }
}
