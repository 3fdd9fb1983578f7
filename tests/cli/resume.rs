//! `pgfan listen` reconnects by itself, and misses nothing silently.

use serde_json::Value;

use crate::{
    listen,
    listen::{WIRES, object},
    support::{Database, Link, TestGateway, program::Program},
};

async fn payloads(program: &mut Program, count: usize) -> Vec<String> {
    let mut payloads = Vec::new();
    for _ in 0..count {
        let event = object(program, "event").await;
        payloads.push(event["payload"].as_str().unwrap().to_owned());
    }
    payloads
}

/// One transaction for each `n`, while the link is cut repeatedly.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_costs_no_event_and_repeats_none() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let link = Link::to(gateway.address.port()).await;
    let mut programs = Vec::new();
    for wire in WIRES {
        let mut program = listen(link.port, &["a", "--via", wire]);
        object(&mut program, "ready").await;
        programs.push(program);
    }
    let mut heard = vec![Vec::new(); WIRES.len()];
    for round in 0..4 {
        for n in 0..5 {
            database.notify("a", &format!("{round}.{n}")).await;
            if n == round {
                link.cut();
            }
        }
        for (program, heard) in programs.iter_mut().zip(&mut heard) {
            let last = format!("{round}.4");
            let mut back = 0;
            while heard.last() != Some(&last) || back == 0 {
                let line = program.stdout.line("{").await;
                let object: Value = serde_json::from_str(&line).unwrap();
                match object["type"].as_str().unwrap() {
                    "event" => heard.push(object["payload"].as_str().unwrap().to_owned()),
                    "interrupted" => assert_eq!(object["code"], "disconnected", "{line}"),
                    "ready" => back += 1,
                    _ => panic!("{line}"),
                }
            }
        }
    }
    let expected = (0..4).flat_map(|round| (0..5).map(move |n| format!("{round}.{n}")));
    let expected: Vec<_> = expected.collect();
    for (wire, heard) in WIRES.iter().zip(heard) {
        assert_eq!(heard, expected, "{wire}");
    }
}

/// No data passes and TCP stays up: only silence shows the loss.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_went_dumb_is_left() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[("keepalive", "200ms")]).await;
    for wire in WIRES {
        let link = Link::to(gateway.address.port()).await;
        let arguments = ["a", "--via", wire, "--keepalive", "400ms"];
        let mut program = listen(link.port, &arguments);
        object(&mut program, "ready").await;
        database.notify("a", "before").await;
        assert_eq!(payloads(&mut program, 1).await, ["before"]);
        link.freeze();
        database.notify("a", "meanwhile").await;
        let lost = object(&mut program, "interrupted").await;
        assert_eq!(lost["code"], "disconnected", "{wire} {lost}");
        link.thaw();
        assert_eq!(payloads(&mut program, 1).await, ["meanwhile"], "{wire}");
        object(&mut program, "ready").await;
    }
}

/// A quiet connection is kept if the gateway sends heartbeats.
#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_connection_is_kept() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[("keepalive", "500ms")]).await;
    let link = Link::to(gateway.address.port()).await;
    let mut programs = Vec::new();
    for wire in WIRES {
        let arguments = ["a", "--via", wire, "--keepalive", "500ms"];
        let mut program = listen(link.port, &arguments);
        object(&mut program, "ready").await;
        programs.push(program);
    }
    database.later_beats().await;
    database.notify("a", "after").await;
    for program in &mut programs {
        assert_eq!(payloads(program, 1).await, ["after"]);
    }
    assert_eq!(link.accepted(), WIRES.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_life_of_the_gateway_is_a_gap() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let link = Link::to(gateway.address.port()).await;
    let mut programs = Vec::new();
    for wire in WIRES {
        let mut program = listen(link.port, &["a", "--via", wire]);
        object(&mut program, "ready").await;
        programs.push(program);
    }
    gateway.stop().await;
    for program in &mut programs {
        let lost = object(program, "interrupted").await;
        assert_eq!(lost["code"], "shutting_down", "{lost}");
        program.stderr.line("trying again").await;
    }
    let gateway = TestGateway::on(&database).await;
    link.lead_to(gateway.address.port());
    for program in &mut programs {
        let gap = object(program, "gap").await;
        assert_eq!(gap["reason"], "unknown_cursor", "{gap}");
        object(program, "ready").await;
    }
    database.notify("a", "again").await;
    for program in &mut programs {
        assert_eq!(payloads(program, 1).await, ["again"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn since_repeats_what_came_after() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let port = gateway.address.port();
    let mut first = listen(port, &["a", "--count", "3"]);
    object(&mut first, "ready").await;
    for payload in ["1", "2", "3"] {
        database.notify("a", payload).await;
    }
    let cursor = object(&mut first, "event").await["id"].clone();
    assert!(first.ended().await.status.success());
    for wire in WIRES {
        let since = cursor.as_str().unwrap();
        let mut later = listen(port, &["a", "--via", wire, "--since", since]);
        assert_eq!(payloads(&mut later, 2).await, ["2", "3"], "{wire}");
        object(&mut later, "ready").await;
        let mut strange = listen(port, &["a", "--via", wire, "--since", "+ &x=ü"]);
        let gap = object(&mut strange, "gap").await;
        assert_eq!(gap["reason"], "unknown_cursor", "{wire}");
        object(&mut strange, "ready").await;
    }
}
