//! `GET /v1/status`: how the gateway does, for a page or a person. Numbers only
//! rise, so that who asks twice knows the rates.

use std::{sync::Arc, time::SystemTime};

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, header};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    admission::Admission,
    codes::{Code, Refusal},
    json::timestamp,
    pages::{Pages, Side},
};
use crate::{
    auth::{AuthError, Grant, Patterns},
    count::{BOUNDS, Spread},
    event::{GapReason, WireName},
    hub::ChannelView,
};

/// Channels that are told by name, those with the most readers: a page shows no
/// more. The rest are a number.
const CHANNELS: usize = 200;

/// See the module; the words are the contract's.
#[derive(Debug, Serialize)]
struct Status {
    version: &'static str,
    /// The gateway's clock, RFC 3339, as every time here.
    now: String,
    /// As `/readyz` says.
    ready: bool,
    source: Source,
    /// 0 to 1; null while it is unknown.
    queue_usage: Option<f64>,
    /// Now, by wire.
    readers: Value,
    /// Events since the gateway began.
    events: u64,
    /// Events given to readers, by wire.
    deliveries: Value,
    /// Given to readers, by reason.
    gaps: Value,
    resumes: Resumes,
    /// Requests refused and streams ended, by code.
    refusals: Value,
    /// Of clients, committed.
    published: u64,
    log: Log,
    /// From receipt to write, of deliveries.
    latency: Latency,
    /// How many there are, whoever may read them.
    channel_count: usize,
    /// Those that this client may read.
    channels: Vec<Channel>,
    /// Those that it may read too, and that are not among them.
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
    /// Each with how many took at most so long.
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
    /// Since somebody reads it.
    events: u64,
}

/// As every client is let in; what it may not read it is not told of.
pub(super) async fn status(
    State((admission, _, side)): State<(Admission, Pages, Side)>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let grant = match admission.admit(admission.credentials(&headers)).await {
        // Whoever runs it may see the numbers; channels are for tokens still.
        Err(AuthError::Required) if side == Side::Admin => {
            Arc::new(Grant::open(Patterns::default(), false))
        }
        grant => grant?,
    };
    let status = look(&admission, &grant);
    // Texts and numbers with named fields: nothing can fail.
    let text = serde_json::to_string(&status).unwrap_or_default();
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, text).into_response())
}

fn look(admission: &Admission, grant: &Grant) -> Status {
    let (seen, totals) = (admission.hub().view(), admission.totals());
    let (channels, more_channels) = channels(admission.hub().channels(), grant);
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
        queue_usage: seen.queue_usage,
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
        channels,
        more_channels,
    }
}

/// Those that `grant` is for, and how many are left out.
fn channels(mut all: Vec<ChannelView>, grant: &Grant) -> (Vec<Channel>, usize) {
    all.retain(|channel| grant.may_subscribe(&channel.name));
    let more = all.len().saturating_sub(CHANNELS);
    let order = |one: &ChannelView, other: &ChannelView| {
        let by_readers = other.readers.cmp(&one.readers);
        by_readers.then_with(|| one.name.cmp(&other.name))
    };
    if more > 0 {
        // The rest is not put in order: who asks may do so all the time.
        all.select_nth_unstable_by(CHANNELS, order);
        all.truncate(CHANNELS);
    }
    all.sort_unstable_by(order);
    let told = all.into_iter().map(|channel| Channel {
        channel: channel.name.as_str().to_owned(),
        readers: channel.readers,
        events: channel.events,
    });
    (told.collect(), more)
}

fn by<const N: usize, T: Into<Value>>(words: [&'static str; N], numbers: [T; N]) -> Value {
    let numbers = numbers.map(Into::into).into_iter();
    let pairs = words.into_iter().map(str::to_owned).zip(numbers);
    Value::Object(Map::from_iter(pairs))
}

fn latency(spread: &Spread) -> Latency {
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

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;

    use super::*;
    use crate::event::ChannelName;

    /// `count` channels, the later with more readers, two with as many each.
    fn views(count: usize) -> Vec<ChannelView> {
        let view = |n: usize| ChannelView {
            name: ChannelName::new(&format!("c{n:05}")).unwrap(),
            readers: n / 2,
            events: 0,
        };
        (0..count).map(view).collect()
    }

    #[test]
    fn those_with_the_most_readers_are_told_and_the_rest_is_a_number() {
        let grant = Grant::open(Patterns::all(), false);
        for (count, more) in [(10_000, 9_800), (202, 2), (200, 0), (3, 0)] {
            let (told, left_out) = channels(views(count), &grant);
            assert_eq!((told.len(), left_out), (count - more, more));
            let mut expected: Vec<_> = views(count).split_off(more);
            expected.sort_by_key(|view| (Reverse(view.readers), view.name.clone()));
            let told = told.iter().map(|channel| channel.channel.as_str());
            assert!(told.eq(expected.iter().map(|view| view.name.as_str())));
        }
    }
}
