//! Settings of addresses, logs and telemetry.

use super::Setting;
use crate::config::{
    access::some,
    values::{address, parsed},
};

pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        name: "listen",
        default: "127.0.0.1:8000",
        value: "ADDRESS:PORT",
        help: "Where to serve, all wires on one port. A port alone, or localhost:PORT, is on \
               127.0.0.1; :PORT is on every IPv4 address, as 0.0.0.0:PORT, and takes a check of \
               tokens or --anonymous",
        apply: |draft, text| {
            draft.listen = address(text)?;
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
            draft.admin_listen = Some(address(text)?);
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
        name: "otlp-endpoint",
        default: "none",
        value: "URL",
        help: "Export to this OpenTelemetry collector, over OTLP by gRPC (http://127.0.0.1:4317): \
               the metrics, and a span for each notification whose payload has a `traceparent`. \
               Only in a build with the feature `otlp`",
        apply: |draft, text| {
            draft.otlp = Some(text.parse()?);
            Ok(())
        },
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
];
