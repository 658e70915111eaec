//! From the steps of a complete response to a whole body.

use std::collections::BTreeMap;

use bytes::Bytes;
use luthien_proto::{
    Event, Step,
    event::{BlockKey, BlockKind, BlockStarted, Delta, ToolForm, Usage},
    json::Extras,
};
use serde_json::{Value, json};

use super::{
    details::Entries,
    encode::merge_from,
    envelope::{Envelope, WHOLE},
    place, usage, words,
};
use crate::dialect::fields::{Object, merge};

pub(in crate::dialect) fn encode_whole(events: &[Event]) -> Bytes {
    let mut fold = Fold::default();
    for event in events {
        fold.step(event);
    }
    fold.body()
}

#[derive(Default)]
struct Fold {
    envelope: Envelope,
    choices: BTreeMap<u32, Choice>,
    blocks: BTreeMap<BlockKey, (u32, Place)>,
    usage: Option<Usage>,
    /// What is written back into the body itself.
    rest: Object,
}

#[derive(Default)]
struct Choice {
    prose: BTreeMap<String, String>,
    details: Entries,
    calls: Vec<Object>,
    legacy: Option<Object>,
    word: Option<String>,
    message_rest: Object,
    rest: Object,
}

/// Where a block's content goes in the message.
#[derive(Clone)]
enum Place {
    Prose(String),
    /// Beside the field, in an entry of `reasoning_details`.
    Thinking(String, usize),
    Call(usize, &'static str, &'static str),
    Legacy,
    Nowhere,
}

impl Fold {
    fn step(&mut self, event: &Event) {
        self.envelope.follow(event);
        let choice = match &event.step {
            Step::Started(_) | Step::Ended | Step::Failed(_) => 0,
            Step::BlockStarted(started) => {
                self.begin(started, &event.extras);
                started.choice
            }
            Step::BlockDelta(delta) => self.go_on(delta.block, &delta.delta, &event.extras),
            Step::BlockStopped(block) => self.stop(*block),
            Step::Usage(tokens) => {
                usage::add(self.usage.get_or_insert_default(), tokens);
                0
            }
            Step::Finished(finished) => {
                self.choice(finished.choice).word = Some(words::word(finished).to_owned());
                finished.choice
            }
            Step::Opaque(value) => {
                if let Value::Object(rest) = value {
                    merge(&mut self.rest, rest);
                }
                0
            }
        };
        self.keep_rest(choice, &event.extras);
    }

    fn keep_rest(&mut self, choice: u32, extras: &Extras) {
        if extras.is_empty() {
            return;
        }
        merge_from(&mut self.rest, extras, place::CHUNK);
        if extras.get(place::CHOICE).or_else(|| extras.get(place::DELTA)).is_some() {
            let choice = self.choice(choice);
            merge_from(&mut choice.rest, extras, place::CHOICE);
            merge_from(&mut choice.message_rest, extras, place::DELTA);
        }
    }

    fn choice(&mut self, index: u32) -> &mut Choice {
        self.choices.entry(index).or_default()
    }

    fn begin(&mut self, started: &BlockStarted, extras: &Extras) {
        let choice = self.choice(started.choice);
        let place = match &started.kind {
            BlockKind::Text => Place::Prose("content".to_owned()),
            BlockKind::Refusal => Place::Prose("refusal".to_owned()),
            BlockKind::Thinking { field, .. } => {
                let field = if field.is_empty() { "reasoning_content" } else { field };
                Place::Thinking(field.to_owned(), choice.details.begin())
            }
            BlockKind::ToolCall(call) => match call.form {
                ToolForm::Legacy => {
                    choice.legacy = Some(object(json!({"name": call.name, "arguments": ""}), extras));
                    Place::Legacy
                }
                ToolForm::Custom => choice.begin_call(&call.id, "custom", &call.name, "input", extras),
                ToolForm::Function | ToolForm::Server => {
                    choice.begin_call(&call.id, "function", &call.name, "arguments", extras)
                }
            },
            BlockKind::Opaque(value) => {
                choice.calls.push(object(value.clone(), extras));
                Place::Nowhere
            }
            BlockKind::RedactedThinking { data } => {
                choice.details.push_encrypted(data, extras);
                Place::Nowhere
            }
        };
        self.blocks.insert(started.block, (started.choice, place));
    }

    fn go_on(&mut self, block: BlockKey, delta: &Delta, extras: &Extras) -> u32 {
        let Some((index, place)) = self.blocks.get(&block).cloned() else { return 0 };
        let choice = self.choice(index);
        match (place, delta) {
            (Place::Prose(field), Delta::Text(text)) => choice.prose.entry(field).or_default().push_str(text),
            (Place::Thinking(field, at), Delta::Text(text)) => {
                choice.prose.entry(field).or_default().push_str(text);
                choice.details.push_text(at, text);
            }
            (Place::Thinking(_, at), Delta::Signature(signature)) => choice.details.sign(at, signature, extras),
            (Place::Call(at, kind, field), Delta::Arguments(text)) => {
                if let Some(call) = choice.calls.get_mut(at) {
                    push(call.get_mut(kind), field, text);
                    merge_from(call, extras, place::TOOL_CALL);
                }
            }
            (Place::Call(at, ..), Delta::Opaque(Value::Object(rest))) => {
                if let Some(call) = choice.calls.get_mut(at) {
                    merge(call, rest);
                }
            }
            (Place::Legacy, Delta::Arguments(text)) => {
                if let Some(call) = &mut choice.legacy {
                    push_into(call, "arguments", text);
                    merge_from(call, extras, place::TOOL_CALL);
                }
            }
            (Place::Legacy, Delta::Opaque(Value::Object(rest))) => {
                if let Some(call) = &mut choice.legacy {
                    merge(call, rest);
                }
            }
            (Place::Prose(_) | Place::Thinking(..), Delta::Opaque(Value::Object(rest))) => {
                merge(&mut choice.message_rest, rest)
            }
            (
                Place::Prose(_) | Place::Thinking(..) | Place::Call(..) | Place::Legacy | Place::Nowhere,
                Delta::Text(_) | Delta::Arguments(_) | Delta::Signature(_) | Delta::Opaque(_),
            ) => {}
        }
        index
    }

    /// Arguments that never came are an empty object; an empty text would not be JSON.
    fn stop(&mut self, block: BlockKey) -> u32 {
        let Some((index, place)) = self.blocks.remove(&block) else { return 0 };
        let choice = self.choice(index);
        let arguments = match place {
            Place::Call(at, "function", field) => {
                choice.calls.get_mut(at).and_then(|call| call.get_mut("function")?.get_mut(field))
            }
            Place::Legacy => choice.legacy.as_mut().and_then(|call| call.get_mut("arguments")),
            Place::Prose(_) | Place::Thinking(..) | Place::Call(..) | Place::Nowhere => None,
        };
        if let Some(arguments) = arguments
            && arguments == ""
        {
            *arguments = Value::from("{}");
        }
        index
    }

    fn body(self) -> Bytes {
        let mut body = self.envelope.fields(WHOLE).into_map();
        let choices = self.choices.into_iter().map(|(index, choice)| choice.object(index));
        body.insert("choices".to_owned(), choices.collect());
        if let Some(usage) = self.usage {
            body.insert("usage".to_owned(), usage::object(&usage));
        }
        merge(&mut body, &self.rest);
        Value::Object(body).to_string().into()
    }
}

impl Choice {
    fn begin_call(&mut self, id: &str, kind: &'static str, name: &str, field: &'static str, extras: &Extras) -> Place {
        let call = json!({"id": id, "type": kind, kind: {"name": name, field: ""}});
        self.calls.push(object(call, extras));
        Place::Call(self.calls.len() - 1, kind, field)
    }

    fn object(mut self, index: u32) -> Value {
        let mut message = Object::new();
        message.insert("role".to_owned(), Value::from("assistant"));
        message.insert("content".to_owned(), self.prose.remove("content").into());
        message.insert("refusal".to_owned(), self.prose.remove("refusal").into());
        message.extend(self.prose.into_iter().map(|(field, text)| (field, Value::from(text))));
        let details = self.details.finish();
        if !details.is_empty() {
            message.insert("reasoning_details".to_owned(), details.into());
        }
        if !self.calls.is_empty() {
            message.insert("tool_calls".to_owned(), self.calls.into_iter().map(Value::Object).collect());
        }
        if let Some(call) = self.legacy {
            message.insert("function_call".to_owned(), Value::Object(call));
        }
        merge(&mut message, &self.message_rest);
        let mut choice = Object::new();
        choice.insert("index".to_owned(), index.into());
        choice.insert("message".to_owned(), Value::Object(message));
        choice.insert("finish_reason".to_owned(), self.word.unwrap_or_else(|| "stop".to_owned()).into());
        choice.insert("logprobs".to_owned(), Value::Null);
        merge(&mut choice, &self.rest);
        Value::Object(choice)
    }
}

fn object(value: Value, extras: &Extras) -> Object {
    let mut object = if let Value::Object(object) = value { object } else { Object::new() };
    merge_from(&mut object, extras, place::TOOL_CALL);
    object
}

fn push(inner: Option<&mut Value>, field: &str, text: &str) {
    if let Some(Value::Object(inner)) = inner {
        push_into(inner, field, text);
    }
}

fn push_into(object: &mut Object, field: &str, text: &str) {
    if let Some(Value::String(known)) = object.get_mut(field) {
        known.push_str(text);
    }
}
