//! From the steps of a complete response to a whole body.

use bytes::Bytes;
use luthien_proto::Event;

use super::encode::Encoder;

/// The body is the response that the last event of a stream tells.
pub(in crate::dialect) fn encode_whole(events: &[Event]) -> Bytes {
    let mut encoder = Encoder::default();
    for event in events {
        encoder.observe(event);
    }
    encoder.response().to_string().into()
}
