//! `pgfan publish`.

use std::process::Stdio;

use tokio::io::AsyncWriteExt;

use crate::{
    ended,
    support::{Database, TestGateway, Wire, gateway_process::pgfan, request, within},
};

const PUBLISH: &[(&str, &str)] = &[("allow-publish", "on")];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_arrives_exactly() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, PUBLISH).await;
    let url = format!("http://{}", gateway.address);
    let channel = "a b/ü?#%";
    let mut reader = gateway.reader(Wire::Sse, channel).await;
    let long = "é".repeat(3999);
    for payload in ["hello", "", "-n", "--url", " {\"x\": \"→\"}\n", &long] {
        let published = ended(&["publish", "--url", &url, channel, "--", payload]).await;
        assert_eq!(published.status.code(), Some(0), "{published:?}");
        assert_eq!((published.stdout, published.stderr), ("".into(), "".into()));
        assert_eq!(reader.event().await.1, payload);
    }
    let published = ended(&["publish", channel, "-5", "--url", &url]).await;
    assert_eq!(published.status.code(), Some(0), "{published:?}");
    assert_eq!(reader.event().await.1, "-5");
    let published = ended(&["publish", "--url", &url, channel]).await;
    assert_eq!(published.status.code(), Some(0), "{published:?}");
    assert_eq!(reader.event().await.1, "");
}

/// Runs `pgfan publish CHANNEL -` with this on its standard input.
async fn publish_input(url: &str, input: &[u8]) -> (Option<i32>, String) {
    let mut command = pgfan();
    command.args(["publish", "a", "-", "--url", url]);
    command.stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // The program closes its end when it has read enough.
    let _ = stdin.write_all(input).await;
    drop(stdin);
    let output = within("its end", child.wait_with_output()).await.unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_input_is_taken_as_it_is() {
    let database = Database::new().await;
    let gateway = TestGateway::with(&database, PUBLISH).await;
    let url = format!("http://{}", gateway.address);
    let mut reader = gateway.reader(Wire::WebSocket, "a").await;
    for input in ["two\nlines\n", ""] {
        assert_eq!(
            publish_input(&url, input.as_bytes()).await,
            (Some(0), "".into())
        );
        assert_eq!(reader.event().await.1, input);
    }
    for (input, named) in [
        (
            vec![b'x'; 8000],
            "PAYLOAD: a payload has at most 7999 bytes",
        ),
        (
            vec![b'x'; 1 << 20],
            "PAYLOAD: a payload has at most 7999 bytes",
        ),
        (b"\xff".to_vec(), "PAYLOAD: not UTF-8"),
        (b"a\0b".to_vec(), "PAYLOAD: a payload cannot contain NUL"),
    ] {
        let (code, said) = publish_input(&url, &input).await;
        assert_eq!(code, Some(2), "{said}");
        assert!(said.starts_with(named), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_says_what_to_do() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let url = format!("http://{}", gateway.address);
    let refused = ended(&["publish", "a", "x", "--url", &url]).await;
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let told = "\"a\" cannot be published on (forbidden)\n\
                a token has to grant it; without one it takes `pgfan serve --allow-publish`\n";
    assert_eq!(refused.stderr, told);
    let refused = ended(&["publish", "pgfan:x", "x", "--url", &url]).await;
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let told = "channels that begin with `pgfan:` are the gateway's own (forbidden)\n";
    assert_eq!(refused.stderr, told);
    let refused = ended(&["publish", "a", "x", "--url", "http://127.0.0.1:1"]).await;
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let told = "is `pgfan serve` running there? --url says where to look\n";
    assert!(refused.stderr.ends_with(told), "{refused:?}");
    let long = "x".repeat(8000);
    let refused = ended(&["publish", "a", &long, "--url", &url]).await;
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert_eq!(
        request(gateway.address, "GET", "/healthz", &[], "".into())
            .await
            .status(),
        200
    );
}
