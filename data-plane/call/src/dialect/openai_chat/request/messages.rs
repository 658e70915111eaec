//! Messages, of which text, media, refusals, reasoning and tool calls are known.

use luthien_proto::{
    event::{ToolCall, ToolForm},
    request::{Content, ContentBlock, Message},
};
use serde_json::Value;

use super::{mark, parts::part, reasoning};
use crate::dialect::{
    fields::{Object, put_back, take_array, take_object, take_string, take_value},
    request::{known, take_content},
};

pub(super) fn message(mut message: Object) -> Message {
    let role = take_string(&mut message, "role").unwrap_or_default();
    let content = match role.as_str() {
        "tool" | "function" => vec![tool_result(&mut message)],
        _ => spoken(&mut message),
    };
    Message { role, content, extras: message.into() }
}

fn tool_result(message: &mut Object) -> Content {
    let id = take_string(message, "tool_call_id").unwrap_or_default();
    ContentBlock::ToolResult { id, is_error: None, content: take_content(message, "content", part) }.into()
}

fn spoken(message: &mut Object) -> Vec<Content> {
    let mut content = reasoning::take(message);
    content.extend(take_content(message, "content", part));
    content.extend(take_string(message, "refusal").map(|text| Content::from(ContentBlock::Refusal(text))));
    content.extend(take_array(message, "tool_calls").into_iter().flatten().map(call));
    content.extend(take_legacy_call(message));
    content
}

fn call(entry: Value) -> Content {
    read_call(&entry).unwrap_or_else(|| unknown(entry))
}

fn read_call(entry: &Value) -> Option<Content> {
    let mut entry = entry.as_object()?.clone();
    let (form, place, arguments) = match take_value(&mut entry, "type") {
        None => (ToolForm::Function, "function", "arguments"),
        Some(type_) if type_ == "function" => (ToolForm::Function, "function", "arguments"),
        Some(type_) if type_ == "custom" => (ToolForm::Custom, "custom", "input"),
        Some(_) => return None,
    };
    let mut inner = take_object(&mut entry, place)?;
    let id = take_string(&mut entry, "id").unwrap_or_default();
    let block = take_call(id, form, arguments, &mut inner)?;
    put_back(&mut entry, place, inner);
    Some(known(block, entry))
}

fn unknown(entry: Value) -> Content {
    let mut content = Content::from(ContentBlock::Opaque(entry));
    content.extras.insert(mark::FIELD, "tool_calls".into());
    content
}

fn take_legacy_call(message: &mut Object) -> Option<Content> {
    let mut inner = message.get("function_call")?.as_object()?.clone();
    let block = take_call(String::new(), ToolForm::Legacy, "arguments", &mut inner)?;
    message.shift_remove("function_call");
    Some(known(block, inner))
}

/// Arguments are text; some clients send the object itself.
fn take_call(id: String, form: ToolForm, arguments: &str, inner: &mut Object) -> Option<ContentBlock> {
    let name = take_string(inner, "name")?;
    let arguments = match take_value(inner, arguments) {
        None => String::new(),
        Some(Value::String(text)) => text,
        Some(object @ Value::Object(_)) if form.is_json() => object.to_string(),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => return None,
    };
    let call = ToolCall { id, name, namespace: String::new(), form, type_: String::new() };
    Some(ContentBlock::ToolCall { call, arguments })
}
