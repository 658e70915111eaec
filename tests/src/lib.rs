//! What the end-to-end tests are made of: the real programs as child processes ([`harness`]), the peers that they talk to
//! ([`peers`]), and readers that are as strict as the strictest client ([`validate`]).
//!
//! The readers and the upstream share no code with the planes: what they accept is written down a second time here, from
//! the providers' own documentation, so that a mistake in a codec can't hide behind the same mistake in its test.

pub mod bench;
pub mod conformance;
pub mod environment;
pub mod fixtures;
pub mod harness;
pub mod peers;
pub mod validate;
