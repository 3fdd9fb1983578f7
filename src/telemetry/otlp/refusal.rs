//! Which failures of an export are retried, as OTLP has it
//! (<https://opentelemetry.io/docs/specs/otlp/#failures>).

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// The longest delay of a collector that is respected: a batch is retried for some minutes in all,
/// and no single answer may use them up.
const MAX_DELAY: Duration = Duration::from_secs(30);

/// The shortest time until the next try, which the collector may set in a `google.rpc.RetryInfo`;
/// none if the batch is refused for good. A failure of the connection is retried, whatever its
/// code.
pub(super) fn retry_after(status: &Status) -> Option<Duration> {
    let info = status.get_details_retry_info();
    let is_local = std::error::Error::source(status).is_some();
    let is_retried = is_local
        || match status.code() {
            Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss => true,
            // Without a `RetryInfo` the request itself is too large.
            Code::ResourceExhausted => info.is_some(),
            _ => false,
        };
    let delay = info.and_then(|info| info.retry_delay).unwrap_or_default();
    is_retried.then_some(delay.min(MAX_DELAY))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Code 8, and a `RetryInfo` with a delay of 1 s.
    const RETRY: &[u8] =
        b"\x08\x08\x1a\x30\x0a\x28type.googleapis.com/google.rpc.RetryInfo\x12\x04\x0a\x02\x08\x01";

    fn after(code: Code, details: &[u8]) -> Option<Duration> {
        retry_after(&Status::with_details(code, "", details.to_vec().into()))
    }

    #[test]
    fn resource_exhausted_is_retried_only_with_a_retry_info() {
        let after = |details: &[u8]| after(Code::ResourceExhausted, details);
        assert_eq!(after(RETRY), Some(Duration::from_secs(1)));
        let other = String::from_utf8_lossy(RETRY).replace("RetryInfo", "ErrorInfo");
        assert_eq!(after(other.as_bytes()), None);
        for details in [&b""[..], b"\xff", &RETRY[..20]] {
            assert_eq!(after(details), None, "{details:?}");
        }
    }

    #[test]
    fn a_long_delay_is_cut() {
        // One byte more: 500 s.
        let long = b"\x08\x0e\x1a\x31\x0a\x28type.googleapis.com/google.rpc.RetryInfo\x12\x05\x0a\x03\x08\xf4\x03";
        assert_eq!(after(Code::Unavailable, long), Some(MAX_DELAY));
    }

    #[test]
    fn what_is_away_or_late_is_retried() {
        for (code, is_retried) in [
            (Code::Unavailable, true),
            (Code::DeadlineExceeded, true),
            (Code::InvalidArgument, false),
            (Code::Unauthenticated, false),
            (Code::Unimplemented, false),
        ] {
            let expected = is_retried.then_some(Duration::ZERO);
            assert_eq!(after(code, b""), expected, "{code:?}");
        }
    }
}
