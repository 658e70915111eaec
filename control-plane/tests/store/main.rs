//! Every store keeps the same promises: one suite, run on each.

#![expect(clippy::unwrap_used, reason = "tests")]

mod activity;
mod conformance;
mod continuations;
mod faults;
mod growth;
mod journal;
mod messages;
mod postgres;
mod redact;
mod retention;
mod sets;
mod sqlite;
