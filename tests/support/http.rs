//! HTTP/1.1 and h2c by hyper's client.

use std::net::SocketAddr;

use futures_util::FutureExt;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::{Connection, within};

/// A complete response.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: hyper::HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).map(|value| value.to_str().unwrap());
        value.unwrap_or_default()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The code of a problem document.
    pub fn code(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{problem}");
        problem["code"].as_str().unwrap().to_owned()
    }
}

pub async fn get(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Answer {
    whole(request(address, "GET", path, headers, Bytes::new()).await).await
}

pub async fn post(address: SocketAddr, path: &str, body: impl Into<Bytes>) -> Answer {
    post_with(address, path, &[], body).await
}

pub async fn post_with(
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Answer {
    whole(request(address, "POST", path, headers, body.into()).await).await
}

/// Sends a request of any method without a body.
pub async fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Answer {
    whole(request(address, method, path, headers, Bytes::new()).await).await
}

async fn whole(response: Response<Incoming>) -> Answer {
    let (head, body) = response.into_parts();
    Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        body: within("the whole body", body.collect())
            .await
            .unwrap()
            .to_bytes(),
    }
}

/// Sends an HTTP/1.1 request on a new connection, for `localhost` unless `headers`
/// contain a `host`.
pub async fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> Response<Incoming> {
    let socket = TcpStream::connect(address).await.unwrap();
    let answered = request_over(socket, method, path, headers, body).await;
    answered.expect("an answer")
}

/// Sends a request on an existing connection; `None` if the connection ends before the
/// response.
pub async fn request_over(
    socket: impl Connection,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> Option<Response<Incoming>> {
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(socket));
    let (mut sender, connection) = handshake.await.ok()?;
    let connection = tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(path);
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", "localhost");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(body)).unwrap();
    // A request that is sent at the moment the connection ends is never answered: it
    // stays in a channel whose receiver is gone. Or the connection ends between the two
    // polls, with the response ready.
    let mut answered = std::pin::pin!(sender.send_request(request));
    tokio::select! {
        biased;
        answered = &mut answered => answered.ok(),
        _ = connection => answered.now_or_never()?.ok(),
    }
}

/// The complete response over HTTP/1.1; `None` if the connection ends before it.
pub async fn answer_over(
    socket: impl Connection,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Option<Answer> {
    let answered = request_over(socket, method, path, headers, body.into());
    Some(whole(answered.await?).await)
}

/// GET over h2c with prior knowledge.
pub async fn get_h2(address: SocketAddr, path: &str) -> Answer {
    get_h2_with(address, path, &[]).await
}

pub async fn get_h2_with(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Answer {
    let socket = TcpStream::connect(address).await.unwrap();
    whole(get_h2_over(socket, path, headers).await).await
}

/// GET over h2c on an existing connection.
pub async fn get_h2_over(
    socket: impl Connection,
    path: &str,
    headers: &[(&str, &str)],
) -> Response<Incoming> {
    let answered = request_h2_over(socket, "GET", path, headers, Bytes::new());
    answered.await.expect("an answer")
}

/// The same with any method; `None` if the connection ends before the response.
pub async fn request_h2_over(
    socket: impl Connection,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> Option<Response<Incoming>> {
    let io = TokioIo::new(socket);
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), io);
    let (mut sender, connection) = handshake.await.ok()?;
    tokio::spawn(connection);
    let host = headers.iter().find(|(name, _)| *name == "host");
    let host = host.map_or("localhost", |(_, host)| host);
    let uri = format!("http://{host}{path}");
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers.iter().filter(|(name, _)| *name != "host") {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(body)).unwrap();
    sender.send_request(request).await.ok()
}
