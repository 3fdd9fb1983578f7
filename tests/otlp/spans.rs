use std::time::{SystemTime, UNIX_EPOCH};

use crate::{
    collector::{Collector, attribute},
    exported,
    support::{Database, Said, TestGateway, Wire, until},
    traced,
};

async fn traced_gateway(database: &Database, collector: &Collector) -> TestGateway {
    TestGateway::with(database, &[("otlp-endpoint", &collector.url())]).await
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap();
    since.as_nanos().try_into().unwrap()
}

/// On every transport; the reader gets exactly the notified bytes.
#[tokio::test(flavor = "multi_thread")]
async fn a_traced_event_is_one_span_of_its_trace() {
    let (database, collector) = (Database::new().await, Collector::start().await);
    let gateway = traced_gateway(&database, &collector).await;
    let payload = concat!(
        r#"{ "traceparent" : "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","#,
        r#""tracestate":"congo=t61rcWkgMzE", "é": [1.50], "sent_at": "2026-01-01T00:00:00Z" }"#
    );
    for (count, wire) in Wire::ALL.into_iter().enumerate() {
        let channel = format!("orders-{wire:?}");
        let mut reader = gateway.reader(wire, &channel).await;
        let before = nanoseconds(SystemTime::now()) - 1000;
        database.notify(&channel, payload).await;
        let said = reader.said().await;
        let after_span = collector.first(count + 1).await;
        let after = nanoseconds(SystemTime::now());
        let Said::Event {
            id, payload: got, ..
        } = said
        else {
            panic!("{said:?}")
        };
        assert_eq!(got, payload);
        assert_eq!(after_span.len(), count + 1);
        let span = &after_span[count];
        assert_eq!(span.trace_id[..4], [0x4b, 0xf9, 0x2f, 0x35]);
        assert_eq!(
            span.parent_span_id,
            [0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]
        );
        assert!(span.span_id.len() == 8 && span.span_id != span.parent_span_id);
        assert_eq!(span.trace_state, "congo=t61rcWkgMzE");
        assert_eq!((span.kind, span.flags), (5, 0x301));
        assert_eq!(span.name, format!("process {channel}"));
        let (start, end) = (span.start_time_unix_nano, span.end_time_unix_nano);
        assert!(before <= start && start <= end && end <= after, "{span:?}");
        let says = |key: &str| attribute(&span.attributes, key);
        assert_eq!(says("messaging.system"), "postgresql");
        assert_eq!(says("messaging.operation.type"), "process");
        assert_eq!(says("messaging.destination.name"), channel);
        assert_eq!(
            says("messaging.message.body.size"),
            payload.len().to_string()
        );
        assert_eq!(
            (says("pgfan.readers"), says("pgfan.outcome")),
            ("1".into(), "given".into())
        );
        let sent_before: f64 = says("pgfan.sent_to_receipt_seconds").parse().unwrap();
        assert!(sent_before > 3600.0, "{sent_before}");
        if wire != Wire::PgCacheWatch {
            assert_eq!(says("messaging.message.id"), id);
        }
    }
    let resource = &collector.exports()[0].resource;
    assert_eq!(attribute(resource, "service.name"), "pgfan");
    until("they are counted", || async {
        exported(&gateway).await == 4.0
    })
    .await;
}

/// Independently of the number of its readers and FanoutWorkers.
#[tokio::test(flavor = "multi_thread")]
async fn many_readers_are_one_span() {
    let (database, collector) = (Database::new().await, Collector::start().await);
    let gateway = traced_gateway(&database, &collector).await;
    let mut readers = Vec::new();
    for _ in 0..5 {
        for wire in Wire::ALL {
            readers.push(gateway.reader(wire, "a").await);
        }
    }
    database.notify("a", &traced(0)).await;
    for reader in &mut readers {
        assert_eq!(reader.event().await.1, traced(0));
    }
    // A later span has arrived: an earlier one would be before it.
    database.notify("a", &traced(1)).await;
    collector.first(2).await;
    gateway.stop().await;
    let spans = collector.spans();
    assert_eq!(spans.len(), 2);
    assert_eq!(attribute(&spans[0].attributes, "pgfan.readers"), "20");
}

/// Each is delivered unchanged and gets no span; nor does a notification
/// without a subscription.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_sampled_or_breaks_a_rule_is_none() {
    let (database, collector) = (Database::new().await, Collector::start().await);
    let gateway = traced_gateway(&database, &collector).await;
    let mut reader = gateway.reader(Wire::WebSocket, "a").await;
    let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let unsampled = good.replace("-01", "-00");
    let contexts: [&str; 9] = [
        &unsampled,
        &good.to_uppercase(),
        &good.replacen("00", "ff", 1),
        &format!("{good}-00"),
        &good.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
        &good.replace("00f067aa0ba902b7", &"0".repeat(16)),
        &good.replace("4bf", "xyz"),
        &good[..54],
        "",
    ];
    let payloads = contexts.map(|context| format!(r#"{{"traceparent":"{context}"}}"#));
    let others = [
        good.to_owned(),
        format!(r#"["{good}","traceparent"]"#),
        format!(r#"{{"traceparent":"{good}""#),
        format!(r#"{{"a":{{"traceparent":"{good}"}}}}"#),
        r#"{"traceparent":7}"#.to_owned(),
    ];
    for payload in payloads.iter().chain(&others) {
        database.notify("a", payload).await;
        assert_eq!(&reader.event().await.1, payload);
    }
    database.notify("nobodys", &traced(0)).await;
    database.notify("a", &traced(1)).await;
    assert_eq!(reader.event().await.1, traced(1));
    gateway.stop().await;
    let spans = collector.spans();
    assert_eq!(spans.len(), 1, "{spans:?}");
    assert_eq!(spans[0].trace_id[15], 2);
}

/// The span of an event on an idle channel reports that it had no readers.
#[tokio::test(flavor = "multi_thread")]
async fn a_channel_without_readers_has_spans_too() {
    let (database, collector) = (Database::new().await, Collector::start().await);
    let gateway = traced_gateway(&database, &collector).await;
    drop(gateway.reader(Wire::WebSocket, "a").await);
    until("it has left", || async {
        crate::sample(&gateway, "pgfan_readers{wire=\"websocket\"}").await == 0.0
    })
    .await;
    database.notify("a", &traced(0)).await;
    let spans = collector.first(1).await;
    assert_eq!(
        attribute(&spans[0].attributes, "pgfan.outcome"),
        "no_readers"
    );
    assert_eq!(attribute(&spans[0].attributes, "pgfan.readers"), "0");
}

/// The guide's own statements: a notification, and a trigger.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_guide_writes_is_traced() {
    let (database, collector) = (Database::new().await, Collector::start().await);
    let gateway = traced_gateway(&database, &collector).await;
    let mut reader = gateway.reader(Wire::Sse, "orders").await;
    let page = include_str!("../../docs/metrics.md");
    let blocks = page.split("```sql\n").skip(1);
    let blocks: Vec<_> = blocks.filter_map(|rest| rest.split("```").next()).collect();
    let [notify, trigger] = blocks.as_slice() else {
        panic!("{blocks:?}")
    };
    database.run(notify).await;
    assert!(reader.event().await.1.contains("4bf92f3577b34da6"));
    database.run("CREATE TABLE orders (id int)").await;
    database.run(trigger).await;
    let context = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let insert = "INSERT INTO orders VALUES (1)";
    database.run(insert).await;
    let change = format!("BEGIN; SET LOCAL app.traceparent = '{context}'; {insert}; COMMIT");
    database.run(&change).await;
    database.run(insert).await;
    let told = reader.payloads(3).await;
    assert!(
        told[1].contains(context) && !told[2].contains(context),
        "{told:?}"
    );
    gateway.stop().await;
    let spans = collector.spans();
    let parents: Vec<_> = spans.iter().map(|span| span.parent_span_id[7]).collect();
    assert_eq!(parents, [0xb7, 0x31]);
}

/// None of the events is lost, and each is a span or counted as dropped.
#[tokio::test(flavor = "multi_thread")]
async fn a_burst_loses_no_event() {
    const COUNT: usize = 10_000;
    let (database, collector) = (Database::new().await, Collector::start().await);
    let history = ("history-events", "20000");
    let endpoint = ("otlp-endpoint", collector.url());
    let settings = [history, (endpoint.0, &endpoint.1)];
    let gateway = TestGateway::with(&database, &settings).await;
    let mut reader = gateway.reader(Wire::WebSocket, "a").await;
    let sql = "SELECT pg_notify('a', format('{\"n\": %s, \"traceparent\": \
               \"00-%s-00000000000000ff-01\"}', n, lpad(to_hex(n + 1), 32, '0'))) \
               FROM generate_series(0, 9999) AS n";
    database.client.query(sql, &[]).await.unwrap();
    let payloads = reader.payloads(COUNT).await;
    for (n, payload) in payloads.iter().enumerate() {
        assert!(
            payload.starts_with(&format!("{{\"n\": {n}, ")),
            "{n}: {payload}"
        );
    }
    let all =
        || async { exported(&gateway).await + crate::dropped(&gateway).await == COUNT as f64 };
    until("each span is accounted for", all).await;
    assert!(exported(&gateway).await >= 2048.0);
    assert_eq!(collector.spans().len() as f64, exported(&gateway).await);
}
