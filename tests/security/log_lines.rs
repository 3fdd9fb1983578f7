//! Foreign text in the log and in the output of commands starts no new line and contains no escape
//! sequence. And line ends in variables.

use crate::{
    secured::Secured,
    support::{
        Database,
        gateway_process::{GatewayProcess, libpq_variables, pgfan},
        get,
        program::run,
    },
    tokens::{SECRET, token},
};

/// Length of the timestamp that begins each line: `2026-11-24T12:00:00.123456Z`.
const TIME: usize = 27;

/// Each line was begun by the logger, and no character moves the cursor.
fn is_made_of_lines(log: &str) {
    assert!(log.lines().count() > 1, "{log}");
    for line in log.lines() {
        let time = line.get(..TIME).unwrap_or_default();
        let is_time = time.starts_with("20") && time.ends_with('Z') && time.contains('T');
        let is_clean = !line.contains(|c: char| c.is_control());
        assert!(is_time && is_clean, "{line:?} in\n{log}");
    }
}

/// Name of a missing library that each new session of a misconfigured database tries to load: the
/// server repeats it in its error unchanged.
const LIBRARY: &str =
    r"E'first\n2026-01-01T00:00:00.000000Z  INFO second \x1b[2J\r third \u009b31m'";

#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_is_raised_stays_in_its_line() {
    let database = Database::new().await;
    let name = database.url.rsplit('/').next().unwrap();
    let alter = format!("ALTER DATABASE {name} SET session_preload_libraries = {LIBRARY}");
    database.run(&alter).await;
    let url = [
        ("DATABASE_URL", database.url.as_str()),
        ("RUST_LOG", "trace"),
    ];
    let mut gateway = GatewayProcess::with_variables(&url).await;
    let line = gateway.logged("cannot be listened to").await;
    let raised = r"first\n2026-01-01T00:00:00.000000Z  INFO second \u{1b}[2J\r third \u{9b}31m";
    assert!(line.contains(raised), "{line}");
    is_made_of_lines(&gateway.stop().await.stderr);
}

/// PostgreSQL repeats such names in its errors unchanged.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_with_a_line_end_stays_in_its_line() {
    let database = Database::new().await;
    let libpq = libpq_variables(&database.url);
    let odd = "x\nfail  database    forged \u{1b}[2J\u{85}";
    for name in ["PGUSER", "PGDATABASE"] {
        let mut variables = libpq.to_vec();
        variables.extend([(name, odd), ("RUST_LOG", "trace")]);
        variables.push(("PGFAN_SUBSCRIBE_TIMEOUT", "100ms"));
        let mut gateway = GatewayProcess::with_variables(&variables).await;
        let line = gateway.logged("cannot be listened to").await;
        let told = r"x\nfail  database    forged \u{1b}[2J\u{85}";
        assert!(line.contains(told), "{line}");
        // A client subscribes to a channel of such a name.
        let path = "/v1/sse?channel=a%0Ab%1B%5B2J&channel=%C2%85";
        get(gateway.address, path, &[]).await;
        is_made_of_lines(&gateway.stop().await.stderr);
        for arguments in [
            &["check", "--listen", "127.0.0.1:0"][..],
            &["triggers", "show"],
        ] {
            let mut command = pgfan();
            let ended = run(command.args(arguments).envs(variables.clone())).await;
            let said = format!("{}{}", ended.stdout, ended.stderr);
            assert!(said.contains(told), "{said}");
            assert!(!said.contains("\nfail  database    forged"), "{said}");
            assert!(!said.contains(['\u{1b}', '\u{85}']), "{said:?}");
        }
    }
}

/// Like a Kubernetes Secret made from the output of `echo`.
#[tokio::test(flavor = "multi_thread")]
async fn a_line_end_in_a_variable_is_cut() {
    let server = Secured::new().await;
    let settings = format!(
        "{}\n",
        server.settings("scram", "db.test", "sslmode=require")
    );
    let secret = format!("{SECRET}\r\n");
    let variables = [
        ("DATABASE_URL", settings.as_str()),
        ("PGPASSWORD", "s3:cr\\et\n"),
        ("PGFAN_TOKEN_SECRET", &secret),
        ("PGFAN_LINGER", "60s\n"),
        ("PGFAN_CHANNELS", "a\r\n"),
        ("PGFAN_ALLOW_PUBLISH", "\n"),
    ];
    let gateway = GatewayProcess::with_variables(&variables).await;
    gateway.ready().await;
    let bearer = format!("Bearer {}", token(&["a"]));
    let headers = [("authorization", bearer.as_str())];
    let status = get(gateway.address, "/v1/status", &headers).await.status;
    assert_ne!(status, 401, "the secret has no line end");
    gateway.stop().await;
}

/// A password may end in a blank, and in an intended line end: only one line end is removed.
#[tokio::test(flavor = "multi_thread")]
async fn blanks_at_the_end_of_a_password_count() {
    let server = Secured::new().await;
    let set = "SET password_encryption = 'scram-sha-256'; ALTER ROLE scram PASSWORD ' odd \t'";
    server.database.run(set).await;
    let settings = server.settings("scram", "db.test", "sslmode=require");
    for (password, is_right) in [(" odd \t", true), (" odd \t\r\n", true), (" odd", false)] {
        let variables = [
            ("DATABASE_URL", settings.as_str()),
            ("PGPASSWORD", password),
        ];
        let mut gateway = GatewayProcess::with_variables(&variables).await;
        match is_right {
            true => gateway.ready().await,
            false => drop(gateway.logged("28P01").await),
        }
        gateway.stop().await;
    }
}
