//! The connection to the collector, and what each request has.

use std::time::Duration;

use opentelemetry_proto::tonic::{common::v1::any_value::Value, resource::v1::Resource};
use tonic::{
    Request,
    metadata::MetadataMap,
    transport::{Channel, ClientTlsConfig, Error},
};

use super::{settings::OtlpSettings, span::attribute};

/// Limit of the size of an answer: one has a few fields.
pub(super) const MAX_ANSWER: usize = 64 << 10;

/// Timeout for the connection: longer than a TCP and a TLS handshake across the world take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Interval and timeout of HTTP/2 PING during a request: a dead connection is found within their sum.
const PING: Duration = Duration::from_secs(10);
const PING_LIMIT: Duration = Duration::from_secs(10);

/// Connection, headers and resource of every export. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Collector {
    channel: Channel,
    headers: MetadataMap,
    resource: Resource,
}

impl Collector {
    /// Connects at the first request, and again when the connection is lost.
    ///
    /// # Errors
    /// The machine's certificate authorities, for `https`, cannot be read.
    pub(super) fn new(settings: OtlpSettings) -> Result<Self, Error> {
        let OtlpSettings {
            endpoint,
            headers,
            resource,
            interval: _,
        } = settings;
        let is_secure = endpoint.0.scheme_str() == Some("https");
        let mut endpoint = Channel::builder(endpoint.0)
            .connect_timeout(CONNECT_LIMIT)
            .http2_keep_alive_interval(PING)
            .keep_alive_timeout(PING_LIMIT);
        if is_secure {
            endpoint = endpoint.tls_config(ClientTlsConfig::new().with_native_roots())?;
        }
        let text = |(key, value): (String, String)| attribute(&key, Value::StringValue(value));
        let resource = Resource {
            attributes: resource.into_iter().map(text).collect(),
            ..Resource::default()
        };
        Ok(Self {
            channel: endpoint.connect_lazy(),
            headers,
            resource,
        })
    }

    pub(super) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    pub(super) fn resource(&self) -> Resource {
        self.resource.clone()
    }

    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        *request.metadata_mut() = self.headers.clone();
        request
    }
}
