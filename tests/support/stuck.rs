//! Clients that read until they are ready, and then stop reading.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use super::{gateway_process::upgrade, within};

/// Opens a WebSocket of this path. PGCacheWatch is ready with its 101.
pub async fn stuck_web_socket(address: SocketAddr, path: &str) -> TcpStream {
    let ready = match path.starts_with("/pgpubsub/") {
        true => "\r\n\r\n",
        false => "\"ready\"",
    };
    stuck(address, upgrade(path).as_bytes(), ready).await
}

pub async fn stuck_sse(address: SocketAddr, path: &str) -> TcpStream {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stuck(address, request.as_bytes(), "\"ready\"").await
}

/// Opens gRPC-Web over HTTP/1.1, with this call.
pub async fn stuck_grpc_web(address: SocketAddr, call: &[u8]) -> TcpStream {
    let head = format!(
        "POST /pgfan.v1.GatewayService/Subscribe HTTP/1.1\r\nHost: localhost\r\n\
         Content-Type: application/grpc-web+proto\r\nContent-Length: {}\r\n\r\n",
        call.len()
    );
    // A message, whose length has one byte.
    let ready = "\r\n\0\0\0\0";
    stuck(address, &[head.as_bytes(), call].concat(), ready).await
}

/// Its receive buffer is small.
async fn stuck(address: SocketAddr, request: &[u8], ready: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut said = Vec::new();
    while !String::from_utf8_lossy(&said).contains(ready) {
        within("ready", stream.read_buf(&mut said)).await.unwrap();
    }
    stream
}
