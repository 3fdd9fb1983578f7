//! The files under `packaging/monitoring` with the real Prometheus: it scrapes
//! the metrics, and every rule and panel finds its metrics.

use std::{
    net::{SocketAddr, TcpListener},
    process::Stdio,
};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt, process::Command};

use crate::support::{
    Database, Reader, TestGateway, Wire, get,
    program::{Program, command, run},
    until,
};

const PROMTOOL: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/target/monitoring/bin/promtool"
);
const PROMETHEUS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/target/monitoring/bin/prometheus"
);
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/monitoring");
const DASHBOARD: &str = include_str!("../../packaging/monitoring/dashboard.json");

async fn promtool(arguments: &[&str]) {
    let ended = run(Command::new(PROMTOOL).args(arguments).current_dir(FOLDER)).await;
    assert!(ended.status.success(), "{arguments:?}: {ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn promtool_takes_the_rules_and_they_fire_when_they_should() {
    promtool(&["check", "rules", "alerts.yaml"]).await;
    promtool(&["test", "rules", "alerts.test.yaml"]).await;
    promtool(&["check", "config", "prometheus.yaml"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promtool_has_nothing_to_say_of_the_metrics() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let metrics = gateway.get("/metrics").await.body;
    let mut checking = Command::new(PROMTOOL);
    checking.args(["check", "metrics"]).kill_on_drop(true);
    let pipes = checking.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut checking = pipes.stderr(Stdio::piped()).spawn().unwrap();
    let mut input = checking.stdin.take().unwrap();
    input.write_all(&metrics).await.unwrap();
    drop(input);
    let output = checking.wait_with_output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

/// Prometheus, with the rules, scraping a gateway.
struct Scraping {
    address: SocketAddr,
    _program: Program,
    _folder: TempDir,
}

impl Scraping {
    async fn of(gateway: &TestGateway) -> Self {
        let folder = TempDir::new().unwrap();
        let config = format!(
            "scrape_configs: [{{job_name: pgfan, scrape_interval: 1s, static_configs: \
             [{{targets: ['{}']}}]}}]\nrule_files: ['{FOLDER}/alerts.yaml']\n\
             global: {{evaluation_interval: 1s}}\n",
            gateway.address
        );
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(path("prometheus.yaml"), config).unwrap();
        // It accepts no socket, and does not report the port that it chose.
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let mut program = command(PROMETHEUS);
        program.arg(format!("--config.file={}", path("prometheus.yaml")));
        program.arg(format!("--storage.tsdb.path={}", path("data")));
        program.arg(format!("--web.listen-address={address}"));
        let mut program = Program::start(&mut program);
        program.stderr.line("ready to receive web requests").await;
        Self {
            address,
            _program: program,
            _folder: folder,
        }
    }

    async fn ask(&self, path: &str) -> Value {
        let answer = get(self.address, path, &[]).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json()["data"].clone()
    }

    async fn results(&self, query: &str) -> usize {
        let query = utf8_percent_encode(query, NON_ALPHANUMERIC);
        let data = self.ask(&format!("/api/v1/query?query={query}")).await;
        data["result"].as_array().unwrap().len()
    }
}

/// The query of each panel, with its variables replaced. Metrics of events that
/// have not happened have no result.
fn queries() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().unwrap());
    let queries = targets.map(|target| target["expr"].as_str().unwrap());
    let plain = queries.map(|query| {
        let query = query
            .replace("$__rate_interval", "1m")
            .replace("$job", "pgfan");
        query.replace("$instance", ".*").replace(" > 0", "")
    });
    plain.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_scrapes_it_and_every_panel_has_something_to_show() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let mut reader = Reader::open(Wire::WebSocket, gateway.address, &["a"], None).await;
    reader.ready().await;
    let prometheus = Scraping::of(&gateway).await;
    let queries = queries();
    assert!(queries.len() > 20, "{queries:?}");
    for query in &queries {
        until(query, || async { prometheus.results(query).await > 0 }).await;
    }
    let target = prometheus.ask("/api/v1/targets").await["activeTargets"][0].clone();
    assert_eq!(
        (&target["health"], &target["lastError"]),
        (&"up".into(), &"".into())
    );
    until("all rules were evaluated", || async {
        let rules = prometheus.ask("/api/v1/rules").await["groups"][0]["rules"].clone();
        let rules = rules.as_array().unwrap().clone();
        rules.len() > 5 && rules.iter().all(|rule| rule["health"] == "ok")
    })
    .await;
    assert_eq!(prometheus.results("ALERTS").await, 0);
}
