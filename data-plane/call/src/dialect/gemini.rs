//! Google Gemini, as an upstream.
//!
//! A chunk of the stream, or a whole body, tells several steps at once; what it says beyond the model is in the extras of
//! one of them, under the name of its place:
//!
//! * `chunk`: unknown fields of the chunk (or body) itself, in the first of its steps;
//! * `candidate`: of the entry in `candidates`, in the first step of that candidate;
//! * `part`: of the part, in the step that it became.
//!
//! If a chunk became no step, its rest is an Opaque step of the same JSON. A part of an unknown type is an Opaque block.
//! Fields that all chunks repeat (`responseId`, `modelVersion`) count as unknown only where they change. Every chunk may
//! tell the usage and a reason to finish, and more may follow: both are told at the end.
//!
//! A signature may stand on a part of any type; the model has a place for it in blocks of thinking only. It becomes the
//! signature of the block of thinking before its part (that of a call), behind it (that of a text), or of the part itself
//! (a thought), and says which: see `signature`. A request puts it back where it was.

mod calls;
mod candidate;
mod contents;
mod decode;
mod failure;
mod generation;
mod media;
mod model;
mod request;
mod results;
mod signature;
mod spelling;
mod spoken;
mod thoughts;
mod tools;
mod usage;
mod words;

pub(super) use decode::{Decoder, decode_whole};
pub(super) use failure::{body as error_body, decode as decode_error};
pub(super) use request::encode as encode_request;

/// The places of extras.
mod place {
    pub(super) const CHUNK: &str = "chunk";
    pub(super) const CANDIDATE: &str = "candidate";
    pub(super) const PART: &str = "part";
}
