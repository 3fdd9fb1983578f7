//! A variable that looks like a setting but belongs to none.

use crate::support::{
    Database,
    gateway_process::{GatewayProcess, pgfan},
    program::run,
};

const UNKNOWN: [(&str, &str); 2] = [("PGFAN_LISTEM", "canary"), ("PGFAN_PORT", "8000")];

/// Variables of commands, and those of Kubernetes for a Service named pgfan.
const KNOWN: [(&str, &str); 5] = [
    ("PGFAN_URL", "http://127.0.0.1:1"),
    ("PGFAN_TOKEN", "canary"),
    ("PGFAN_SERVICE_HOST", "10.0.0.1"),
    ("PGFAN_SERVICE_PORT", "8000"),
    ("PGFAN_PORT_8000_TCP_ADDR", "10.0.0.1"),
];

const SLIP: &str = "PGFAN_LISTEM: there is no such setting, but `PGFAN_LISTEN`";
const STRANGER: &str = "PGFAN_PORT: there is no such setting";

/// In addition to its findings about the settings themselves.
#[tokio::test(flavor = "multi_thread")]
async fn check_warns_of_it() {
    let database = Database::new().await;
    for (listen, code) in [("127.0.0.1:0", 0), ("nowhere", 1)] {
        let mut command = pgfan();
        command.args(["check", "--listen", listen, "--database-url", &database.url]);
        let ended = run(command.envs(UNKNOWN).envs(KNOWN)).await;
        assert_eq!(ended.status.code(), Some(code), "{ended:?}");
        let lines = format!(
            "warn  settings    {SLIP}\n{:<18}remedy: write PGFAN_LISTEN=…\n\
             warn  settings    {STRANGER}\n{:<18}remedy: take it out: ",
            "", ""
        );
        assert!(ended.stdout.starts_with(&lines), "{ended:?}");
        assert_eq!(ended.stdout.matches("there is no such").count(), 2);
        assert!(!ended.stdout.contains("canary"), "{ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_warns_of_it_and_serves() {
    let database = Database::new().await;
    let url = [("DATABASE_URL", database.url.as_str())];
    let gateway = GatewayProcess::with_variables(&[&url[..], &UNKNOWN, &KNOWN].concat()).await;
    gateway.ready().await;
    let log = gateway.stop().await.stderr;
    let told = log.lines().filter(|line| line.contains("no such setting"));
    let told: Vec<_> = told.collect();
    let [slip, stranger] = told[..] else {
        panic!("{log}")
    };
    assert!(slip.contains(" WARN ") && slip.ends_with(SLIP), "{slip}");
    assert!(stranger.ends_with(STRANGER), "{stranger}");
    assert!(!log.contains("canary"), "{log}");
}
