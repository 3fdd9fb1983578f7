//! Settings of authentication and grants.

use std::time::Duration;

use super::Setting;
use crate::{
    auth::KeySource,
    config::{
        access::{channels, list, some, token_type},
        origins::origins,
        values::{parsed, switch, time},
    },
};

const MINUTE: Duration = Duration::from_secs(60);

pub(super) const SETTINGS: &[Setting] = &[
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
               (https://app.example): no `/` at the end, no `*`; pages of its own host may",
        apply: |draft, text| origins(&mut draft.access.browsers.allow_origin, text),
    },
    Setting {
        name: "allow-host",
        default: "none",
        value: "NAME,…",
        help: "Host names that requests may ask for if no token is needed, and on \
               --admin-listen (events.example.com), beside IP addresses, localhost and the \
               hosts of --allow-origin; another name is answered 421, against DNS rebinding. \
               Over TLS any name is accepted: the certificate decides",
        apply: |draft, text| {
            draft.access.browsers.allow_host = list(text)?;
            Ok(())
        },
    },
    Setting {
        name: "token-secret",
        default: "none",
        value: "SECRET",
        help: "Check tokens with this secret of 32 bytes or more (HS256, HS384, HS512), beside \
               other keys that are given. It belongs into the variable or a file: the arguments of a process are public",
        apply: |draft, text| draft.access.secret(text),
    },
    Setting {
        name: "token-secret-previous",
        default: "none",
        value: "SECRET",
        help: "Another secret whose tokens are taken too: the one before, until the last of \
               them has expired",
        apply: |draft, text| draft.access.previous_secret(text),
    },
    Setting {
        name: "token-secret-file",
        default: "none",
        value: "FILE,…",
        help: "The same, from a file, without the line's end; tokens of each of up to 4 files \
               are taken",
        apply: |draft, text| draft.access.secret_files(text),
    },
    Setting {
        name: "token-key-file",
        default: "none",
        value: "FILE,…",
        help: "Check tokens with this public key, as PEM (RS, PS, ES256, ES384, EdDSA); tokens \
               of each of up to 4 files are taken",
        apply: |draft, text| draft.access.key_files(text, KeySource::pem_file),
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
        name: "token-type",
        default: "none",
        value: "TYPE",
        help: "Take only tokens of this type (`typ` in the header), like at+jwt: a provider may \
               sign ID tokens with the same key",
        apply: |draft, text| token_type(&mut draft.access.rules.token_type, text),
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
];
