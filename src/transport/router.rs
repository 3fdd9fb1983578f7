//! The routes of the one port: HTTP/1.1 and HTTP/2, WebSocket, SSE, gRPC and
//! gRPC-Web side by side.

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{Extensions, HeaderMap, HeaderValue, StatusCode, Uri, Version, header},
    middleware::{Next, from_fn_with_state, map_response},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures_util::FutureExt;
use http_body_util::{BodyExt as _, LengthLimitError};
use hyper::body::Body as _;
use tokio::{sync::watch, time::timeout};
use tonic::service::{LayerExt as _, Routes, RoutesBuilder};
use tonic_health::{ServingStatus, server::HealthReporter};
use tonic_web::GrpcWebLayer;
use tower::ServiceBuilder;

use super::{
    access::{
        admission::Admission,
        guard::{HEALTHZ, guard},
        limits::Address,
        route_set::{ListenerTraits, RouteSet},
    },
    admin::{
        assets::{CLIENT, asset},
        console::console,
        pages::{AdminPages, metrics},
        status::status,
    },
    connection::{
        body_deadline::{MAX_MESSAGE, Parts, body_deadline},
        pending_requests::Weight,
    },
    grpc::{Calls, Grpc, admitted, checked, gateway_service_server},
    protocol::{
        codes::{Code, Refusal},
        list_header,
        query::last_segment,
        security_headers::secure,
    },
    refusals::count_refusals,
    sse::sse,
    websocket::{
        json_wire::ws,
        pgcachewatch::{pgpubsub, up},
    },
};
use crate::{
    event::Payload,
    hub::{Readiness, Unready},
    proto,
};

/// Router of a listener.
pub type App = Router;

/// Router of all routes of one listener. Must be called in a runtime: it spawns
/// the task that updates gRPC health.
///
/// # Errors
/// The embedded description of the gRPC service cannot be read: the build is
/// broken.
pub fn router(
    admission: Admission,
    pages: AdminPages,
    front: ListenerTraits,
) -> Result<Router, tonic_reflection::server::Error> {
    let side = front.side;
    let http = Router::new()
        .route("/v1/ws", get(ws))
        .route("/v1/sse", get(sse))
        .route("/v1/channels/{channel}", post(publish))
        .route("/v1/tickets", post(ticket))
        .route("/pgpubsub/{channel}", get(pgpubsub))
        .route("/up", get(up))
        .route(HEALTHZ, get(healthz))
        .route("/readyz", get(readyz))
        .with_state(admission.clone());
    let http = match side {
        RouteSet::Public => http,
        RouteSet::Whole | RouteSet::Admin => http.merge(watched(&admission, pages, side)),
    };
    Ok(http
        .merge(asset(CLIENT))
        .merge(grpc(admission.clone())?)
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state((admission.clone(), front), guard))
        .layer(from_fn_with_state(admission, count_refusals)))
}

/// Routes for operators: metrics, status and the console.
fn watched(admission: &Admission, pages: AdminPages, side: RouteSet) -> Router {
    let numbers = Router::new()
        .route("/metrics", get(metrics))
        .route("/v1/status", get(status))
        .with_state((admission.clone(), pages, side));
    match admission.settings().console {
        true => numbers.merge(console()),
        false => numbers,
    }
}

fn grpc(admission: Admission) -> Result<Router, tonic_reflection::server::Error> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let (reporter, health) = tonic_health::server::health_reporter();
    let mut readiness = admission.readiness();
    // The crate's initial status is `Serving`. No other task holds the reporter
    // yet, so the call completes at once.
    let is_ready = readiness.borrow_and_update().is_ok();
    set_health(&reporter, is_ready).now_or_never();
    tokio::spawn(report(readiness, is_ready, reporter));
    let limit = admission.settings().request_timeout;
    let whole = ServiceBuilder::new()
        .map_request(move |request| body_deadline(request, limit, Parts::Together));
    let in_time = ServiceBuilder::new()
        .map_request(move |request| body_deadline(request, limit, Parts::OneByOne));
    let health = health.max_decoding_message_size(MAX_MESSAGE);
    let v1 = reflection().build_v1()?;
    let v1 = v1.max_decoding_message_size(MAX_MESSAGE);
    let v1alpha = reflection().build_v1alpha()?;
    let v1alpha = v1alpha.max_decoding_message_size(MAX_MESSAGE);
    let mut open = Routes::builder();
    open.add_service(whole.clone().named_layer(health))
        .add_service(in_time.clone().named_layer(v1))
        // The only version that grpcio-reflection, Postman, grpcui and evans
        // use.
        .add_service(in_time.named_layer(v1alpha));
    let open = routed(open)
        .route_layer(from_fn_with_state(admission.clone(), counted))
        .route_layer(from_fn_with_state(Calls::Grpc, checked));
    let gateway = Grpc::new(admission.clone());
    let gateway = gateway_service_server::GatewayServiceServer::new(gateway)
        .max_decoding_message_size(MAX_MESSAGE);
    let web = ServiceBuilder::new().layer(GrpcWebLayer::new());
    let mut routes = Routes::builder();
    routes.add_service(web.named_layer(whole.named_layer(gateway)));
    let gateway = routed(routes)
        .route_layer(from_fn_with_state(admission, admitted))
        .route_layer(from_fn_with_state(Calls::GrpcAndWeb, checked));
    Ok(gateway.merge(open))
}

/// Without `reset_fallback`, tonic would answer every unknown path with 200.
fn routed(services: RoutesBuilder) -> Router {
    let routes = services.routes().prepare();
    routes.into_axum_router().reset_fallback()
}

/// Path of the gRPC health check. It ends at once and probers depend on it, so
/// it is exempt from the limit of concurrent calls.
const CHECK: &str = "/grpc.health.v1.Health/Check";

/// Middleware that counts each call without a token until its response body
/// ends.
async fn counted(State(admission): State<Admission>, request: Request, next: Next) -> Response {
    if request.uri().path() == CHECK {
        return next.run(request).await;
    }
    let address = admission.address(request.extensions(), request.headers());
    let readiness = *admission.readiness().borrow();
    let place = match readiness {
        // A `Watch` that begins now would never be ended.
        Err(unready @ Unready::ShuttingDown) => Err(unready.into()),
        _ => admission.place_for_unasked(address),
    };
    match place {
        Err(refusal) => refusal.answer_to(request.headers()),
        Ok(place) => next.run(request).await.map(|body| {
            Body::new(body.map_frame(move |frame| {
                let _held = &place;
                frame
            }))
        }),
    }
}

/// Updates gRPC health from the hub's readiness, until the hub shuts down. A
/// change of the reason alone does not change the status and is not reported.
async fn report(
    mut readiness: watch::Receiver<Readiness>,
    mut was_ready: bool,
    mut reporter: HealthReporter,
) {
    while readiness.changed().await.is_ok() {
        let now = *readiness.borrow_and_update();
        if now.is_ok() != was_ready {
            set_health(&reporter, now.is_ok()).await;
            was_ready = now.is_ok();
        }
        if now == Err(Unready::ShuttingDown) {
            return end_watches(&mut reporter).await;
        }
    }
}

/// Ends each `Watch`: its final status is sent, and it would keep its
/// connection open until the drain timeout. `Check` is answered as before.
async fn end_watches(reporter: &mut HealthReporter) {
    for service in SERVICES {
        reporter.clear_service_status(service).await;
    }
    set_health(reporter, false).await;
}

/// Health services: the process as a whole, and the gateway's service.
const SERVICES: [&str; 2] = ["", gateway_service_server::SERVICE_NAME];

async fn set_health(reporter: &HealthReporter, is_ready: bool) {
    let status = match is_ready {
        true => ServingStatus::Serving,
        false => ServingStatus::NotServing,
    };
    for service in SERVICES {
        reporter.set_service_status(service, status).await;
    }
}

/// `POST /v1/channels/{channel}`: 204 after the commit.
async fn publish(
    State(admission): State<Admission>,
    uri: Uri,
    headers: HeaderMap,
    request: Request,
) -> Response {
    if is_encoded(&headers) {
        return encoded();
    }
    let address = admission.address(request.extensions(), &headers);
    let weight = Weight::of(request.extensions());
    let body = (request.into_body(), weight);
    let published = publish_body(&admission, &uri, &headers, address, body).await;
    published.map(|()| StatusCode::NO_CONTENT).into_response()
}

async fn publish_body(
    admission: &Admission,
    uri: &Uri,
    headers: &HeaderMap,
    address: Address,
    (body, weight): (Body, Weight),
) -> Result<(), Refusal> {
    let credentials = admission.credentials(headers);
    let grant = admission.admit(credentials, address).await?;
    let channel = admission.publishable(&grant, address, &last_segment(uri.path())?)?;
    if body.size_hint().lower() > Payload::MAX_BYTES as u64 {
        // The declared length is too large: the body need not be read.
        return Err(too_large());
    }
    let hint = body.size_hint().exact();
    weight.grow(hint.map_or(Payload::MAX_BYTES, |bytes| bytes as usize))?;
    let limit = admission.settings().request_timeout;
    let body = timeout(limit, to_bytes(body, Payload::MAX_BYTES)).await;
    let bytes = body
        .map_err(|_| Refusal::invalid("the body did not arrive in time"))?
        .map_err(unread)?;
    let payload = String::from_utf8(bytes.into())
        .map_err(|_| Refusal::invalid("the payload is not UTF-8"))?;
    admission.publish(&grant, address, channel, payload).await
}

/// Whether the body has a content encoding. It would be published undecoded,
/// and decoding it would allow a decompression bomb.
fn is_encoded(headers: &HeaderMap) -> bool {
    let mut encodings = list_header::texts(headers, &header::CONTENT_ENCODING);
    encodings.any(|coding| !coding.eq_ignore_ascii_case("identity"))
}

/// 415 (RFC 9110, section 15.5.16).
fn encoded() -> Response {
    let refusal = Refusal::invalid("a body is taken without a content encoding");
    let mut response = refusal.with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let identity = HeaderValue::from_static("identity");
    let headers = response.headers_mut();
    headers.insert(header::ACCEPT_ENCODING, identity);
    response
}

/// `POST /v1/tickets`: a ticket that a page's `EventSource` can put into its
/// URL.
async fn ticket(
    State(admission): State<Admission>,
    extensions: Extensions,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let address = admission.address(&extensions, &headers);
    let credentials = admission.credentials(&headers);
    let grant = admission.admit(credentials, address).await?;
    let (ticket, lifetime) = admission.ticket(&grant)?;
    let body = serde_json::json!({
        "ticket": ticket.as_str(),
        "expires_in": lifetime.as_secs(),
    });
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((StatusCode::CREATED, headers, body.to_string()).into_response())
}

fn unread(error: axum::Error) -> Refusal {
    if error.into_inner().is::<LengthLimitError>() {
        return too_large();
    }
    Refusal::invalid("the body did not arrive whole")
}

fn too_large() -> Refusal {
    let message = format!("a payload has at most {} bytes", Payload::MAX_BYTES);
    Refusal::new(Code::PayloadTooLarge, message)
}

/// `GET /healthz`: liveness of the process.
async fn healthz() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: whether the gateway is fully operational.
async fn readyz(State(admission): State<Admission>) -> Response {
    let readiness = *admission.readiness().borrow();
    let Err(unready) = readiness else {
        return "ok\n".into_response();
    };
    let mut response = Refusal::from(unready).into_response();
    // Without the code, the answer to a prober is not counted as a refusal.
    response.extensions_mut().remove::<Code>();
    response
}

/// Router for connections beyond a limit: refuses every request. `/healthz`
/// still succeeds, because a restart of the process would disconnect the
/// existing clients.
pub(super) fn full(message: &'static str) -> Router {
    let health = Router::new().route(HEALTHZ, get(healthz));
    let full = health.fallback(async move |version: Version, headers: HeaderMap| {
        let mut response = Refusal::new(Code::TooMany, message).answer_to(&headers);
        if version < Version::HTTP_2 {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        response
    });
    full.layer(map_response(async |mut response: Response| {
        secure(response.headers_mut());
        response
    }))
}

async fn not_found(uri: Uri, headers: HeaderMap) -> Response {
    let message = format!("there is nothing at {}", uri.path());
    Refusal::new(Code::NotFound, message).answer_to(&headers)
}

async fn method_not_allowed() -> Response {
    let refusal = Refusal::invalid("this path has other methods");
    refusal.with_status(StatusCode::METHOD_NOT_ALLOWED)
}
