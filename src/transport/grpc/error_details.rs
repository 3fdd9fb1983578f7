//! A refusal as a gRPC status, with google.rpc's `ErrorInfo` and `RetryInfo` in
//! `grpc-status-details-bin` (<https://google.aip.dev/193>).

use std::collections::HashMap;

use http::HeaderMap;
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{proto::ERROR_DOMAIN, transport::protocol::codes::Refusal};

/// The longest message of a status, in bytes; a longer one, which names many
/// channels, is truncated. It is sent percent-encoded (up to 3 bytes for one) and
/// again in the details (base64): together up to 5 KiB of the 8 KiB of metadata
/// that grpc-core accepts.
const MAX_MESSAGE: usize = 1 << 10;

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        status_of(refusal.code.grpc(), refusal)
    }
}

/// A status with the details of `refusal`, but with the given status code.
pub(super) fn status_of(grpc: tonic::Code, refusal: Refusal) -> Status {
    let Refusal { code, message } = refusal;
    let mut details = ErrorDetails::with_error_info(code.as_str(), ERROR_DOMAIN, HashMap::new());
    if let Some(after) = code.retry_after() {
        details.set_retry_info(Some(after));
    }
    Status::with_error_details(grpc, shortened(message), details)
}

/// Whether the headers are a success, or an error with details.
pub(super) fn is_explained(headers: &HeaderMap) -> bool {
    let is_error = headers.get("grpc-status").is_some_and(|code| code != "0");
    !is_error || headers.contains_key("grpc-status-details-bin")
}

fn shortened(mut message: String) -> String {
    if message.len() > MAX_MESSAGE {
        let ends = (0..=MAX_MESSAGE - '…'.len_utf8()).rev();
        let end = ends.into_iter().find(|end| message.is_char_boundary(*end));
        message.truncate(end.unwrap_or_default());
        message.push('…');
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::protocol::codes::Code;

    #[test]
    fn each_code_is_a_reason_and_says_when_to_come_back() {
        for code in Code::ALL {
            let status = Status::from(Refusal::new(code, "because"));
            assert_eq!((status.code(), status.message()), (code.grpc(), "because"));
            let details = status.get_error_details();
            let info = details.error_info().unwrap();
            assert_eq!((&*info.reason, &*info.domain), (code.as_str(), "pgfan"));
            let after = details.retry_info().and_then(|retry| retry.retry_delay);
            assert_eq!(after, code.retry_after(), "{code:?}");
        }
    }

    /// 128 channels with the longest names, all percent-encoded.
    #[test]
    fn the_longest_status_is_taken_by_every_client() {
        let refusal = Refusal::new(Code::Forbidden, "ä".repeat(128 * 31));
        let status = Status::from(refusal);
        assert!(status.message().len() <= MAX_MESSAGE && status.message().ends_with('…'));
        let mut headers = HeaderMap::new();
        status.add_header(&mut headers).unwrap();
        // As HPACK counts (RFC 7541, section 4.1).
        let size = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            name.as_str().len() + value.len() + 32
        };
        let size: usize = headers.iter().map(size).sum();
        assert!(size < 8 << 10, "{size}");
    }
}
