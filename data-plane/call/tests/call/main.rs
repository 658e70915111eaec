//! What a call promises, through its public seam: bytes and verdicts in, bytes and messages out.

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    reason = "a test that can't go on fails"
)]

mod alone;
mod consults;
mod conversion;
mod ends;
mod faults;
#[path = "../codec/generate.rs"]
mod generate;
mod items;
mod made;
mod metamorphic;
mod property;
mod relay;
mod reports;
mod resume;
mod rig;
mod stats;
mod tools;
mod verdicts;
