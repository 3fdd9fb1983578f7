//! Access to the metrics, and which channels they show.

use crate::{
    support::{Answer, Database, TestGateway, Wire, get},
    tokens::{WITH_TOKENS, token_of},
};

async fn ask(gateway: &TestGateway, path: &str, claim: &str) -> Answer {
    let bearer = format!("Bearer {}", token_of(claim));
    get(gateway.address, path, &[("authorization", &bearer)]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_are_for_who_is_allowed_to() {
    let database = Database::new().await;
    for settings in [&[WITH_TOKENS][..], &[WITH_TOKENS, ("anonymous", "on")]] {
        let gateway = TestGateway::with(&database, settings).await;
        let anonymous = gateway.get("/metrics").await;
        let expected = if settings.len() > 1 { 403 } else { 401 };
        assert_eq!(anonymous.status, expected);
        let reader = ask(&gateway, "/metrics", r#"{"subscribe":["**"]}"#).await;
        assert_eq!((reader.status, reader.code()), (403, "forbidden".into()));
        for claim in [r#"{"metrics":true}"#, r#""pgfan:metrics""#] {
            let answer = ask(&gateway, "/metrics", claim).await;
            assert_eq!(answer.status, 200, "{claim}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_of_channels_that_are_not_theirs() {
    let database = Database::new().await;
    let settings = [WITH_TOKENS, ("anonymous", "on"), ("channels", "a,b,c")];
    let gateway = TestGateway::with(&database, &settings).await;
    let _readers = [
        gateway.reader(Wire::Sse, "a").await,
        gateway.reader(Wire::Sse, "b").await,
    ];
    let told = async |claim: &str| {
        let status = ask(&gateway, "/v1/status", claim).await.json();
        let channels = status["channels"].as_array().unwrap().clone();
        assert_eq!(
            (&status["channel_count"], &status["more_channels"]),
            (&2.into(), &0.into())
        );
        let names = channels
            .iter()
            .map(|c| c["channel"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(told(r#"{"subscribe":["**"]}"#).await, "a b");
    assert_eq!(told(r#"{"subscribe":["b","c"]}"#).await, "b");
    assert_eq!(told(r#"{"publish":["a"],"metrics":true}"#).await, "");
    let gateway = TestGateway::with(&database, &[WITH_TOKENS]).await;
    assert_eq!(gateway.get("/v1/status").await.status, 401);
}
