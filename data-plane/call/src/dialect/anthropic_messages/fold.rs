//! From the steps of a complete response to a whole body.

use std::collections::BTreeMap;

use bytes::Bytes;
use luthien_proto::{
    Event, Step,
    event::{BlockKey, BlockKind, Delta, ToolForm},
};
use serde_json::{Map, Value, json};

use super::{blocks, encode::message, usage, words};
use crate::dialect::{
    fields::{Object, merge},
    write::free_text,
};

pub(in crate::dialect) fn encode_whole(events: &[Event]) -> Bytes {
    let mut fold = Fold::default();
    for event in events {
        fold.step(event);
    }
    fold.body()
}

#[derive(Default)]
struct Fold {
    message: Object,
    content: Vec<Block>,
    positions: BTreeMap<BlockKey, usize>,
    usage: Object,
    stop_reason: Option<String>,
    stop_sequence: Option<String>,
    /// What is written back into the body itself.
    rest: Object,
}

struct Block {
    json: Object,
    is_custom: bool,
    arguments: String,
}

impl Fold {
    fn step(&mut self, event: &Event) {
        let extras = &event.extras;
        match &event.step {
            Step::Started(started) => {
                self.message = message(started);
                self.keep(extras.get("message"));
            }
            // There are no alternative answers here.
            Step::BlockStarted(started) if started.choice > 0 => {}
            Step::Finished(finished) if finished.choice > 0 => {}
            Step::BlockStarted(started) => {
                let mut json = blocks::head(&started.kind);
                if let Some(Value::Object(rest)) = extras.get("content_block") {
                    merge(&mut json, rest);
                }
                self.positions.insert(started.block, self.content.len());
                let is_custom = matches!(&started.kind, BlockKind::ToolCall(call) if call.form == ToolForm::Custom);
                self.content.push(Block { json, is_custom, arguments: String::new() });
            }
            Step::BlockDelta(delta) => {
                let position = self.positions.get(&delta.block);
                if let Some(block) = position.and_then(|at| self.content.get_mut(*at)) {
                    block.add(&delta.delta);
                }
            }
            Step::BlockStopped(_) | Step::Opaque(_) | Step::Ended | Step::Failed(_) => {}
            Step::Usage(tokens) => {
                self.usage.extend(usage::object(tokens).into_iter().filter(|(_, value)| !value.is_null()));
                self.keep(extras.get("delta"));
            }
            Step::Finished(finished) => {
                self.stop_reason = Some(words::word(finished).to_owned());
                self.stop_sequence.clone_from(&finished.stop_sequence);
                self.keep(extras.get("delta"));
            }
        }
    }

    fn keep(&mut self, rest: Option<&Value>) {
        if let Some(Value::Object(rest)) = rest {
            merge(&mut self.rest, rest);
        }
    }

    fn body(mut self) -> Bytes {
        let mut body = self.message;
        body.insert("content".to_owned(), self.content.into_iter().map(Block::finish).collect());
        body.insert("stop_reason".to_owned(), self.stop_reason.into());
        body.insert("stop_sequence".to_owned(), self.stop_sequence.into());
        usage::complete(&mut self.usage);
        body.insert("usage".to_owned(), Value::Object(self.usage));
        merge(&mut body, &self.rest);
        Value::Object(body).to_string().into()
    }
}

impl Block {
    fn add(&mut self, delta: &Delta) {
        match delta {
            Delta::Text(text) => {
                let field =
                    if self.json.get("type").is_some_and(|type_| type_ == "thinking") { "thinking" } else { "text" };
                self.push(field, text);
            }
            Delta::Arguments(text) => self.arguments.push_str(text),
            Delta::Signature(text) => {
                self.json.insert("signature".to_owned(), text.as_str().into());
            }
            Delta::Opaque(Value::Object(delta)) => self.add_opaque(delta),
            Delta::Opaque(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {}
        }
    }

    fn push(&mut self, field: &str, text: &str) {
        match self.json.get_mut(field) {
            Some(Value::String(known)) => known.push_str(text),
            Some(_) | None => {
                self.json.insert(field.to_owned(), text.into());
            }
        }
    }

    fn add_opaque(&mut self, delta: &Object) {
        match delta.get("citation") {
            Some(citation) => {
                let citations = self.json.entry("citations").or_insert_with(|| json!([]));
                if let Value::Array(citations) = citations {
                    citations.push(citation.clone());
                }
            }
            None => {
                let fields = delta.iter().filter(|(key, _)| *key != "type");
                merge(&mut self.json, &fields.map(|(key, value)| (key.clone(), value.clone())).collect());
            }
        }
    }

    fn finish(mut self) -> Value {
        if self.is_custom {
            self.json.insert("input".to_owned(), free_text(&self.arguments));
        } else if !self.arguments.is_empty() {
            let parsed = serde_json::from_str(&self.arguments).ok();
            let input = parsed.filter(Value::is_object).unwrap_or_else(|| unreadable(self.arguments));
            self.json.insert("input".to_owned(), input);
        }
        Value::Object(self.json)
    }
}

/// The input is an object: a text that is none is put into one.
fn unreadable(arguments: String) -> Value {
    if arguments.trim().is_empty() {
        return Value::Object(Map::new());
    }
    json!({"_raw": arguments})
}
