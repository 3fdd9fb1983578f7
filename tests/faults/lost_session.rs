//! F1 to F4: the session or its whole server ends.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use pgfan::{
    proto::{PublishRequest, gateway_service_client::GatewayServiceClient},
    temp_postgres::{Mode, Sandbox},
};
use tokio::{task::JoinSet, time::Instant};
use tonic::transport::Channel;

use crate::{
    audience::{AT_ONCE, Audience, IMPATIENT, SILENT, is_gap, newcomers_are_turned_away},
    support::{
        Database, Reader, Said, TestGateway, WebSocket, Wire, grpc_client, own_server, program,
        until, within,
    },
};

#[tokio::test(flavor = "multi_thread")]
async fn f01_a_terminated_session_is_told_at_once_and_replaced() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut audience = Audience::of(gateway.address).await;
    let raw = "/v1/ws?channel=a&format=raw";
    let mut raw = WebSocket::open(gateway.address, raw).await.unwrap();
    let lost = Instant::now();
    assert!(database.terminate().await >= 1);
    audience.are_interrupted(lost, AT_ONCE).await;
    assert_eq!(raw.text().await.unwrap_err().0, 1012);
    audience.are_live_again().await;
    database.notify("a", "again").await;
    audience.hear("again").await;
}

/// Each loss costs the readers a gap: the pause grows after sessions that are
/// lost as soon as they are live, and is reset by one that has lasted.
#[tokio::test(flavor = "multi_thread")]
async fn f01_sessions_that_die_young_are_replaced_ever_more_slowly() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[("heartbeat-interval", "500ms")]).await;
    let mut reader = gateway.reader(Wire::WebSocket, "a").await;
    let mut away = Vec::new();
    for _ in 0..5 {
        let lost = Instant::now();
        database.terminate().await;
        while !matches!(reader.said().await, Said::Live { .. }) {}
        away.push(lost.elapsed());
    }
    assert!(away[0] < AT_ONCE, "{away:?}");
    // The fifth pause is drawn between 0.8 and 1.6 s; the first may have been
    // counted from zero, if that session lasted.
    assert!(away[4] > Duration::from_millis(400), "{away:?}");
    database.later_beats().await;
    let lost = Instant::now();
    database.terminate().await;
    while !matches!(reader.said().await, Said::Live { .. }) {}
    assert!(lost.elapsed() < AT_ONCE, "{:?}", lost.elapsed());
}

/// Clients publish more than can be accepted: the proof of the next session
/// goes before them.
#[tokio::test(flavor = "multi_thread")]
async fn f01_a_flood_of_publishes_does_not_keep_the_source_away() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[("allow-publish", "on")]).await;
    let mut audience = Audience::of(gateway.address).await;
    let mut flood = JoinSet::new();
    let refused = Arc::new(AtomicBool::new(false));
    for _ in 0..2 {
        let client = grpc_client(gateway.address).await;
        for _ in 0..700 {
            flood.spawn(publish(client.clone(), Arc::clone(&refused)));
        }
    }
    until("the queue is full", || async {
        refused.load(Ordering::Relaxed)
    })
    .await;
    let lost = Instant::now();
    assert!(database.terminate().await >= 1);
    audience.are_interrupted(lost, SILENT).await;
    audience.are_live_again().await;
    let took = lost.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    flood.shutdown().await;
}

/// Publishes repeatedly on a channel without readers.
async fn publish(mut client: GatewayServiceClient<Channel>, refused: Arc<AtomicBool>) {
    loop {
        let request = PublishRequest {
            channel: "flood".into(),
            payload: fastrand::u64(..).to_string(),
        };
        if let Err(status) = client.publish(request).await
            && status.code() == tonic::Code::ResourceExhausted
        {
            refused.store(true, Ordering::Relaxed);
        }
    }
}

/// The server ends every session then and recovers.
#[tokio::test(flavor = "multi_thread")]
async fn f02_a_backend_is_killed_and_the_server_recovers() {
    let server = own_server(&[]).await;
    let database = Database::at(server.url()).await;
    let gateway = TestGateway::on(&database).await;
    let mut audience = Audience::of(gateway.address).await;
    let sql = "SELECT pg_backend_pid()";
    let victim: i32 = database.client.query_one(sql, &[]).await.unwrap().get(0);
    let lost = Instant::now();
    let mut kill = program::command("/bin/sh");
    let ended = program::run(kill.args(["-c", &format!("kill -9 {victim}")])).await;
    assert!(ended.status.success(), "{ended:?}");
    audience.are_interrupted(lost, AT_ONCE).await;
    audience.are_live_again().await;
    let database = Database::back(server.url()).await;
    database.notify("a", "again").await;
    audience.hear("again").await;
}

/// The server is away until it is started again.
async fn goes_and_comes_back(end: impl AsyncFnOnce(&mut Sandbox)) {
    let mut server = own_server(&[]).await;
    let gateway = TestGateway::starting(&server.url(), &[IMPATIENT]);
    gateway.ready().await;
    let mut audience = Audience::of(gateway.address).await;
    let lost = Instant::now();
    end(&mut server).await;
    audience.are_interrupted(lost, AT_ONCE).await;
    newcomers_are_turned_away(gateway.address).await;
    assert_eq!(gateway.get("/healthz").await.status, 200);
    server.start_again().await.unwrap();
    audience.are_live_again().await;
    assert_eq!(gateway.get("/readyz").await.status, 200);
    let database = Database::at(server.url()).await;
    database.notify("a", "again").await;
    audience.hear("again").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f03_the_server_is_stopped_fast() {
    goes_and_comes_back(async |server| server.stop(Mode::Fast).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f03_the_server_is_stopped_immediately() {
    goes_and_comes_back(async |server| server.stop(Mode::Immediate).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f03_the_postmaster_is_killed() {
    goes_and_comes_back(async |server| server.kill().await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f03_who_comes_meanwhile_waits_and_is_served_when_it_is_back() {
    let mut server = own_server(&[]).await;
    let gateway = TestGateway::starting(&server.url(), &[]);
    let mut stayed = gateway.reader(Wire::WebSocket, "a").await;
    server.stop(Mode::Fast).await.unwrap();
    assert_eq!(stayed.said().await, Said::Interrupted);
    let address = gateway.address;
    let opened = Wire::ALL
        .map(|wire| tokio::spawn(async move { Reader::open(wire, address, &["b"], None).await }));
    server.start_again().await.unwrap();
    let mut readers = Vec::new();
    for reader in opened {
        let mut reader = within("a reader", reader).await.unwrap();
        reader.ready().await;
        readers.push(reader);
    }
    let database = Database::at(server.url()).await;
    database.notify("b", "at last").await;
    for reader in &mut readers {
        assert_eq!(reader.event().await.1, "at last");
    }
}

/// The port is open before the first LISTEN.
#[tokio::test(flavor = "multi_thread")]
async fn f03_the_first_client_of_a_gateway_that_starts_is_served() {
    let database = Database::new().await;
    for wire in Wire::ALL {
        let gateway = TestGateway::starting(&database.url, &[]);
        let mut reader = gateway.reader(wire, "a").await;
        database.notify("a", "first").await;
        assert_eq!(reader.event().await.1, "first");
    }
}

/// The server was never reachable; a client that subscribes on an open
/// connection is informed too.
#[tokio::test(flavor = "multi_thread")]
async fn f03_a_server_that_was_never_there() {
    // No server listens on port 1 of the loopback.
    let url = "postgresql://nobody@127.0.0.1:1/none";
    let gateway = TestGateway::starting(url, &[IMPATIENT]);
    newcomers_are_turned_away(gateway.address).await;
    let mut socket = WebSocket::open(gateway.address, "/v1/ws").await.unwrap();
    socket.say(r#"{"type":"subscribe","channels":["a"]}"#).await;
    let expected = Said::Closed(1013, "source_unavailable".into());
    assert_eq!(socket.said().await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn f03_a_cursor_from_before_the_loss_meets_its_gap() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut reader = gateway.reader(Wire::Sse, "a").await;
    let cursor = reader.ready_cursor();
    database.notify("a", "before").await;
    reader.event().await;
    database.terminate().await;
    while !matches!(reader.said().await, Said::Live { .. }) {}
    database.notify("a", "after").await;
    assert_eq!(reader.event().await.1, "after");
    for wire in Wire::FULL {
        let mut late = Reader::open(wire, gateway.address, &["a"], Some(&cursor)).await;
        assert_eq!(late.event().await.1, "before");
        assert!(is_gap(&late.said().await));
        assert_eq!(late.event().await.1, "after");
        late.ready().await;
    }
}

/// A listening session alone would make such a server wait forever.
#[tokio::test(flavor = "multi_thread")]
async fn f04_a_server_that_is_shutting_down_is_let_go() {
    let mut server = own_server(&[]).await;
    let gateway = TestGateway::starting(&server.url(), &[]);
    gateway.ready().await;
    let mut audience = Audience::of(gateway.address).await;
    let asked = Instant::now();
    server.stop(Mode::Smart).await.unwrap();
    // The gateway checks every 5 s whether the server accepts new sessions.
    audience
        .are_interrupted(asked, Duration::from_secs(7))
        .await;
    server.start_again().await.unwrap();
    audience.are_live_again().await;
    let database = Database::at(server.url()).await;
    database.notify("a", "again").await;
    audience.hear("again").await;
}
