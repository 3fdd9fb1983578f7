//! `pgfan check`: each line of it, and the remedy below.

/// Real servers, poolers and standbys, each with its fault.
mod servers;

use std::{fs, net::TcpListener};

use tempfile::NamedTempFile;
use tokio::process::Command;

use crate::support::{
    Database,
    gateway_process::{libpq_variables, pgfan},
    program::{Ended, command, run},
};

/// Of a database; the address is one that nobody has.
fn checking(url: &str) -> Command {
    let mut command = pgfan();
    command.args(["check", "--listen", "127.0.0.1:0", "--database-url", url]);
    command
}

async fn check(url: &str) -> Ended {
    run(&mut checking(url)).await
}

/// Its line for `subject`, and the remedy below.
fn found<'a>(ended: &'a Ended, verdict: &str, subject: &str) -> &'a str {
    let start = format!("{verdict:<5} {subject:<11} ");
    let (_, found) = ended
        .stdout
        .split_once(&start)
        .unwrap_or_else(|| panic!("no {start:?} in {ended:?}"));
    let mut end = 0;
    for line in found.split_inclusive('\n') {
        if end > 0 && !line.starts_with(' ') {
            break;
        }
        end += line.len();
    }
    &found[..end]
}

/// It failed, and here.
fn fails(ended: &Ended, subject: &str, says: &[&str]) {
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let found = found(ended, "fail", subject);
    for text in says {
        assert!(found.contains(text), "no {text:?} in {found:?}");
    }
    assert!(found.contains("\n                  remedy: "), "{found:?}");
    assert!(ended.stderr.contains(" failed\n"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_database_is_ok_in_every_line() {
    let database = Database::new().await;
    let mut command = pgfan();
    command.envs(libpq_variables(&database.url));
    let ended =
        run(command.args(["check", "--listen", "127.0.0.1:0", "--max-readers", "100"])).await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert_eq!(ended.stderr, "");
    let subjects: Vec<_> = ended
        .stdout
        .lines()
        .map(|line| line.strip_prefix("ok    ").unwrap())
        .map(|line| line[..11].trim())
        .collect();
    let all = [
        "settings",
        "open files",
        "address",
        "database",
        "encoding",
        "queue",
        "probe",
    ];
    assert_eq!(subjects, all);
    let line = found(&ended, "ok", "database");
    assert!(
        line.contains(" as pgfan: a primary, PostgreSQL 1"),
        "{line}"
    );
    assert_eq!(found(&ended, "ok", "encoding"), "UTF8\n");
    // Its sessions and channels are gone.
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
               AND pid <> pg_backend_pid()";
    crate::support::until("its sessions are gone", || async {
        let row = database.client.query_one(sql, &[]).await.unwrap();
        row.get::<_, i64>(0) == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_few_file_descriptors_are_told() {
    let database = Database::new().await;
    for (limit, verdict, code) in [(100, "fail", 1), (1000, "warn", 0)] {
        let mut shell = command("/bin/sh");
        let script = format!("ulimit -n {limit}; exec \"$0\" check --listen 127.0.0.1:0");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_pgfan")]);
        let ended = run(shell.envs(libpq_variables(&database.url))).await;
        assert_eq!(ended.status.code(), Some(code), "{ended:?}");
        let line = found(&ended, verdict, "open files");
        assert!(line.starts_with(&format!("{limit}, room for ")), "{line}");
        assert!(line.contains("LimitNOFILE="), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_mistakes_of_a_file_are_told_at_once() {
    let file = NamedTempFile::new().unwrap();
    let text = "history_events = 5\nkeepalive = 'soon'\nmax-readers = 0\n";
    fs::write(file.path(), text).unwrap();
    let mut command = pgfan();
    let ended = run(command.args(["check", "--config"]).arg(file.path())).await;
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let path = file.path().display();
    for mistake in [
        "history_events: there is no such setting, but `history-events`",
        "keepalive: not a time, like 15s or 10m",
        "max-readers: must be between 1 and 10000000",
    ] {
        let line = format!("fail  settings    {path}: {mistake}\n                  remedy: ");
        assert!(ended.stdout.contains(&line), "{mistake}: {ended:?}");
    }
    assert_eq!(ended.stderr, "3 of 3 failed\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_taken_is_told() {
    let database = Database::new().await;
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    for flag in ["--listen", "--admin-listen"] {
        for (address, verdict) in [(taken.as_str(), "warn"), ("192.0.2.1:8000", "fail")] {
            let mut command = pgfan();
            command.args(["check", "--anonymous"]);
            if flag != "--listen" {
                command.args(["--listen", "127.0.0.1:0"]);
            }
            command.args([flag, address]);
            command.envs(libpq_variables(&database.url));
            let ended = run(&mut command).await;
            let line = found(&ended, verdict, "address");
            let remedy = format!(" {flag}\n");
            assert!(
                line.starts_with(address) && ended.stdout.contains(&remedy),
                "{ended:?}"
            );
        }
    }
}
