//! Every store keeps the same promises: one suite, run on each.

mod conformance;
mod sqlite;
