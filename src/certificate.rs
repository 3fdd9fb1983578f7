//! Validity and names of an X.509 certificate (RFC 5280). rustls checks the dates
//! of the peer's certificate, and does not check those of the local one.

use std::{
    fmt,
    net::IpAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use humantime::format_rfc3339_seconds;
use x509_cert::{
    TbsCertificate, Version,
    der::{Decode as _, oid::AssociatedOid as _},
    ext::pkix::{SubjectAltName, name::GeneralName},
};

/// Time before the end when a renewal is due: of the 90 days that public
/// authorities give, most tools renew at this time.
const ENDING: Duration = Duration::from_secs(30 * 24 * 3600);

/// Number of names shown; a certificate may have hundreds.
const MAX_SHOWN: usize = 5;

/// The parts of a certificate that an operator has to check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Certificate {
    not_before: SystemTime,
    not_after: SystemTime,
    /// Host names and addresses (subjectAltName); the common name does not count
    /// (RFC 9525, section 2).
    names: Vec<String>,
    is_version_3: bool,
}

/// Validity at one moment, from the worst to the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    Expired,
    NotYet,
    /// Valid, and due for renewal.
    Ending,
    Good,
}

impl Standing {
    /// Whether a client that checks dates accepts it.
    pub(crate) fn is_valid(self) -> bool {
        self >= Self::Ending
    }
}

impl Certificate {
    /// `None` for a certificate that violates RFC 5280; rustls decides whether it
    /// is served or trusted nevertheless.
    pub(crate) fn of_der(der: &[u8]) -> Option<Self> {
        let certificate = x509_cert::Certificate::from_der(der).ok()?;
        let content = certificate.tbs_certificate;
        let at = |since_1970| UNIX_EPOCH.checked_add(since_1970);
        Some(Self {
            not_before: at(content.validity.not_before.to_unix_duration())?,
            not_after: at(content.validity.not_after.to_unix_duration())?,
            names: names(&content),
            is_version_3: content.version == Version::V3,
        })
    }

    /// When it ends.
    pub(crate) fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// Whether it names a host or an address.
    pub(crate) fn has_names(&self) -> bool {
        !self.names.is_empty()
    }

    /// The version in general use; versions 1 and 2 have no host names.
    pub(crate) fn is_version_3(&self) -> bool {
        self.is_version_3
    }

    /// By the wall clock, as its readers have it. A certificate that is valid for
    /// less than 90 days is due in its last third.
    pub(crate) fn standing(&self, now: SystemTime) -> Standing {
        let Ok(left) = self.not_after.duration_since(now) else {
            return Standing::Expired;
        };
        let life = self.not_after.duration_since(self.not_before);
        let due = ENDING.min(life.unwrap_or_default() / 3);
        match () {
            () if now < self.not_before => Standing::NotYet,
            () if left < due => Standing::Ending,
            () => Standing::Good,
        }
    }

    /// The fault of its dates, if there is one; it names the clock, which may be wrong.
    pub(crate) fn fault(&self, now: SystemTime) -> Option<String> {
        let date = format_rfc3339_seconds;
        let (before, after) = (date(self.not_before), date(self.not_after));
        let clock = date(now);
        match self.standing(now) {
            Standing::Good => None,
            Standing::Ending => Some(format!("it expires at {after}")),
            Standing::NotYet => Some(format!(
                "it is valid from {before} on, and by this machine's clock it is {clock}"
            )),
            Standing::Expired => Some(format!(
                "it expired at {after}, and by this machine's clock it is {clock}"
            )),
        }
    }

    /// Its names on one line, without characters that could break the line.
    pub(crate) fn names(&self) -> String {
        let shown = self.names.iter().take(MAX_SHOWN);
        let shown: Vec<_> = shown
            .map(|name| name.escape_default().to_string())
            .collect();
        let rest = self.names.len() - shown.len();
        match (shown.join(", "), rest) {
            (none, _) if none.is_empty() => "no host".to_owned(),
            (all, 0) => all,
            (some, rest) => format!("{some} and {rest} more"),
        }
    }
}

/// `a.example: from 2026-01-01T00:00:00Z until 2026-04-01T00:00:00Z`
impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (names, date) = (self.names(), format_rfc3339_seconds);
        let (before, after) = (date(self.not_before), date(self.not_after));
        write!(f, "{names}: from {before} until {after}")
    }
}

fn names(content: &TbsCertificate) -> Vec<String> {
    let extensions = content.extensions.iter().flatten();
    let mut values = extensions.filter(|extension| extension.extn_id == SubjectAltName::OID);
    let value = values
        .next()
        .map(|extension| extension.extn_value.as_bytes());
    let read = value.and_then(|value| SubjectAltName::from_der(value).ok());
    let names = read.iter().flat_map(|names| names.0.iter());
    names.filter_map(name).collect()
}

fn name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.to_string()),
        GeneralName::IpAddress(address) => {
            let bytes = address.as_bytes();
            let of_4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
            let address = of_4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from));
            address.ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn at(days: u32) -> SystemTime {
        UNIX_EPOCH + 20_000 * DAY + days * DAY
    }

    fn issued(hosts: &[&str], from: u32, until: u32) -> Certificate {
        let hosts: Vec<_> = hosts.iter().map(|host| host.to_string()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        (params.not_before, params.not_after) = (at(from).into(), at(until).into());
        let signed = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        Certificate::of_der(signed.der()).unwrap()
    }

    #[test]
    fn it_is_judged_by_the_clock() {
        let second = Duration::from_secs(1);
        let year = issued(&["a"], 100, 465);
        for (now, expected) in [
            (at(100) - second, Standing::NotYet),
            (at(100), Standing::Good),
            (at(435), Standing::Good),
            (at(435) + second, Standing::Ending),
            (at(465), Standing::Ending),
            (at(465) + second, Standing::Expired),
        ] {
            assert_eq!(year.standing(now), expected, "{now:?}");
            assert_eq!(year.fault(now).is_none(), expected == Standing::Good);
        }
        // Otherwise a certificate valid for a week would be due from its first day.
        let week = issued(&["a"], 0, 6);
        assert_eq!(week.standing(at(4)), Standing::Good);
        assert_eq!(week.standing(at(4) + second), Standing::Ending);
        assert!(Standing::Ending.is_valid() && !Standing::NotYet.is_valid());
        assert!(Standing::NotYet > Standing::Expired);
    }

    #[test]
    fn it_says_for_whom_it_is_and_from_when_to_when() {
        let names = ["a.example", "127.0.0.1", "::1"];
        let certificate = issued(&names, 0, 90);
        let expected = "a.example, 127.0.0.1, ::1: from 2024-10-04T00:00:00Z until \
                        2025-01-02T00:00:00Z";
        assert_eq!(certificate.to_string(), expected);
        assert_eq!(certificate.not_after(), at(90));
        assert!(certificate.has_names() && certificate.is_version_3());
        let many = issued(&["a", "b", "c", "d", "e", "f", "g"], 0, 1);
        assert_eq!(many.names(), "a, b, c, d, e and 2 more");
        let none = issued(&[], 0, 1);
        assert_eq!((none.has_names(), &*none.names()), (false, "no host"));
        let later = issued(&["a"], 0, 36_525);
        assert_eq!(later.not_after(), at(36_525), "GeneralizedTime");
        assert_eq!(Certificate::of_der(b"\x30\x00"), None);
    }
}
