//! From steps to chunks.

use std::collections::BTreeMap;

use bytes::BytesMut;
use luthien_proto::{
    Event, Step,
    event::{BlockDelta, BlockKey, BlockKind, BlockStarted, Delta, ToolForm, Usage},
    json::Extras,
};
use serde_json::{Value, json};

use super::{
    details,
    envelope::{CHUNK, Envelope},
    failure, place, usage, words,
};
use crate::{
    dialect::fields::{Object, merge},
    sse,
};

#[derive(Debug, Default)]
pub(in crate::dialect) struct Encoder {
    envelope: Envelope,
    /// The choices that the client has been told of, and whether of their finish too.
    choices: BTreeMap<u32, bool>,
    /// How many calls each choice has.
    calls: BTreeMap<u32, u64>,
    /// How many entries of `reasoning_details`.
    details: BTreeMap<u32, u64>,
    blocks: BTreeMap<BlockKey, Block>,
    /// The last tokens that are still to be told.
    usage: Option<(Usage, Extras)>,
}

#[derive(Clone, Debug)]
struct Block {
    choice: u32,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    /// In a field of the delta.
    Prose(String),
    /// In an entry of `tool_calls`.
    Call {
        index: u64,
        form: ToolForm,
        has_arguments: bool,
    },
    Legacy {
        has_arguments: bool,
    },
    /// In an entry of `tool_calls`, of an unknown type.
    Opaque {
        index: u64,
    },
    /// The dialect has no place for it.
    Nowhere,
}

impl Encoder {
    pub(in crate::dialect) fn observe(&mut self, event: &Event) {
        self.envelope.follow(event);
        match &event.step {
            // It is written as the beginning of choice 0.
            Step::Started(_) => {
                self.begin_choice(0);
            }
            Step::BlockStarted(started) => {
                self.begin_choice(started.choice);
                self.open(started);
                if matches!(started.kind, BlockKind::RedactedThinking { .. }) {
                    self.next_detail(started.choice);
                }
            }
            Step::BlockDelta(delta) => {
                self.note_arguments(delta);
                if let (Delta::Signature(_), Some(block)) = (&delta.delta, self.blocks.get(&delta.block)) {
                    self.next_detail(block.choice);
                }
            }
            Step::BlockStopped(block) => {
                self.blocks.remove(block);
            }
            Step::Finished(finished) => {
                self.choices.insert(finished.choice, true);
            }
            Step::Usage(_) => self.usage = None,
            Step::Opaque(rest) => self.note_roles(rest),
            Step::Ended | Step::Failed(_) => {}
        }
    }

    pub(in crate::dialect) fn encode(&mut self, event: &Event, out: &mut BytesMut) {
        let extras = &event.extras;
        self.envelope.follow(event);
        match &event.step {
            Step::Started(_) => self.chunk(0, json!({"content": ""}), None, extras, out),
            Step::BlockStarted(started) => self.begin(started, extras, out),
            Step::BlockDelta(delta) => self.go_on(delta, extras, out),
            Step::BlockStopped(block) => self.stop(*block, out),
            Step::Usage(usage) => {
                let (known, rest) = self.usage.get_or_insert_default();
                usage::add(known, usage);
                rest.clone_from(extras);
            }
            Step::Finished(finished) => {
                self.chunk(finished.choice, json!({}), Some(words::word(finished)), extras, out);
                self.choices.insert(finished.choice, true);
            }
            Step::Opaque(rest) => self.opaque(rest, out),
            Step::Ended => self.end(out),
            Step::Failed(error) => {
                let mut body = failure::body(error);
                merge(&mut body, &extras.clone().into_map());
                sse::write_json(out, None, &body);
            }
        }
    }

    fn begin(&mut self, started: &BlockStarted, extras: &Extras, out: &mut BytesMut) {
        let form = self.open(started);
        let delta = match (&form, &started.kind) {
            (Form::Call { index, form: ToolForm::Custom, .. }, BlockKind::ToolCall(call)) => {
                let custom = json!({"name": call.name, "input": ""});
                entry(*index, json!({"id": call.id, "type": "custom", "custom": custom}), extras)
            }
            (Form::Call { index, .. }, BlockKind::ToolCall(call)) => {
                let function = json!({"name": call.name, "arguments": ""});
                entry(*index, json!({"id": call.id, "type": "function", "function": function}), extras)
            }
            (Form::Legacy { .. }, BlockKind::ToolCall(call)) => {
                json!({"function_call": with_rest(json!({"name": call.name, "arguments": ""}), extras)})
            }
            (Form::Opaque { index }, BlockKind::Opaque(value)) => entry(*index, value.clone(), extras),
            (Form::Nowhere, BlockKind::RedactedThinking { data }) => {
                self.next_detail(started.choice);
                json!({"reasoning_details": [details::encrypted(data, extras)]})
            }
            (
                Form::Prose(_) | Form::Nowhere | Form::Call { .. } | Form::Legacy { .. } | Form::Opaque { .. },
                BlockKind::Text
                | BlockKind::Thinking { .. }
                | BlockKind::Refusal
                | BlockKind::RedactedThinking { .. }
                | BlockKind::ToolCall(_)
                | BlockKind::Opaque(_),
            ) => {
                if extras.is_empty() {
                    return;
                }
                json!({})
            }
        };
        self.chunk(started.choice, delta, None, extras, out);
    }

    fn go_on(&mut self, delta: &BlockDelta, extras: &Extras, out: &mut BytesMut) {
        self.note_arguments(delta);
        let Some(block) = self.blocks.get(&delta.block).cloned() else { return };
        let delta = match (&block.form, &delta.delta) {
            (_, Delta::Text(text) | Delta::Arguments(text)) if text.is_empty() && extras.is_empty() => return,
            (Form::Prose(_), Delta::Signature(signature)) => {
                let index = self.next_detail(block.choice);
                json!({"reasoning_details": [details::signature(signature, index, extras)]})
            }
            (Form::Prose(field), Delta::Text(text)) => json!({field.as_str(): text}),
            (Form::Call { index, form, .. }, Delta::Arguments(text)) => {
                let fields = match form {
                    ToolForm::Custom => json!({"custom": {"input": text}}),
                    ToolForm::Function | ToolForm::Legacy | ToolForm::Server => {
                        json!({"function": {"arguments": text}})
                    }
                };
                entry(*index, fields, extras)
            }
            (Form::Legacy { .. }, Delta::Arguments(text)) => {
                json!({"function_call": with_rest(json!({"arguments": text}), extras)})
            }
            (Form::Call { index, .. } | Form::Opaque { index }, Delta::Opaque(value)) => {
                entry(*index, value.clone(), extras)
            }
            (Form::Legacy { .. }, Delta::Opaque(value)) => json!({"function_call": value}),
            (Form::Prose(_), Delta::Opaque(value)) => value.clone(),
            (
                Form::Prose(_) | Form::Call { .. } | Form::Legacy { .. } | Form::Opaque { .. } | Form::Nowhere,
                Delta::Text(_) | Delta::Arguments(_) | Delta::Signature(_) | Delta::Opaque(_),
            ) => return,
        };
        self.chunk(block.choice, delta, None, extras, out);
    }

    /// Arguments that never came are an empty object; an empty text would not be JSON.
    fn stop(&mut self, key: BlockKey, out: &mut BytesMut) {
        let Some(block) = self.blocks.remove(&key) else { return };
        let delta = match block.form {
            Form::Call { index, form, has_arguments: false } if form.is_json() => {
                json!({"tool_calls": [{"index": index, "function": {"arguments": "{}"}}]})
            }
            Form::Legacy { has_arguments: false } => json!({"function_call": {"arguments": "{}"}}),
            Form::Prose(_) | Form::Call { .. } | Form::Legacy { .. } | Form::Opaque { .. } | Form::Nowhere => return,
        };
        self.chunk(block.choice, delta, None, &Extras::NONE, out);
    }

    /// The envelope stays the response's own, whatever stands in it here.
    fn opaque(&mut self, rest: &Value, out: &mut BytesMut) {
        let Some(fields) = rest.as_object() else { return };
        self.note_roles(rest);
        let mut chunk = self.envelope.object(CHUNK);
        chunk.insert("choices".to_owned(), fields.get("choices").cloned().unwrap_or_else(|| json!([])));
        for (key, value) in fields {
            chunk.entry(key.clone()).or_insert_with(|| value.clone());
        }
        sse::write_json(out, None, &chunk);
    }

    /// The role of a choice may have been all that its first chunk said.
    fn note_roles(&mut self, rest: &Value) {
        for choice in rest["choices"].as_array().into_iter().flatten() {
            if let (Some(Ok(index)), true) =
                (choice["index"].as_u64().map(u32::try_from), choice["delta"]["role"].is_string())
            {
                self.begin_choice(index);
            }
        }
    }

    /// Notes that the client is told of a choice; whether that is news.
    fn begin_choice(&mut self, choice: u32) -> bool {
        let is_new = !self.choices.contains_key(&choice);
        self.choices.entry(choice).or_default();
        is_new
    }

    /// What began and has said nothing is finished too.
    fn end(&mut self, out: &mut BytesMut) {
        let unfinished: Vec<u32> = self.choices.iter().filter(|(_, finished)| !**finished).map(|(at, _)| *at).collect();
        for choice in unfinished {
            self.chunk(choice, json!({}), Some("stop"), &Extras::NONE, out);
        }
        if let Some((tokens, extras)) = self.usage.take() {
            let mut chunk = self.envelope.object(CHUNK);
            chunk.insert("choices".to_owned(), json!([]));
            chunk.insert("usage".to_owned(), usage::object(&tokens));
            merge_from(&mut chunk, &extras, place::CHUNK);
            sse::write_json(out, None, &chunk);
        }
        sse::write(out, None, b"[DONE]");
    }

    fn open(&mut self, started: &BlockStarted) -> Form {
        let form = match &started.kind {
            BlockKind::Text => Form::Prose("content".to_owned()),
            BlockKind::Refusal => Form::Prose("refusal".to_owned()),
            BlockKind::Thinking { field, .. } if field.is_empty() => Form::Prose("reasoning_content".to_owned()),
            BlockKind::Thinking { field, .. } => Form::Prose(field.clone()),
            BlockKind::ToolCall(call) => match call.form {
                ToolForm::Legacy => Form::Legacy { has_arguments: false },
                form @ (ToolForm::Function | ToolForm::Custom | ToolForm::Server) => {
                    Form::Call { index: self.next_call(started.choice), form, has_arguments: false }
                }
            },
            BlockKind::Opaque(_) => Form::Opaque { index: self.next_call(started.choice) },
            BlockKind::RedactedThinking { .. } => Form::Nowhere,
        };
        self.blocks.insert(started.block, Block { choice: started.choice, form: form.clone() });
        form
    }

    fn next_call(&mut self, choice: u32) -> u64 {
        let count = self.calls.entry(choice).or_default();
        let index = *count;
        *count += 1;
        index
    }

    fn next_detail(&mut self, choice: u32) -> u64 {
        let count = self.details.entry(choice).or_default();
        let index = *count;
        *count += 1;
        index
    }

    fn note_arguments(&mut self, delta: &BlockDelta) {
        let Delta::Arguments(text) = &delta.delta else { return };
        if let Some(Block { form: Form::Call { has_arguments, .. } | Form::Legacy { has_arguments }, .. }) =
            self.blocks.get_mut(&delta.block)
        {
            *has_arguments |= !text.is_empty();
        }
    }

    fn chunk(&mut self, choice: u32, delta: Value, word: Option<&str>, extras: &Extras, out: &mut BytesMut) {
        let mut message = Object::new();
        if self.begin_choice(choice) {
            message.insert("role".to_owned(), Value::from("assistant"));
        }
        if let Value::Object(delta) = delta {
            message.extend(delta);
        }
        merge_from(&mut message, extras, place::DELTA);
        let mut entry = Object::new();
        entry.insert("index".to_owned(), choice.into());
        entry.insert("delta".to_owned(), Value::Object(message));
        entry.insert("finish_reason".to_owned(), word.into());
        merge_from(&mut entry, extras, place::CHOICE);
        let mut chunk = self.envelope.object(CHUNK);
        chunk.insert("choices".to_owned(), Value::Array(vec![Value::Object(entry)]));
        merge_from(&mut chunk, extras, place::CHUNK);
        sse::write_json(out, None, &chunk);
    }
}

/// A delta with one entry of `tool_calls`.
fn entry(index: u64, fields: Value, extras: &Extras) -> Value {
    let mut entry = Object::new();
    entry.insert("index".to_owned(), index.into());
    if let Value::Object(fields) = with_rest(fields, extras) {
        let is_written = |key: &str, value: &Value| key != "index" && (key != "id" || value != "");
        entry.extend(fields.into_iter().filter(|(key, value)| is_written(key, value)));
    }
    json!({"tool_calls": [entry]})
}

fn with_rest(mut fields: Value, extras: &Extras) -> Value {
    if let Value::Object(fields) = &mut fields {
        merge_from(fields, extras, place::TOOL_CALL);
    }
    fields
}

/// Writes back the extras of one place.
pub(super) fn merge_from(into: &mut Object, extras: &Extras, place: &str) {
    if let Some(Value::Object(rest)) = extras.get(place) {
        merge(into, rest);
    }
}
