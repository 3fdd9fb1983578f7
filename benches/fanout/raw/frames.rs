//! The few bytes that the raw server sends.

use crate::load::Wire;

/// HTTP/2's is SETTINGS, and HEADERS of stream 1 with `:status 200`.
pub fn answer(wire: Wire) -> &'static [u8] {
    match wire {
        Wire::WebSocket => {
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
        }
        Wire::Sse => b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n",
        Wire::Grpc => b"\0\0\0\x04\0\0\0\0\0\0\0\x01\x01\x04\0\0\0\x01\x88",
    }
}

/// Appends the line to `out`, as one frame.
pub fn encode(wire: Wire, line: &[u8], out: &mut Vec<u8>) {
    let length = line.len().to_be_bytes();
    match wire {
        Wire::WebSocket => {
            out.extend([0x81, 126]);
            out.extend(&length[6..]);
            out.extend(line);
        }
        Wire::Sse => {
            out.extend(b"data: ");
            out.extend(line);
            out.extend(b"\n\n");
        }
        Wire::Grpc => {
            out.extend(&(line.len() + 5).to_be_bytes()[5..]);
            out.extend(b"\0\0\0\0\0\x01\0");
            out.extend(&length[4..]);
            out.extend(line);
        }
    }
}
