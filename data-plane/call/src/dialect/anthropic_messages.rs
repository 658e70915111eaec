//! Skeleton.
use bytes::{Bytes, BytesMut};
use luthien_proto::Event;

use super::DecodeError;

#[derive(Debug, Default)]
pub(super) struct Decoder;
impl Decoder {
    pub(super) fn event(&mut self, _name: Option<&str>, _data: &Bytes) -> Result<Vec<Event>, DecodeError> {
        Ok(Vec::new())
    }
    pub(super) fn end(&mut self) -> Vec<Event> {
        Vec::new()
    }
    pub(super) fn cut(&mut self) -> bool {
        false
    }
}
#[derive(Debug, Default)]
pub(super) struct Encoder;
impl Encoder {
    pub(super) fn observe(&mut self, _event: &Event) {}
    pub(super) fn encode(&mut self, _event: &Event, _out: &mut BytesMut) {}
    #[allow(dead_code)]
    pub(super) fn flush(&mut self, _out: &mut BytesMut) {}
}
pub(super) fn decode_whole(_body: &Bytes) -> Result<Vec<Event>, DecodeError> {
    Ok(Vec::new())
}
pub(super) fn encode_whole(_events: &[Event]) -> Bytes {
    Bytes::new()
}
