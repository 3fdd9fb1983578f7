//! A layer around tonic: it rejects requests that are not gRPC, and adds the
//! contract's code to errors that tonic itself makes.

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use tonic::Status;

use super::error_details::{is_explained, status_of};
use crate::transport::{
    access::admission::Admission,
    protocol::codes::{Code, Refusal},
};

/// The protocols of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::transport) enum Calls {
    /// gRPC alone.
    Grpc,
    /// gRPC-Web too.
    GrpcAndWeb,
}

/// <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>: another
/// content type is answered 415.
const GRPC: [&str; 2] = ["application/grpc", "application/grpc+proto"];

/// <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md>
const WEB: [&str; 4] = [
    "application/grpc-web",
    "application/grpc-web+proto",
    "application/grpc-web-text",
    "application/grpc-web-text+proto",
];

/// The layer.
pub(in crate::transport) async fn checked(
    State(calls): State<Calls>,
    request: Request,
    next: Next,
) -> Response {
    match calls.check(&request) {
        Ok(()) => explained(next.run(request).await),
        Err(response) => *response,
    }
}

/// A layer that checks the token before a byte of the message is read; the
/// service finds the grant in the request's extensions.
pub(in crate::transport) async fn admitted(
    State(admission): State<Admission>,
    mut request: Request,
    next: Next,
) -> Response {
    let credentials = admission.credentials(request.headers());
    let address = admission.address(request.extensions(), request.headers());
    match admission.admit(credentials, address).await {
        Ok(grant) => {
            request.extensions_mut().insert(grant);
            next.run(request).await
        }
        Err(error) => Refusal::from(error).answer_to(request.headers()),
    }
}

impl Calls {
    fn check(self, request: &Request) -> Result<(), Box<Response>> {
        let kind = content_type(request.headers());
        let is_grpc = GRPC.contains(&kind);
        let is_web = self == Self::GrpcAndWeb && WEB.contains(&kind);
        if !is_grpc && !is_web {
            return Err(Box::new(self.unsupported()));
        }
        if request.method() != Method::POST {
            return Err(Box::new(other_method()));
        }
        match is_grpc && request.version() != Version::HTTP_2 {
            true => Err(Box::new(other_version())),
            false => Ok(()),
        }
    }

    /// RFC 9110, section 15.5.16.
    fn unsupported(self) -> Response {
        let (kinds, accepted) = match self {
            Self::Grpc => ("gRPC", "application/grpc"),
            Self::GrpcAndWeb => (
                "gRPC and gRPC-Web",
                "application/grpc, application/grpc-web, application/grpc-web-text",
            ),
        };
        let rule = format!(
            "this path takes {kinds} with protobuf messages, neither JSON nor Connect: \
             Content-Type has to be one of {accepted}"
        );
        let mut response = Refusal::invalid(rule).with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        let accepted = HeaderValue::from_static(accepted);
        response.headers_mut().insert(header::ACCEPT, accepted);
        response
    }
}

fn other_method() -> Response {
    let refusal = Refusal::invalid("gRPC calls have the method POST");
    let mut response = refusal.with_status(StatusCode::METHOD_NOT_ALLOWED);
    let allowed = HeaderValue::from_static("POST");
    response.headers_mut().insert(header::ALLOW, allowed);
    response
}

/// The status would be in trailers, which HTTP/1.1 clients rarely read.
fn other_version() -> Response {
    let refusal = Refusal::invalid("gRPC needs HTTP/2; gRPC-Web does without");
    refusal.with_status(StatusCode::HTTP_VERSION_NOT_SUPPORTED)
}

/// The media type without parameters; empty if the header is missing.
fn content_type(headers: &HeaderMap) -> &str {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim()
}

/// Adds the contract's code to an error of tonic. The status becomes that of the
/// code's row unless gRPC prescribes another
/// (<https://github.com/grpc/grpc/blob/master/doc/statuscodes.md>).
fn explained(mut response: Response) -> Response {
    let headers = response.headers();
    if is_explained(headers) {
        return response;
    }
    let Some(status) = Status::from_header_map(headers) else {
        return response;
    };
    let Some((code, is_of_table)) = code_of(&status, headers) else {
        return response;
    };
    let message = match status.message() {
        "" => "this service has no such method",
        message => message,
    };
    let refusal = Refusal::new(code, message);
    let grpc = match is_of_table {
        true => code.grpc(),
        false => status.code(),
    };
    // On an error the response keeps tonic's own status.
    let _ = status_of(grpc, refusal).add_header(response.headers_mut());
    response.extensions_mut().insert(code);
    response
}

/// The contract's code, and whether the status is that of its row.
fn code_of(status: &Status, headers: &HeaderMap) -> Option<(Code, bool)> {
    match status.code() {
        // A compressed message: gRPC's compression.md prescribes the status.
        tonic::Code::Unimplemented if headers.contains_key("grpc-accept-encoding") => {
            Some((Code::InvalidRequest, false))
        }
        tonic::Code::Unimplemented => Some((Code::NotFound, true)),
        // The health protocol prescribes it for an unknown service.
        tonic::Code::NotFound => Some((Code::NotFound, false)),
        tonic::Code::OutOfRange | tonic::Code::ResourceExhausted => {
            Some((Code::PayloadTooLarge, true))
        }
        // A message that cannot be read.
        tonic::Code::Internal => Some((Code::InvalidRequest, false)),
        _ => None,
    }
}
