//! How the texts of settings are read: numbers, sizes, times and switches.

use std::{net::SocketAddr, ops::RangeInclusive, str::FromStr, time::Duration};

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

/// Anything that says itself what it cannot be.
pub(super) fn parsed<T: FromStr<Err: ToString>>(slot: &mut T, text: &str) -> Result<(), Rule> {
    let parsed = text.parse();
    *slot = parsed.map_err(|error: T::Err| refused(text, error.to_string()))?;
    Ok(())
}

/// An address, and no name: that may be more than one.
pub(super) fn address(text: &str) -> Result<SocketAddr, Rule> {
    let rule = "not an address and port, like 127.0.0.1:8000";
    text.parse().map_err(|_| refused(text, rule))
}
