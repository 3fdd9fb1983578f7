//! Why a collector's address is not taken. The text is not repeated: a collector's key may stand in
//! its query, or in its place.

/// In every build; which of them it can be is the build's.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// None is, without the feature.
    #[error("this pgfan was built without the feature `otlp`")]
    NotBuilt,
    /// Something stands before an `@`.
    #[error(
        "a collector's address holds no user and no password: what it asks for goes into \
         OTEL_EXPORTER_OTLP_HEADERS"
    )]
    User,
    /// It is no URL, or one with more than a host and a port.
    #[error("not like http://127.0.0.1:4317 or https://HOST:PORT, with nothing behind it")]
    Form,
}
