//! The middleware that counts refused requests.

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};

use super::access::admission::Admission;

/// Counts a refusal that is a complete response; its [`Code`](super::protocol::codes::Code) is in
/// the response's extensions.
pub(super) async fn count_refusals(
    State(admission): State<Admission>,
    request: Request,
    next: Next,
) -> Response {
    let response = next.run(request).await;
    if let Some(code) = response.extensions().get() {
        admission.refused(*code);
    }
    response
}
