//! gRPC messages that are already encoded, and the small buffers of the streams
//! that carry them.

use std::marker::PhantomData;

use bytes::{Buf, BufMut, Bytes};
use prost::{
    DecodeError, Message,
    encoding::{DecodeContext, WireType, skip_field},
};
use tonic::codec::{BufferSettings, Codec as TonicCodec};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

use crate::transport::connection::body_deadline::PREFIX;

/// Buffer size of an idle stream; it grows when needed. tonic's default of 8 KiB
/// would be held by each idle reader.
const BUFFER: usize = 256;

/// Messages that are ready together are sent together, up to this size.
const TOGETHER: usize = 32 << 10;

/// A message of which only the encoded bytes are kept.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Encoded {
    framed: Bytes,
}

impl Encoded {
    /// Encodes `message`.
    pub(super) fn of(message: &impl Message) -> Self {
        let length = message.encoded_len();
        let mut framed = Vec::with_capacity(PREFIX + length);
        framed.put_u8(0);
        // Our messages are some kilobytes at most.
        framed.put_u32(length as u32);
        framed.extend(message.encode_to_vec());
        let framed = framed.into();
        Self { framed }
    }

    /// Wraps bytes that were encoded before.
    pub(super) fn from_framed(framed: Bytes) -> Self {
        Self { framed }
    }

    /// The encoded message with its prefix.
    pub(super) fn framed(&self) -> &Bytes {
        &self.framed
    }

    fn message(&self) -> &[u8] {
        self.framed.get(PREFIX..).unwrap_or_default()
    }
}

impl Message for Encoded {
    fn encode_raw(&self, out: &mut impl BufMut) {
        out.put_slice(self.message());
    }

    /// Skips the field: this type is only ever sent.
    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        bytes: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        skip_field(wire_type, tag, bytes, context)
    }

    fn encoded_len(&self) -> usize {
        self.message().len()
    }

    fn clear(&mut self) {
        self.framed = Bytes::new();
    }
}

/// prost's codec with smaller buffers.
#[derive(Debug)]
pub(super) struct Codec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Codec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> TonicCodec for Codec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = ProstDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(BufferSettings::new(BUFFER, TOGETHER))
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<T, U>::raw_decoder(BufferSettings::new(BUFFER, TOGETHER))
    }
}
