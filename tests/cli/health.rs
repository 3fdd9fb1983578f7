//! `pgfan health`.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::{
    ended,
    support::{Database, TestGateway, own_server},
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

/// An old web server without any page and without HTTP/2, like Python's `http.server`.
async fn web_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut head = [0; 8192];
            let read = client.read(&mut head).await.unwrap_or_default();
            let status = match &head[..read.min(4)] {
                b"GET " => "404 File not found",
                b"POST" => "501 Unsupported method ('POST')",
                _ => "505 Invalid HTTP version (2.0)",
            };
            let answer = format!("HTTP/1.0 {status}\r\nContent-Length: 0\r\n\r\n");
            let _ = client.write_all(answer.as_bytes()).await;
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_gateway_is_told_to_be_none() {
    let server = own_server(&[]).await;
    let postgres = format!("127.0.0.1:{}", server.port());
    for address in [postgres, web_server().await.to_string()] {
        let url = format!("http://{address}");
        for arguments in [
            &["health"][..],
            &["publish", "a", "x"],
            &["listen", "a"],
            &["listen", "a", "--via", "sse"],
            &["listen", "a", "--via", "grpc"],
        ] {
            let said = ended(&[arguments, &["--url", &url]].concat()).await;
            assert_eq!(said.status.code(), Some(1), "{said:?}");
            let begin = format!("{url}: what answers there is no gateway");
            assert!(said.stderr.starts_with(&begin), "{arguments:?}: {said:?}");
        }
    }
}
