//! From steps to SSE events.

use std::collections::BTreeMap;

use bytes::BytesMut;
use luthien_proto::{
    Event, Step,
    event::{BlockDelta, BlockKey, BlockKind, BlockStarted, Delta, Finished, Started, ToolForm, Usage},
    json::{Borrowed, Extras, Fields},
};
use serde_json::{Value, json};

use super::{blocks, failure, usage, words};
use crate::{
    dialect::fields::{Object, merge, merge_fields},
    sse,
};

#[derive(Debug, Default)]
pub(in crate::dialect) struct Encoder {
    /// A `message_start` that waits for its usage.
    start: Option<Object>,
    blocks: BTreeMap<BlockKey, Block>,
    next_index: u64,
    /// The usage that the next `message_delta` tells.
    usage: Option<Object>,
    /// What else it tells.
    delta_rest: Object,
    /// The output tokens that were told last.
    output: u64,
    finished: Option<Finished>,
    /// Whether a `message_delta` has told it.
    finish_told: bool,
}

#[derive(Clone, Copy, Debug)]
struct Block {
    index: u64,
    sort: Sort,
}

/// What its deltas are.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Sort {
    Thinking,
    /// Free text, which goes into an object: here tools have JSON arguments only.
    Custom,
    Other,
}

impl Encoder {
    pub(in crate::dialect) fn observe(&mut self, event: &Event) {
        match &event.step {
            Step::BlockStarted(started) => {
                self.open(started);
            }
            Step::BlockStopped(block) => {
                self.blocks.remove(block);
            }
            Step::Usage(usage) => self.output = usage.output.unwrap_or(self.output),
            Step::Finished(finished) => {
                self.finished = Some(finished.clone());
                self.finish_told = true;
            }
            Step::Started(_) | Step::BlockDelta(_) | Step::Opaque(_) | Step::Ended | Step::Failed(_) => {}
        }
    }

    pub(in crate::dialect) fn encode(&mut self, event: &Event, out: &mut BytesMut) {
        if let Step::Usage(usage) = &event.step {
            return self.take_usage(usage, &event.extras, out);
        }
        self.flush(out);
        match &event.step {
            Step::Started(started) => self.start = Some(message_start(started, &event.extras)),
            // There are no alternative answers here.
            Step::BlockStarted(started) if started.choice > 0 => {}
            Step::Finished(finished) if finished.choice > 0 => {}
            Step::BlockStarted(started) => self.begin(started, &event.extras, out),
            Step::BlockDelta(delta) => self.go_on(delta, &event.extras, out),
            Step::BlockStopped(block) => {
                if let Some(block) = self.blocks.remove(block) {
                    if block.sort == Sort::Custom {
                        arguments(block.index, "\"}", out);
                    }
                    write(event_of("content_block_stop", [("index", block.index.into())]), &event.extras, out);
                }
            }
            Step::Usage(_) => {}
            Step::Finished(finished) => {
                self.finished = Some(finished.clone());
                merge(&mut self.delta_rest, &event.extras.clone().into_map());
            }
            Step::Opaque(value) => write_value(value, &event.extras, out),
            Step::Ended => {
                self.finish(out);
                write(event_of("message_stop", []), &event.extras, out);
            }
            Step::Failed(error) => write((&failure::body(error)).into(), &event.extras, out),
        }
    }

    pub(in crate::dialect) fn flush(&mut self, out: &mut BytesMut) {
        if let Some(mut start) = self.start.take() {
            if let Some(Value::Object(usage)) = start.get_mut("message").and_then(|message| message.get_mut("usage")) {
                usage::complete(usage);
            }
            write((&start).into(), &Extras::NONE, out);
        }
    }

    /// Usage goes into the `message_start` that waits for it, or into the `message_delta` to come.
    fn take_usage(&mut self, tokens: &Usage, extras: &Extras, out: &mut BytesMut) {
        self.output = tokens.output.unwrap_or(self.output);
        let told = usage::object(tokens);
        if let Some(start) = &mut self.start {
            if let Some(Value::Object(message)) = start.get_mut("message") {
                message.insert("usage".to_owned(), Value::Object(told));
            }
            return self.flush(out);
        }
        let usage = self.usage.get_or_insert_default();
        for (key, value) in told {
            if !value.is_null() || !usage.contains_key(&key) {
                usage.insert(key, value);
            }
        }
        merge(&mut self.delta_rest, &extras.clone().into_map());
    }

    fn begin(&mut self, started: &BlockStarted, extras: &Extras, out: &mut BytesMut) {
        let Block { index, sort } = self.open(started);
        let block = blocks::head(&started.kind);
        let fields = [("index", index.into()), ("content_block", Fields::from(&block).into())];
        write(event_of("content_block_start", fields), extras, out);
        if sort == Sort::Custom {
            arguments(index, "{\"input\":\"", out);
        }
    }

    fn go_on(&mut self, delta: &BlockDelta, extras: &Extras, out: &mut BytesMut) {
        let Some(block) = self.blocks.get(&delta.block) else { return };
        let inner = match &delta.delta {
            Delta::Text(text) if block.sort == Sort::Thinking => piece("thinking_delta", "thinking", text.as_str()),
            Delta::Text(text) => piece("text_delta", "text", text.as_str()),
            Delta::Arguments(text) if block.sort == Sort::Custom => {
                piece("input_json_delta", "partial_json", escaped(text))
            }
            Delta::Arguments(text) => piece("input_json_delta", "partial_json", text.as_str()),
            Delta::Signature(text) => piece("signature_delta", "signature", text.as_str()),
            Delta::Opaque(value) => value.into(),
        };
        write(event_of("content_block_delta", [("index", block.index.into()), ("delta", inner)]), extras, out);
    }

    /// Tells why the message is finished, and its tokens, together.
    fn finish(&mut self, out: &mut BytesMut) {
        let usage = self.usage.take();
        let Some(finished) = &self.finished else { return };
        if self.finish_told && usage.is_none() && self.delta_rest.is_empty() {
            return;
        }
        let mut usage = usage.unwrap_or_default();
        if usage.get("output_tokens").is_none_or(Value::is_null) {
            usage.insert("output_tokens".to_owned(), self.output.into());
        }
        let delta = json!({"stop_reason": words::word(finished), "stop_sequence": finished.stop_sequence});
        let rest = Extras::from(std::mem::take(&mut self.delta_rest));
        write_value(&json!({"type": "message_delta", "delta": delta, "usage": usage}), &rest, out);
        self.finish_told = true;
    }

    fn open(&mut self, started: &BlockStarted) -> Block {
        let sort = match &started.kind {
            BlockKind::Thinking { .. } => Sort::Thinking,
            BlockKind::ToolCall(call) if call.form == ToolForm::Custom => Sort::Custom,
            BlockKind::Text
            | BlockKind::RedactedThinking { .. }
            | BlockKind::Refusal
            | BlockKind::ToolCall(_)
            | BlockKind::Opaque(_) => Sort::Other,
        };
        let block = Block { index: self.next_index, sort };
        self.next_index += 1;
        self.blocks.insert(started.block, block);
        block
    }
}

/// A piece of arguments that is not the model's own.
fn arguments(index: u64, text: &str, out: &mut BytesMut) {
    let delta = piece("input_json_delta", "partial_json", text);
    write(event_of("content_block_delta", [("index", index.into()), ("delta", delta)]), &Extras::NONE, out);
}

fn piece<'a>(type_: &'a str, field: &'a str, text: impl Into<Borrowed<'a>>) -> Borrowed<'a> {
    event_of(type_, [(field, text.into())]).into()
}

fn event_of<'a, const N: usize>(type_: &'a str, fields: [(&'a str, Borrowed<'a>); N]) -> Fields<'a> {
    [("type", type_.into())].into_iter().chain(fields).collect()
}

/// Text as it stands within a JSON string.
fn escaped(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted.get(1..quoted.len() - 1).unwrap_or_default().to_owned()
}

fn message_start(started: &Started, extras: &Extras) -> Object {
    let mut message = message(started);
    message.insert("content".to_owned(), json!([]));
    message.insert("stop_reason".to_owned(), Value::Null);
    message.insert("stop_sequence".to_owned(), Value::Null);
    message.insert("usage".to_owned(), json!({}));
    let mut start = Object::new();
    start.insert("type".to_owned(), Value::from("message_start"));
    start.insert("message".to_owned(), Value::Object(message));
    merge(&mut start, &extras.clone().into_map());
    start
}

/// What a message begins with.
pub(super) fn message(started: &Started) -> Object {
    let fields =
        [("id", started.id.as_str()), ("type", "message"), ("role", "assistant"), ("model", started.model.as_str())];
    fields.into_iter().map(|(key, value)| (key.to_owned(), Value::from(value))).collect()
}

fn write_value(event: &Value, extras: &Extras, out: &mut BytesMut) {
    if let Value::Object(event) = event {
        write(event.into(), extras, out);
    }
}

/// Writes an event under the name of its type, with its extras where they came from.
fn write<'a>(mut event: Fields<'a>, extras: &'a Extras, out: &mut BytesMut) {
    merge_fields(&mut event, extras.fields());
    if let Some(type_) = event.text("type") {
        sse::write_json(out, Some(type_), &event);
    }
}
