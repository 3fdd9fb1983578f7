//! Which failures pass, as the protocol has it
//! (<https://opentelemetry.io/docs/specs/otlp/#failures>).

use tonic::{Code, Status};

/// What `google.rpc.Status`, in `grpc-status-details-bin`, calls the message with the
/// time of the next try. Its text stands there as it is.
const RETRY_INFO: &[u8] = b"type.googleapis.com/google.rpc.RetryInfo";

/// Whether what was not taken now may be taken later: the collector says so, or it
/// was no collector's word.
pub(super) fn is_passing(status: &Status) -> bool {
    let is_local = std::error::Error::source(status).is_some();
    is_local
        || match status.code() {
            Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss => true,
            // Too much for now; and without that word too much for ever, like a request
            // that is too large.
            Code::ResourceExhausted => says_when(status),
            _ => false,
        }
}

/// Looked for by its name and not decoded: a collector that names it elsewhere is tried
/// again for some minutes, and no more.
fn says_when(status: &Status) -> bool {
    let mut places = status.details().windows(RETRY_INFO.len());
    places.any(|place| place == RETRY_INFO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_exhausted_passes_only_if_the_collector_says_so() {
        let status = |details: &[u8]| {
            Status::with_details(Code::ResourceExhausted, "", details.to_vec().into())
        };
        // Code 8, and RetryInfo with a delay of 1 s; and the same with another name.
        let retry = b"\x08\x08\x1a\x30\x0a\x28type.googleapis.com/google.rpc.RetryInfo\x12\x04\x0a\x02\x08\x01";
        assert!(is_passing(&status(retry)));
        let other = String::from_utf8_lossy(retry).replace("RetryInfo", "ErrorInfo");
        assert!(!is_passing(&status(other.as_bytes())));
        for details in [&b""[..], b"\xff", &retry[..20]] {
            assert!(!is_passing(&status(details)), "{details:?}");
        }
    }

    #[test]
    fn what_is_away_or_late_passes() {
        for (code, passes) in [
            (Code::Unavailable, true),
            (Code::DeadlineExceeded, true),
            (Code::InvalidArgument, false),
            (Code::Unauthenticated, false),
            (Code::Unimplemented, false),
        ] {
            assert_eq!(is_passing(&Status::new(code, "")), passes, "{code:?}");
        }
    }
}
