//! Protobuf with small buffers: a plane keeps thousands of mostly idle streams.

use luthien_proto::wire::{EnforceRequest, EnforceResponse};
use tonic::codec::{BufferSettings, Codec};
use tonic_prost::{ProstDecoder, ProstEncoder};

/// What a stream has at least; it grows to what its messages need.
const BUFFER: usize = 512;
/// How much is encoded before it is handed on.
const YIELD: usize = 32 * 1024;

/// The codec of Enforce.
#[derive(Clone, Copy, Default)]
pub(super) struct EnforceCodec;

impl Codec for EnforceCodec {
    type Encode = EnforceResponse;
    type Decode = EnforceRequest;
    type Encoder = ProstEncoder<EnforceResponse>;
    type Decoder = ProstDecoder<EnforceRequest>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::new(BufferSettings::new(BUFFER, YIELD))
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstDecoder::new(BufferSettings::new(BUFFER, YIELD))
    }
}
