use std::time::Duration;

use crate::{
    PROCESSOR,
    besieged::Besieged,
    frames::{
        CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, GRPC, HEADERS,
        Http2, Outcome, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE, field, fields, frame,
    },
};

/// Frames of a flood; a flood that is refused ends long before.
const FLOOD: u32 = 100_000;

/// Largest processor time of a flood; measured here, it is a tenth of that.
const COST: Duration = Duration::from_secs(1);

const WIDEST: [u8; 4] = 0x7fff_ffff_u32.to_be_bytes();

const CALM: Option<u32> = Some(ENHANCE_YOUR_CALM);

fn subscribe() -> Vec<u8> {
    fields("POST", "/pgfan.v1.GatewayService/Subscribe", &GRPC)
}

fn sse() -> Vec<u8> {
    fields("GET", "/v1/sse?channel=a", &[])
}

/// Number of a client's n-th stream (RFC 9113, section 5.1.1).
fn stream(n: u32) -> u32 {
    2 * n + 1
}

/// Sends `before` and then `part` of each number to a new gateway.
async fn flood(what: &str, before: &[u8], part: impl Fn(u32) -> Vec<u8>) -> Outcome {
    let _alone = PROCESSOR.lock().await;
    let mut besieged = Besieged::new().await;
    let mut client = Http2::open(besieged.address()).await;
    client.say(before).await.unwrap();
    let outcome = besieged.during(what, client.flood(FLOOD, part)).await;
    besieged.others_are_served().await;
    eprintln!("{what}: {outcome:?}");
    besieged.stands(what, COST).await;
    outcome
}

/// CVE-2023-44487.
#[tokio::test(flavor = "multi_thread")]
async fn a17_streams_that_are_reset_at_once_end_the_connection() {
    for (what, request, flags) in [
        ("rapid reset of SSE", sse(), END_HEADERS | END_STREAM),
        ("rapid reset of gRPC", subscribe(), END_HEADERS),
    ] {
        let outcome = flood(what, b"", |n| {
            let mut part = frame(HEADERS, flags, stream(n), &request);
            part.extend(frame(RST_STREAM, 0, stream(n), &CANCEL));
            part
        });
        let outcome = outcome.await;
        assert_eq!(outcome.told, CALM, "{what}");
        assert!(!outcome.is_taken, "{what}");
    }
}

/// CVE-2025-8671: the gateway is made to reset each stream itself, here by a
/// window that grows beyond its end (RFC 9113, section 6.9.1).
#[tokio::test(flavor = "multi_thread")]
async fn a17_streams_that_the_gateway_has_to_reset_end_the_connection() {
    let request = sse();
    let outcome = flood("made to reset", b"", |n| {
        let mut part = frame(HEADERS, END_HEADERS | END_STREAM, stream(n), &request);
        part.extend(frame(WINDOW_UPDATE, 0, stream(n), &WIDEST));
        part
    });
    let outcome = outcome.await;
    assert_eq!(outcome.told, CALM);
    assert!(!outcome.is_taken);
}

/// VU#421664: a head that does not end.
#[tokio::test(flavor = "multi_thread")]
async fn a18_a_head_that_never_ends_ends_the_connection() {
    let full = field("x", &"x".repeat(1000));
    for (what, body) in [
        ("CONTINUATION", full.as_slice()),
        ("CONTINUATION of nothing", b""),
    ] {
        let begin = frame(HEADERS, END_STREAM, 1, &sse());
        let outcome = flood(what, &begin, |_| frame(CONTINUATION, 0, 1, body)).await;
        assert_eq!(outcome.told, CALM, "{what}");
        assert!(!outcome.is_taken, "{what}");
    }
}

/// A message that does not arrive, in DATA of one byte or none.
#[tokio::test(flavor = "multi_thread")]
async fn a19_data_in_the_smallest_parts_ends_the_connection() {
    let begin = frame(HEADERS, END_HEADERS, 1, &subscribe());
    for (what, body) in [("DATA of a byte", &b"x"[..]), ("DATA of nothing", b"")] {
        let outcome = flood(what, &begin, |_| frame(DATA, 0, 1, body)).await;
        assert!(!outcome.is_taken, "{what}");
    }
}

/// Frames that require an answer each time: the gateway answers as long as the
/// client reads.
#[tokio::test(flavor = "multi_thread")]
async fn a17_pings_and_settings_are_answered_at_small_cost() {
    let ping = frame(PING, 0, 0, &[0; 8]);
    flood("PING", b"", |_| ping.clone()).await;
    let settings = frame(SETTINGS, 0, 0, b"");
    flood("SETTINGS", b"", |_| settings.clone()).await;
}
