//! Anthropic Messages.
//!
//! An SSE event is one step, or two: usage rides on `message_start` and `message_delta`. The extras of a step are what is
//! left of the event's JSON when the known fields are taken out, at their places: `{"delta": {"container": …}}`. Those of
//! `message_delta` are with Finished, if it says so, else with Usage. An event of an unknown type, or one of which nothing
//! is known, is an Opaque step.
//!
//! A whole body has the steps of a stream of it; its unknown fields are those of the `message` that Started came with.

mod blocks;
mod decode;
mod encode;
mod failure;
mod fold;
mod request;
mod request_body;
mod usage;
mod words;

pub(super) use decode::{Decoder, decode_whole};
pub(super) use encode::Encoder;
pub(super) use failure::{body as error_body, take as take_error};
pub(super) use fold::encode_whole;
pub(super) use request::decode as decode_request;
pub(super) use request_body::encode as encode_request;

use super::template::Varying;

/// Nothing but texts.
pub(super) const VARYING: Varying = Varying { texts: &["text", "thinking", "partial_json"], padding: None };
