//! Protobuf with small buffers: a plane keeps thousands of mostly idle streams.

use std::marker::PhantomData;

use bytes::{Buf, BufMut, Bytes};
use prost::Message as _;
use tonic::{
    Status,
    codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};
use tonic_prost::{ProstDecoder, ProstEncoder};

use crate::{FromService, Malformed, ToService, message::CallReport, wire};

/// What a stream has at least; it grows to what its messages need.
const BUFFER: usize = 128;
/// Longer messages are few.
const LONG: usize = 8 * 1024;
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

/// The policy service's codec for a call: what is said and heard are the checked types, and those of the wire, which take
/// ten times the room, are met nowhere else.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServiceCodec;

impl Codec for ServiceCodec {
    type Encode = FromService;
    type Decode = Result<ToService, Malformed>;
    type Encoder = Self;
    type Decoder = Hearing;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Hearing {
        Hearing::default()
    }
}

impl Encoder for ServiceCodec {
    type Item = FromService;
    type Error = Status;

    fn encode(&mut self, item: FromService, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        let unwritable = |error: prost::EncodeError| Status::internal(error.to_string());
        wire::EnforceResponse::from(item).encode(out).map_err(unwritable)
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER, YIELD)
    }
}

/// Reads what a proxy says.
#[derive(Debug, Default)]
pub struct Hearing {
    /// A long message, until the next one comes: a buffer that is in use is not used again, and what had room for the whole
    /// of a request is let go of.
    long: Bytes,
}

impl Decoder for Hearing {
    type Item = Result<ToService, Malformed>;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Status> {
        let request = if bytes.remaining() > LONG {
            self.long = bytes.copy_to_bytes(bytes.remaining());
            wire::EnforceRequest::decode(&*self.long)
        } else {
            self.long = Bytes::new();
            wire::EnforceRequest::decode(bytes)
        };
        let unreadable = |error: prost::DecodeError| Status::internal(error.to_string());
        request.map(|request| Some(request.try_into())).map_err(unreadable)
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER, YIELD)
    }
}

/// A message of the proxy as it goes over the wire: one that may have to be said again is kept like this, and saying it
/// again costs nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded(Bytes);

impl Encoded {
    /// How many bytes it is.
    pub fn size(&self) -> usize {
        self.0.len()
    }

    /// What it says.
    ///
    /// # Errors
    /// It says nothing that can be read.
    pub fn decode(&self) -> Result<ToService, Malformed> {
        let message = wire::EnforceRequest::decode(&*self.0);
        let unreadable = |error: prost::DecodeError| Malformed { field: String::new(), reason: error.to_string() };
        message.map_err(unreadable)?.try_into()
    }
}

/// One that was encoded before.
impl From<Bytes> for Encoded {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl AsRef<[u8]> for Encoded {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<ToService> for Encoded {
    fn from(message: ToService) -> Self {
        Self(wire::EnforceRequest::from(message).encode_to_vec().into())
    }
}

/// A report as it goes over the wire, as often as it has to be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedReport(Bytes);

impl EncodedReport {
    /// How many bytes it is.
    pub fn size(&self) -> usize {
        self.0.len()
    }
}

impl From<CallReport> for EncodedReport {
    fn from(report: CallReport) -> Self {
        Self(wire::CallReport::from(report).encode_to_vec().into())
    }
}

impl From<Encoded> for Bytes {
    fn from(Encoded(bytes): Encoded) -> Self {
        bytes
    }
}

impl From<EncodedReport> for Bytes {
    fn from(EncodedReport(bytes): EncodedReport) -> Self {
        bytes
    }
}

/// The proxy's codec for a call.
pub type ProxyCodec = AsIs<Encoded, wire::EnforceResponse>;

/// The proxy's codec for reports.
pub type ReportCodec = AsIs<EncodedReport, wire::CallReported>;

/// A codec with which what is encoded already goes out as it is: that is `E`; it decodes `D`.
#[derive(Debug)]
pub struct AsIs<E, D>(PhantomData<fn(E) -> D>);

impl<E, D> Default for AsIs<E, D> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<E, D> Codec for AsIs<E, D>
where
    E: Into<Bytes> + Send + 'static,
    D: prost::Message + Default + Send + 'static,
{
    type Encode = E;
    type Decode = D;
    type Encoder = Verbatim<E>;
    type Decoder = ProstDecoder<D>;

    fn encoder(&mut self) -> Verbatim<E> {
        Verbatim(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstDecoder::new(BufferSettings::new(BUFFER, YIELD))
    }
}

/// Writes what is encoded already.
#[derive(Debug)]
pub struct Verbatim<E>(PhantomData<fn(E)>);

impl<E: Into<Bytes>> Encoder for Verbatim<E> {
    type Item = E;
    type Error = Status;

    fn encode(&mut self, item: E, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item.into());
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER, YIELD)
    }
}
