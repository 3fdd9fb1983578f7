//! F29 and F30: a reachable server that accepts no logins.

use std::{fs, path::Path, time::Duration};

use pgfan::temp_postgres::Sandbox;
use tempfile::NamedTempFile;
use tokio::time::Instant;

use crate::{
    audience::{AT_ONCE, Audience, IMPATIENT, newcomers_are_turned_away},
    support::{Database, Link, TestGateway, gateway_process::GatewayProcess, own_server},
};

/// A role without superuser rights, to which limits apply, named like its
/// database.
async fn limited_role(database: &Database) -> (String, String) {
    let name = database.url.rsplit('/').next().unwrap().to_owned();
    database.run(&format!("CREATE ROLE {name} LOGIN")).await;
    let url = database.url.replace("//pgfan@", &format!("//{name}@"));
    (name, url)
}

async fn limit(database: &Database, role: &str, connections: i32) {
    let sql = format!("ALTER ROLE {role} CONNECTION LIMIT {connections}");
    database.run(&sql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f29_a_server_out_of_connections_is_waited_for() {
    let database = Database::new().await;
    let (role, url) = limited_role(&database).await;
    let gateway = TestGateway::starting(&url, &[IMPATIENT]);
    gateway.ready().await;
    let mut audience = Audience::of(gateway.address).await;
    limit(&database, &role, 0).await;
    let lost = Instant::now();
    assert!(database.terminate().await >= 1);
    audience.are_interrupted(lost, AT_ONCE).await;
    newcomers_are_turned_away(gateway.address).await;
    limit(&database, &role, -1).await;
    audience.are_live_again().await;
    database.notify("a", "again").await;
    audience.hear("again").await;
}

/// The existing session continues, because such a server is not shutting down.
/// But the queue can no longer be checked, and that is reported.
#[tokio::test(flavor = "multi_thread")]
async fn f29_without_a_second_connection_the_first_goes_on_and_readiness_ends() {
    let database = Database::new().await;
    let (role, url) = limited_role(&database).await;
    let gateway = TestGateway::starting(&url, &[]);
    gateway.ready().await;
    let mut audience = Audience::of(gateway.address).await;
    limit(&database, &role, 0).await;
    gateway.unready("nobody can see how full").await;
    database.notify("a", "still").await;
    audience.hear("still").await;
    limit(&database, &role, -1).await;
    gateway.ready().await;
    database.notify("a", "and on").await;
    audience.hear("and on").await;
}

const OLD: &str = "0ld-s3cr3t-canary";
const NEW: &str = "n3w-s3cr3t-canary";

/// The only role that needs a password.
async fn role_with_a_password(server: &Sandbox, database: &Database) {
    let encryption = "SET password_encryption = 'scram-sha-256'";
    let role = format!("{encryption}; CREATE ROLE rotated LOGIN PASSWORD '{OLD}'");
    database.run(&role).await;
    let hba = server.data_dir().join("pg_hba.conf");
    let others = fs::read_to_string(&hba).unwrap();
    let first = "host all rotated 127.0.0.1/32 scram-sha-256";
    fs::write(&hba, format!("{first}\n{others}")).unwrap();
    database.run("SELECT pg_reload_conf()").await;
}

/// A new file is readable by its owner alone, as a password file has to be.
fn password_file() -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    write_password(file.path(), OLD);
    file
}

fn write_password(file: &Path, password: &str) {
    fs::write(file, format!("*:*:*:rotated:{password}\n")).unwrap();
}

/// A gateway with the most detailed log level.
async fn talkative_gateway(port: u16, passfile: &Path) -> GatewayProcess {
    let gateway = GatewayProcess::with_variables(&[
        ("PGHOST", "127.0.0.1"),
        ("PGPORT", &port.to_string()),
        ("PGUSER", "rotated"),
        ("PGDATABASE", "postgres"),
        ("PGPASSFILE", passfile.to_str().unwrap()),
        ("PGFAN_SUBSCRIBE_TIMEOUT", "300ms"),
        ("RUST_LOG", "trace"),
    ])
    .await;
    gateway.ready().await;
    gateway
}

/// Each is drawn from the upper half of twice the one before, in `… connecting
/// again after a pause wait_seconds=0.093`.
async fn pauses_grow(gateway: &mut GatewayProcess, count: usize) {
    let mut longest = Duration::from_millis(100);
    for _ in 0..count {
        let line = gateway.logged("connecting again after a pause").await;
        let (_, digits) = line.split_once("wait_seconds=").unwrap();
        let pause = Duration::from_secs_f64(digits.parse().unwrap());
        let is_drawn = pause <= longest && 2 * pause >= longest;
        assert!(is_drawn, "{pause:?} of {longest:?}");
        longest = (2 * longest).min(Duration::from_secs(10));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f30_a_rotated_password_is_waited_for_without_a_storm_or_a_word_of_it() {
    let server = own_server(&[]).await;
    let database = Database::at(server.url()).await;
    role_with_a_password(&server, &database).await;
    let (passfile, link) = (password_file(), Link::to(server.port()).await);
    let mut gateway = talkative_gateway(link.port, passfile.path()).await;
    let mut audience = Audience::of(gateway.address).await;

    let alter = format!("ALTER ROLE rotated PASSWORD '{NEW}'");
    database.run(&alter).await;
    let (lost, before) = (Instant::now(), link.accepted());
    assert!(database.terminate().await >= 1);
    audience.are_interrupted(lost, AT_ONCE).await;
    pauses_grow(&mut gateway, 7).await;
    // One after each of six pauses, and one every 5 s for the check of the
    // queue.
    let looks = lost.elapsed().as_secs() as usize / 5 + 2;
    let attempts = link.accepted() - before;
    assert!(attempts <= 6 + looks, "{attempts} attempts, {looks} looks");
    newcomers_are_turned_away(gateway.address).await;

    write_password(passfile.path(), NEW);
    audience.are_live_again().await;
    database.notify("a", "again").await;
    audience.hear("again").await;
    let log = gateway.stop().await.stderr;
    assert!(log.contains("28P01") && log.contains("TRACE"), "it is told");
    let is_told = |secret: &&str| log.contains(*secret);
    assert_eq!([OLD, NEW].iter().find(|secret| is_told(secret)), None);
}
