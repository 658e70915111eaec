//! The request: messages of parts, of which text, refusals and tool calls are known.

use luthien_proto::{
    Request,
    event::{ToolCall, ToolForm},
    json::Extras,
    request::{Content, ContentBlock, Message, Sampling, ToolChoice},
};
use serde_json::Value;

use crate::dialect::{
    fields::{
        Object, drop_if, take_array, take_bool, take_f64, take_object, take_string, take_strings, take_u32, take_u64,
        take_value,
    },
    request::{RequestError, known, take_content, take_messages, tool},
};

pub(in crate::dialect) fn decode(model: String, mut body: Object) -> Result<Request, RequestError> {
    let messages = take_messages(&mut body)?.into_iter().map(message).collect();
    let tools = take_array(&mut body, "tools").into_iter().flatten();
    let functions = take_array(&mut body, "functions").into_iter().flatten();
    Ok(Request {
        model,
        stream: take_bool(&mut body, "stream").unwrap_or(false),
        choices: take_u32(&mut body, "n").unwrap_or(1).max(1),
        system: Vec::new(),
        messages,
        tools: tools.chain(functions).map(|raw| tool(raw, &["function", "custom"])).collect(),
        tool_choice: take_value(&mut body, "tool_choice").map(ToolChoice::Opaque),
        sampling: sampling(&mut body),
        extras: Extras::from(body),
        ..Request::default()
    })
}

fn sampling(body: &mut Object) -> Sampling {
    let stop = match take_string(body, "stop") {
        Some(stop) => vec![stop],
        None => take_strings(body, "stop"),
    };
    Sampling {
        max_output_tokens: take_u64(body, "max_completion_tokens").or_else(|| take_u64(body, "max_tokens")),
        temperature: take_f64(body, "temperature"),
        top_p: take_f64(body, "top_p"),
        top_k: take_u64(body, "top_k"),
        stop,
        ..Sampling::default()
    }
}

fn message(mut message: Object) -> Message {
    let role = take_string(&mut message, "role").unwrap_or_default();
    let content = match role.as_str() {
        "tool" | "function" => vec![tool_result(&mut message)],
        _ => spoken(&mut message),
    };
    Message { role, content, extras: Extras::from(message) }
}

fn tool_result(message: &mut Object) -> Content {
    let id = take_string(message, "tool_call_id").unwrap_or_default();
    ContentBlock::ToolResult { id, is_error: None, content: take_content(message, "content", part) }.into()
}

fn spoken(message: &mut Object) -> Vec<Content> {
    let mut content = Vec::new();
    for field in ["reasoning_content", "reasoning"] {
        if let Some(text) = take_string(message, field) {
            content.push(ContentBlock::Thinking { text, signature: String::new(), id: String::new() }.into());
        }
    }
    content.extend(take_content(message, "content", part));
    content.extend(take_string(message, "refusal").map(|text| Content::from(ContentBlock::Refusal(text))));
    content.extend(take_array(message, "tool_calls").into_iter().flatten().map(call));
    content.extend(take_object(message, "function_call").map(legacy_call));
    content
}

fn part(mut part: Object) -> Content {
    let block = match part.get("type").and_then(Value::as_str) {
        Some("text") => take_string(&mut part, "text").map(ContentBlock::Text),
        Some("refusal") => take_string(&mut part, "refusal").map(ContentBlock::Refusal),
        Some(_) | None => None,
    };
    match block {
        Some(block) => {
            part.shift_remove("type");
            known(block, part)
        }
        None => ContentBlock::Opaque(Value::Object(part)).into(),
    }
}

fn call(entry: Value) -> Content {
    let Value::Object(mut entry) = entry else { return ContentBlock::Opaque(entry).into() };
    let (form, place, arguments) = match entry.get("type").and_then(Value::as_str) {
        Some("custom") => (ToolForm::Custom, "custom", "input"),
        Some("function") | None => (ToolForm::Function, "function", "arguments"),
        Some(_) => return ContentBlock::Opaque(Value::Object(entry)).into(),
    };
    let Some(mut inner) = take_object(&mut entry, place) else {
        return ContentBlock::Opaque(Value::Object(entry)).into();
    };
    drop_if(&mut entry, "type", |_| true);
    let id = take_string(&mut entry, "id").unwrap_or_default();
    let block = take_call(id, form, arguments, &mut inner);
    if !inner.is_empty() {
        entry.insert(place.to_owned(), Value::Object(inner));
    }
    known(block, entry)
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
