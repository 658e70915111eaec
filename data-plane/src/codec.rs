//! The codec of Enforce: protobuf with small buffers, since a plane keeps thousands of mostly idle streams.

use luthien_proto::wire::{EnforceRequest, EnforceResponse};
use tonic::codec::{BufferSettings, Codec};
use tonic_prost::{ProstDecoder, ProstEncoder};

/// What a stream has at least; it grows to what its messages need.
const BUFFER: usize = 512;
/// How much is encoded before it is handed on.
const YIELD: usize = 32 * 1024;

#[derive(Clone, Copy, Debug)]
pub(crate) struct EnforceCodec;

impl Codec for EnforceCodec {
    type Encode = EnforceRequest;
    type Decode = EnforceResponse;
    type Encoder = ProstEncoder<EnforceRequest>;
    type Decoder = ProstDecoder<EnforceResponse>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::new(BufferSettings::new(BUFFER, YIELD))
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstDecoder::new(BufferSettings::new(BUFFER, YIELD))
    }
}
