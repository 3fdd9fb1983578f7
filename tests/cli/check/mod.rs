//! `pgfan check`: each line of it, and the remedy below.

/// Certificates: their dates, their names, and those that cannot be served.
mod certificates;

/// Impossible settings.
mod remedies;

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

/// Runs `pgfan check` on a database; the listen address is a free one.
fn checking(url: &str) -> Command {
    let mut command = pgfan();
    command.args(["check", "--listen", "127.0.0.1:0", "--database-url", url]);
    command
}

async fn check(url: &str) -> Ended {
    run(&mut checking(url)).await
}

/// The line for `subject`, and the remedy below it.
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

/// It failed, for this subject.
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
    // The default of --max-readers is not a choice of the user, and no reason
    // to warn.
    for (limit, flags, verdict, code) in [
        (100, "", "fail", 1),
        (500, "", "warn", 0),
        (1024, "", "ok", 0),
        (20_000, "", "ok", 0),
        (1024, "--max-readers 1000", "warn", 0),
        (20_000, "--max-readers 20000", "warn", 0),
    ] {
        let mut shell = command("/bin/sh");
        let script = format!("ulimit -n {limit}; exec \"$0\" check --listen 127.0.0.1:0 {flags}");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_pgfan")]);
        let ended = run(shell.envs(libpq_variables(&database.url))).await;
        assert_eq!(ended.status.code(), Some(code), "{ended:?}");
        let line = found(&ended, verdict, "open files");
        assert!(line.starts_with(&format!("{limit}, room for ")), "{line}");
        assert_eq!(line.contains("LimitNOFILE="), verdict != "ok", "{line}");
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
    for (mistake, remedy) in [
        (
            "line 1: history_events: there is no such setting, but `history-events`",
            "write history-events = …",
        ),
        (
            "line 2: keepalive: \"soon\": not a time, like 15s or 10m",
            "give TIME, as in the default: keepalive = \"15s\"",
        ),
        (
            "line 3: max-readers: \"0\": must be between 1 and 10000000",
            "give COUNT, as in the default: max-readers = 100000",
        ),
    ] {
        let remedy = format!("                  remedy: {remedy}\n");
        let line = format!("fail  settings    {path}: {mistake}\n{remedy}");
        assert!(ended.stdout.contains(&line), "{mistake}: {ended:?}");
    }
    assert_eq!(ended.stderr, "3 of 3 failed\n");
}

/// The mistake is quoted as it was written; a secret is not repeated.
#[tokio::test(flavor = "multi_thread")]
async fn each_mistake_has_a_remedy_of_its_own() {
    let mut command = pgfan();
    command.args(["check", "--linger", "60", "--listen", "0.0.0.0:0"]);
    command.args([
        "--tls-cert",
        "/nonexistent/a",
        "--history-bytes",
        "1GB of memory",
    ]);
    command.envs([
        ("PGFAN_CONSOLE", "perhaps"),
        ("PGFAN_TRUSTED_PROXIES", "nginx"),
    ]);
    let url = "postgresql://u:canary@h:port/d";
    let ended = run(command.envs([("DATABASE_URL", url), ("PGSSLMODE", "always")])).await;
    let lines: Vec<_> = ended.stdout.lines().map(str::trim_start).collect();
    let expected = [
        "fail  settings    --listen: \"0.0.0.0:0\": whoever reaches this address could",
        "remedy: make a secret: openssl rand -hex 32 > FILE, and --token-secret-file FILE; or",
        "fail  settings    --tls-cert: needs --tls-key too",
        "remedy: give the certificate and its key, or neither",
        "fail  settings    DATABASE_URL: ",
        "remedy: give it a value that libpq takes, or leave it out",
    ];
    let [first, rest @ ..] = &expected;
    let begin = lines.iter().position(|line| line.starts_with(first));
    let found = &lines[begin.unwrap_or_else(|| panic!("{ended:?}"))..];
    let mut pairs = found[1..].iter().zip(rest);
    assert!(
        pairs.all(|(line, start)| line.starts_with(start)),
        "{ended:?}"
    );
    for both in [
        "--linger: \"60\": not a time, like 15s or 10m\n\
         remedy: give TIME, as in the default: --linger 60s",
        "PGFAN_CONSOLE: \"perhaps\": not on or off\n\
         remedy: give on|off, as in the default: PGFAN_CONSOLE=on",
        "--history-bytes: \"1GB of memory\": not a size, like 64KiB or 1MiB\n\
         remedy: give SIZE, as in the default: --history-bytes 64MiB",
    ] {
        assert!(lines.join("\n").contains(both), "{both}: {ended:?}");
    }
    let proxies = "remedy: give NETWORK,…: PGFAN_TRUSTED_PROXIES=NETWORK,…, or leave it out";
    assert!(lines.contains(&proxies), "{ended:?}");
    assert!(!ended.stdout.contains("canary"), "{ended:?}");
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
            let remedy = match verdict {
                "warn" => format!("or choose another address with {flag}\n"),
                _ => format!("give an address of this machine: {flag} ADDRESS:PORT\n"),
            };
            assert!(
                line.starts_with(address) && ended.stdout.contains(&remedy),
                "{ended:?}"
            );
        }
    }
}

/// Each of the two is free; the gateway could not have both.
#[tokio::test(flavor = "multi_thread")]
async fn two_addresses_that_are_one_are_told() {
    let database = Database::new().await;
    let port = {
        // Free on every address: a connection elsewhere may hold it on one.
        let free = TcpListener::bind("0.0.0.0:0").unwrap();
        free.local_addr().unwrap().port()
    };
    let one = format!("127.0.0.1:{port}");
    for (listen, admin, is_one) in [
        (&one, &one, true),
        (&format!("0.0.0.0:{port}"), &one, true),
        (&one, &format!("0.0.0.0:{port}"), true),
        (&one, &format!("127.0.0.2:{port}"), false),
    ] {
        let mut command = pgfan();
        command.args(["check", "--anonymous", "--listen", listen]);
        command.args(["--admin-listen", admin]);
        let ended = run(command.envs(libpq_variables(&database.url))).await;
        if is_one {
            let says = format!("{admin} (--admin-listen) is what --listen {listen} has already\n");
            fails(
                &ended,
                "address",
                &[&says, "remedy: give another port with --admin-listen"],
            );
        } else {
            assert_eq!(ended.status.code(), Some(0), "{ended:?}");
            let line = format!("ok    address     {admin} is free\n");
            assert!(ended.stdout.contains(&line), "{ended:?}");
        }
    }
}
