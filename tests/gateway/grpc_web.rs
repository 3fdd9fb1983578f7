//! gRPC-Web on HTTP/2, as a browser uses it behind TLS: a page cannot read
//! trailers, so the end has to be in the body
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md>).

use hyper::{Request, body::Bytes};
use pgfan::proto::SubscribeRequest;
use prost::Message as _;
use tokio::net::TcpStream;

use crate::support::{Database, TestGateway, within};

#[tokio::test(flavor = "multi_thread")]
async fn its_end_is_in_the_body() {
    let database = Database::new().await;
    let gateway = TestGateway::on(&database).await;
    let socket = TcpStream::connect(gateway.address).await.unwrap();
    let (mut client, connection) = h2::client::handshake(socket).await.unwrap();
    tokio::spawn(connection);
    let asked = SubscribeRequest {
        channels: vec!["a".into()],
        cursor: String::new(),
        heartbeat: false,
    };
    let asked = asked.encode_to_vec();
    let length = u32::try_from(asked.len()).unwrap().to_be_bytes();
    let body: Bytes = [&[0], &length[..], &asked].concat().into();
    let request = Request::post("http://localhost/pgfan.v1.GatewayService/Subscribe")
        .header("content-type", "application/grpc-web+proto")
        .body(())
        .unwrap();
    let (response, mut sending) = client.send_request(request, false).unwrap();
    sending.send_data(body, true).unwrap();
    let mut stream = response.await.unwrap().into_body();
    let ready = within("ready", stream.data()).await.unwrap().unwrap();
    assert_eq!(ready[0], 0, "a message");
    gateway.stop().await;
    let mut rest = Vec::new();
    while let Some(part) = within("its end", stream.data()).await {
        rest.extend_from_slice(&part.unwrap());
    }
    let text = String::from_utf8_lossy(&rest);
    assert!(text.contains("grpc-status:14"), "{text:?}");
    assert_eq!(rest[0], 0x80, "a frame of trailers");
}
