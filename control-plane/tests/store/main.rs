//! Every store keeps the same promises: one suite, run on each.

#![expect(clippy::unwrap_used, reason = "tests")]

mod conformance;
mod continuations;
mod faults;
mod journal;
mod messages;
mod postgres;
mod redact;
mod sets;
mod sqlite;
