//! Findings with real servers, poolers and standbys, and their remedies.

use std::fs;

use super::{check, fails, found};
use crate::support::{Database, own_server, pooler::Pooler, standby_of};

/// It must not appear in any output.
const CANARY: &str = "canary-of-a-password";

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_named_and_not_repeated() {
    let server = own_server(&[]).await;
    let database = Database::at(server.url()).await;
    let encryption = "SET password_encryption = 'scram-sha-256'";
    let role = format!("{encryption}; CREATE ROLE locked LOGIN PASSWORD 'right'");
    database.run(&role).await;
    let hba = server.data_dir().join("pg_hba.conf");
    let others = fs::read_to_string(&hba).unwrap();
    let lines = format!("host all locked all scram-sha-256\nhost all barred all reject\n{others}");
    fs::write(hba, lines).unwrap();
    database
        .run("CREATE ROLE barred LOGIN; SELECT pg_reload_conf()")
        .await;
    let url = |who: &str| server.url().replace("pgfan@", &format!("{who}@"));
    let password = ["remedy: give the role's password: PGPASSWORD, a line of the password file"];
    let wrong = check(&url(&format!("locked:{CANARY}"))).await;
    fails(&wrong, "database", &["28P01"]);
    fails(&wrong, "database", &password);
    assert!(!wrong.stdout.contains(CANARY), "{wrong:?}");
    fails(&check(&url("locked")).await, "database", &password);
    let right = check(&url("locked:right")).await;
    assert_eq!(right.status.code(), Some(0), "{right:?}");
    fails(
        &check(&url("barred")).await,
        "database",
        &["28000", "pg_hba.conf"],
    );
    fails(
        &check(&url("nobody")).await,
        "database",
        &["28000", "PGUSER"],
    );
    database.run("CREATE ROLE idle NOLOGIN").await;
    let says = ["28000", "remedy: ALTER ROLE … LOGIN"];
    fails(&check(&url("idle")).await, "database", &says);
    let elsewhere = server.url().replace("/postgres", "/elsewhere");
    fails(
        &check(&elsewhere).await,
        "database",
        &["3D000", "PGDATABASE"],
    );
    database.run("ALTER ROLE locked CONNECTION LIMIT 1").await;
    let limited = check(&url("locked:right")).await;
    fails(
        &limited,
        "probe",
        &["53300", "remedy: leave room for two sessions"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_named() {
    let ended = check("postgresql://me@127.0.0.1:1/db").await;
    fails(&ended, "database", &["127.0.0.1:1/db", "listen_addresses"]);
    let ended = check("postgresql://me@no.such.host.invalid/db").await;
    fails(&ended, "database", &["no.such.host.invalid", "PGHOST"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_alone_fails_and_beside_its_primary_is_passed_over() {
    let primary = own_server(&[]).await;
    let standby = standby_of(&primary).await;
    let alone = check(&standby.url()).await;
    let says = [
        "is a standby, which cannot LISTEN (25006)",
        "remedy: name the primary",
    ];
    fails(&alone, "database", &says);
    let both = standby.url().replace(
        "/postgres",
        &format!(",127.0.0.1:{}/postgres", primary.port()),
    );
    for wants in ["read-write", "primary"] {
        let meant = check(&format!("{both}?target_session_attrs={wants}")).await;
        assert_eq!(meant.status.code(), Some(0), "{meant:?}");
        let line = found(&meant, "ok", "database");
        let says = format!(
            "127.0.0.1:{}/postgres is a standby, passed over\n",
            standby.port()
        );
        assert_eq!(line, says);
        assert!(!meant.stdout.contains("warn  database"), "{meant:?}");
        found(&meant, "ok", "probe");
    }
    let both = check(&both).await;
    assert_eq!(both.status.code(), Some(0), "{both:?}");
    assert!(found(&both, "warn", "database").contains("is a standby"));
    let line = found(&both, "ok", "database");
    assert!(line.contains(&primary.port().to_string()), "{line}");
    found(&both, "ok", "probe");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_is_found_but_in_session_mode_no_obstacle() {
    let server = own_server(&[]).await;
    for mode in ["transaction", "statement"] {
        let pooler = Pooler::in_front_of(&server, mode).await;
        let ended = check(&pooler.url).await;
        let says = [
            "a pooler in transaction or statement mode",
            "remedy: connect to PostgreSQL itself, past the pooler",
            "pool_mode=session",
        ];
        fails(&ended, "probe", &says);
    }
    let pooler = Pooler::in_front_of(&server, "session").await;
    let ended = check(&pooler.url).await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    found(&ended, "ok", "probe");
}

/// It uses several sessions of the server in turn: then two sessions of the
/// check look like two clients.
#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_with_many_sessions_is_found_by_the_probe_alone() {
    let server = own_server(&[]).await;
    let pooler = Pooler::in_front_of(&server, "transaction\nserver_round_robin = 1").await;
    let busy = [
        Database::at(pooler.url.clone()).await,
        Database::at(pooler.url.clone()).await,
        Database::at(pooler.url.clone()).await,
    ];
    for other in &busy {
        other.run("BEGIN").await;
    }
    for other in &busy {
        other.run("COMMIT").await;
    }
    fails(
        &check(&pooler.url).await,
        "probe",
        &["a pooler in transaction"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn other_encodings_are_told() {
    let database = Database::with_encoding("SQL_ASCII").await;
    let ended = check(&database.url).await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    let line = found(&ended, "warn", "encoding");
    assert!(
        line.contains("SQL_ASCII: notifying what is not UTF-8"),
        "{line}"
    );
    assert!(line.contains("CREATE DATABASE … ENCODING 'UTF8'"), "{line}");
    let database = Database::with_encoding("LATIN1").await;
    let ended = check(&database.url).await;
    assert!(found(&ended, "ok", "encoding").starts_with("LATIN1"));
}

/// Only a server that allows a small queue can have it filled quickly.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_fills_is_told_with_who_fills_it() {
    let sql = "SELECT count(*) FROM pg_settings WHERE name = 'max_notify_queue_pages'";
    let row = Database::new().await.client.query_one(sql, &[]).await;
    if row.unwrap().get::<_, i64>(0) == 0 {
        println!("skipped: before PostgreSQL 17 the queue always has 8 GB");
        return;
    }
    let server = own_server(&[("max_notify_queue_pages", "64")]).await;
    let staller = Database::at(server.url()).await;
    staller.run("LISTEN filling").await;
    staller.run("BEGIN; SELECT 1").await;
    let pid: i32 = staller
        .client
        .query_one("SELECT pg_backend_pid()", &[])
        .await
        .unwrap()
        .get(0);
    let database = Database::at(server.url()).await;
    let fill = async |pages: i32| {
        for n in 0..pages {
            let payload = format!("{n}{}", "x".repeat(7900));
            let sql = format!("SELECT pg_notify('filling', '{payload}')");
            if database.client.batch_execute(&sql).await.is_err() {
                return;
            }
        }
    };
    for (pages, verdict, code) in [(8, "warn", 0), (20, "fail", 1)] {
        fill(pages).await;
        let ended = check(&server.url()).await;
        assert_eq!(ended.status.code(), Some(code), "{ended:?}");
        let line = found(&ended, verdict, "queue");
        assert!(line.contains(&format!("perhaps {pid}")), "{line}");
    }
    fill(64).await;
    let ended = check(&server.url()).await;
    fails(&ended, "probe", &["54000"]);
    staller.run("COMMIT").await;
    let ended = check(&server.url()).await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
}
