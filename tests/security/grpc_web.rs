//! A gRPC-Web call as a page makes it
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md>).

use std::net::SocketAddr;

use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};

use crate::support::request;

/// A gRPC-Web call and its response stream.
pub struct Web {
    /// Status, if it is already in the head.
    pub status: Option<i32>,
    pub headers: hyper::HeaderMap,
    body: Incoming,
    bytes: Vec<u8>,
}

impl Web {
    pub async fn call(
        address: SocketAddr,
        method: &str,
        headers: &[(&str, &str)],
        message: &impl prost::Message,
    ) -> Self {
        let own = [
            ("content-type", "application/grpc-web+proto"),
            ("x-grpc-web", "1"),
        ];
        let headers = [&own, headers].concat();
        let encoded = message.encode_to_vec();
        let length = u32::try_from(encoded.len()).unwrap().to_be_bytes();
        let framed: Bytes = [&[0], &length[..], &encoded].concat().into();
        let path = format!("/pgfan.v1.GatewayService/{method}");
        let response = request(address, "POST", &path, &headers, framed).await;
        let (head, body) = response.into_parts();
        let status = head.headers.get("grpc-status");
        Self {
            status: match status {
                Some(status) => Some(status.to_str().unwrap().parse().unwrap()),
                None if head.status != 200 => Some(head.status.as_u16().into()),
                None => None,
            },
            headers: head.headers,
            body,
            bytes: Vec::new(),
        }
    }

    /// The next message, or the status at the end.
    pub async fn next(&mut self) -> Result<Vec<u8>, i32> {
        if let Some(status) = self.status {
            return Err(status);
        }
        loop {
            if let Some((head, rest)) = self.bytes.split_at_checked(5) {
                let length = u32::from_be_bytes(head[1..].try_into().unwrap()) as usize;
                if rest.len() >= length {
                    let message = rest[..length].to_vec();
                    let is_trailer = head[0] & 0x80 != 0;
                    self.bytes.drain(..5 + length);
                    return if is_trailer {
                        Err(status_in(&message))
                    } else {
                        Ok(message)
                    };
                }
            }
            let frame = self
                .body
                .frame()
                .await
                .expect("trailers in the body")
                .unwrap();
            self.bytes.extend(frame.into_data().unwrap());
        }
    }
}

fn status_in(trailers: &[u8]) -> i32 {
    let text = String::from_utf8_lossy(trailers);
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("grpc-status:"));
    line.unwrap().trim().parse().unwrap()
}
