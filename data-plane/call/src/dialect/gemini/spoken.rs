//! What the model has said before, as parts: with every signature where it was.

use std::collections::VecDeque;

use luthien_proto::{
    event::{ToolCall, ToolForm},
    request::ContentBlock,
};
use serde_json::{Value, json};

use super::{
    media,
    signature::{self, Place},
    tools,
};
use crate::dialect::{fields::Object, target::Lost};

/// The parts of a turn of the model.
#[derive(Debug, Default)]
pub(super) struct Spoken<'a> {
    parts: Vec<Value>,
    calls: Vec<Call<'a>>,
    /// Signatures that wait for their part.
    of_calls: VecDeque<&'a str>,
    of_texts: VecDeque<&'a str>,
}

/// A call of a function that wants to be answered.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) id: &'a str,
    pub(super) name: String,
}

impl<'a> Spoken<'a> {
    pub(super) fn say(&mut self, block: &'a ContentBlock, lost: &mut Lost) {
        match block {
            ContentBlock::Thinking { text, signature, .. } => self.think(text, signature, lost),
            ContentBlock::RedactedThinking(_) => lost.omit("redacted_thinking"),
            ContentBlock::ToolCall { call, .. } if !call.form.is_clients() => lost.drop(type_of_server(call)),
            ContentBlock::ToolCall { call, arguments } => self.call(call, arguments, lost),
            ContentBlock::Text(_)
            | ContentBlock::Refusal(_)
            | ContentBlock::Image { .. }
            | ContentBlock::Document { .. }
            | ContentBlock::Audio { .. } => match media::text(block) {
                Some(text) => self.text(&text),
                None => self.parts.extend(media::part(block)),
            },
            ContentBlock::ToolResult { .. } => lost.drop("tool_result"),
            ContentBlock::Opaque(value) => lost.drop(super::contents::type_of(value)),
        }
    }

    /// All parts, and the calls among them.
    pub(super) fn finish(mut self) -> (Vec<Value>, Vec<Call<'a>>) {
        // A signature without its text stands on an empty one, as streams have it.
        let left = self.of_texts.drain(..).map(|signature| json!({"text": "", "thoughtSignature": signature}));
        self.parts.extend(left);
        (self.parts, self.calls)
    }

    fn text(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        let mut part = json!({"text": text});
        sign(&mut part, self.of_texts.pop_front());
        self.parts.push(part);
    }

    fn think(&mut self, text: &str, signed: &'a str, lost: &mut Lost) {
        let Some((place, signature)) = signature::read(signed) else {
            return lost.omit("thinking");
        };
        match place {
            Place::Thought => {
                self.parts.push(json!({"text": text, "thought": true, "thoughtSignature": signature}));
            }
            Place::Call => {
                self.thought(text);
                self.of_calls.push_back(signature);
            }
            Place::Text => {
                match self.parts.last_mut().filter(|part| is_unsigned_text(part)) {
                    Some(part) => sign(part, Some(signature)),
                    None => self.of_texts.push_back(signature),
                }
                self.thought(text);
            }
        }
    }

    fn thought(&mut self, text: &str) {
        if !text.is_empty() {
            self.parts.push(json!({"text": text, "thought": true}));
        }
    }

    fn call(&mut self, call: &'a ToolCall, arguments: &str, lost: &mut Lost) {
        let name = tools::name(&call.namespace, &call.name);
        let mut function = json!({"name": name, "args": args(call.form, arguments, lost)});
        if !call.id.is_empty() {
            function["id"] = call.id.as_str().into();
        }
        let mut part = json!({"functionCall": function});
        sign(&mut part, self.of_calls.pop_front());
        self.parts.push(part);
        self.calls.push(Call { id: &call.id, name });
    }
}

fn sign(part: &mut Value, signature: Option<&str>) {
    if let Some(signature) = signature {
        part["thoughtSignature"] = signature.into();
    }
}

fn is_unsigned_text(part: &Value) -> bool {
    part.get("text").is_some() && part.get("thought").is_none() && part.get("thoughtSignature").is_none()
}

/// The arguments, which have to be an object.
fn args(form: ToolForm, arguments: &str, lost: &mut Lost) -> Value {
    if !form.is_json() {
        return json!({"input": arguments});
    }
    if arguments.trim().is_empty() {
        return Value::Object(Object::new());
    }
    match serde_json::from_str(arguments) {
        Ok(Value::Object(args)) => Value::Object(args),
        Ok(_) | Err(_) => {
            lost.drop("arguments");
            json!({"_raw": arguments})
        }
    }
}

fn type_of_server(call: &ToolCall) -> &str {
    if call.type_.is_empty() { &call.name } else { &call.type_ }
}
