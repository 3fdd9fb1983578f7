//! Reasons why a stream or a request ended, for all transports.

use std::{fmt, time::Duration};

use http::StatusCode;
use serde::Deserialize;
use tonic_types::StatusExt as _;

use super::address::Address;
use crate::{proto::ERROR_DOMAIN, text::Printable};

/// Reason of an end, in the gateway's words if it sent any.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} ({})", Printable(.message), Printable(.code))]
pub struct Ended {
    /// One of the gateway's codes; `disconnected` if the connection broke,
    /// `unreachable` if there was none.
    pub code: String,
    /// Text for people.
    pub message: String,
    /// How long the gateway asks the client to wait.
    pub(super) retry_after: Option<Duration>,
    /// Whether nothing answered at all: neither the gateway nor a proxy in front of
    /// it.
    pub(super) is_silence: bool,
    /// Set if more is known than the code says.
    remedy: Option<&'static str>,
}

/// The fields of a problem document (RFC 9457) that are used here.
#[derive(Deserialize)]
struct Problem {
    code: String,
    detail: String,
}

impl Ended {
    pub(super) fn new(code: &str, message: impl ToString) -> Self {
        Self {
            code: code.to_owned(),
            message: message.to_string(),
            retry_after: None,
            is_silence: false,
            remedy: None,
        }
    }

    pub(super) fn with_remedy(self, remedy: &'static str) -> Self {
        Self {
            remedy: Some(remedy),
            ..self
        }
    }

    pub(super) fn disconnected(message: impl ToString) -> Self {
        Self::silence("disconnected", message)
    }

    pub(super) fn unreachable(message: impl ToString) -> Self {
        Self::silence("unreachable", message)
    }

    fn silence(code: &str, message: impl ToString) -> Self {
        Self {
            is_silence: true,
            ..Self::new(code, message)
        }
    }

    /// Whether the same request would be refused again. An end without a code of
    /// the contract is worth a retry.
    pub fn is_for_good(&self) -> bool {
        let codes = [
            "invalid_request",
            "payload_too_large",
            "not_found",
            "forbidden",
            "unauthenticated",
        ];
        codes.contains(&self.code.as_str())
    }

    /// A hint for the user.
    pub fn remedy(&self) -> Option<&'static str> {
        self.remedy.or_else(|| self.remedy_of_code())
    }

    fn remedy_of_code(&self) -> Option<&'static str> {
        match self.code.as_str() {
            "unreachable" | "disconnected" => {
                Some("is `pgfan serve` running there? --url says where to look")
            }
            "unauthenticated" => Some("give a token: --token-file FILE, or PGFAN_TOKEN"),
            "not_found" => Some("--url must be the gateway's own address"),
            _ => None,
        }
    }

    /// The end of a request without a valid answer: from another program, from a
    /// gateway that is shutting down, or from one that expects TLS.
    pub(super) fn no_answer(address: &Address, error: impl fmt::Display) -> Self {
        let wants_tls = if address.is_tls {
            ""
        } else {
            ", or wants https"
        };
        Self::disconnected(format!(
            "{address}: what answers there is no gateway{wants_tls}, or ends just now: {error}"
        ))
    }

    /// The end of a request with an error response. The gateway's own contains the
    /// reason; one of a proxy or of another program has only its status.
    pub(super) fn from_answer(
        address: &Address,
        status: StatusCode,
        body: &[u8],
        retry_after: Option<Duration>,
    ) -> Self {
        let problem = serde_json::from_slice(body);
        let Problem { code, detail } = problem.unwrap_or_else(|_| Problem {
            code: code(status).to_owned(),
            detail: format!("{address}: what answers there is no gateway: {status}"),
        });
        let remedy = (status == StatusCode::MISDIRECTED_REQUEST).then_some(
            "ask by an IP address or localhost in --url, or start the gateway with --allow-host \
             NAME",
        );
        Self {
            retry_after,
            remedy,
            ..Self::new(&code, detail)
        }
    }

    /// The end after a close frame. A reason of the gateway begins with the code;
    /// other close frames were not sent by it.
    pub(super) fn from_close(number: u16, reason: &str) -> Self {
        match reason.split_once(": ") {
            Some((code, message)) => Self::new(code, message),
            None => Self::disconnected(format!("the WebSocket was closed with {number} {reason}")),
        }
    }

    /// The end after a gRPC error. gRPC has fewer codes than the contract, so the
    /// gateway's `ErrorInfo` contains the contract's. A status of a proxy or of
    /// another program has only its own.
    pub(super) fn from_grpc(address: &Address, status: &tonic::Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info();
        match info.filter(|info| info.domain == ERROR_DOMAIN) {
            Some(info) => Self {
                retry_after: details.retry_info().and_then(|retry| retry.retry_delay),
                ..Self::new(&info.reason, status.message())
            },
            None => Self::from_bare_status(address, status),
        }
    }

    fn from_bare_status(address: &Address, status: &tonic::Status) -> Self {
        use tonic::Code;
        let code = match status.code() {
            Code::InvalidArgument => "invalid_request",
            Code::PermissionDenied => "forbidden",
            Code::Unauthenticated => "unauthenticated",
            Code::Unimplemented | Code::NotFound => "not_found",
            Code::ResourceExhausted => "too_many",
            Code::Unavailable => "unreachable",
            _ => "disconnected",
        };
        match code {
            "disconnected" => Self::disconnected(status.message()),
            // A gateway has this service and all of its methods.
            "not_found" => {
                let said = status.message();
                let text = format!("{address}: what answers there is no gateway: {said}");
                Self::new(code, text)
            }
            code => Self::new(code, status.message()),
        }
    }
}

fn code(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "unauthenticated",
        StatusCode::FORBIDDEN => "forbidden",
        StatusCode::PAYLOAD_TOO_LARGE => "payload_too_large",
        StatusCode::TOO_MANY_REQUESTS => "too_many",
        StatusCode::REQUEST_TIMEOUT => "disconnected",
        _ if status.is_server_error() => "unreachable",
        // Redirects too: their target is most probably not a gateway either.
        _ => "not_found",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_document_says_why() {
        let body = br#"{"type":"about:blank","code":"forbidden","detail":"no","status":403}"#;
        let address = "http://h:1".parse().unwrap();
        let ended = Ended::from_answer(&address, StatusCode::FORBIDDEN, body, None);
        assert_eq!(ended, Ended::new("forbidden", "no"));
        assert!(ended.is_for_good());
    }

    #[test]
    fn a_proxy_has_its_status_alone() {
        for (status, code, for_good) in [
            (502, "unreachable", false),
            (503, "unreachable", false),
            (429, "too_many", false),
            (401, "unauthenticated", true),
            (404, "not_found", true),
            (301, "not_found", true),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let address = "http://h:1".parse().unwrap();
            let ended = Ended::from_answer(&address, status, b"<html>", None);
            assert_eq!((ended.code.as_str(), ended.is_for_good()), (code, for_good));
            let said = format!("http://h:1: what answers there is no gateway: {status}");
            assert_eq!(ended.message, said);
        }
    }

    #[test]
    fn a_grpc_status_has_the_code_in_its_details() {
        use tonic_types::ErrorDetails;

        let address = "http://h:1".parse().unwrap();
        let told = |domain: &str| {
            let mut details = ErrorDetails::with_error_info("shutting_down", domain, []);
            details.set_retry_info(Some(Duration::from_secs(2)));
            let status = tonic::Status::with_error_details;
            Ended::from_grpc(&address, &status(tonic::Code::Unavailable, "over", details))
        };
        let ours = told("pgfan");
        assert_eq!((&*ours.code, &*ours.message), ("shutting_down", "over"));
        assert_eq!(ours.retry_after, Some(Duration::from_secs(2)));
        assert_eq!(told("proxy.example").code, "unreachable");
        let bare = tonic::Status::unavailable("the gateway is shutting down");
        assert_eq!(Ended::from_grpc(&address, &bare).code, "unreachable");
    }

    #[test]
    fn a_close_frame_names_the_code() {
        let ended = Ended::from_close(1012, "shutting_down: the gateway ends");
        assert_eq!(ended, Ended::new("shutting_down", "the gateway ends"));
        assert!(!ended.is_for_good());
        assert_eq!(Ended::from_close(1006, "").code, "disconnected");
    }
}
