//! Settings of the export: the collector's address, and OpenTelemetry's own environment variables
//! (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>).

use std::{fmt, str::FromStr, time::Duration};

use http::{Uri, uri::Authority};
use percent_encoding::percent_decode_str;
use tonic::metadata::{Ascii, AsciiMetadataKey, AsciiMetadataValue, MetadataMap, MetadataValue};

use crate::{telemetry::EndpointError, text::may_be_secret};

/// Address of a collector, validated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint(pub(super) Uri);

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        if text.contains('@') {
            return Err(EndpointError::User);
        }
        let uri = text.parse::<Uri>().ok().filter(|uri| {
            let is_known = matches!(uri.scheme_str(), Some("http" | "https"));
            let has_path = uri.path_and_query().is_some_and(|path| path != "/");
            is_known && !has_path && uri.authority().is_some_and(has_good_port)
        });
        uri.map(Self).ok_or(EndpointError::Form)
    }
}

/// A port above 0, or no port. `Uri` reads an invalid port as a missing one.
fn has_good_port(authority: &Authority) -> bool {
    let port = authority.port_u16();
    port.map_or(authority.as_str() == authority.host(), |port| port > 0)
}

/// Settings of the exporter.
pub struct OtlpSettings {
    pub(super) endpoint: Endpoint,
    pub(super) headers: MetadataMap,
    /// Attributes of this process: `service.name` and others.
    pub(super) resource: Vec<(String, String)>,
    /// Time between two exports of the metrics; none if they are not exported.
    pub(super) interval: Option<Duration>,
}

/// Without the headers: they are secrets.
impl fmt::Debug for OtlpSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OtlpSettings({})", self.endpoint.0)
    }
}

const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
const RESOURCE: &str = "OTEL_RESOURCE_ATTRIBUTES";
const METRICS: &str = "OTEL_METRICS_EXPORTER";
const INTERVAL: &str = "OTEL_METRIC_EXPORT_INTERVAL";

const PAIRS: &str = "write NAME=VALUE,NAME=VALUE, each value percent-encoded, or leave it out";

/// OpenTelemetry's own default.
const MINUTE: Duration = Duration::from_secs(60);

impl OtlpSettings {
    /// Reads OpenTelemetry's variables. Each mistake has the variable's name, the rule, and how to
    /// mend it. The value is repeated, except that of headers and attributes, which hold secrets.
    pub fn read(
        endpoint: Endpoint,
        environment: &dyn Fn(&str) -> Option<String>,
        mut mistake: impl FnMut(&'static str, String, &'static str),
    ) -> Self {
        let text = |name| environment(name).unwrap_or_default();
        let headers = pairs(&text(HEADERS)).and_then(headers);
        let headers = headers.unwrap_or_else(|rule| {
            mistake(HEADERS, rule, PAIRS);
            MetadataMap::new()
        });
        let mut resource = pairs(&text(RESOURCE)).unwrap_or_else(|rule| {
            mistake(RESOURCE, rule, PAIRS);
            Vec::new()
        });
        let name = text("OTEL_SERVICE_NAME");
        if !name.is_empty() {
            resource.retain(|(key, _)| key != "service.name");
            resource.push(("service.name".into(), name));
        }
        for (key, value) in [
            ("service.name", "pgfan".to_owned()),
            ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
            ("service.instance.id", instance()),
        ] {
            if !resource.iter().any(|(known, _)| known == key) {
                resource.push((key.into(), value));
            }
        }
        let interval = interval(&text(INTERVAL)).unwrap_or_else(|rule| {
            let remedy = "give milliseconds: OTEL_METRIC_EXPORT_INTERVAL=60000, or leave it out";
            mistake(INTERVAL, rule, remedy);
            MINUTE
        });
        let interval = match text(METRICS).as_str() {
            "" | "otlp" => Some(interval),
            "none" => None,
            other => {
                let rule = format!("{} neither otlp nor none", shown(other));
                mistake(
                    METRICS,
                    rule,
                    "give OTEL_METRICS_EXPORTER=none, or leave it out",
                );
                None
            }
        };
        Self {
            endpoint,
            headers,
            resource,
            interval,
        }
    }
}

/// At least 100 ms, since an export costs work; at most an hour, since older values are of no use.
fn interval(text: &str) -> Result<Duration, String> {
    if text.is_empty() {
        return Ok(MINUTE);
    }
    let millis = text.parse().ok().filter(|m| (100..=3_600_000).contains(m));
    let rule = || {
        format!(
            "{} not a number of milliseconds, 100 to 3600000",
            shown(text)
        )
    };
    millis.map(Duration::from_millis).ok_or_else(rule)
}

/// Start of an error about a value; a value that may be a secret is not repeated.
fn shown(text: &str) -> String {
    match may_be_secret(text) {
        true => "it is".to_owned(),
        false => format!("{text:?} is"),
    }
}

/// `name=value,name=value`, percent-encoded. An error has the position of the member, not its text,
/// which may be a secret.
fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let members = text.split(',').map(str::trim).enumerate();
    let members = members.filter(|(_, member)| !member.is_empty());
    let pair = |(place, member): (usize, &str)| {
        let rule = || format!("member {} is not NAME=VALUE, percent-encoded", place + 1);
        let (name, value) = member.split_once('=').ok_or_else(rule)?;
        let value = percent_decode_str(value.trim()).decode_utf8();
        let (name, value) = (name.trim(), value.map_err(|_| rule())?);
        let is_whole = !name.is_empty();
        let pair = (name.to_owned(), value.into_owned());
        is_whole.then_some(pair).ok_or_else(rule)
    };
    members.map(pair).collect()
}

/// They are marked as sensitive, so no layer logs them at any level.
fn headers(pairs: Vec<(String, String)>) -> Result<MetadataMap, String> {
    let mut headers = MetadataMap::new();
    for (place, (name, value)) in pairs.into_iter().enumerate() {
        let rule = || format!("header {} is not one that HTTP can carry", place + 1);
        let name = AsciiMetadataKey::from_str(&name.to_lowercase()).map_err(|_| rule())?;
        let value = MetadataValue::<Ascii>::from_str(&value);
        let mut value: AsciiMetadataValue = value.map_err(|_| rule())?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

/// A random UUID: two gateways with one name export separate series.
fn instance() -> String {
    let random = fastrand::u128(..) & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let hex = format!("{random:032x}");
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_of_a_collector() {
        for (text, is_good) in [
            ("http://127.0.0.1:4317", true),
            ("http://[::1]:4317/", true),
            ("https://collector.example", true),
            ("", false),
            ("collector:4317", false),
            ("grpc://collector:4317", false),
            ("http://collector:0", false),
            ("http://collector:4318/v1/traces", false),
            ("http://collector:4317?a=b", false),
            ("http://ann:s3cret@collector:4317", false),
            ("https://collector:4317?key=s3cret", false),
            ("https://collector:4317/s3cret", false),
            ("collector:4317?key=s3cret", false),
            ("s3cret", false),
            ("https://s3cret:x", false),
            ("https://collector:65536", false),
            ("https://collector:", false),
        ] {
            assert_eq!(text.parse::<Endpoint>().is_ok(), is_good, "{text}");
        }
    }

    fn read(variables: &[(&str, &str)]) -> (OtlpSettings, Vec<String>) {
        let mut mistakes = Vec::new();
        let environment = |asked: &str| {
            let found = variables.iter().find(|(name, _)| *name == asked);
            found.map(|(_, value)| (*value).to_owned())
        };
        let endpoint = "http://127.0.0.1:4317".parse().unwrap();
        let settings = OtlpSettings::read(endpoint, &environment, |name, rule, remedy| {
            mistakes.push(format!("{name}: {rule}: {remedy}"));
        });
        (settings, mistakes)
    }

    #[test]
    fn opentelemetrys_variables_are_taken() {
        let (settings, mistakes) = read(&[
            ("OTEL_SERVICE_NAME", "cache"),
            (
                RESOURCE,
                "service.name=other, deployment.environment.name=a%20b",
            ),
            (HEADERS, "Authorization=Bearer%20s3cret,x-scope=1"),
            (INTERVAL, "5000"),
        ]);
        assert_eq!(mistakes, [""; 0]);
        let value = |name: &str| {
            let found = settings.resource.iter().filter(|(key, _)| key == name);
            let found: Vec<_> = found.map(|(_, value)| value.as_str()).collect();
            found.join(" and ")
        };
        assert_eq!(settings.interval, Some(Duration::from_secs(5)));
        let (silent, _) = read(&[(INTERVAL, "5000"), (METRICS, "none")]);
        assert_eq!(silent.interval, None);
        assert_eq!(value("service.name"), "cache");
        assert_eq!(value("deployment.environment.name"), "a b");
        assert_eq!(value("service.instance.id").len(), 36);
        assert_eq!(
            settings.headers.get("authorization").unwrap(),
            "Bearer s3cret"
        );
        assert!(!format!("{settings:?} {:?}", settings.headers).contains("s3cret"));
    }

    #[test]
    fn a_mistake_is_told_and_a_secret_is_not() {
        for (name, text) in [
            (HEADERS, "a=b,s3cret"),
            (HEADERS, "s3cret key=1"),
            (HEADERS, "a=s3cret%0a"),
            (HEADERS, "a-bin=s3cret"),
            (HEADERS, "a=%ffs3cret"),
            (RESOURCE, "=s3cret"),
            (INTERVAL, "often"),
            (INTERVAL, "99"),
            (METRICS, "prometheus"),
        ] {
            let (_, mistakes) = read(&[(name, text)]);
            let [mistake] = mistakes.as_slice() else {
                panic!("{text}: {mistakes:?}")
            };
            assert!(
                mistake.starts_with(name) && !mistake.contains("s3cret"),
                "{mistake}"
            );
            let names_it = mistake.contains(&format!(": {text:?} is n"));
            assert_eq!(names_it, [INTERVAL, METRICS].contains(&name), "{mistake}");
            assert!(mistake.ends_with(", or leave it out"), "{mistake}");
        }
    }
}
