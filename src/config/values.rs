//! Parsers for settings' texts: numbers, sizes, durations and switches.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::RangeInclusive,
    str::FromStr,
    time::Duration,
};

use bytesize::ByteSize;

use super::rule::{Rule, refused};

pub(super) fn number(
    slot: &mut usize,
    text: &str,
    range: RangeInclusive<usize>,
) -> Result<(), Rule> {
    let value = usize::from_str(text).map_err(|_| refused(text, "not a whole number"))?;
    within(slot, value, &range, ToString::to_string).map_err(|rule| refused(text, rule))
}

pub(super) fn size(slot: &mut usize, text: &str, range: RangeInclusive<usize>) -> Result<(), Rule> {
    let value = text
        .parse::<ByteSize>()
        .map_err(|_| refused(text, "not a size, like 64KiB or 1MiB"))?;
    let value = usize::try_from(value.as_u64());
    let value = value.map_err(|_| refused(text, "more than this machine has"))?;
    let within = within(slot, value, &range, |bytes| {
        ByteSize(*bytes as u64).to_string()
    });
    within.map_err(|rule| refused(text, rule))
}

pub(super) fn time(
    slot: &mut Duration,
    text: &str,
    range: RangeInclusive<Duration>,
) -> Result<(), Rule> {
    let value = humantime::parse_duration(text);
    let value = value.map_err(|_| refused(text, "not a time, like 15s or 10m"))?;
    let show = |time: &Duration| humantime::format_duration(*time).to_string();
    within(slot, value, &range, show).map_err(|rule| refused(text, rule))
}

pub(super) fn switch(slot: &mut bool, text: &str) -> Result<(), Rule> {
    *slot = match text {
        "true" | "on" | "yes" | "1" => true,
        "false" | "off" | "no" | "0" => false,
        _ => return Err(refused(text, "not on or off")),
    };
    Ok(())
}

fn within<T: PartialOrd>(
    slot: &mut T,
    value: T,
    range: &RangeInclusive<T>,
    show: impl Fn(&T) -> String,
) -> Result<(), String> {
    if !range.contains(&value) {
        let (low, high) = (show(range.start()), show(range.end()));
        return Err(format!("must be between {low} and {high}"));
    }
    *slot = value;
    Ok(())
}

/// Any type whose parser has its own error text.
pub(super) fn parsed<T: FromStr<Err: ToString>>(slot: &mut T, text: &str) -> Result<(), Rule> {
    let parsed = text.parse();
    *slot = parsed.map_err(|error: T::Err| refused(text, error.to_string()))?;
    Ok(())
}

/// An address and a port. A port alone, or one after `localhost`, is on the loopback address. A
/// port after a colon is on all addresses, as in Go and in Docker: refused without tokens, as
/// 0.0.0.0 is.
pub(super) fn address(text: &str) -> Result<SocketAddr, Rule> {
    let (host, port) = text.rsplit_once(':').unwrap_or(("localhost", text));
    let ip = match host {
        "" => Some(Ipv4Addr::UNSPECIFIED),
        "localhost" => Some(Ipv4Addr::LOCALHOST),
        _ => None,
    };
    // Digits only: `u16` would accept a sign.
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse::<u16>().ok().filter(|_| digits);
    let short = ip.zip(port).map(|(ip, port)| SocketAddr::from((ip, port)));
    let parsed = short.or_else(|| text.parse().ok());
    parsed.ok_or_else(|| refused(text, address_rule(text)))
}

fn address_rule(text: &str) -> &'static str {
    let is_ip = text.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    let host = text.rsplit_once(':').map(|(host, _)| host);
    match host {
        _ if is_ip => "has no port, as in 127.0.0.1:8000",
        Some("*") => "`*` is no address; every address is `:8000` or 0.0.0.0:8000",
        Some(host) if host.parse::<IpAddr>().is_err() && host.starts_with(char::is_alphabetic) => {
            "not an address and port, like 127.0.0.1:8000; a name may have several addresses, so \
             it takes one of them"
        }
        _ => "not an address and port, like 127.0.0.1:8000",
    }
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn an_address_may_be_short() {
        for (text, meant) in [
            ("8000", "127.0.0.1:8000"),
            ("localhost:8000", "127.0.0.1:8000"),
            (":8000", "0.0.0.0:8000"),
            ("0", "127.0.0.1:0"),
            ("10.0.0.1:1", "10.0.0.1:1"),
            ("[::1]:8000", "[::1]:8000"),
            ("[::]:8000", "[::]:8000"),
        ] {
            assert_eq!(address(text).unwrap(), meant.parse().unwrap(), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_by_its_rule() {
        for (text, rule) in [
            ("nowhere", "not an address and port"),
            ("", "not an address and port"),
            (":", "not an address and port"),
            ("65536", "not an address and port"),
            ("+8000", "not an address and port"),
            ("localhost:", "not an address and port"),
            ("localhost", "not an address and port"),
            ("127.0.0.1", "has no port"),
            ("::1", "has no port"),
            ("[::1]", "has no port"),
            ("*:8000", "`*` is no address"),
            ("gateway.example:8000", "a name may have several addresses"),
        ] {
            let told = address(text).unwrap_err().to_string();
            assert!(told.contains(rule), "{text}: {told}");
        }
    }
}
