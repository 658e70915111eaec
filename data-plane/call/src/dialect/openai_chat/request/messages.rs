//! Messages, of which text, media, refusals, reasoning and tool calls are known.

use luthien_proto::{
    event::{ToolCall, ToolForm},
    request::{Content, ContentBlock, Message},
};
use serde_json::Value;

use super::{mark, parts::part, reasoning};
use crate::dialect::{
    fields::{Object, drop_if, put_back, take_array, take_object, take_string},
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
    content.extend(take_object(message, "function_call").map(legacy_call));
    content
}

fn call(entry: Value) -> Content {
    let Value::Object(mut entry) = entry else { return unknown(entry) };
    let (form, place, arguments) = match entry.get("type").and_then(Value::as_str) {
        Some("custom") => (ToolForm::Custom, "custom", "input"),
        Some("function") | None => (ToolForm::Function, "function", "arguments"),
        Some(_) => return unknown(Value::Object(entry)),
    };
    let Some(mut inner) = take_object(&mut entry, place) else { return unknown(Value::Object(entry)) };
    drop_if(&mut entry, "type", |_| true);
    let id = take_string(&mut entry, "id").unwrap_or_default();
    let block = take_call(id, form, arguments, &mut inner);
    put_back(&mut entry, place, inner);
    known(block, entry)
}

fn unknown(entry: Value) -> Content {
    let mut content = Content::from(ContentBlock::Opaque(entry));
    content.extras.insert(mark::FIELD, "tool_calls".into());
    content
}

fn legacy_call(mut inner: Object) -> Content {
    let block = take_call(String::new(), ToolForm::Legacy, "arguments", &mut inner);
    known(block, inner)
}

fn take_call(id: String, form: ToolForm, arguments: &str, inner: &mut Object) -> ContentBlock {
    let name = take_string(inner, "name").unwrap_or_default();
    let call = ToolCall { id, name, namespace: String::new(), form, type_: String::new() };
    ContentBlock::ToolCall { call, arguments: take_string(inner, arguments).unwrap_or_default() }
}
