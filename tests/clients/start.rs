//! A start with incorrect settings, and one without a database.

use std::net::TcpListener;

use pgfan::{config::SETTINGS, temp_postgres::Mode};

use crate::support::{
    Reader, Said, Wire,
    gateway_process::{GatewayProcess, pgfan},
    get, own_server,
    program::{Ended, run, signal},
};

/// A password that must not appear in any output.
const CANARY: &str = "canary-of-a-password";

/// Address without a server: port 1 is tcpmux (RFC 1078), which is not in use.
const DEAD: &str = "127.0.0.1:1";

async fn serve(arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
    let mut command = pgfan();
    command.env("RUST_LOG", "trace").arg("serve");
    run(command.args(arguments).envs(variables.iter().copied())).await
}

fn keeps_the_secret(ended: &Ended) {
    let all = format!("{}{}", ended.stdout, ended.stderr);
    assert!(!all.contains(CANARY), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_mistakes_are_said_at_once_and_no_secret() {
    let url = format!("postgresql://me:{CANARY}@{DEAD}/db?sslmode=sometimes");
    let flags = [
        "--database-url",
        &url,
        "--keepalive",
        "soon",
        "--history-events=0",
    ];
    let variables = [
        ("PGFAN_LISTEN", "nowhere"),
        ("PGFAN_ALLOW_PUBLISH", "perhaps"),
        ("PGPASSWORD", CANARY),
    ];
    let ended = serve(&flags, &variables).await;
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    keeps_the_secret(&ended);
    let expected = [
        "PGFAN_LISTEN: \"nowhere\": not an address and port, like 127.0.0.1:8000",
        "--history-events: \"0\": must be between 1 and 10000000",
        "--keepalive: \"soon\": not a time, like 15s or 10m",
        "PGFAN_ALLOW_PUBLISH: \"perhaps\": not on or off",
    ];
    let said: Vec<_> = ended.stderr.lines().collect();
    let (remedies, said): (Vec<&str>, Vec<&str>) =
        said.iter().partition(|line| line.starts_with("remedy: "));
    assert_eq!(said[..4], expected);
    assert!(said[4].starts_with("--database-url: sslmode"), "{said:?}");
    assert_eq!((said.len(), remedies.len()), (5, 5), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_string_that_cannot_be_read_keeps_its_secret() {
    for url in [
        format!("postgresql://me:{CANARY}@[::1/db"),
        format!("postgresql://me:{CANARY}%zz@h/db"),
        format!("postgresql://me:{CANARY}@h:port/db"),
        format!("user=me password='{CANARY}"),
        format!("user=me password {CANARY}"),
        format!("user=me passwort={CANARY}"),
    ] {
        let ended = serve(&["--database-url", &url], &[]).await;
        assert_eq!(ended.status.code(), Some(2), "{url} {ended:?}");
        assert!(
            ended.stderr.starts_with("--database-url: "),
            "{url} {ended:?}"
        );
        keeps_the_secret(&ended);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_flag_is_named() {
    let ended = serve(&["--histroy-events", "5"], &[]).await;
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    let first = ended.stderr.lines().next().unwrap();
    assert_eq!(first, "error: unexpected argument '--histroy-events' found");
    assert!(ended.stderr.contains("--history-events"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_help_names_every_setting_and_its_default() {
    let ended = run(pgfan().args(["serve", "--help"])).await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    for setting in SETTINGS {
        let flag = match setting.value {
            "" => format!("--{}\n", setting.name),
            value => format!("--{} <{value}>", setting.name),
        };
        assert!(ended.stdout.contains(&flag), "{flag}");
        let default = format!("[default: {}]", setting.default);
        assert!(ended.stdout.contains(&default), "{default}");
    }
    assert!(ended.stdout.contains("--config <FILE>"));
}

/// With an unreachable host before it, and everything logged.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_password_is_never_logged() {
    let server = own_server(&[]).await;
    let hba = server.data_dir().join("pg_hba.conf");
    std::fs::write(hba, "host all all 127.0.0.1/32 scram-sha-256\n").unwrap();
    let port = server.port();
    // SIGHUP makes the server read the file again.
    assert!(signal(server.pid().unwrap(), "HUP").await);
    let url = format!("postgresql://pgfan:{CANARY}@{DEAD},127.0.0.1:{port}/postgres");
    for (flags, variables) in [
        (vec!["--database-url", &url], vec![]),
        (
            vec![],
            vec![("DATABASE_URL", url.as_str()), ("PGPASSWORD", CANARY)],
        ),
    ] {
        let mut command = pgfan();
        command.env("RUST_LOG", "trace").arg("serve").args(flags);
        let mut gateway = GatewayProcess::serve(command.envs(variables)).await;
        let refused = |log: &[u8]| {
            let log = String::from_utf8_lossy(log);
            (log.matches("28P01").count() > 1).then_some(())
        };
        gateway
            .program
            .stderr
            .until("second refusal", refused)
            .await;
        assert_eq!(get(gateway.address, "/readyz", &[]).await.status, 503);
        keeps_the_secret(&gateway.stop().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_port_is_open_before_the_database_is_there() {
    let mut server = own_server(&[]).await;
    server.stop(Mode::Fast).await.unwrap();
    let mut command = pgfan();
    let url = server.url();
    let gateway = GatewayProcess::serve(command.args(["serve", "--database-url", &url])).await;
    assert_eq!(get(gateway.address, "/healthz", &[]).await.status, 200);
    let answer = get(gateway.address, "/readyz", &[]).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (503, "source_unavailable")
    );

    // Readers that connect in between are accepted.
    let mut readers = Vec::new();
    for wire in Wire::FULL {
        readers.push(Reader::open(wire, gateway.address, &["early"], None).await);
    }
    server.start_again().await.unwrap();
    gateway.ready().await;
    for reader in &mut readers {
        let said = reader.said().await;
        assert!(matches!(said, Said::Ready { .. }), "{said:?}");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_gateway_on_a_taken_port_says_so() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap().to_string();
    let url = format!("postgresql://me@{DEAD}/db");
    let ended = run(pgfan().args(["serve", "--listen", &address, "--database-url", &url])).await;
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let expected = format!(
        "cannot listen on {address} (--listen): Address already in use (os error 98)\n\
         end the other program, or give another address: --listen ADDRESS:PORT\n"
    );
    assert_eq!(ended.stderr, expected);
}
