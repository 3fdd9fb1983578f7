//! Table of error codes for WebSocket, HTTP and gRPC. Other files name only the statuses
//! that a protocol prescribes for its own faults.

use std::time::Duration;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tonic::Status;

use super::security_headers::secure;
use crate::{
    auth::{AuthError, TooManyTickets},
    event::{ChannelNameError, PayloadError},
    hub::{Ended, JoinError, SubscribeError, Unready},
    publish::PublishError,
};

/// Error code of the contract; each implies whether the client should retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Invalid channel name or parameter: do not retry with it.
    InvalidRequest,
    /// Do not retry with it.
    PayloadTooLarge,
    /// No such resource: do not retry.
    NotFound,
    /// No token, or an invalid or expired one: retry with another.
    Unauthenticated,
    /// Do not retry.
    Forbidden,
    /// Retry later.
    TooMany,
    /// Retry.
    SourceUnavailable,
    /// Gap or interruption on the raw and PGCacheWatch transports, which have
    /// no message for it: retry.
    Interrupted,
    /// The client reads nothing, or answers no ping: retry.
    WriteTimeout,
    /// Retry.
    ShuttingDown,
    /// Retry.
    Internal,
}

/// Number of codes.
pub const CODES: usize = 11;

/// Delay before a refused client should retry, in whole seconds.
const RETRY_AFTER: Duration = Duration::from_secs(2);

impl Code {
    /// Each code at the index of its discriminant.
    pub const ALL: [Self; CODES] = [
        Self::InvalidRequest,
        Self::PayloadTooLarge,
        Self::NotFound,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::TooMany,
        Self::SourceUnavailable,
        Self::Interrupted,
        Self::WriteTimeout,
        Self::ShuttingDown,
        Self::Internal,
    ];

    /// Name in the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::PayloadTooLarge => "payload_too_large",
            Self::NotFound => "not_found",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::TooMany => "too_many",
            Self::SourceUnavailable => "source_unavailable",
            Self::Interrupted => "interrupted",
            Self::WriteTimeout => "write_timeout",
            Self::ShuttingDown => "shutting_down",
            Self::Internal => "internal",
        }
    }

    /// Close code (RFC 6455, section 7.4, and the IANA registry of close
    /// codes); 4000 and above are the application's.
    pub fn websocket(self) -> u16 {
        match self {
            Self::InvalidRequest | Self::PayloadTooLarge | Self::NotFound => 1008,
            Self::Unauthenticated => 4401,
            Self::Forbidden => 4403,
            Self::TooMany | Self::SourceUnavailable | Self::WriteTimeout => 1013,
            Self::Interrupted | Self::ShuttingDown => 1012,
            Self::Internal => 1011,
        }
    }

    /// HTTP status (RFC 9110, section 15).
    pub fn http(self) -> StatusCode {
        match self {
            Self::InvalidRequest => StatusCode::BAD_REQUEST,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::SourceUnavailable
            | Self::Interrupted
            | Self::WriteTimeout
            | Self::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// gRPC status (<https://grpc.io/docs/guides/status-codes/>).
    pub fn grpc(self) -> tonic::Code {
        match self {
            Self::InvalidRequest | Self::PayloadTooLarge => tonic::Code::InvalidArgument,
            Self::NotFound => tonic::Code::Unimplemented,
            Self::Unauthenticated => tonic::Code::Unauthenticated,
            Self::Forbidden => tonic::Code::PermissionDenied,
            Self::TooMany => tonic::Code::ResourceExhausted,
            Self::SourceUnavailable
            | Self::Interrupted
            | Self::WriteTimeout
            | Self::ShuttingDown => tonic::Code::Unavailable,
            Self::Internal => tonic::Code::Internal,
        }
    }

    /// Delay before a client should retry, for codes that have one.
    pub(in crate::transport) fn retry_after(self) -> Option<Duration> {
        let is_for_later = matches!(
            self.http(),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        );
        is_for_later.then_some(RETRY_AFTER)
    }
}

/// Error code with a message for people. The message never contains
/// PostgreSQL's own text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// Code for the client's program.
    pub code: Code,
    /// Message for people: names the input and the rule.
    pub message: String,
}

impl Refusal {
    pub(in crate::transport) fn new(code: Code, message: impl ToString) -> Self {
        Self {
            code,
            message: message.to_string(),
        }
    }

    pub(in crate::transport) fn invalid(message: impl ToString) -> Self {
        Self::new(Code::InvalidRequest, message)
    }
}

impl From<ChannelNameError> for Refusal {
    fn from(error: ChannelNameError) -> Self {
        Self::invalid(error)
    }
}

impl From<PayloadError> for Refusal {
    fn from(error: PayloadError) -> Self {
        match error {
            PayloadError::TooLarge(_) => Self::new(Code::PayloadTooLarge, error),
            PayloadError::Nul => Self::invalid(error),
        }
    }
}

impl From<SubscribeError> for Refusal {
    fn from(error: SubscribeError) -> Self {
        let code = match error {
            SubscribeError::TooMany => Code::TooMany,
            SubscribeError::ShuttingDown => Code::ShuttingDown,
        };
        Self::new(code, error)
    }
}

impl From<Unready> for Refusal {
    fn from(unready: Unready) -> Self {
        let code = match unready {
            Unready::ShuttingDown => Code::ShuttingDown,
            Unready::SourceAway | Unready::Degraded(_) => Code::SourceUnavailable,
        };
        Self::new(code, unready)
    }
}

impl From<JoinError> for Refusal {
    fn from(error: JoinError) -> Self {
        let code = match error {
            JoinError::Joined(_) => Code::InvalidRequest,
            JoinError::TooMany
            | JoinError::TooManyForClient(_)
            | JoinError::TooManyForReader(_)
            | JoinError::CreationRefused => Code::TooMany,
        };
        Self::new(code, error)
    }
}

impl From<Ended> for Refusal {
    fn from(ended: Ended) -> Self {
        let code = match ended {
            Ended::ShuttingDown => Code::ShuttingDown,
            Ended::SourceUnavailable => Code::SourceUnavailable,
            Ended::Refused(_) => Code::InvalidRequest,
        };
        Self::new(code, ended)
    }
}

impl From<PublishError> for Refusal {
    fn from(error: PublishError) -> Self {
        let code = match error {
            PublishError::TooMany => Code::TooMany,
            PublishError::Unavailable => Code::SourceUnavailable,
            PublishError::Unrepresentable => Code::InvalidRequest,
        };
        Self::new(code, error)
    }
}

impl From<AuthError> for Refusal {
    fn from(error: AuthError) -> Self {
        let code = match error {
            AuthError::Required | AuthError::Token | AuthError::Ticket => Code::Unauthenticated,
            AuthError::Unavailable => Code::SourceUnavailable,
            AuthError::TooMany | AuthError::Busy => Code::TooMany,
        };
        Self::new(code, error)
    }
}

impl From<TooManyTickets> for Refusal {
    fn from(error: TooManyTickets) -> Self {
        Self::new(Code::TooMany, error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.with_status(self.code.http())
    }
}

const WEB: &[u8] = b"application/grpc-web";

impl Refusal {
    /// The response in the client's protocol, for refusals outside of a
    /// service.
    pub(in crate::transport) fn answer_to(self, headers: &HeaderMap) -> Response {
        let status = self.code.http();
        self.answer_with(status, headers)
    }

    /// Like [`answer_to`](Self::answer_to), with another HTTP status; gRPC
    /// clients receive the status of the code.
    pub(in crate::transport) fn answer_with(
        self,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Response {
        let content_type = headers.get(header::CONTENT_TYPE);
        if content_type.is_some_and(|v| v.as_bytes().starts_with(b"application/grpc")) {
            let code = self.code;
            let mut response = Status::from(self).into_http::<Body>();
            response.extensions_mut().insert(code);
            // A gRPC-Web client is answered in its own format; in both formats
            // the status is in the head.
            let headers = response.headers_mut();
            if let Some(web) = content_type.filter(|v| v.as_bytes().starts_with(WEB)) {
                headers.insert(header::CONTENT_TYPE, web.clone());
            }
            secure(headers);
            return response;
        }
        self.with_status(status)
    }

    /// Problem document (RFC 9457), with a status that may differ from the
    /// code's: HTTP has some that the other transports lack.
    pub(in crate::transport) fn with_status(&self, status: StatusCode) -> Response {
        let problem = serde_json::json!({
            "type": "about:blank",
            "title": status.canonical_reason().unwrap_or_default(),
            "status": status.as_u16(),
            "detail": self.message,
            "code": self.code.as_str(),
        });
        let mut response = Response::new(Body::from(problem.to_string()));
        *response.status_mut() = status;
        response.extensions_mut().insert(self.code);
        let headers = response.headers_mut();
        let problem_json = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, problem_json);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        secure(headers);
        if self.code == Code::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(after) = self.code.retry_after() {
            headers.insert(header::RETRY_AFTER, after.as_secs().into());
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stands_at_its_number() {
        for (number, code) in Code::ALL.into_iter().enumerate() {
            assert_eq!(code as usize, number);
        }
    }

    /// Section 6 of the contract, row by row.
    #[test]
    fn the_table_is_the_contracts() {
        use tonic::Code as Grpc;
        let table = [
            (
                Code::InvalidRequest,
                1008,
                400,
                Grpc::InvalidArgument,
                false,
            ),
            (
                Code::Unauthenticated,
                4401,
                401,
                Grpc::Unauthenticated,
                false,
            ),
            (Code::Forbidden, 4403, 403, Grpc::PermissionDenied, false),
            (Code::TooMany, 1013, 429, Grpc::ResourceExhausted, true),
            (Code::SourceUnavailable, 1013, 503, Grpc::Unavailable, true),
            (Code::WriteTimeout, 1013, 503, Grpc::Unavailable, true),
            (Code::ShuttingDown, 1012, 503, Grpc::Unavailable, true),
            (Code::Internal, 1011, 500, Grpc::Internal, false),
        ];
        for (code, websocket, http, grpc, later) in table {
            assert_eq!(code.websocket(), websocket, "{code:?}");
            assert_eq!(code.http().as_u16(), http, "{code:?}");
            assert_eq!(code.grpc(), grpc, "{code:?}");
            let response = Refusal::new(code, "x").into_response();
            let retry = response.headers().contains_key(header::RETRY_AFTER);
            assert_eq!(retry, later, "{code:?}");
        }
        assert_eq!(Code::PayloadTooLarge.http().as_u16(), 413);
        assert_eq!(Code::PayloadTooLarge.grpc(), Grpc::InvalidArgument);
        assert_eq!(Code::Interrupted.websocket(), 1012);
        assert_eq!(Code::Interrupted.http().as_u16(), 503);
    }
}
