//! Every setting once: its name, its default, what it means, how its text is
//! read. Flags, variables, the file and the README's table come from here.

use std::{fmt::Display, ops::RangeInclusive, str::FromStr, time::Duration};

use super::Draft;

/// One setting; its name is the flag without dashes and the key in the file,
/// its variable is `PGFAN_` and the name in capitals.
pub struct Setting {
    /// As in `--history-events`.
    pub name: &'static str,
    /// As text, for people.
    pub default: &'static str,
    /// What the value looks like; empty for a switch.
    pub value: &'static str,
    /// What it does, with its unit and what happens at the limit.
    pub help: &'static str,
    pub(super) apply: fn(&mut Draft, &str) -> Result<(), String>,
}

impl Setting {
    /// Its environment variable.
    pub fn variable(&self) -> String {
        format!("PGFAN_{}", self.name.to_uppercase().replace('-', "_"))
    }
}

const DAY: Duration = Duration::from_secs(24 * 3600);
const SECOND: Duration = Duration::from_secs(1);

/// In the order of the help.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "listen",
        default: "127.0.0.1:8000",
        value: "ADDRESS:PORT",
        help: "Where to serve, all wires on one port",
        apply: |draft, text| {
            draft.listen = text
                .parse()
                .map_err(|_| "not an address and port, like 127.0.0.1:8000")?;
            Ok(())
        },
    },
    Setting {
        name: "database-url",
        default: "the libpq variables",
        value: "URL",
        help: "PostgreSQL connection string, as a URI or key=value pairs; \
               what it leaves open the libpq variables (PGHOST, PGUSER, …) say. \
               A password is better kept in a variable or the password file: \
               the arguments of a process are public",
        apply: |draft, text| {
            draft.database_url = Some(text.to_owned());
            Ok(())
        },
    },
    Setting {
        name: "history-events",
        default: "1024",
        value: "COUNT",
        help: "Events of a channel that a cursor can reach back to",
        apply: |draft, text| number(&mut draft.hub.history.events, text, 1..=10_000_000),
    },
    Setting {
        name: "history-bytes",
        default: "64MiB",
        value: "SIZE",
        help: "Memory of all events together; at the limit the oldest leave, and a reader \
               that had not read them gets a gap",
        apply: |draft, text| size(&mut draft.hub.history.bytes, text, (1 << 20)..=(1 << 40)),
    },
    Setting {
        name: "history-age",
        default: "10m",
        value: "TIME",
        help: "Age at which an event leaves",
        apply: |draft, text| time(&mut draft.hub.history.age, text, SECOND..=30 * DAY),
    },
    Setting {
        name: "linger",
        default: "60s",
        value: "TIME",
        help: "How long a channel stays listened to after its last reader left, \
               so that a reconnect can resume",
        apply: |draft, text| time(&mut draft.hub.linger, text, Duration::ZERO..=DAY),
    },
    Setting {
        name: "heartbeat-interval",
        default: "2s",
        value: "TIME",
        help: "How often the listening session notifies itself, to prove that it hears",
        apply: |draft, text| time(&mut draft.source.heartbeat_interval, text, TENTH..=HOUR),
    },
    Setting {
        name: "heartbeat-timeout",
        default: "3s",
        value: "TIME",
        help: "How long the session may stay silent after a heartbeat before it is dropped",
        apply: |draft, text| time(&mut draft.source.heartbeat_timeout, text, TENTH..=HOUR),
    },
    Setting {
        name: "keepalive",
        default: "15s",
        value: "TIME",
        help: "How often an idle reader gets a sign of life",
        apply: |draft, text| time(&mut draft.transport.keepalive, text, TENTH..=HOUR),
    },
    Setting {
        name: "subscribe-timeout",
        default: "10s",
        value: "TIME",
        help: "How long a new subscription waits while the database is away",
        apply: |draft, text| time(&mut draft.hub.subscribe_timeout, text, TENTH..=HOUR),
    },
    Setting {
        name: "write-timeout",
        default: "30s",
        value: "TIME",
        help: "A reader that takes nothing, or answers no ping, for so long is closed",
        apply: |draft, text| time(&mut draft.transport.write_timeout, text, SECOND..=HOUR),
    },
    Setting {
        name: "drain-timeout",
        default: "10s",
        value: "TIME",
        help: "How long the readers may take to leave when the gateway ends",
        apply: |draft, text| time(&mut draft.drain_timeout, text, Duration::ZERO..=HOUR),
    },
    Setting {
        name: "max-client-frame",
        default: "64KiB",
        value: "SIZE",
        help: "The largest message of a WebSocket client; a larger one ends its stream",
        apply: |draft, text| {
            size(
                &mut draft.transport.max_client_frame,
                text,
                1024..=(16 << 20),
            )
        },
    },
    Setting {
        name: "allow-publish",
        default: "off",
        value: "",
        help: "Let clients without a token publish",
        apply: |draft, text| switch(&mut draft.allow_publish, text),
    },
    Setting {
        name: "max-readers",
        default: "100000",
        value: "COUNT",
        help: "Readers at one time; the next is refused",
        apply: |draft, text| number(&mut draft.hub.max_readers, text, 1..=10_000_000),
    },
    Setting {
        name: "max-channels",
        default: "10000",
        value: "COUNT",
        help: "Channels listened to at one time; the next is refused",
        apply: |draft, text| number(&mut draft.hub.max_channels, text, 1..=1_000_000),
    },
    Setting {
        name: "max-channels-per-reader",
        default: "128",
        value: "COUNT",
        help: "Channels of one reader; the next is refused",
        apply: |draft, text| number(&mut draft.hub.max_channels_per_reader, text, 1..=1_000_000),
    },
];

const TENTH: Duration = Duration::from_millis(100);
const HOUR: Duration = Duration::from_secs(3600);

fn number(slot: &mut usize, text: &str, range: RangeInclusive<usize>) -> Result<(), String> {
    let value = usize::from_str(text).map_err(|_| "not a whole number")?;
    within(slot, value, &range, ToString::to_string)
}

fn size(slot: &mut usize, text: &str, range: RangeInclusive<usize>) -> Result<(), String> {
    let value = text
        .parse::<bytesize::ByteSize>()
        .map_err(|_| "not a size, like 64KiB or 1MiB")?;
    let value = usize::try_from(value.as_u64()).map_err(|_| "more than this machine has")?;
    within(slot, value, &range, |bytes| format!("{bytes} bytes"))
}

fn time(slot: &mut Duration, text: &str, range: RangeInclusive<Duration>) -> Result<(), String> {
    let value = humantime::parse_duration(text).map_err(|_| "not a time, like 15s or 10m")?;
    within(slot, value, &range, |time| {
        humantime::format_duration(*time).to_string()
    })
}

fn switch(slot: &mut bool, text: &str) -> Result<(), String> {
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

/// One mistake: where it was made, and against which rule.
pub(super) fn mistake(origin: impl Display, rule: impl Display) -> String {
    format!("{origin}: {rule}")
}
