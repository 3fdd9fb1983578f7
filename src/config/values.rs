//! How the texts of settings are read: numbers, sizes, times and switches.

use std::{ops::RangeInclusive, str::FromStr, time::Duration};

pub(super) fn number(
    slot: &mut usize,
    text: &str,
    range: RangeInclusive<usize>,
) -> Result<(), String> {
    let value = usize::from_str(text).map_err(|_| "not a whole number")?;
    within(slot, value, &range, ToString::to_string)
}

pub(super) fn size(
    slot: &mut usize,
    text: &str,
    range: RangeInclusive<usize>,
) -> Result<(), String> {
    let value = text
        .parse::<bytesize::ByteSize>()
        .map_err(|_| "not a size, like 64KiB or 1MiB")?;
    let value = usize::try_from(value.as_u64()).map_err(|_| "more than this machine has")?;
    within(slot, value, &range, |bytes| format!("{bytes} bytes"))
}

pub(super) fn time(
    slot: &mut Duration,
    text: &str,
    range: RangeInclusive<Duration>,
) -> Result<(), String> {
    let value = humantime::parse_duration(text).map_err(|_| "not a time, like 15s or 10m")?;
    within(slot, value, &range, |time| {
        humantime::format_duration(*time).to_string()
    })
}

pub(super) fn switch(slot: &mut bool, text: &str) -> Result<(), String> {
    *slot = match text {
        "true" | "on" | "yes" | "1" => true,
        "false" | "off" | "no" | "0" => false,
        _ => return Err("not on or off".into()),
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
pub(super) fn parsed<T: FromStr<Err: ToString>>(slot: &mut T, text: &str) -> Result<(), String> {
    *slot = text.parse().map_err(|error: T::Err| error.to_string())?;
    Ok(())
}
