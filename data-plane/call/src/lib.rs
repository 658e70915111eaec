//! One call in the data plane, as a value: bytes, verdicts and the time go in, what to write and to say comes out.
//!
//! There are no sockets here, no clock, no tasks and no randomness: the shell is the `luthien-data-plane` crate.

pub mod call;
pub mod conversion;
pub mod dialect;
pub mod edits;
pub mod sse;

mod gate;
mod stats;
mod tail;
mod upstream;
mod writer;
