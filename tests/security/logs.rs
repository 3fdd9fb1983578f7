//! The log as JSON: each line is an object, whatever a client sends, and
//! contains no secret.

use serde_json::Value;

use crate::{
    support::{
        Database,
        gateway_process::{GatewayProcess, pgfan},
        get,
        program::Program,
    },
    tokens::{SECRET, forged, token},
};

fn address(log: &[u8]) -> Option<std::net::SocketAddr> {
    let lines = log.split(|byte| *byte == b'\n');
    let objects = lines.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    let mut addresses = objects.filter_map(|object| object["address"].as_str()?.parse().ok());
    addresses.next()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_line_is_an_object_and_none_has_a_secret() {
    let database = Database::new().await;
    let mut command = pgfan();
    command.args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json"]);
    command.envs([("PGFAN_TOKEN_SECRET", SECRET), ("RUST_LOG", "trace")]);
    command.env("PGFAN_DATABASE_URL", &database.url);
    let mut program = Program::start(&mut command);
    let address = program.stderr.until("address", address).await;
    let gateway = GatewayProcess { address, program };
    gateway.ready().await;
    let (good, bad) = (token(&["a"]), forged(&["a"]));
    for (token, status) in [(&good, 404), (&bad, 404)] {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        let path = "/%22%0a%7B?ticket=s3cret-ticket";
        assert_eq!(get(address, path, &headers).await.status, status);
        get(address, "/v1/sse?channel=a%22%0a%7B", &headers).await;
    }
    let ended = gateway.stop().await;
    let mut messages = Vec::new();
    for line in ended.stderr.lines() {
        let object: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        for field in ["timestamp", "level", "target"] {
            assert!(object[field].is_string(), "{line}");
        }
        messages.extend(object["message"].as_str().map(str::to_owned));
    }
    assert!(
        messages
            .iter()
            .any(|message| message == "the source is live")
    );
    for secret in [SECRET, &good, &bad] {
        assert!(!ended.stderr.contains(secret));
    }
}
