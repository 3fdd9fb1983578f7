//! Encodings of an event for the transports: each is made once, whatever the
//! number of readers.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;

/// Encoding of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A WebSocket frame with the JSON object.
    WebSocket,
    /// A WebSocket frame with the payload alone.
    WebSocketRaw,
    /// The lines of an SSE message with the JSON object.
    Sse,
    /// The lines of an SSE message with the payload alone.
    SseRaw,
    /// A gRPC message.
    Grpc,
}

/// Number of forms.
pub const FORMS: usize = 5;

/// The bytes of all encodings of the events that the log holds, or of one channel's.
/// Cheap to clone; all clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Footprint(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    bytes: AtomicUsize,
    /// Includes the bytes of this part.
    total: Option<Footprint>,
}

impl Footprint {
    /// A new part of this footprint.
    pub fn part(&self) -> Self {
        let total = Some(self.clone());
        let bytes = AtomicUsize::default();
        Self(Arc::new(Inner { bytes, total }))
    }

    fn add(&self, bytes: usize) {
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.0.total.iter().for_each(|total| total.add(bytes));
    }

    fn subtract(&self, bytes: usize) {
        self.0.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.0.total.iter().for_each(|total| total.subtract(bytes));
    }

    /// May be off by an encoding that is being made at this moment.
    pub fn bytes(&self) -> usize {
        // An encoding can be subtracted before it is added.
        let bytes = self.0.bytes.load(Ordering::Relaxed);
        usize::try_from(bytes.cast_signed()).unwrap_or(0)
    }
}

/// Set once the log has evicted the event: a later encoding is held by the last
/// readers alone, and is not counted.
const RELEASED: usize = 1 << (usize::BITS - 1);

/// The encodings of one event.
#[derive(Debug)]
pub struct Encodings {
    forms: [OnceLock<Bytes>; FORMS],
    footprint: Footprint,
    /// Counted bytes of this event, and the `RELEASED` bit.
    own: AtomicUsize,
}

impl Encodings {
    /// No encodings yet; those made later are counted in `footprint`.
    pub fn new(footprint: Footprint) -> Self {
        Self {
            forms: Default::default(),
            footprint,
            own: AtomicUsize::new(0),
        }
    }

    /// The bytes of this form; made by `encode` unless they exist.
    pub fn get_or_encode(&self, form: Form, encode: impl FnOnce() -> Bytes) -> &Bytes {
        let slot = &self.forms[form as usize];
        slot.get_or_init(|| {
            let bytes = encode();
            let before = self.own.fetch_add(bytes.len(), Ordering::Relaxed);
            if before & RELEASED == 0 {
                self.footprint.add(bytes.len());
            }
            bytes
        })
    }

    /// The log evicts the event.
    pub fn release(&self) {
        let own = self.own.fetch_or(RELEASED, Ordering::Relaxed) & !RELEASED;
        self.footprint.subtract(own);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_counted_in_the_total_too() {
        let total = Footprint::default();
        let (one, other) = (total.part(), total.part());
        let of = |part: &Footprint| Encodings::new(part.clone());
        let (first, second) = (of(&one), of(&other));
        for encodings in [&first, &second] {
            encodings.get_or_encode(Form::Sse, || Bytes::from_static(b"12345"));
        }
        assert_eq!([&one, &other, &total].map(Footprint::bytes), [5, 5, 10]);
        first.release();
        assert_eq!([&one, &other, &total].map(Footprint::bytes), [0, 5, 5]);
    }

    #[test]
    fn a_form_is_encoded_once_and_counted_until_it_is_released() {
        let footprint = Footprint::default();
        let encodings = Encodings::new(footprint.clone());
        let encode = || Bytes::from_static(b"12345");
        assert_eq!(encodings.get_or_encode(Form::Sse, encode).len(), 5);
        assert_eq!(footprint.bytes(), 5);
        encodings.get_or_encode(Form::Sse, || unreachable!("it is there"));
        encodings.get_or_encode(Form::Grpc, encode);
        assert_eq!(footprint.bytes(), 10);
        encodings.release();
        assert_eq!(footprint.bytes(), 0);
        encodings.get_or_encode(Form::WebSocket, encode);
        assert_eq!(footprint.bytes(), 0);
    }
}
