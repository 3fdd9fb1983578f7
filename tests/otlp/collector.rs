//! An OpenTelemetry collector, as far as the gateway uses one: OTLP's service, on a
//! port of the loopback.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use opentelemetry_proto::tonic::{
    collector::{
        metrics::v1::{
            ExportMetricsServiceRequest, ExportMetricsServiceResponse,
            metrics_service_server::{MetricsService, MetricsServiceServer},
        },
        trace::v1::{
            ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    common::v1::{KeyValue, any_value::Value},
    metrics::v1::Metric,
    trace::v1::Span,
};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Request, Response, Status,
    metadata::MetadataMap,
    transport::{Identity, Server, ServerTlsConfig},
};

use crate::support::{certificates::Issued, within};

/// The content of one request.
#[derive(Debug, Clone)]
pub struct Export {
    pub headers: MetadataMap,
    pub resource: Vec<KeyValue>,
    pub spans: Vec<Span>,
}

/// A collector that runs until it is dropped.
pub struct Collector {
    pub address: SocketAddr,
    received: watch::Receiver<Vec<Export>>,
    metrics: watch::Receiver<Vec<Vec<Metric>>>,
    asked: Arc<AtomicUsize>,
    _serving: JoinSet<()>,
}

/// Its answer to each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Taken,
    /// Refused with this code, with a text that contains all headers.
    Refused(tonic::Code),
    /// The first request gets RESOURCE_EXHAUSTED with these details; the others are
    /// accepted.
    FirstExhausted(&'static [u8]),
    /// One span of each request was rejected.
    OneRejected,
    Never,
}

#[derive(Clone)]
struct Service {
    answer: Answer,
    received: watch::Sender<Vec<Export>>,
    metrics: watch::Sender<Vec<Vec<Metric>>>,
    asked: Arc<AtomicUsize>,
}

impl Collector {
    pub async fn start() -> Self {
        Self::that(Answer::Taken).await
    }

    pub async fn that(answer: Answer) -> Self {
        Self::on(
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
            answer,
            None,
        )
    }

    /// A collector that accepts TLS only.
    pub async fn with_certificate(issued: &Issued) -> Self {
        let identity = Identity::from_pem(&issued.certificate, &issued.key);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, Answer::Taken, Some(identity))
    }

    /// On a listener that is bound already.
    pub fn with_listener(listener: TcpListener) -> Self {
        Self::on(listener, Answer::Taken, None)
    }

    /// A collector on a port that was free.
    pub async fn at(address: SocketAddr) -> Self {
        Self::on(
            TcpListener::bind(address).await.unwrap(),
            Answer::Taken,
            None,
        )
    }

    fn on(listener: TcpListener, answer: Answer, identity: Option<Identity>) -> Self {
        let address = listener.local_addr().unwrap();
        let (sender, received) = watch::channel(Vec::new());
        let asked = Arc::<AtomicUsize>::default();
        let (metrics_sender, metrics) = watch::channel(Vec::new());
        let service = Service {
            answer,
            received: sender,
            metrics: metrics_sender,
            asked: Arc::clone(&asked),
        };
        let mut serving = JoinSet::new();
        let mut server = Server::builder();
        if let Some(identity) = identity {
            let tls = ServerTlsConfig::new().identity(identity);
            server = server.tls_config(tls).unwrap();
        }
        let server = server
            .add_service(MetricsServiceServer::new(service.clone()))
            .add_service(TraceServiceServer::new(service));
        serving.spawn(async move {
            let connections = TcpListenerStream::new(listener);
            server.serve_with_incoming(connections).await.unwrap();
        });
        Self {
            address,
            received,
            metrics,
            asked,
            _serving: serving,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    pub fn exports(&self) -> Vec<Export> {
        self.received.borrow().clone()
    }

    pub fn spans(&self) -> Vec<Span> {
        let exports = self.exports().into_iter();
        exports.flat_map(|export| export.spans).collect()
    }

    /// The metrics of each request.
    pub fn metrics(&self) -> Vec<Vec<Metric>> {
        self.metrics.borrow().clone()
    }

    /// The metrics of the first request that matches.
    pub async fn metrics_that(&self, are: impl Fn(&[Metric]) -> bool) -> Vec<Metric> {
        let mut received = self.metrics.clone();
        let there = |all: &Vec<Vec<Metric>>| all.iter().any(|metrics| are(metrics));
        let all = within("the metrics arrive", received.wait_for(there)).await;
        let all = all.unwrap();
        all.iter().find(|metrics| are(metrics)).unwrap().clone()
    }

    /// The first `count` spans, as soon as they have arrived.
    pub async fn first(&self, count: usize) -> Vec<Span> {
        let mut received = self.received.clone();
        let there = |all: &Vec<Export>| all.iter().map(|e| e.spans.len()).sum::<usize>() >= count;
        within("the spans arrive", received.wait_for(there))
            .await
            .unwrap();
        self.spans()
    }
}

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let asked_before = self.asked.fetch_add(1, Ordering::Relaxed);
        let headers = request.metadata().clone();
        match self.answer {
            Answer::FirstExhausted(details) if asked_before == 0 => {
                let code = tonic::Code::ResourceExhausted;
                return Err(Status::with_details(code, "", details.into()));
            }
            Answer::Taken | Answer::FirstExhausted(_) | Answer::OneRejected => {}
            Answer::Refused(code) => {
                let told: Vec<_> = headers.as_ref().values().collect();
                let told: Vec<_> = told.iter().map(|v| v.to_str().unwrap()).collect();
                return Err(Status::new(code, told.join(" ")));
            }
            Answer::Never => std::future::pending().await,
        }
        let exports = request.into_inner().resource_spans.into_iter();
        self.received.send_modify(|received| {
            received.extend(exports.map(|export| {
                Export {
                    headers: headers.clone(),
                    resource: export.resource.unwrap().attributes,
                    spans: export
                        .scope_spans
                        .into_iter()
                        .flat_map(|s| s.spans)
                        .collect(),
                }
            }));
        });
        let rejected = ExportTracePartialSuccess {
            rejected_spans: 1,
            ..ExportTracePartialSuccess::default()
        };
        let partial_success = (self.answer == Answer::OneRejected).then_some(rejected);
        Ok(Response::new(ExportTraceServiceResponse {
            partial_success,
        }))
    }
}

#[tonic::async_trait]
impl MetricsService for Service {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        if self.answer == Answer::Never {
            std::future::pending().await
        }
        let exports = request.into_inner().resource_metrics.into_iter();
        self.metrics.send_modify(|received| {
            received.extend(exports.map(|export| {
                let scopes = export.scope_metrics.into_iter();
                scopes.flat_map(|scope| scope.metrics).collect()
            }));
        });
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

/// The attribute as a text, whatever its type; empty if there is none.
pub fn attribute(attributes: &[KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == key);
    match found.and_then(|found| found.value.as_ref()?.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        None => String::new(),
        other => panic!("{key}: {other:?}"),
    }
}
