//! Health: `/readyz` and gRPC's health service always agree.

use tokio::net::TcpStream;
use tonic::transport::Channel;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::support::{Database, Link, TestGateway, Wire, answer_over, get, until, within};

const SERVICES: [&str; 2] = ["", "pgfan.v1.GatewayService"];

type Watch = tonic::Streaming<tonic_health::pb::HealthCheckResponse>;

async fn client(gateway: &TestGateway) -> HealthClient<Channel> {
    let url = format!("http://{}", gateway.address);
    let channel = Channel::from_shared(url).unwrap().connect().await;
    HealthClient::new(channel.unwrap())
}

fn request(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

async fn watches(gateway: &TestGateway) -> Vec<Watch> {
    let mut watches = Vec::new();
    for service in SERVICES {
        let watching = client(gateway).await.watch(request(service)).await;
        watches.push(watching.unwrap().into_inner());
    }
    watches
}

async fn until_all_say(watches: &mut [Watch], status: ServingStatus) {
    for watch in watches {
        within(status.as_str_name(), async {
            while watch.message().await.unwrap().unwrap().status() != status {}
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_follows_the_source_as_long_as_somebody_watches() {
    let database = Database::new().await;
    let (before, name) = database.url.rsplit_once('/').unwrap();
    let (before, port) = before.rsplit_once(':').unwrap();
    let link = Link::to(port.parse().unwrap()).await;
    let url = format!("{before}:{}/{name}", link.port);
    link.freeze();
    let settings = [
        ("heartbeat-interval", "200ms"),
        ("heartbeat-timeout", "300ms"),
    ];
    let gateway = TestGateway::starting(&url, &settings);
    // The first answer, before the first session, is already `NotServing`.
    let mut watches = watches(&gateway).await;
    for watch in &mut watches {
        let first = watch.message().await.unwrap().unwrap();
        assert_eq!(first.status(), ServingStatus::NotServing);
    }
    gateway.unready("not listened to").await;
    link.thaw();
    until_all_say(&mut watches, ServingStatus::Serving).await;
    assert_eq!(gateway.get("/readyz").await.status, 200);
    link.freeze();
    until_all_say(&mut watches, ServingStatus::NotServing).await;
    gateway.unready("not listened to").await;
    link.thaw();
    until_all_say(&mut watches, ServingStatus::Serving).await;
    gateway.begin_shutdown();
    until_all_say(&mut watches, ServingStatus::NotServing).await;
}

/// A watch does not end by itself; neither does the connection under it.
#[tokio::test(flavor = "multi_thread")]
async fn who_watches_is_told_of_the_end_and_does_not_hold_it_up() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[("drain-timeout", "1m")]).await;
    let mut watches = watches(&gateway).await;
    until_all_say(&mut watches, ServingStatus::Serving).await;
    gateway.begin_shutdown();
    until_all_say(&mut watches, ServingStatus::NotServing).await;
    for watch in &mut watches {
        let last = within("a watch ends", watch.message()).await;
        assert_eq!(last.unwrap(), None);
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_not_here_is_not_known() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let asked = client(&gateway)
        .await
        .check(request("another.Service"))
        .await;
    assert_eq!(asked.unwrap_err().code(), tonic::Code::NotFound);
    for service in SERVICES {
        let asked = client(&gateway).await.check(request(service)).await;
        let status = asked.unwrap().into_inner().status();
        assert_eq!(status, ServingStatus::Serving, "{service}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_for_those_who_run_it_has_what_clients_do_not_see() {
    let database = Database::new().await;
    let secret = "s3cret-canary-s3cret-canary-s3cret-canary";
    let settings = [("admin-listen", "127.0.0.1:0"), ("token-secret", secret)];
    let gateway = TestGateway::with(&database, &settings).await;
    let admin = gateway.admin.expect("an address");
    for path in ["/metrics", "/v1/status"] {
        assert_eq!(gateway.get(path).await.status, 404, "{path}");
        assert_eq!(get(admin, path, &[]).await.status, 200, "{path}");
    }
    for path in ["/healthz", "/readyz", "/up"] {
        assert_eq!(gateway.get(path).await.status, 200, "{path}");
        assert_eq!(get(admin, path, &[]).await.status, 200, "{path}");
    }
    // Client routes require a token here as on the other address.
    assert_eq!(get(admin, "/v1/sse?channel=a", &[]).await.status, 401);
    let bad = [("authorization", "Bearer x")];
    assert_eq!(get(admin, "/v1/status", &bad).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_at_the_public_address_shuts_nobody_out_of_the_other() {
    let database = Database::new().await;
    let settings = [
        ("admin-listen", "127.0.0.1:0"),
        ("max-readers-per-address", "1"),
    ];
    let gateway = TestGateway::with(&database, &settings).await;
    // As many idle connections as one address may have, and those that get a
    // refusal; further ones are dropped.
    let mut crowd = Vec::new();
    for _ in 0..2 * 64 {
        crowd.push(TcpStream::connect(gateway.address).await.unwrap());
    }
    until("the public address is shut", || async {
        let socket = TcpStream::connect(gateway.address).await.unwrap();
        let answer = answer_over(socket, "GET", "/readyz", &[], "").await;
        answer.is_none_or(|answer| answer.status == 429)
    })
    .await;
    let admin = gateway.admin.expect("an address");
    for path in ["/metrics", "/healthz", "/readyz", "/v1/status"] {
        assert_eq!(get(admin, path, &[]).await.status, 200, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shows_no_token_to_the_admin_address_sees_numbers_alone() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, &[("admin-listen", "127.0.0.1:0")]).await;
    let admin = gateway.admin.expect("an address");
    let _reader = gateway.reader(Wire::Sse, "a").await;
    let open = get(admin, "/v1/status", &[]).await.json();
    assert_eq!(
        open["channels"][0]["channel"], "a",
        "without tokens all is open"
    );
    let secret = "s3cret-canary-s3cret-canary-s3cret-canary";
    let settings = [("admin-listen", "127.0.0.1:0"), ("token-secret", secret)];
    let gateway = TestGateway::with(&database, &settings).await;
    let admin = gateway.admin.expect("an address");
    until("it says that it is ready", || async {
        get(admin, "/v1/status", &[]).await.json()["ready"] == true
    })
    .await;
    let closed = get(admin, "/v1/status", &[]).await.json();
    assert_eq!(closed["channels"], serde_json::json!([]));
}
