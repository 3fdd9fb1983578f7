//! One port: health, errors, event streams, gRPC and gRPC-Web together, over
//! HTTP/1.1 and h2c.

use hyper::body::Bytes;
use prost::Message as _;
use tokio_tungstenite::tungstenite::Message;
use tonic::Code;

use crate::support::{
    Database, EventStream, TestGateway, WebSocket, ask, get, get_h2, grpc_client, post, request,
    within,
};

#[tokio::test(flavor = "multi_thread")]
async fn both_protocols_are_spoken_on_the_port() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    for path in ["/healthz", "/readyz", "/up"] {
        assert_eq!(get(gateway.address, path, &[]).await.status, 200, "{path}");
        assert_eq!(get_h2(gateway.address, path).await.status, 200, "{path}");
    }
    assert!(gateway.get("/up").await.body.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_is_a_problem_document() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    for (path, status, code) in [
        ("/nothing", 404, "not_found"),
        ("/v1", 404, "not_found"),
        ("/v1/sse", 400, "invalid_request"),
        ("/v1/sse?channel=a&chanel=b", 400, "invalid_request"),
        ("/v1/sse?channel=a&format=xml", 400, "invalid_request"),
        ("/v1/ws?channel=a", 400, "invalid_request"),
        ("/pgpubsub/a", 400, "invalid_request"),
        ("/v1/channels/a", 405, "invalid_request"),
    ] {
        let answer = gateway.get(path).await;
        assert_eq!(
            (answer.status, answer.code()),
            (status, code.into()),
            "{path}"
        );
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        let is_web_socket = path.starts_with("/v1/ws") || path.starts_with("/pgpubsub");
        let version = answer.header("sec-websocket-version");
        assert_eq!(version, if is_web_socket { "13" } else { "" }, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_stream_begins_at_once_and_stays_alive() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[("keepalive", "200ms")]).await;
    let mut stream = EventStream::open(gateway.address, "/v1/sse?channel=quiet", &[]).await;
    for (name, value) in [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-store"),
        ("x-accel-buffering", "no"),
    ] {
        assert_eq!(stream.headers[name], value);
    }
    stream.message().await;
    assert!(
        stream
            .source
            .retry
            .is_some_and(|ms| (1000..3000).contains(&ms))
    );
    // A comment line without an empty line: no library dispatches a message for
    // it.
    for _ in 0..3 {
        let chunk = within("a sign of life", stream.chunk()).await.unwrap();
        let signs = chunk.chunks(2).all(|sign| sign == b":\n");
        assert!(signs, "{chunk:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_publish_is_answered_after_the_commit() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[("allow-publish", "on")]).await;
    let mut socket = WebSocket::open(gateway.address, "/pgpubsub/a")
        .await
        .unwrap();
    let largest = "x".repeat(7999);
    for payload in ["", "hello\r\n", "é", &largest] {
        let answer = post(gateway.address, "/v1/channels/a", payload.to_owned()).await;
        assert_eq!(answer.status, 204);
        assert_eq!(socket.text().await.unwrap(), payload);
        let mut grpc = grpc_client(gateway.address).await;
        let request = pgfan::proto::PublishRequest {
            channel: "a".into(),
            payload: payload.into(),
        };
        grpc.publish(request).await.unwrap();
        assert_eq!(socket.text().await.unwrap(), payload);
    }
    let mut talker = WebSocket::open(gateway.address, "/v1/ws").await.unwrap();
    talker
        .say(r#"{"type":"publish","channel":"a","payload":"é\n","ref":"7"}"#)
        .await;
    assert_eq!(
        talker.text().await.unwrap(),
        r#"{"type":"published","ref":"7"}"#
    );
    assert_eq!(socket.text().await.unwrap(), "é\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_published_is_refused() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[("allow-publish", "on")]).await;
    for (payload, status, code) in [
        (Bytes::from(vec![b'x'; 8000]), 413, "payload_too_large"),
        (Bytes::from(vec![b'x'; 1 << 20]), 413, "payload_too_large"),
        (Bytes::from_static(b"\xff"), 400, "invalid_request"),
        (Bytes::from_static(b"a\0b"), 400, "invalid_request"),
    ] {
        let answer = post(gateway.address, "/v1/channels/a", payload).await;
        assert_eq!((answer.status, answer.code()), (status, code.into()));
    }
    let mut grpc = grpc_client(gateway.address).await;
    for (payload, code) in [
        ("x".repeat(8000), Code::InvalidArgument),
        ("\0".into(), Code::InvalidArgument),
    ] {
        let channel = "a".into();
        let request = pgfan::proto::PublishRequest { channel, payload };
        assert_eq!(grpc.publish(request).await.unwrap_err().code(), code);
    }
    let mut socket = WebSocket::open(gateway.address, "/v1/ws").await.unwrap();
    let text = format!(
        r#"{{"type":"publish","channel":"a","payload":"{}","ref":"1"}}"#,
        "x".repeat(8000)
    );
    socket.say(&text).await;
    let error: serde_json::Value = serde_json::from_str(&socket.text().await.unwrap()).unwrap();
    assert_eq!(
        (&error["code"], &error["ref"]),
        (&"payload_too_large".into(), &"1".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_leave_nobody_publishes() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let answer = post(gateway.address, "/v1/channels/a", "x").await;
    assert_eq!((answer.status, answer.code()), (403, "forbidden".into()));
    let mut grpc = grpc_client(gateway.address).await;
    let status = grpc.publish(pgfan::proto::PublishRequest::default()).await;
    assert_eq!(status.unwrap_err().code(), Code::InvalidArgument);
    let request = pgfan::proto::PublishRequest {
        channel: "a".into(),
        payload: "x".into(),
    };
    assert_eq!(
        grpc.publish(request).await.unwrap_err().code(),
        Code::PermissionDenied
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_service_is_unimplemented() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let headers = [("content-type", "application/grpc")];
    let answer = request(
        gateway.address,
        "POST",
        "/no.such.Service/Method",
        &headers,
        Bytes::new(),
    );
    let answer = answer.await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["grpc-status"]),
        (200, &"12".parse().unwrap())
    );
}

/// A message with its gRPC frame header.
fn framed(message: &impl prost::Message) -> Bytes {
    let bytes = message.encode_to_vec();
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    [&[0], &length[..], &bytes].concat().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_can_stream_over_grpc_web() {
    use http_body_util::BodyExt;
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let subscribe = pgfan::proto::SubscribeRequest {
        channels: vec!["a".into()],
        cursor: String::new(),
        heartbeat: false,
    };
    let headers = [
        ("content-type", "application/grpc-web+proto"),
        ("x-grpc-web", "1"),
    ];
    let path = "/pgfan.v1.GatewayService/Subscribe";
    let response = request(gateway.address, "POST", path, &headers, framed(&subscribe)).await;
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    let mut messages = Vec::new();
    for n in 0..3 {
        let frame = within("a message", body.frame()).await.unwrap().unwrap();
        let bytes = frame.into_data().unwrap();
        messages.push(pgfan::proto::SubscribeResponse::decode(&bytes[5..]).unwrap());
        database.notify("a", &n.to_string()).await;
    }
    use pgfan::proto::subscribe_response::Message as Said;
    let mut said = messages.into_iter().map(|message| message.message.unwrap());
    assert!(matches!(said.next(), Some(Said::Ready(_))));
    for n in 0..2 {
        assert!(matches!(said.next(), Some(Said::Event(event)) if event.payload == n.to_string()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_one_over_a_limit_is_refused_and_the_others_stay() {
    let database = Database::new().await;
    let limits = [
        ("max-readers", "2"),
        ("max-readers-per-address", "1000"),
        ("max-channels", "2"),
        ("max-channels-per-client", "2"),
        ("linger", "1h"),
    ];
    let gateway = TestGateway::with(&database, &limits).await;
    let mut one = WebSocket::open(gateway.address, "/v1/ws?channel=a")
        .await
        .unwrap();
    one.said().await;
    let answer = get(gateway.address, "/v1/sse?channel=b&channel=c", &[]).await;
    assert_eq!((answer.status, answer.code()), (429, "too_many".into()));
    assert!(!answer.header("retry-after").is_empty());
    let mut two = EventStream::open(gateway.address, "/v1/sse?channel=b", &[]).await;
    two.message().await;
    for path in ["/v1/ws?channel=a", "/pgpubsub/a"] {
        assert_eq!(
            WebSocket::open(gateway.address, path).await.err(),
            Some(429)
        );
    }
    let mut grpc = grpc_client(gateway.address).await;
    let request = pgfan::proto::SubscribeRequest {
        channels: vec!["a".into()],
        cursor: String::new(),
        heartbeat: false,
    };
    assert_eq!(
        grpc.subscribe(request).await.unwrap_err().code(),
        Code::ResourceExhausted
    );
    database.notify("a", "1").await;
    assert!(matches!(one.frame().await, Some(Message::Text(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_browsers_client_is_served_and_looked_at_anew() {
    let database = Database::new().await;
    let origin = "https://app.example";
    let gateway = TestGateway::with(&database, &[("allow-origin", origin)]).await;
    let text = include_str!("../../clients/js/pgfan.js");
    let answer = gateway.get("/pgfan.js").await;
    assert_eq!((answer.status, &answer.body[..]), (200, text.as_bytes()));
    for (name, value) in [
        ("content-type", "text/javascript; charset=utf-8"),
        ("cache-control", "no-cache"),
        ("x-content-type-options", "nosniff"),
        ("vary", "origin"),
    ] {
        assert_eq!(answer.header(name), value, "{name}");
    }
    let tag = answer.header("etag").to_owned();
    let known = [("if-none-match", tag.as_str())];
    let same = get(gateway.address, "/pgfan.js", &known).await;
    assert_eq!(
        (same.status, same.body.len(), same.header("etag")),
        (304, 0, tag.as_str())
    );
    let head = ask(gateway.address, "HEAD", "/pgfan.js", &[]).await;
    assert_eq!((head.status, head.header("etag")), (200, tag.as_str()));
    let other = get(
        gateway.address,
        "/pgfan.js",
        &[("if-none-match", "\"other\"")],
    )
    .await;
    assert_eq!(other.status, 200);
    // Only a page that may use the gateway may import it.
    let listed = get(gateway.address, "/pgfan.js", &[("origin", origin)]).await;
    assert_eq!(listed.header("access-control-allow-origin"), origin);
    let foreign = get(
        gateway.address,
        "/pgfan.js",
        &[("origin", "https://evil.example")],
    )
    .await;
    assert_eq!(foreign.status, 403);
    let posted = post(gateway.address, "/pgfan.js", "x").await;
    assert_eq!(posted.status, 405);
}

/// Each file has its headers; 404 when the console is switched off.
#[tokio::test(flavor = "multi_thread")]
async fn the_console_is_served_or_not() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let page = gateway.get("/").await;
    assert_eq!(
        (page.status, page.header("content-type")),
        (200, "text/html; charset=utf-8")
    );
    let text = String::from_utf8(page.body.to_vec()).unwrap();
    let mut attributes = text.split_whitespace().filter(|word| word.contains('='));
    let is_inline = |word: &str| word.starts_with("style=") || word.starts_with("on");
    assert!(!attributes.any(is_inline) && !text.contains("<style") && !text.contains("<script>"));
    let linked = text
        .split(['"', '\''])
        .filter(|part| part.starts_with("/console/"));
    let scripts = ["status", "chart", "listen", "wires", "protobuf"];
    let scripts = scripts.map(|name| format!("/console/{name}.js"));
    let files: Vec<_> = linked.map(str::to_owned).chain(scripts).collect();
    for path in files.iter().map(String::as_str).chain(["/"]) {
        let answer = gateway.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        let policy = answer.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self';"),
            "{path}"
        );
        assert!(!policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"));
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("x-frame-options"), "DENY");
        assert_eq!(answer.header("cache-control"), "no-cache");
        let known = [("if-none-match", answer.header("etag"))];
        assert_eq!(
            get(gateway.address, path, &known).await.status,
            304,
            "{path}"
        );
    }
    let without = TestGateway::with(&database, &[("console", "off")]).await;
    for path in files.iter().map(String::as_str).chain(["/"]) {
        assert_eq!(without.get(path).await.status, 404, "{path}");
    }
    assert_eq!(without.get("/pgfan.js").await.status, 200);
}
