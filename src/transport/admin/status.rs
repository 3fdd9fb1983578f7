//! `GET /v1/status`: state of the gateway, for a page or a person. Counters
//! only increase, so two requests give the rates.

use std::{sync::Arc, time::SystemTime};

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{Extensions, HeaderMap, header};
use serde::Serialize;
use serde_json::{Map, Value};

use super::pages::AdminPages;
use crate::{
    auth::{AuthError, Grant, Patterns},
    event::{GapReason, WireName},
    hub::ChannelView,
    instruments::{BOUNDS, HistogramSnapshot},
    transport::{
        access::{admission::Admission, rights::without_right, route_set::RouteSet},
        protocol::{
            codes::{Code, Refusal},
            json::timestamp,
        },
    },
};

/// Response body; the field names are the contract's.
#[derive(Debug, Serialize)]
struct Status {
    version: &'static str,
    /// The gateway's clock, RFC 3339 like all times here.
    now: String,
    /// Same as `/readyz`.
    ready: bool,
    source: Source,
    /// 0 to 1; null if unknown.
    queue_usage: Option<f64>,
    /// Current readers, by transport.
    readers: Value,
    /// Events since the start of the gateway.
    events: u64,
    /// Events delivered to readers, by transport.
    deliveries: Value,
    /// Gaps delivered to readers, by reason.
    gaps: Value,
    resumes: Resumes,
    /// Requests refused and streams ended, by code.
    refusals: Value,
    /// Publishes of clients that were committed.
    published: u64,
    log: Log,
    /// Time from receipt to write, of deliveries.
    latency: Latency,
    /// Number of all channels, also of those that this client may not read.
    channel_count: usize,
    /// Channels that this client may read, up to a limit.
    channels: Vec<Channel>,
    /// Number of further channels that it may read.
    more_channels: usize,
}

#[derive(Debug, Serialize)]
struct Source {
    /// `starting`, `live` or `interrupted`.
    state: &'static str,
    since: String,
    interruptions: u64,
}

#[derive(Debug, Serialize)]
struct Resumes {
    hit: u64,
    miss: u64,
}

#[derive(Debug, Serialize)]
struct Log {
    events: usize,
    bytes: usize,
}

#[derive(Debug, Serialize)]
struct Latency {
    count: u64,
    sum_seconds: f64,
    /// Each with the number of deliveries that took at most its time.
    buckets: Vec<Bucket>,
}

#[derive(Debug, Serialize)]
struct Bucket {
    seconds: f64,
    count: u64,
}

#[derive(Debug, Serialize)]
struct Channel {
    channel: String,
    readers: usize,
    /// Since the channel has had readers.
    events: u64,
}

/// `GET /v1/status`. Clients are authenticated as for a stream; channels that
/// the client may not read are left out.
pub(in crate::transport) async fn status(
    State((admission, pages, side)): State<(Admission, AdminPages, RouteSet)>,
    extensions: Extensions,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let address = admission.address(&extensions, &headers);
    let credentials = admission.credentials(&headers);
    let grant = match admission.admit(credentials, address).await {
        // The admin listener shows the numbers without a token; the channels
        // still need one.
        Err(AuthError::Required) if side == RouteSet::Admin => {
            Arc::new(Grant::open(Patterns::default(), false))
        }
        grant => grant?,
    };
    if grant.is_empty() {
        let rule = "the status is for those who may read, publish or see the metrics";
        return Err(without_right(&grant, rule.to_owned()));
    }
    let status = look(&admission, &grant, (pages.queue_usage)());
    // Texts and numbers with named fields: nothing can fail.
    let text = serde_json::to_string(&status).unwrap_or_default();
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, text).into_response())
}

fn look(admission: &Admission, grant: &Arc<Grant>, queue_usage: Option<f64>) -> Status {
    let (seen, totals) = (admission.hub().view(), admission.totals());
    let (channels, more_channels) = admission.named_channels(grant);
    let (state, since) = seen.source;
    let [hit, miss] = seen.resumes;
    Status {
        version: env!("CARGO_PKG_VERSION"),
        now: timestamp(SystemTime::now()),
        ready: seen.is_ready,
        source: Source {
            state: state.as_str(),
            since: timestamp(since),
            interruptions: seen.interruptions,
        },
        queue_usage,
        readers: by(WireName::ALL.map(WireName::as_str), seen.readers),
        events: seen.events,
        deliveries: by(WireName::ALL.map(WireName::as_str), seen.deliveries),
        gaps: by(GapReason::ALL.map(GapReason::as_str), seen.gaps),
        resumes: Resumes { hit, miss },
        refusals: by(Code::ALL.map(Code::as_str), totals.refusals),
        published: totals.published,
        log: Log {
            events: seen.log_events,
            bytes: seen.log_bytes,
        },
        latency: latency(&seen.latency),
        channel_count: seen.channels,
        channels: channels.into_iter().map(told).collect(),
        more_channels,
    }
}

fn told(channel: ChannelView) -> Channel {
    Channel {
        channel: channel.name.as_str().to_owned(),
        readers: channel.readers,
        events: channel.events,
    }
}

fn by<const N: usize, T: Into<Value>>(words: [&'static str; N], numbers: [T; N]) -> Value {
    let numbers = numbers.map(Into::into).into_iter();
    let pairs = words.into_iter().map(str::to_owned).zip(numbers);
    Value::Object(Map::from_iter(pairs))
}

fn latency(spread: &HistogramSnapshot) -> Latency {
    let buckets = BOUNDS.iter().zip(spread.within);
    let buckets = buckets.map(|(micros, count)| Bucket {
        seconds: *micros as f64 / 1e6,
        count,
    });
    Latency {
        count: spread.count,
        sum_seconds: spread.sum.as_secs_f64(),
        buckets: buckets.collect(),
    }
}
