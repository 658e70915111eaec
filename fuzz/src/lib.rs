//! What must hold of any input: a check per target, over the public seams. A check panics when it does not hold.
//!
//! The tests of the crates that are checked take these modules in as they are, and replay the corpus through them.

pub mod call;
pub mod convert;
pub mod decode;
pub mod grammar;
pub mod input;
pub mod session;
pub mod sse;
