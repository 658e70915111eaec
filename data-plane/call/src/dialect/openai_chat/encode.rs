//! From steps to chunks.

use std::collections::BTreeMap;

use bytes::BytesMut;
use luthien_proto::{
    Event, Step,
    event::{BlockDelta, BlockKey, BlockKind, BlockStarted, Delta, ToolForm, Usage},
    json::{Borrowed, Extras, Fields},
};
use serde_json::Value;

use super::{chunks::Chunks, details, failure, place, usage, words};
use crate::{
    dialect::fields::{Object, merge, merge_fields},
    sse,
};

#[derive(Debug, Default)]
pub(in crate::dialect) struct Encoder {
    chunks: Chunks,
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
        self.chunks.follow(event);
        match &event.step {
            // It is written as the beginning of choice 0.
            Step::Started(_) => {
                self.chunks.begin(0);
            }
            Step::BlockStarted(started) => {
                self.chunks.begin(started.choice);
                self.open(started);
                if matches!(started.kind, BlockKind::RedactedThinking { .. }) {
                    next(&mut self.details, started.choice);
                }
            }
            Step::BlockDelta(delta) => {
                self.note_arguments(delta);
                if let (Delta::Signature(_), Some(block)) = (&delta.delta, self.blocks.get(&delta.block)) {
                    next(&mut self.details, block.choice);
                }
            }
            Step::BlockStopped(block) => {
                self.blocks.remove(block);
            }
            Step::Finished(finished) => {
                self.chunks.finish(finished.choice);
            }
            Step::Usage(_) => self.usage = None,
            Step::Opaque(rest) => self.note_roles(rest),
            Step::Ended | Step::Failed(_) => {}
        }
    }

    pub(in crate::dialect) fn encode(&mut self, event: &Event, out: &mut BytesMut) {
        let extras = &event.extras;
        self.chunks.follow(event);
        match &event.step {
            Step::Started(_) => self.chunks.write(0, object([("content", "".into())]), None, extras, out),
            Step::BlockStarted(started) => self.begin(started, extras, out),
            Step::BlockDelta(delta) => self.go_on(delta, extras, out),
            Step::BlockStopped(block) => self.stop(*block, out),
            Step::Usage(usage) => {
                let (known, rest) = self.usage.get_or_insert_default();
                usage::add(known, usage);
                rest.clone_from(extras);
            }
            Step::Finished(finished) => {
                self.chunks.write(finished.choice, Fields::new(), Some(words::word(finished)), extras, out);
                self.chunks.finish(finished.choice);
            }
            Step::Opaque(rest) => self.opaque(rest, out),
            Step::Ended => self.end(out),
            Step::Failed(error) => {
                let body = failure::body(error);
                let mut body = Fields::from(&body);
                merge_fields(&mut body, extras.fields());
                sse::write_json(out, None, &body);
            }
        }
    }

    fn begin(&mut self, started: &BlockStarted, extras: &Extras, out: &mut BytesMut) {
        let form = self.open(started);
        let encrypted;
        let delta = match (&form, &started.kind) {
            (Form::Call { index, form, .. }, BlockKind::ToolCall(call)) => {
                let (type_, text) = words_of(*form);
                let inner = object([("name", call.name.as_str().into()), (text, "".into())]);
                let id = call.id.as_str().into();
                entry(*index, object([("id", id), ("type", type_.into()), (type_, inner.into())]), extras)
            }
            (Form::Legacy { .. }, BlockKind::ToolCall(call)) => {
                legacy(object([("name", call.name.as_str().into()), ("arguments", "".into())]), extras)
            }
            (Form::Opaque { index }, BlockKind::Opaque(value)) => entry(*index, fields_of(value), extras),
            (Form::Nowhere, BlockKind::RedactedThinking { data }) => {
                next(&mut self.details, started.choice);
                encrypted = details::encrypted(data, extras);
                object([("reasoning_details", vec![(&encrypted).into()].into())])
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
                Fields::new()
            }
        };
        self.chunks.write(started.choice, delta, None, extras, out);
    }

    fn go_on(&mut self, delta: &BlockDelta, extras: &Extras, out: &mut BytesMut) {
        self.note_arguments(delta);
        let Some(block) = self.blocks.get(&delta.block) else { return };
        let signed;
        let fields = match (&block.form, &delta.delta) {
            (_, Delta::Text(text) | Delta::Arguments(text)) if text.is_empty() && extras.is_empty() => return,
            (Form::Prose(_), Delta::Signature(signature)) => {
                let index = next(&mut self.details, block.choice);
                signed = details::signature(signature, index, extras);
                object([("reasoning_details", vec![(&signed).into()].into())])
            }
            (Form::Prose(field), Delta::Text(text)) => object([(field.as_str(), text.as_str().into())]),
            (Form::Call { index, form, .. }, Delta::Arguments(arguments)) => {
                let (type_, text) = words_of(*form);
                let inner = object([(text, arguments.as_str().into())]);
                entry(*index, object([(type_, inner.into())]), extras)
            }
            (Form::Legacy { .. }, Delta::Arguments(text)) => {
                legacy(object([("arguments", text.as_str().into())]), extras)
            }
            (Form::Call { index, .. } | Form::Opaque { index }, Delta::Opaque(value)) => {
                entry(*index, fields_of(value), extras)
            }
            (Form::Legacy { .. }, Delta::Opaque(value)) => object([("function_call", value.into())]),
            (Form::Prose(_), Delta::Opaque(value)) => fields_of(value),
            (
                Form::Prose(_) | Form::Call { .. } | Form::Legacy { .. } | Form::Opaque { .. } | Form::Nowhere,
                Delta::Text(_) | Delta::Arguments(_) | Delta::Signature(_) | Delta::Opaque(_),
            ) => return,
        };
        self.chunks.write(block.choice, fields, None, extras, out);
    }

    /// Arguments that never came are an empty object; an empty text would not be JSON.
    fn stop(&mut self, key: BlockKey, out: &mut BytesMut) {
        let Some(block) = self.blocks.remove(&key) else { return };
        let arguments = || object([("arguments", "{}".into())]);
        let delta = match block.form {
            Form::Call { index, form, has_arguments: false } if form.is_json() => {
                entry(index, object([("function", arguments().into())]), &Extras::NONE)
            }
            Form::Legacy { has_arguments: false } => legacy(arguments(), &Extras::NONE),
            Form::Prose(_) | Form::Call { .. } | Form::Legacy { .. } | Form::Opaque { .. } | Form::Nowhere => return,
        };
        self.chunks.write(block.choice, delta, None, &Extras::NONE, out);
    }

    fn opaque(&mut self, rest: &Value, out: &mut BytesMut) {
        let Some(fields) = rest.as_object() else { return };
        self.note_roles(rest);
        self.chunks.write_opaque(fields, out);
    }

    /// The role of a choice may have been all that its first chunk said.
    fn note_roles(&mut self, rest: &Value) {
        for choice in rest["choices"].as_array().into_iter().flatten() {
            if let (Some(Ok(index)), true) =
                (choice["index"].as_u64().map(u32::try_from), choice["delta"]["role"].is_string())
            {
                self.chunks.begin(index);
            }
        }
    }

    /// What began and has said nothing is finished too.
    fn end(&mut self, out: &mut BytesMut) {
        for choice in self.chunks.unfinished() {
            self.chunks.write(choice, Fields::new(), Some("stop"), &Extras::NONE, out);
        }
        if let Some((tokens, extras)) = self.usage.take() {
            self.chunks.write_usage(&usage::object(&tokens), &extras, out);
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
                    Form::Call { index: next(&mut self.calls, started.choice), form, has_arguments: false }
                }
            },
            BlockKind::Opaque(_) => Form::Opaque { index: next(&mut self.calls, started.choice) },
            BlockKind::RedactedThinking { .. } => Form::Nowhere,
        };
        self.blocks.insert(started.block, Block { choice: started.choice, form: form.clone() });
        form
    }

    fn note_arguments(&mut self, delta: &BlockDelta) {
        let Delta::Arguments(text) = &delta.delta else { return };
        if let Some(Block { form: Form::Call { has_arguments, .. } | Form::Legacy { has_arguments }, .. }) =
            self.blocks.get_mut(&delta.block)
        {
            *has_arguments |= !text.is_empty();
        }
    }
}

/// The next number of a choice.
fn next(counts: &mut BTreeMap<u32, u64>, choice: u32) -> u64 {
    let count = counts.entry(choice).or_default();
    let next = *count;
    *count += 1;
    next
}

/// What the type of a call is called, and the text that it is called with.
fn words_of(form: ToolForm) -> (&'static str, &'static str) {
    match form {
        ToolForm::Custom => ("custom", "input"),
        ToolForm::Function | ToolForm::Legacy | ToolForm::Server => ("function", "arguments"),
    }
}

fn object<'a, const N: usize>(fields: [(&'a str, Borrowed<'a>); N]) -> Fields<'a> {
    Fields::from_iter(fields)
}

fn fields_of(value: &Value) -> Fields<'_> {
    value.as_object().map(Fields::from).unwrap_or_default()
}

/// A delta with one entry of `tool_calls`.
fn entry<'a>(index: u64, fields: Fields<'a>, extras: &'a Extras) -> Fields<'a> {
    let mut entry = object([("index", index.into())]);
    for (key, value) in with_rest(fields, extras) {
        if key != "index" && (key != "id" || value.as_str() != Some("")) {
            entry.insert(key, value);
        }
    }
    object([("tool_calls", vec![entry.into()].into())])
}

fn legacy<'a>(fields: Fields<'a>, extras: &'a Extras) -> Fields<'a> {
    object([("function_call", with_rest(fields, extras).into())])
}

fn with_rest<'a>(mut fields: Fields<'a>, extras: &'a Extras) -> Fields<'a> {
    if let Some(rest) = extras.fields().take_object(place::TOOL_CALL) {
        merge_fields(&mut fields, rest);
    }
    fields
}

/// Writes back the extras of one place.
pub(super) fn merge_from(into: &mut Object, extras: &Extras, place: &str) {
    if let Some(Value::Object(rest)) = extras.get(place) {
        merge(into, rest);
    }
}
