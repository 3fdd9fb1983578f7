use tempfile::TempDir;

use crate::{
    collector::Collector,
    support::{
        Database, Reader, Wire,
        certificates::{Authority, write},
        gateway_process::{GatewayProcess, libpq_variables, pgfan},
        within,
    },
    traced,
};

/// A gateway on a machine that trusts only this authority.
async fn gateway(database: &Database, url: &str, trusted: &Authority) -> (GatewayProcess, TempDir) {
    let folder = TempDir::new().unwrap();
    let authorities = write(folder.path(), "authorities", &trusted.certificate, 0o600);
    let mut command = pgfan();
    command.envs(libpq_variables(&database.url));
    command.env("SSL_CERT_FILE", authorities);
    let gateway = GatewayProcess::serve(command.args(["serve", "--otlp-endpoint", url])).await;
    gateway.ready().await;
    (gateway, folder)
}

async fn notify_traced(database: &Database, gateway: &GatewayProcess) {
    let mut reader = Reader::open(Wire::WebSocket, gateway.address, &["a"], None).await;
    reader.ready().await;
    database.notify("a", &traced(0)).await;
    assert_eq!(reader.event().await.1, traced(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_of_a_known_authority_gets_the_spans() {
    let (database, authority) = (Database::new().await, Authority::new("ours"));
    let collector = Collector::with_certificate(&authority.server(&["localhost"])).await;
    let url = format!("https://localhost:{}", collector.address.port());
    let (gateway, _folder) = gateway(&database, &url, &authority).await;
    notify_traced(&database, &gateway).await;
    assert_eq!(collector.first(1).await.len(), 1);
    gateway.stop().await;
}

/// Nothing is sent to a collector of another authority.
#[tokio::test(flavor = "multi_thread")]
async fn a_collector_of_a_strange_authority_gets_nothing() {
    let (database, authority) = (Database::new().await, Authority::new("ours"));
    let strange = Authority::new("strange").server(&["localhost"]);
    let collector = Collector::with_certificate(&strange).await;
    let url = format!("https://localhost:{}", collector.address.port());
    let (mut gateway, _folder) = gateway(&database, &url, &authority).await;
    notify_traced(&database, &gateway).await;
    within(
        "it is said",
        gateway.logged("the collector does not take them"),
    )
    .await;
    gateway.stop().await;
    assert_eq!(collector.asked(), 0);
}
