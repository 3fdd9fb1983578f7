//! Settings of limits.

use super::Setting;
use crate::config::{
    limits::{proxies, some_number},
    values::{number, size},
};

pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        name: "max-readers",
        default: "100000",
        value: "COUNT",
        help: "Readers at one time; the next is refused",
        apply: |draft, text| number(&mut draft.hub.max_readers, text, 1..=10_000_000),
    },
    Setting {
        name: "max-readers-per-address",
        default: "half of --max-readers, or of the open files",
        value: "COUNT",
        help: "Readers of one client address (of IPv6, of one /64) at one time, and as many \
               connections to each listener that are none yet (64 at least); the next is refused. Behind a proxy that is not \
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
        default: "half of --max-readers, or of the open files",
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
        name: "max-header-bytes",
        default: "32KiB",
        value: "SIZE",
        help: "The largest head of a request, with its token and cursor; a larger one is answered \
               431",
        apply: |draft, text| {
            size(
                &mut draft.transport.max_header_bytes,
                text,
                8192..=(1 << 20),
            )
        },
    },
    Setting {
        name: "max-streams",
        default: "1000",
        value: "COUNT",
        help: "Streams on one HTTP/2 connection at one time; its client waits with the next one",
        apply: |draft, text| number(&mut draft.transport.max_streams, text, 1..=1_000_000),
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
        name: "max-channels-per-client",
        default: "half of --max-channels",
        value: "COUNT",
        help: "Channels that one client owns at one time (it is identified by its token, else by its \
               address): those that it was the first to read, until they are given up. Also the \
               size of its burst of new channels; the rate is 1,000 a second. The next is refused",
        apply: |draft, text| some_number(&mut draft.limits.channels_per_client, text),
    },
    Setting {
        name: "max-channels-per-reader",
        default: "128",
        value: "COUNT",
        help: "Channels of one reader; the next is refused",
        apply: |draft, text| number(&mut draft.hub.max_channels_per_reader, text, 1..=1_000_000),
    },
];
