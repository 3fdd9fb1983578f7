//! Reasons to refuse a collector's address. The text is not repeated: a key may be in its query, or
//! given in its place.

/// Errors of a collector's address. The same type in every build; the build decides which occur.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// Without the feature every address is refused.
    #[error("this pgfan was built without the feature `otlp`")]
    NotBuilt,
    /// The address has user information before an `@`.
    #[error(
        "a collector's address holds no user and no password: what it asks for goes into \
         OTEL_EXPORTER_OTLP_HEADERS"
    )]
    User,
    /// Not a URL, or one with more than a host and a port.
    #[error("not like http://127.0.0.1:4317 or https://HOST:PORT, with nothing behind it")]
    Form,
}
