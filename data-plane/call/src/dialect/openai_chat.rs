//! OpenAI Chat Completions.
//!
//! A chunk of the stream, or a whole body, tells several steps at once; what it says beyond the model is in the extras of
//! one of them, under the name of its place:
//!
//! * `chunk`: unknown fields of the chunk (or body) itself, in the first of its steps;
//! * `choice`: of the entry in `choices`, in the first step of that choice;
//! * `delta`: of its `delta` (or `message`), beside `choice`;
//! * `tool_call`: of the entry in `tool_calls`, or of `function_call`, in the step that it became;
//! * `reasoning_detail`: of the entry in `reasoning_details`, in the step that it became;
//! * `event`: the name of the SSE event, if it has a strange one.
//!
//! Preferred are steps that are written as a chunk of their own. If there is none, the rest of the chunk is an Opaque
//! step of the same JSON. Fields that all chunks repeat (`id`, `model` …) count as unknown only where they change. The
//! extras of Failed are the rest of the chunk as it was.
//!
//! Started is written as the beginning of choice 0, and whatever began is finished before the end, if it has said nothing
//! too.

mod calls;
mod choice;
mod chunks;
mod decode;
mod details;
mod encode;
mod envelope;
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

use super::template::{PaddingField, Varying};

/// OpenAI hides the length of a chunk (`stream_options.include_obfuscation`).
pub(super) const VARYING: Varying = Varying {
    texts: &["content", "reasoning_content", "reasoning", "refusal", "arguments", "input"],
    padding: Some(PaddingField { place: place::CHUNK, name: "obfuscation" }),
};

/// The places of extras.
mod place {
    pub(super) const CHUNK: &str = "chunk";
    pub(super) const CHOICE: &str = "choice";
    pub(super) const DELTA: &str = "delta";
    pub(super) const TOOL_CALL: &str = "tool_call";
    pub(super) const REASONING_DETAIL: &str = "reasoning_detail";
    pub(super) const EVENT: &str = "event";
}
