//! The items of the input.

use std::collections::BTreeSet;

use luthien_proto::{
    event::{ToolCall, ToolForm},
    json::Extras,
    request::{Content, ContentBlock, Message},
};
use serde_json::{Value, json};

use super::parts;
use crate::dialect::{
    fields::{Object, drop_if, drop_null, merge, take_array, take_string, take_value},
    request::{known, take_content},
    target::Lost,
    write::{put, put_text},
};

const FUNCTION_OUTPUT: &str = "function_call_output";
const CUSTOM_OUTPUT: &str = "custom_tool_call_output";

/// The input; none, where the provider is to know it.
pub(super) fn take(body: &mut Object) -> Vec<Message> {
    if let Some(text) = take_string(body, "input") {
        let content = vec![ContentBlock::Text(text).into()];
        return vec![Message { role: "user".to_owned(), content, extras: Extras::NONE }];
    }
    let mut messages: Vec<_> = take_array(body, "input").into_iter().flatten().map(decode).collect();
    forget_known_types(&mut messages);
    messages
}

/// An item of which every known field is there and of its type; any other is opaque.
fn decode(item: Value) -> Message {
    let Value::Object(item) = item else { return unknown(item) };
    let is_text = |key: &str| item.get(key).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
    let is_none_or = |key: &str, is: fn(&Value) -> bool| item.get(key).is_none_or(|value| value.is_null() || is(value));
    let is_call = |arguments| is_text("call_id") && is_text("name") && is_none_or(arguments, Value::is_string);
    let make: fn(Object) -> Message = match item.get("type").and_then(Value::as_str) {
        Some("message") | None if is_text("role") => message,
        Some("function_call") if is_call("arguments") => |item| one("assistant", call(item, ToolForm::Function)),
        Some("custom_tool_call") if is_call("input") => |item| one("assistant", call(item, ToolForm::Custom)),
        Some(FUNCTION_OUTPUT | CUSTOM_OUTPUT) if is_text("call_id") => |item| one("tool", output(item)),
        Some("reasoning") if is_reasoning(&item) => |item| one("assistant", reasoning(item)),
        Some(_) | None => |item| unknown(Value::Object(item)),
    };
    make(item)
}

/// Reasoning that can be recognised as the provider's by something.
fn is_reasoning(item: &Object) -> bool {
    let texts = ["id", "encrypted_content"].map(|key| item.get(key).and_then(Value::as_str).unwrap_or_default());
    let lists = ["summary", "content"].map(|key| item.get(key).unwrap_or(&Value::Null));
    lists.iter().all(|list| list.is_null() || list.is_array())
        && (lists.iter().any(|list| list.is_array()) || texts.iter().any(|text| !text.is_empty()))
}

fn one(role: &str, content: Content) -> Message {
    Message { role: role.to_owned(), content: vec![content], extras: Extras::NONE }
}

fn unknown(item: Value) -> Message {
    one("", ContentBlock::Opaque(item).into())
}

fn message(mut item: Object) -> Message {
    let role = take_string(&mut item, "role").unwrap_or_default();
    drop_if(&mut item, "type", |type_| type_.is_null() || type_ == "message");
    let text_type = parts::text_type(&role);
    let content = take_content(&mut item, "content", |part| parts::decode(part, text_type));
    Message { role, content, extras: Extras::from(item) }
}

fn call(mut item: Object, form: ToolForm) -> Content {
    item.shift_remove("type");
    let mut text = |key| take_string(&mut item, key).unwrap_or_default();
    let call =
        ToolCall { id: text("call_id"), name: text("name"), namespace: text("namespace"), form, type_: String::new() };
    let arguments = or_none(form, &text(arguments_key(form))).to_owned();
    known(ContentBlock::ToolCall { call, arguments }, item)
}

fn arguments_key(form: ToolForm) -> &'static str {
    if form.is_json() { "arguments" } else { "input" }
}

/// No arguments are an object too, where they are JSON.
fn or_none(form: ToolForm, arguments: &str) -> &str {
    if form.is_json() && arguments.trim().is_empty() { "{}" } else { arguments }
}

fn output(mut item: Object) -> Content {
    let id = take_string(&mut item, "call_id").unwrap_or_default();
    let mut content = take_content(&mut item, "output", |part| parts::decode(part, parts::INPUT_TEXT));
    content.retain(|content| !is_empty_text(content));
    known(ContentBlock::ToolResult { id, is_error: None, content }, item)
}

fn is_empty_text(content: &Content) -> bool {
    content.extras.is_empty() && matches!(&content.block, ContentBlock::Text(text) if text.is_empty())
}

/// An output needs no type where it has that of its call.
fn forget_known_types(messages: &mut [Message]) {
    let custom = custom_calls(messages);
    for content in messages.iter_mut().flat_map(|message| &mut message.content) {
        if let ContentBlock::ToolResult { id, .. } = &content.block {
            let mut extras = std::mem::take(&mut content.extras).into_map();
            drop_if(&mut extras, "type", |type_| type_ == output_type(id, &custom));
            content.extras = Extras::from(extras);
        }
    }
}

fn custom_calls(messages: &[Message]) -> BTreeSet<String> {
    let mut custom = BTreeSet::new();
    for content in messages.iter().flat_map(|message| &message.content) {
        if let ContentBlock::ToolCall { call, .. } = &content.block
            && call.form == ToolForm::Custom
        {
            custom.insert(call.id.clone());
        }
    }
    custom
}

fn output_type(id: &str, custom: &BTreeSet<String>) -> &'static str {
    if custom.contains(id) { CUSTOM_OUTPUT } else { FUNCTION_OUTPUT }
}

fn reasoning(mut item: Object) -> Content {
    item.shift_remove("type");
    let text = shown(&item);
    let [id, signature] = ["id", "encrypted_content"].map(|key| take_string(&mut item, key).unwrap_or_default());
    drop_null(&mut item, "content");
    let summary = take_value(&mut item, "summary").unwrap_or_else(|| json!([]));
    let is_plain = !item.contains_key("content") && summary == summary_of(&text);
    // What nobody signed is known by its summary to be of this dialect.
    if !is_plain || (id.is_empty() && signature.is_empty()) {
        item.insert("summary".to_owned(), summary);
    }
    known(ContentBlock::Thinking { text, signature, id }, item)
}

/// The text of reasoning: its summary, or all of it where there is none.
fn shown(item: &Object) -> String {
    let text = |part: &Value| part.get("text").and_then(Value::as_str).map(str::to_owned);
    let texts = |key| -> Vec<String> {
        item.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(text).collect()
    };
    let summary = texts("summary");
    if summary.is_empty() { texts("content") } else { summary }.join("\n\n")
}

/// A summary that says that.
fn summary_of(text: &str) -> Value {
    match text {
        "" => json!([]),
        text => json!([{"type": "summary_text", "text": text}]),
    }
}

/// Writes the conversation as input.
pub(super) fn encode(messages: &[Message], lost: &mut Lost) -> Vec<Value> {
    let mut writer = Writer { custom: custom_calls(messages), items: Vec::new(), lost };
    messages.iter().for_each(|message| writer.message(message));
    writer.items
}

struct Writer<'a> {
    custom: BTreeSet<String>,
    items: Vec<Value>,
    lost: &'a mut Lost,
}

impl Writer<'_> {
    /// What is said between calls, outputs and reasoning is a message item each; the first has the message's own fields.
    fn message(&mut self, message: &Message) {
        let mut extras = Some(&message.extras);
        let mut said = Vec::new();
        for content in &message.content {
            let item = self.item(content, message.role.is_empty());
            match item {
                Some(item) => {
                    self.say(message, &mut said, &mut extras);
                    self.items.push(item);
                }
                None => said.extend(parts::encode(content, parts::text_type(&message.role))),
            }
        }
        if message.content.is_empty() && !message.role.is_empty() {
            self.items.push(message_item(message, Vec::new(), Some(&message.extras)));
        }
        self.say(message, &mut said, &mut extras);
    }

    fn say(&mut self, message: &Message, said: &mut Vec<Value>, extras: &mut Option<&Extras>) {
        if !said.is_empty() {
            self.items.push(message_item(message, std::mem::take(said), extras.take()));
        }
    }

    /// The item that a block is by itself. What isn't known is one where nobody says it.
    fn item(&mut self, content: &Content, is_unsaid: bool) -> Option<Value> {
        let Content { block, extras } = content;
        let mut item = match block {
            ContentBlock::ToolCall { call, arguments } => call_item(call, arguments),
            ContentBlock::ToolResult { id, is_error, content } => {
                if *is_error == Some(true) {
                    self.lost.omit("is_error");
                }
                let type_ = extras.get("type").and_then(Value::as_str).unwrap_or(output_type(id, &self.custom));
                object(json!({"type": type_, "call_id": id, "output": output_value(content)}))
            }
            ContentBlock::Thinking { text, signature, id } => {
                let Some(item) = reasoning_item(text, signature, id, extras) else {
                    self.lost.omit("reasoning");
                    return None;
                };
                return Some(item);
            }
            ContentBlock::RedactedThinking(data) => {
                object(json!({"type": "reasoning", "summary": [], "encrypted_content": data}))
            }
            ContentBlock::Opaque(item) if is_unsaid => return Some(item.clone()),
            ContentBlock::Text(_)
            | ContentBlock::Refusal(_)
            | ContentBlock::Image { .. }
            | ContentBlock::Document { .. }
            | ContentBlock::Audio { .. }
            | ContentBlock::Opaque(_) => return None,
        };
        merge(&mut item, &extras.clone().into_map());
        Some(Value::Object(item))
    }
}

fn message_item(message: &Message, content: Vec<Value>, extras: Option<&Extras>) -> Value {
    let role = if message.role.is_empty() { "user" } else { &message.role };
    let mut item = object(json!({"type": "message", "role": role, "content": content}));
    if let Some(extras) = extras {
        merge(&mut item, &extras.clone().into_map());
    }
    Value::Object(item)
}

fn call_item(call: &ToolCall, arguments: &str) -> Object {
    let type_ = if call.form.is_json() { "function_call" } else { "custom_tool_call" };
    let arguments = or_none(call.form, arguments);
    let mut item = object(json!({"type": type_, "call_id": call.id, "name": call.name}));
    put_text(&mut item, "namespace", &call.namespace);
    put(&mut item, arguments_key(call.form), arguments);
    item
}

/// Plain text as such, anything else as parts.
fn output_value(content: &[Content]) -> Value {
    match content {
        [] => Value::from(""),
        [Content { block: ContentBlock::Text(text), extras }] if extras.is_empty() => Value::from(text.as_str()),
        parts => parts.iter().filter_map(|part| parts::encode(part, parts::INPUT_TEXT)).collect(),
    }
}

/// Reasoning that the provider can tell to be its own.
fn reasoning_item(text: &str, signature: &str, id: &str, extras: &Extras) -> Option<Value> {
    let mut rest = extras.clone().into_map();
    let is_marked = rest.contains_key("summary") || rest.contains_key("content");
    if signature.is_empty() && id.is_empty() && !is_marked {
        return None;
    }
    let mut item = object(json!({"type": "reasoning"}));
    put_text(&mut item, "id", id);
    let summary = match is_marked && shown(&rest) == text {
        true => rest.shift_remove("summary").unwrap_or_else(|| json!([])),
        false => {
            rest.shift_remove("summary");
            rest.shift_remove("content");
            summary_of(text)
        }
    };
    put(&mut item, "summary", summary);
    put_text(&mut item, "encrypted_content", signature);
    merge(&mut item, &rest);
    Some(Value::Object(item))
}

fn object(value: Value) -> Object {
    if let Value::Object(object) = value { object } else { Object::new() }
}
