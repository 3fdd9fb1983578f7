//! Settings of the source, the history and the delivery.

use std::time::Duration;

use super::Setting;
use crate::config::values::{number, size, time};

const DAY: Duration = Duration::from_secs(24 * 3600);
const SECOND: Duration = Duration::from_secs(1);
const TENTH: Duration = Duration::from_millis(100);
const HOUR: Duration = Duration::from_secs(3600);

pub(super) const SETTINGS: &[Setting] = &[
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
        name: "request-timeout",
        default: "10s",
        value: "TIME",
        help: "What a client may take for a TLS handshake, for a request's head and for its body; \
               then it is dropped",
        apply: |draft, text| time(&mut draft.transport.request_timeout, text, SECOND..=HOUR),
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
];
