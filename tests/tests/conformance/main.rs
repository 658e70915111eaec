//! The conformance kit: what it says of luthien's own policy service, and of one that breaks each rule in turn.
#![expect(clippy::unwrap_used, reason = "tests")]

mod ours;
mod rules;
mod wrong;
