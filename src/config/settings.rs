//! Every setting once: its name, its default, what it means, how its text is
//! read. Flags, variables, the file and the table of docs/settings.md come from here.

use std::{fmt::Display, time::Duration};

use super::{
    Draft,
    access::{channels, origins, some},
    limits::{proxies, some_number},
    values::{number, parsed, size, switch, time},
};
use crate::auth::KeySource;

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

/// What is bound, connected or begun once. All others are read again on SIGHUP.
pub(super) const RESTART: &[&str] = &[
    "listen",
    "admin-listen",
    "database-url",
    "heartbeat-interval",
    "heartbeat-timeout",
    "drain-timeout",
    "log-format",
    "console",
];

impl Setting {
    /// Whether SIGHUP is enough for another value.
    pub fn reloads(&self) -> bool {
        !RESTART.contains(&self.name)
    }

    /// Its environment variable.
    pub fn variable(&self) -> String {
        format!("PGFAN_{}", self.name.to_uppercase().replace('-', "_"))
    }
}

const DAY: Duration = Duration::from_secs(24 * 3600);
const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);
const TENTH: Duration = Duration::from_millis(100);
const HOUR: Duration = Duration::from_secs(3600);

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
        name: "admin-listen",
        default: "none",
        value: "ADDRESS:PORT",
        help: "Where the metrics, the status and the console are served, and no longer on \
               --listen: plain HTTP for those who run the gateway, without a token for the \
               numbers. It answers everything else too",
        apply: |draft, text| {
            let address = text
                .parse()
                .map_err(|_| "not an address and port, like 127.0.0.1:8001")?;
            draft.admin_listen = Some(address);
            Ok(())
        },
    },
    Setting {
        name: "log-format",
        default: "text",
        value: "text|json",
        help: "How the log's lines look; what is said is in RUST_LOG (info,pgfan::source=debug)",
        apply: |draft, text| parsed(&mut draft.log_format, text),
    },
    Setting {
        name: "tls-cert",
        default: "none",
        value: "FILE",
        help: "Speak TLS, and nothing else, with this certificate and those up to its root (PEM). \
               When the file changes, whoever comes next gets the new one",
        apply: |draft, text| some(&mut draft.tls.certificate, text),
    },
    Setting {
        name: "tls-key",
        default: "none",
        value: "FILE",
        help: "The certificate's private key (PEM, not encrypted)",
        apply: |draft, text| some(&mut draft.tls.key, text),
    },
    Setting {
        name: "tls-client-ca",
        default: "none",
        value: "FILE",
        help: "Let in only clients whose certificate one of these has signed (PEM); what they \
               may do their tokens say, as ever",
        apply: |draft, text| some(&mut draft.tls.client_ca, text),
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
        name: "console",
        default: "on",
        value: "on|off",
        help: "Whether there is a console at /, a page that does what its token may",
        apply: |draft, text| switch(&mut draft.transport.console, text),
    },
    Setting {
        name: "allow-publish",
        default: "off",
        value: "",
        help: "Let clients without a token publish",
        apply: |draft, text| switch(&mut draft.access.allow_publish, text),
    },
    Setting {
        name: "anonymous",
        default: "off",
        value: "",
        help: "Let clients without a token in: beside those with one, or on an address that is \
               not the loopback",
        apply: |draft, text| switch(&mut draft.access.anonymous, text),
    },
    Setting {
        name: "channels",
        default: "**",
        value: "PATTERN,…",
        help: "All channels that anybody may have, whatever a token says: `*` is one part of a \
               name between dots, `**` at the end all that follow",
        apply: |draft, text| channels(&mut draft.access.channels, text),
    },
    Setting {
        name: "allow-origin",
        default: "the gateway's host",
        value: "ORIGIN,…",
        help: "Whose pages may use the gateway, each exactly as browsers write it \
               (https://app.example); pages of its own host may",
        apply: |draft, text| origins(&mut draft.access.browsers.allow_origin, text),
    },
    Setting {
        name: "token-secret",
        default: "none",
        value: "SECRET",
        help: "Check tokens with this secret of 32 bytes or more (HS256, HS384, HS512). It \
               belongs into the variable or a file: the arguments of a process are public",
        apply: |draft, text| draft.access.secret(text),
    },
    Setting {
        name: "token-secret-file",
        default: "none",
        value: "FILE",
        help: "The same, from a file, without the line's end",
        apply: |draft, text| draft.access.secret_file(text),
    },
    Setting {
        name: "token-key-file",
        default: "none",
        value: "FILE",
        help: "Check tokens with this public key, as PEM (RS, PS, ES256, ES384, EdDSA)",
        apply: |draft, text| draft.access.key_file(text, KeySource::pem_file),
    },
    Setting {
        name: "jwks-file",
        default: "none",
        value: "FILE",
        help: "Check tokens with the keys of this JWKS document, which may change",
        apply: |draft, text| draft.access.key_file(text, KeySource::jwks_file),
    },
    Setting {
        name: "jwks-url",
        default: "none",
        value: "URL",
        help: "The same, from an identity provider; looked at every 10 minutes, and when a \
               token names an unknown key",
        apply: |draft, text| some(&mut draft.access.jwks_url, text),
    },
    Setting {
        name: "jwks-insecure",
        default: "off",
        value: "",
        help: "Take keys over http from another machine too: whoever sits between can hand in \
               keys of their own",
        apply: |draft, text| switch(&mut draft.access.jwks_insecure, text),
    },
    Setting {
        name: "token-audience",
        default: "none",
        value: "TEXT",
        help: "Take only tokens for this audience (`aud`)",
        apply: |draft, text| some(&mut draft.access.rules.audience, text),
    },
    Setting {
        name: "token-issuer",
        default: "none",
        value: "TEXT",
        help: "Take only tokens of this issuer (`iss`)",
        apply: |draft, text| some(&mut draft.access.rules.issuer, text),
    },
    Setting {
        name: "token-claim",
        default: "pgfan",
        value: "NAME",
        help: "The claim with a client's channels, or the way to it as a JSON pointer \
               (/resource_access/pgfan/roles)",
        apply: |draft, text| parsed(&mut draft.access.rules.claim, text),
    },
    Setting {
        name: "token-leeway",
        default: "0s",
        value: "TIME",
        help: "How far the clock of those who make tokens may be off",
        apply: |draft, text| {
            time(
                &mut draft.access.rules.leeway,
                text,
                Duration::ZERO..=MINUTE,
            )
        },
    },
    Setting {
        name: "token-cookie",
        default: "pgfan_token",
        value: "NAME",
        help: "The cookie in which browsers may send a token",
        apply: |draft, text| parsed(&mut draft.access.browsers.cookie, text),
    },
    Setting {
        name: "max-readers",
        default: "100000",
        value: "COUNT",
        help: "Readers at one time; the next is refused",
        apply: |draft, text| number(&mut draft.hub.max_readers, text, 1..=10_000_000),
    },
    Setting {
        name: "max-readers-per-address",
        default: "half of --max-readers",
        value: "COUNT",
        help: "Readers of one client address (of IPv6, of one /64) at one time, and as many \
               connections that are none yet (64 at least); the next is refused. Behind a proxy that is not \
               among the trusted ones all clients are one address",
        apply: |draft, text| some_number(&mut draft.limits.readers_per_address, text),
    },
    Setting {
        name: "trusted-proxies",
        default: "none",
        value: "NETWORK,…",
        help: "Addresses and networks (10.0.0.0/8) of proxies: of them `Forwarded` and \
               `X-Forwarded-For` are taken for the client's address, of nobody else",
        apply: |draft, text| proxies(&mut draft.limits.proxies, text),
    },
    Setting {
        name: "max-readers-per-token",
        default: "half of --max-readers",
        value: "COUNT",
        help: "Readers with tokens of one `sub`, or with one token that has none, at one time; \
               the next is refused",
        apply: |draft, text| some_number(&mut draft.limits.readers_per_token, text),
    },
    Setting {
        name: "max-publish-rate",
        default: "1000",
        value: "COUNT",
        help: "Notifications a second that one client may publish, known by its token or else \
               by its address, and at once as many; the next is refused",
        apply: |draft, text| some_number(&mut draft.limits.publish_rate, text),
    },
    Setting {
        name: "max-frame-rate",
        default: "2000",
        value: "COUNT",
        help: "Messages a second of one WebSocket client, pings among them, and at once as many; \
               one more ends its stream",
        apply: |draft, text| number(&mut draft.transport.max_frame_rate, text, 1..=10_000_000),
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

/// One mistake: where it was made, and against which rule.
pub(super) fn mistake(origin: impl Display, rule: impl Display) -> String {
    format!("{origin}: {rule}")
}
