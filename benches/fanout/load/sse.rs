//! Server-Sent Events. Chunks are not parsed: their heads are lines without a
//! leading `data:`. A line split by a chunk would count as lost.

use memchr::memchr;

use super::http::{self, Broken};

#[derive(Debug, Default)]
pub struct Decoder {
    is_open: bool,
}

impl Decoder {
    /// As for the WebSocket.
    pub fn take(
        &mut self,
        bytes: &[u8],
        mut heard: impl FnMut(Option<&[u8]>),
    ) -> Result<usize, Broken> {
        let mut done = 0;
        if !self.is_open {
            let Some(length) = http::head(bytes, b"200")? else {
                return Ok(0);
            };
            self.is_open = true;
            done = length;
            heard(None);
        }
        while let Some(end) = memchr(b'\n', &bytes[done..]) {
            let line = &bytes[done..done + end];
            if let Some(data) = line.strip_prefix(b"data:") {
                heard(Some(data));
            }
            done += end + 1;
        }
        Ok(done)
    }
}
