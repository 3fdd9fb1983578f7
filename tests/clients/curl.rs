//! curl: the commands of the README, and the protocols that it can use byte by
//! byte.

use prost::Message;
use tokio::process::Command;

use crate::support::{
    Database,
    gateway_process::GatewayProcess,
    program::{Program, command, run},
};
use pgfan::proto::{PublishRequest, SubscribeRequest, SubscribeResponse, subscribe_response};

const SERVICE: &str = "/pgfan.v1.GatewayService";

/// curl that prints only errors, is unbuffered, and uses no proxy.
pub fn curl(arguments: &[&str]) -> Command {
    let mut command = command("curl");
    command.args(["-sSN", "--noproxy", "*"]).args(arguments);
    command
}

/// The output of a `GET` once it has `blocks` blocks.
pub async fn reading(arguments: &[&str], url: &str, blocks: usize) -> Program {
    let mut reader = Program::start(curl(arguments).arg(url));
    reader.stdout.blocks(blocks).await;
    reader
}

/// The text after each `start` up to the next `end`.
pub fn between<'a>(text: &'a str, start: &str, end: char) -> Vec<&'a str> {
    let rests = text.split(start).skip(1);
    rests
        .map(|rest| rest.split(end).next().unwrap_or_default())
        .collect()
}

/// gRPC's length-prefixed message, uncompressed
/// (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).
fn framed(message: &impl Message) -> Vec<u8> {
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0][..], &length, &message].concat()
}

/// The `index`th complete message.
fn message(body: &[u8], index: usize) -> Option<subscribe_response::Message> {
    let mut rest = body;
    for _ in 0..index {
        rest = rest.split_off(5 + length(rest)?..)?;
    }
    let message = rest.get(5..5 + length(rest)?)?;
    SubscribeResponse::decode(message).unwrap().message
}

fn length(body: &[u8]) -> Option<usize> {
    let (_, rest) = body.split_first()?;
    Some(u32::from_be_bytes(*rest.first_chunk()?) as usize)
}

/// Runs curl with a request body of any bytes, on its standard input.
fn with_body(command: &mut Command, body: &[u8]) -> Program {
    let (reader, mut writer) = std::io::pipe().unwrap();
    command.args(["--data-binary", "@-"]).stdin(reader);
    let program = Program::start(command);
    // Closes this process's end of the pipe, which curl reads to its end.
    command.stdin(std::process::Stdio::null());
    std::io::Write::write_all(&mut writer, body).unwrap();
    program
}

#[tokio::test(flavor = "multi_thread")]
async fn a_json_stream_reads_well() {
    let database = Database::new().await;
    let gateway = GatewayProcess::on(&database).await;
    let url = gateway.url("/v1/sse?channel=orders");
    let mut reader = reading(&[], &url, 1).await;
    database.notify("orders", "paid: \"7\"").await;
    let text = reader.stdout.blocks(2).await;
    let [retry, ids, times] = [
        between(&text, "retry: ", '\n'),
        between(&text, "\nid: ", '\n'),
        between(&text, "\"received_at\":\"", '"'),
    ];
    let ([retry], [ready, event], [time]) = (&retry[..], &ids[..], &times[..]) else {
        panic!("{text}");
    };
    assert_ne!(ready, event);
    let expected = format!(
        r#"retry: {retry}
id: {ready}
data: {{"type":"ready","channels":["orders"],"cursor":"{ready}"}}

id: {event}
data: {{"type":"event","id":"{event}","channel":"orders","payload":"paid: \"7\"","received_at":"{time}"}}

"#
    );
    assert_eq!(text, expected);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raw_stream_reads_well_to_its_end() {
    let database = Database::new().await;
    let gateway = GatewayProcess::on(&database).await;
    let url = gateway.url("/v1/sse?channel=orders&format=raw");
    let mut reader = reading(&[], &url, 1).await;
    database.notify("orders", "two\nlines").await;
    reader.stdout.blocks(2).await;
    gateway.stop().await;
    let ended = reader.ended().await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    let text = ended.stdout;
    let (retry, ids) = (
        between(&text, "retry: ", '\n'),
        between(&text, "\nid: ", '\n'),
    );
    let ([retry], [ready, event]) = (&retry[..], &ids[..]) else {
        panic!("{text}");
    };
    let expected = format!(
        r#"retry: {retry}
id: {ready}
event: ready
data: {{"type":"ready","channels":["orders"],"cursor":"{ready}"}}

id: {event}
data: two
data: lines

event: end
data: {{"type":"error","code":"shutting_down","message":"the gateway is shutting down"}}

"#
    );
    assert_eq!(text, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_publishes_on_either_http() {
    let database = Database::new().await;
    let gateway = GatewayProcess::on(&database).await;
    let url = gateway.url("/v1/sse?channel=caf%C3%A9&format=raw");
    let mut reader = reading(&[], &url, 1).await;
    let url = gateway.url("/v1/channels/caf%C3%A9");
    for (flag, version) in [("--http1.1", "1.1"), ("--http2-prior-knowledge", "2")] {
        let status = ["-w", "%{http_version} %{http_code}", "-d", version, &url];
        let ended = run(curl(&[flag]).args(status)).await;
        assert_eq!(ended.stdout, format!("{version} 204"), "{ended:?}");
    }
    let text = reader.stdout.blocks(3).await;
    assert_eq!(between(&text, "\ndata: ", '\n')[1..], ["1.1", "2"]);
    gateway.stop().await;
}

/// `--http2` asks for an upgrade from HTTP/1.1, which a server may ignore
/// (RFC 9113, section 3.1).
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_the_same_whatever_http_is_asked_for() {
    let database = Database::new().await;
    let gateway = GatewayProcess::on(&database).await;
    let url = gateway.url("/v1/sse?channel=a&format=raw");
    let mut readers = Vec::new();
    for flag in [
        "--http1.0",
        "--http1.1",
        "--http2",
        "--http2-prior-knowledge",
    ] {
        let reader = reading(&[flag, "-w", "status: %{http_code}"], &url, 1).await;
        readers.push((flag, reader));
    }
    database.notify("a", "same").await;
    for (_, reader) in &mut readers {
        reader.stdout.blocks(2).await;
    }
    gateway.stop().await;
    for (flag, reader) in readers {
        let ended = reader.ended().await;
        let data = between(&ended.stdout, "\ndata: ", '\n');
        assert_eq!(data[1], "same", "{flag} {ended:?}");
        assert!(ended.stdout.ends_with("status: 200"), "{flag} {ended:?}");
        assert_eq!(ended.status.code(), Some(0), "{flag} {ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_of_10_kb_is_answered_by_one_gap() {
    let database = Database::new().await;
    let gateway = GatewayProcess::on(&database).await;
    let header = format!("Last-Event-ID: {}", "x".repeat(10_000));
    let url = gateway.url("/v1/sse?channel=a&format=raw");
    for flag in ["--http1.1", "--http2-prior-knowledge"] {
        let status = ["-w", "status: %{http_code}", "-H", &header];
        let mut reader = Program::start(curl(&[flag]).args(status).arg(&url));
        reader.stdout.blocks(2).await;
        database.notify("a", flag).await;
        let text = reader.stdout.blocks(3).await;
        let names = between(&text, "\nevent: ", '\n');
        assert_eq!(names, ["gap", "ready"], "{text}");
        assert!(text.contains(r#""reason":"unknown_cursor""#), "{text}");
        assert!(text.ends_with(&format!("\ndata: {flag}\n\n")), "{text}");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_publishes_for_a_client_that_writes_its_own_frames() {
    let database = Database::new().await;
    let gateway = GatewayProcess::on(&database).await;
    let url = gateway.url("/v1/sse?channel=a&format=raw");
    let mut reader = reading(&[], &url, 1).await;
    let request = |payload: &str| {
        framed(&PublishRequest {
            channel: "a".into(),
            payload: payload.into(),
        })
    };
    let publish = gateway.url(&format!("{SERVICE}/Publish"));
    let mut grpc = curl(&["-i", "--http2-prior-knowledge", "-H", "te: trailers"]);
    grpc.args(["-H", "content-type: application/grpc", &publish]);
    let answer = with_body(&mut grpc, &request("grpc")).ended().await;
    assert!(answer.stdout.contains("grpc-status: 0"), "{answer:?}");

    let mut web = curl(&["-i", "--http1.1", "-H", "x-grpc-web: 1"]);
    web.args(["-H", "content-type: application/grpc-web+proto", &publish]);
    let answer = with_body(&mut web, &request("grpc-web")).ended().await;
    // The trailers are the body's last frame, on HTTP/1.1.
    assert!(answer.stdout.contains("grpc-status:0"), "{answer:?}");

    let text = reader.stdout.blocks(3).await;
    assert_eq!(between(&text, "\ndata: ", '\n')[1..], ["grpc", "grpc-web"]);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_web_streams_over_http_1() {
    let database = Database::new().await;
    let gateway = GatewayProcess::on(&database).await;
    let request = framed(&SubscribeRequest {
        channels: vec!["a".into()],
        cursor: String::new(),
        heartbeat: false,
    });
    let subscribe = gateway.url(&format!("{SERVICE}/Subscribe"));
    let mut web = curl(&["--http1.1", "-H", "x-grpc-web: 1"]);
    web.args(["-H", "content-type: application/grpc-web+proto", &subscribe]);
    let mut reader = with_body(&mut web, &request);
    let first = reader
        .stdout
        .until("message", |body| message(body, 0))
        .await;
    let subscribe_response::Message::Ready(ready) = first else {
        panic!("not ready but {first:?}");
    };
    assert_eq!(ready.channels, ["a"]);
    database.notify("a", "streamed").await;
    let second = reader
        .stdout
        .until("message", |body| message(body, 1))
        .await;
    let subscribe_response::Message::Event(event) = second else {
        panic!("not an event but {second:?}");
    };
    assert_eq!(event.payload, "streamed");
    gateway.stop().await;
    let ended = reader.ended().await;
    // 14 is UNAVAILABLE: the client may retry.
    assert!(ended.stdout.contains("grpc-status:14"), "{ended:?}");
}
