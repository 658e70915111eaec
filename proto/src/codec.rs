//! Protobuf with small buffers: a plane keeps thousands of mostly idle streams.

use std::marker::PhantomData;

use tonic::codec::{BufferSettings, Codec};
use tonic_prost::{ProstDecoder, ProstEncoder};

/// What a stream has at least; it grows to what its messages need.
const BUFFER: usize = 512;
/// How much is encoded before it is handed on.
const YIELD: usize = 32 * 1024;

/// A codec of which each stream costs little while it is idle: it encodes `E` and decodes `D`.
#[derive(Debug)]
pub struct SmallBuffers<E, D>(PhantomData<fn(E) -> D>);

impl<E, D> Default for SmallBuffers<E, D> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<E, D> Codec for SmallBuffers<E, D>
where
    E: prost::Message + Send + 'static,
    D: prost::Message + Default + Send + 'static,
{
    type Encode = E;
    type Decode = D;
    type Encoder = ProstEncoder<E>;
    type Decoder = ProstDecoder<D>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::new(BufferSettings::new(BUFFER, YIELD))
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstDecoder::new(BufferSettings::new(BUFFER, YIELD))
    }
}
