//! `pgfan health`.

use crate::{
    ended,
    support::{Database, TestGateway},
};

#[tokio::test(flavor = "multi_thread")]
async fn it_tells_by_its_exit_code() {
    let database = Database::new().await;
    let live = TestGateway::on(&database).await;
    let waiting = TestGateway::starting("postgresql://nobody@127.0.0.1:1/none", &[]);
    for (gateway, flag, expected) in [
        (&live, None, 0),
        (&live, Some("--ready"), 0),
        (&waiting, None, 0),
        (&waiting, Some("--ready"), 1),
    ] {
        let url = format!("http://{}", gateway.address);
        let mut arguments = vec!["health", "--url", &url];
        arguments.extend(flag);
        let said = ended(&arguments).await;
        assert_eq!(said.status.code(), Some(expected), "{flag:?} {said:?}");
        let why = "the database is not listened to";
        assert_eq!(said.stderr.contains(why), expected == 1, "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_there_is_not_healthy() {
    let said = ended(&["health", "--url", "http://127.0.0.1:1"]).await;
    assert_eq!(said.status.code(), Some(1), "{said:?}");
    assert!(
        said.stderr.contains("is `pgfan serve` running there?"),
        "{said:?}"
    );
    let said = ended(&["health", "--url", "127.0.0.1"]).await;
    assert_eq!(said.status.code(), Some(2), "{said:?}");
}
