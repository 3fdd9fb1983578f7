//! The routes of the one port: HTTP/1.1 and HTTP/2, WebSocket, SSE, gRPC and
//! gRPC-Web side by side.

use std::time::Duration;

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, Uri, Version, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http_body_util::LengthLimitError;
use tokio::{sync::watch, time::timeout};
use tonic::{Status, service::Routes};
use tonic_health::ServingStatus;
use tonic_web::GrpcWebLayer;
use tower::ServiceBuilder;

use super::{
    admission::Admission,
    codes::{Code, Refusal},
    grpc::{Grpc, pb},
    pgcachewatch::{pgpubsub, up},
    query::last_segment,
    sse::sse,
    ws::ws,
};
use crate::event::Payload;

/// A body holds at most 8 KB.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Everything the port answers. To be called in a runtime: gRPC health follows
/// the source.
///
/// # Errors
/// The embedded description of the gRPC service cannot be read: the build is
/// broken.
pub fn router(admission: Admission) -> Result<Router, tonic_reflection::server::Error> {
    let http = Router::new()
        .route("/v1/ws", get(ws))
        .route("/v1/sse", get(sse))
        .route("/v1/channels/{channel}", post(publish))
        .route("/pgpubsub/{channel}", get(pgpubsub))
        .route("/up", get(up))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(admission.clone());
    Ok(http
        .merge(grpc(admission)?)
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed))
}

/// Without `reset_fallback`, tonic would answer every unknown path with 200.
fn grpc(admission: Admission) -> Result<Router, tonic_reflection::server::Error> {
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(pb::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let (reporter, health) = tonic_health::server::health_reporter();
    tokio::spawn(report(admission.ready(), reporter));
    // Of at most 4 MiB, tonic's own limit: room for any number of channels.
    let gateway = pb::gateway_service_server::GatewayServiceServer::new(Grpc::new(admission));
    let mut routes = Routes::builder();
    routes
        .add_service(health)
        .add_service(reflection)
        .add_service(
            ServiceBuilder::new()
                .layer(GrpcWebLayer::new())
                .service(gateway),
        );
    Ok(routes
        .routes()
        .prepare()
        .into_axum_router()
        .reset_fallback())
}

/// Ends with the hub.
async fn report(mut ready: watch::Receiver<bool>, reporter: tonic_health::server::HealthReporter) {
    loop {
        let status = match *ready.borrow_and_update() {
            true => ServingStatus::Serving,
            false => ServingStatus::NotServing,
        };
        for service in ["", pb::gateway_service_server::SERVICE_NAME] {
            reporter.set_service_status(service, status).await;
        }
        if ready.changed().await.is_err() {
            return;
        }
    }
}

/// `POST /v1/channels/{channel}`: 204 after the commit.
async fn publish(
    State(admission): State<Admission>,
    uri: Uri,
    body: Body,
) -> Result<StatusCode, Refusal> {
    let channel = admission.publishable(&last_segment(uri.path())?)?;
    let body = timeout(BODY_TIMEOUT, to_bytes(body, Payload::MAX_BYTES)).await;
    let bytes = body
        .map_err(|_| Refusal::invalid("the body did not arrive in time"))?
        .map_err(unread)?;
    let payload = String::from_utf8(bytes.into())
        .map_err(|_| Refusal::invalid("the payload is not UTF-8"))?;
    admission.publish(channel, payload).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn unread(error: axum::Error) -> Refusal {
    if error.into_inner().is::<LengthLimitError>() {
        let message = format!("a payload has at most {} bytes", Payload::MAX_BYTES);
        return Refusal::new(Code::PayloadTooLarge, message);
    }
    Refusal::invalid("the body did not arrive whole")
}

/// Whether the process answers.
async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether the gateway does all it is there for.
async fn readyz(State(admission): State<Admission>) -> Response {
    if *admission.ready().borrow() {
        "ok\n".into_response()
    } else {
        Refusal::new(
            Code::SourceUnavailable,
            "the database is not listened to, or its queue is filling",
        )
        .into_response()
    }
}

/// What is answered when there is no room for another connection.
pub(super) fn full() -> Router {
    Router::new().fallback(async |version: Version, headers: HeaderMap| {
        let message = "no file descriptor is left for another connection (ulimit -n)";
        let mut response = answer(&headers, Refusal::new(Code::TooMany, message));
        if version < Version::HTTP_2 {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        response
    })
}

async fn not_found(uri: Uri, headers: HeaderMap) -> Response {
    let message = format!("there is nothing at {}", uri.path());
    answer(&headers, Refusal::new(Code::NotFound, message))
}

/// As the client's protocol has it, where no service is there to say so.
fn answer(headers: &HeaderMap, refusal: Refusal) -> Response {
    let content_type = headers.get(header::CONTENT_TYPE);
    if content_type.is_some_and(|v| v.as_bytes().starts_with(b"application/grpc")) {
        return Status::from(refusal).into_http::<Body>();
    }
    refusal.into_response()
}

async fn method_not_allowed() -> Response {
    let refusal = Refusal::invalid("this path has other methods");
    refusal.with_status(StatusCode::METHOD_NOT_ALLOWED)
}
