//! What is on record of a call, as the admin API tells it.

use serde_json::Value;

/// The record of a call.
#[derive(Clone, Debug)]
pub struct Record {
    /// The call at a glance.
    pub call: Value,
    /// The bodies of its entries, in order.
    pub entries: Vec<Value>,
}

impl Record {
    pub(super) fn new(mut call: Value) -> Self {
        let entries = call["entries"].take();
        let bodies = entries.as_array().cloned().unwrap_or_default().into_iter().map(|mut entry| entry["body"].take());
        Self { entries: bodies.collect(), call }
    }

    /// How it ended; empty: it has not.
    pub fn outcome(&self) -> &str {
        self.call["outcome"].as_str().unwrap_or_default()
    }

    /// The entries of one type.
    pub fn of_type<'a>(&'a self, type_: &'a str) -> impl Iterator<Item = &'a Value> {
        self.entries.iter().filter(move |entry| entry["type"] == type_)
    }

    /// The blocks of one kind.
    pub fn blocks<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.of_type("block").filter(move |block| block["kind"] == kind)
    }

    /// The text of all blocks of one kind, as the model gave it (`original`) or as it was settled (`final`).
    pub fn text(&self, kind: &str, side: &str) -> String {
        self.blocks(kind).filter_map(|block| block[side]["text"].as_str()).collect()
    }
}
