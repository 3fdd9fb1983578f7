//! Several hosts, standbys, Unix sockets, and the libpq variables.

use std::{fs, net::SocketAddr};

use pgfan::temp_postgres::{Mode, Sandbox};
use tokio::net::TcpSocket;

use crate::support::{
    Database, Said, TestGateway, Wire, gateway_process::GatewayProcess, own_server, post, within,
};

/// A port that refuses connections, and stays reserved while this is held.
fn dead_host() -> (TcpSocket, u16) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}

/// In recovery until it is promoted: it has no primary to replay from.
async fn standby() -> Sandbox {
    let mut server = own_server(&[]).await;
    server.stop(Mode::Fast).await.unwrap();
    fs::write(server.data_dir().join("standby.signal"), "").unwrap();
    server.start_again().await.unwrap();
    server
}

fn both(first: &Sandbox, second: &Sandbox) -> String {
    let (first, second) = (first.port(), second.port());
    format!("postgresql://pgfan@127.0.0.1:{first},127.0.0.1:{second}/postgres")
}

/// Checks that the gateway of `url` receives notifications of `database`.
async fn hears(url: &str, database: &Database) {
    let gateway = TestGateway::starting(url, &[("subscribe-timeout", "20s")]);
    let mut reader = gateway.reader(Wire::Sse, "a").await;
    database.notify("a", url).await;
    assert_eq!(reader.event().await.1, url);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_first_host_is_passed_over() {
    let database = Database::new().await;
    let (_held, dead) = dead_host();
    let live = database.url.replace("@", &format!("@127.0.0.1:{dead},"));
    for wants in ["any", "read-write", "primary"] {
        hears(&format!("{live}?target_session_attrs={wants}"), &database).await;
    }
}

/// It accepts the login, and then does not answer: a view that the set-up reads
/// is locked.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_host_that_falls_silent_is_passed_over() {
    let (silent, live) = (own_server(&[]).await, own_server(&[]).await);
    let locked = Database::at(silent.url()).await;
    let lock = "BEGIN; LOCK TABLE pg_catalog.pg_settings";
    locked.client.batch_execute(lock).await.unwrap();
    let url = both(&silent, &live);
    hears(
        &format!("{url}?connect_timeout=2"),
        &Database::at(live.url()).await,
    )
    .await;
}

/// Also for `any`, which would accept it: a standby cannot LISTEN.
#[tokio::test(flavor = "multi_thread")]
async fn a_standby_is_passed_over() {
    let (standby, primary) = (standby().await, own_server(&[]).await);
    let database = Database::at(primary.url()).await;
    let url = both(&standby, &primary);
    for wants in ["any", "read-write", "primary"] {
        hears(&format!("{url}?target_session_attrs={wants}"), &database).await;
    }
}

/// The server waits for its sessions, and accepts no new one; an unreachable
/// second host must not hide that.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_beside_a_dead_one_can_be_shut_down_smartly() {
    let mut server = own_server(&[]).await;
    let (_held, dead) = dead_host();
    let url = server
        .url()
        .replace("/postgres", &format!(",127.0.0.1:{dead}/postgres"));
    let gateway = TestGateway::starting(&url, &[]);
    gateway.ready().await;
    server.stop(Mode::Smart).await.unwrap();
}

/// The gateway moves to the other host, and its publishing with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_beside_a_live_one_can_be_shut_down_smartly() {
    let (mut server, other) = (own_server(&[]).await, own_server(&[]).await);
    let url = both(&server, &other);
    let gateway = TestGateway::starting(&url, &[("allow-publish", "on")]);
    let mut reader = gateway.reader(Wire::Sse, "a").await;
    server.stop(Mode::Smart).await.unwrap();
    assert_eq!(reader.said().await, Said::Interrupted);
    assert!(matches!(reader.said().await, Said::Gap { .. }));
    assert!(matches!(reader.said().await, Said::Live { .. }));
    let answer = post(gateway.address, "/v1/channels/a", "over there").await;
    assert_eq!(answer.status, 204);
    assert_eq!(reader.event().await.1, "over there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_is_a_host() {
    let server = own_server(&[("listen_addresses", "")]).await;
    let url = server.socket_url();
    hears(&url, &Database::at(url.clone()).await).await;
}

/// `pgfan serve` alone, with the libpq variables, is a working gateway.
#[tokio::test(flavor = "multi_thread")]
async fn the_libpq_variables_are_enough() {
    let database = Database::new().await;
    let (head, name) = database.url.rsplit_once('/').unwrap();
    let (_, port) = head.rsplit_once(':').unwrap();
    let variables = [
        ("PGHOST", "127.0.0.1"),
        ("PGPORT", port),
        ("PGUSER", "pgfan"),
        ("PGDATABASE", name),
        ("PGAPPNAME", "by variables"),
    ];
    let gateway = GatewayProcess::with_variables(&variables).await;
    gateway.ready().await;
    let sql = "SELECT bool_or(application_name = 'by variables') FROM pg_stat_activity \
               WHERE datname = current_database()";
    let row = database.client.query_one(sql, &[]).await.unwrap();
    assert!(row.get::<_, bool>(0));
}

/// A mistake is reported at once; the exit code is that of an invalid command
/// line.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_meant_is_refused_at_the_start() {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_pgfan"));
    command.arg("serve").env_clear();
    command.env("PGSSLMODE", "verify-all").env("PGPORT", "none");
    command.env("PGPASSWORD", "s3cret").kill_on_drop(true);
    let output = within("its end", command.output()).await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    for word in ["PGSSLMODE", "PGPORT"] {
        assert!(said.contains(word), "{said}");
    }
    assert!(!said.contains("s3cret"), "{said}");
}
