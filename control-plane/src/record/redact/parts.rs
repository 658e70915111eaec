//! Parts of blocks: what a match is made of may come in several of them.

use std::collections::HashMap;

use serde_json::Value;
use uuid::Uuid;

use super::{
    Redaction,
    tail::{Searches, Tail},
};

/// A stream of a call.
type Stream = (Uuid, u32);

/// The blocks of which parts were written.
pub(super) struct Parts {
    searches: Searches,
    blocks: HashMap<Stream, HashMap<u64, Sides>>,
}

/// What is held back of a block.
#[derive(Default)]
struct Sides {
    original: Tail,
    settled: Tail,
}

impl Parts {
    pub(super) fn new(redaction: &Redaction) -> Self {
        Self { searches: Searches::new(redaction), blocks: HashMap::new() }
    }

    /// What may still become a match is left out of the part, and is in the next one. Arguments are left out altogether:
    /// they are JSON, and a client gets them when the block is over.
    pub(super) fn mask(&mut self, stream: Stream, part: &mut Value) {
        let Some(block) = part["block"].as_u64() else { return };
        let sides = self.blocks.entry(stream).or_default().entry(block).or_default();
        if part["unchanged"] == true {
            part["final"] = part["original"].clone();
        }
        hold_back(&mut part["original"], &mut sides.original, &mut self.searches);
        hold_back(&mut part["final"], &mut sides.settled, &mut self.searches);
        let is_unchanged = part["original"] == part["final"];
        part["unchanged"] = is_unchanged.into();
        if is_unchanged || part["final"].is_null() {
            part.as_object_mut().map(|part| part.remove("final"));
        }
    }

    /// A block is over.
    pub(super) fn over(&mut self, stream: Stream, block: &Value) {
        if let (Some(blocks), Some(block)) = (self.blocks.get_mut(&stream), block.as_u64()) {
            blocks.remove(&block);
        }
    }

    /// A stream is.
    pub(super) fn closed(&mut self, stream: Stream) {
        self.blocks.remove(&stream);
    }
}

fn hold_back(content: &mut Value, tail: &mut Tail, searches: &mut Searches) {
    let Value::Object(content) = content else { return };
    if content.contains_key("arguments") {
        content.insert("arguments".to_owned(), Value::Null);
    }
    if let Some(Value::String(text)) = content.get_mut("text") {
        *text = tail.push(text, searches);
    }
}
