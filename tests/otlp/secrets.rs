use crate::{
    collector::{Answer, Collector, attribute},
    support::{
        Database, Reader, Wire,
        gateway_process::{GatewayProcess, libpq_variables, pgfan},
        program::run,
        within,
    },
    traced,
};

const SECRET: &str = "s3cret-of-the-collector";

/// A gateway that logs everything, on every layer.
async fn gateway(database: &Database, collector: &Collector) -> GatewayProcess {
    let mut command = pgfan();
    command.envs(libpq_variables(&database.url));
    command.env("RUST_LOG", "trace");
    command.env("PGFAN_OTLP_ENDPOINT", collector.url());
    let header = format!("Authorization=Bearer%20{SECRET}");
    command.env("OTEL_EXPORTER_OTLP_HEADERS", header);
    command.env("OTEL_SERVICE_NAME", "shop-events");
    let gateway = GatewayProcess::serve(command.arg("serve")).await;
    gateway.ready().await;
    gateway
}

/// The collector gets the header, and the log does not contain it, even if the
/// collector repeats it in its answer.
#[tokio::test(flavor = "multi_thread")]
async fn the_collectors_secret_is_in_no_log() {
    for answer in [Answer::Taken, Answer::Refused(tonic::Code::Unauthenticated)] {
        let (database, collector) = (Database::new().await, Collector::that(answer).await);
        let mut gateway = gateway(&database, &collector).await;
        let mut reader = Reader::open(Wire::Sse, gateway.address, &["a"], None).await;
        reader.ready().await;
        database.notify("a", &traced(0)).await;
        assert_eq!(reader.event().await.1, traced(0));
        if answer == Answer::Taken {
            collector.first(1).await;
            let export = &collector.exports()[0];
            let authorization = export.headers.get("authorization").unwrap();
            assert_eq!(authorization, format!("Bearer {SECRET}").as_str());
            assert_eq!(attribute(&export.resource, "service.name"), "shop-events");
        } else {
            within(
                "it is said",
                gateway.logged("the collector does not take them"),
            )
            .await;
        }
        let ended = gateway.stop().await;
        assert!(!ended.stderr.contains(SECRET) && ended.stderr.contains("h2::"));
    }
}

/// All mistakes at once, none of them with the value.
#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_in_a_header_is_told_without_it() {
    let mut command = pgfan();
    command.args(["serve", "--otlp-endpoint", "http://127.0.0.1:4317"]);
    command.env("OTEL_EXPORTER_OTLP_HEADERS", format!("a=b,{SECRET}"));
    command.env("OTEL_RESOURCE_ATTRIBUTES", "x");
    command.env("OTEL_METRIC_EXPORT_INTERVAL", "5");
    let ended = run(&mut command).await;
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    for name in [
        "OTEL_EXPORTER_OTLP_HEADERS: member 2",
        "OTEL_RESOURCE_ATTRIBUTES: member 1",
        "OTEL_METRIC_EXPORT_INTERVAL: \"5\" is not a number of milliseconds, 100 to 3600000\n",
    ] {
        assert!(ended.stderr.contains(name), "{ended:?}");
    }
    assert!(!ended.stderr.contains(SECRET));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_in_the_address_is_told_without_it() {
    for address in ["collector:4317", "https://collector:4317?key="] {
        let mut command = pgfan();
        let address = format!("{address}{SECRET}");
        let ended = run(command.args(["serve", "--otlp-endpoint", &address])).await;
        assert_eq!(ended.status.code(), Some(2), "{ended:?}");
        let rule = "--otlp-endpoint: not like http://127.0.0.1:4317 or https://HOST:PORT";
        assert!(ended.stderr.contains(rule), "{ended:?}");
        assert!(!ended.stderr.contains(SECRET), "{ended:?}");
    }
}
