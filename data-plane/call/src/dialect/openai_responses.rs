//! OpenAI Responses: the output is a list of items, some of them with parts.
//!
//! A part of a message is a block (text, refusal), a call of a function or a custom tool is one, reasoning is one, and so
//! is every other item, as an opaque block. Keys are counted by block: an item's place in the output is not one.
//!
//! What a response says beyond the model is
//!
//! * in the extras of Started, Ended and Failed: what is left of the SSE event, so that `response` holds the fields of the
//!   response itself. Those of Started are repeated in whatever tells the whole response;
//! * in the extras of a block's start: `item` and `part`, what is left of the item and of the part as they begin (a second
//!   part of a message has no `item`), and under `output_item.added` and `content_part.added` what is left of these events.
//!   An opaque block with `part` is a part of a message;
//! * in the extras of a delta: what is left of its event. `part` marks text that only parts two parts of reasoning: the part
//!   that begins is of that type. Reasoning begins with a summary, unless it is marked;
//! * in the extras of a block's stop: `item`, if more parts of the item follow;
//! * an opaque delta: what an event behind or between the content says beyond it, with its type. All that repeat it and
//!   say nothing new are no steps.
//!
//! Any other event is an Opaque step. `sequence_number`s are counted anew.

mod decode;
mod encode;
mod failure;
mod fold;
mod incoming;
mod item;
mod message;
mod reasoning;
mod request;
mod rest;
mod snapshot;
mod usage;
mod words;

pub(super) use decode::{Decoder, decode_whole};
pub(super) use encode::Encoder;
pub(super) use fold::encode_whole;
pub(super) use request::{decode as decode_request, echo, encode as encode_request};

/// The places of extras.
mod place {
    pub(super) const RESPONSE: &str = "response";
    pub(super) const ITEM: &str = "item";
    pub(super) const PART: &str = "part";
    pub(super) const ITEM_ADDED: &str = "output_item.added";
    pub(super) const PART_ADDED: &str = "content_part.added";
}
