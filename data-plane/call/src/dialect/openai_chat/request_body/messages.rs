//! Messages: the dialect has results of tools in messages of their own, and calls beside the content.

use luthien_proto::{
    Request,
    event::{ToolCall, ToolForm},
    json::Extras,
    request::{Content, ContentBlock, Message},
};
use serde_json::{Value, json};

use super::parts::{self, fields};
use crate::dialect::{
    Lost, UpstreamOptions,
    fields::{Object, merge},
    openai_chat::{details, request::mark},
    write::{free_text, put, put_filled, put_text},
};

pub(super) fn encode(request: &Request, options: &UpstreamOptions, lost: &mut Lost) -> Vec<Value> {
    let mut writer = Writer { options, lost, out: Vec::with_capacity(request.messages.len() + 1) };
    if !request.system.is_empty() {
        writer.message("system", &request.system, &Extras::NONE);
    }
    for message in &request.messages {
        writer.any(message);
    }
    writer.out
}

struct Writer<'a> {
    options: &'a UpstreamOptions,
    lost: &'a mut Lost,
    out: Vec<Value>,
}

impl Writer<'_> {
    /// Results come before what else is said with them.
    fn any(&mut self, message: &Message) {
        let is_result = |content: &&Content| matches!(content.block, ContentBlock::ToolResult { .. });
        let (results, said): (Vec<_>, Vec<_>) = message.content.iter().partition(is_result);
        for result in &results {
            self.result(message, result);
        }
        if results.is_empty() {
            self.message(&message.role, &message.content, &message.extras);
        } else if !said.is_empty() {
            let said: Vec<_> = said.into_iter().cloned().collect();
            self.message("user", &said, &Extras::NONE);
        }
    }

    fn result(&mut self, message: &Message, result: &Content) {
        let ContentBlock::ToolResult { id, is_error, content } = &result.block else { return };
        if is_error == &Some(true) {
            self.lost.omit("is_error");
        }
        let mut out = Object::new();
        put(&mut out, "role", if message.role == "function" { "function" } else { "tool" });
        put_text(&mut out, "tool_call_id", id);
        put(&mut out, "content", parts::encode(&content.iter().collect::<Vec<_>>(), self.lost));
        merge(&mut out, &result.extras.clone().into_map());
        if matches!(message.role.as_str(), "tool" | "function") {
            merge(&mut out, &message.extras.clone().into_map());
        }
        self.out.push(out.into());
    }

    fn message(&mut self, role: &str, content: &[Content], extras: &Extras) {
        let role = if role == "developer" && self.options.compatible { "system" } else { role };
        let mut out = Object::new();
        put_text(&mut out, "role", role);
        let said: Vec<_> = content.iter().filter(|content| is_said(content)).collect();
        if role == "assistant" {
            self.answer(content, &said, extras, &mut out);
            let says_nothing = out.get("content").is_some_and(|content| content == "") && said.is_empty();
            if says_nothing && !content.is_empty() {
                return;
            }
        } else if !said.is_empty() || !role.is_empty() {
            put(&mut out, "content", parts::encode(&said, self.lost));
        }
        merge(&mut out, &extras.clone().into_map());
        self.out.push(out.into());
    }

    fn answer(&mut self, content: &[Content], said: &[&Content], extras: &Extras, out: &mut Object) {
        put(out, "content", Value::Null);
        self.reasoning(content, out);
        let refusal: String = content.iter().filter_map(refusal).collect();
        put_text(out, "refusal", &refusal);
        let calls: Vec<_> = content.iter().filter_map(|content| self.call(content)).collect();
        put_filled(out, "tool_calls", calls);
        if let Some(call) = content.iter().find_map(legacy_call) {
            put(out, "function_call", call);
        }
        let says_else = out.len() > 2 || !extras.is_empty();
        if !said.is_empty() || !says_else {
            put(out, "content", parts::encode_said(said, self.lost));
        }
    }

    /// What is signed, its provider wants to see again; other reasoning is for whom wants to be reminded of it.
    fn reasoning(&mut self, content: &[Content], out: &mut Object) {
        let (mut prose, mut field, mut entries) = (String::new(), "reasoning_content", Vec::new());
        for content in content {
            if content.extras.get(mark::FIELD).is_some_and(|field| field == "reasoning") {
                field = "reasoning";
            }
            if let ContentBlock::Thinking { text, signature, id } = &content.block {
                prose.push_str(text);
                if !signature.is_empty() {
                    let mut entry = fields(json!({"type": "reasoning.text", "text": text, "signature": signature}));
                    put_text(&mut entry, "id", id);
                    let defaults = json!({"index": entries.len(), "format": details::FORMAT});
                    entries.push(with_rest(entry, &content.extras, defaults));
                } else if !self.options.reasoning_echo {
                    self.lost.omit("reasoning_content");
                }
            }
            if let ContentBlock::RedactedThinking(data) = &content.block {
                let entry = fields(json!({"type": "reasoning.encrypted", "data": data}));
                entries.push(with_rest(entry, &content.extras, Value::Null));
            }
        }
        if self.options.reasoning_echo {
            put_text(out, field, &prose);
        }
        put_filled(out, "reasoning_details", entries);
    }

    fn call(&self, content: &Content) -> Option<Value> {
        let ContentBlock::ToolCall { call, arguments } = &content.block else {
            return unknown_call(content).cloned();
        };
        let (type_, inner) = match call.form {
            ToolForm::Legacy => return None,
            ToolForm::Custom if self.options.compatible => {
                ("function", json!({"name": call.name, "arguments": free_text(arguments).to_string()}))
            }
            ToolForm::Custom => ("custom", json!({"name": call.name, "input": arguments})),
            ToolForm::Function | ToolForm::Server => ("function", function(call, arguments)),
        };
        let mut entry = fields(json!({"id": call.id, "type": type_, type_: inner}));
        merge(&mut entry, &content.extras.clone().into_map());
        Some(entry.into())
    }
}

/// What goes into the content of a message.
fn is_said(content: &Content) -> bool {
    match &content.block {
        ContentBlock::Text(_)
        | ContentBlock::Image { .. }
        | ContentBlock::Document { .. }
        | ContentBlock::Audio { .. } => true,
        ContentBlock::Opaque(_) => unknown_call(content).is_none(),
        ContentBlock::Refusal(_) => refusal(content).is_none(),
        ContentBlock::Thinking { .. }
        | ContentBlock::RedactedThinking(_)
        | ContentBlock::ToolCall { .. }
        | ContentBlock::ToolResult { .. } => false,
    }
}

/// A refusal that says nothing else has a field of its own.
fn refusal(content: &Content) -> Option<&str> {
    let ContentBlock::Refusal(text) = &content.block else { return None };
    content.extras.is_empty().then_some(text)
}

/// An entry of `tool_calls` of an unknown type.
fn unknown_call(content: &Content) -> Option<&Value> {
    let ContentBlock::Opaque(raw) = &content.block else { return None };
    content.extras.get(mark::FIELD).is_some().then_some(raw)
}

fn legacy_call(content: &Content) -> Option<Value> {
    let ContentBlock::ToolCall { call, arguments } = &content.block else { return None };
    if call.form != ToolForm::Legacy {
        return None;
    }
    let mut inner = fields(function(call, arguments));
    merge(&mut inner, &content.extras.clone().into_map());
    Some(inner.into())
}

/// Arguments that never came are an empty object; an empty text would not be JSON.
fn function(call: &ToolCall, arguments: &str) -> Value {
    json!({"name": call.name, "arguments": if arguments.trim().is_empty() { "{}" } else { arguments }})
}

fn with_rest(mut entry: Object, extras: &Extras, defaults: Value) -> Value {
    let mut rest = extras.clone().into_map();
    rest.shift_remove(mark::FIELD);
    merge(&mut entry, &rest);
    if let Value::Object(defaults) = defaults {
        merge(&mut entry, &defaults);
    }
    entry.into()
}
