//! The request: system blocks, and messages of content blocks.

use luthien_proto::{
    Request,
    event::{ToolCall, ToolForm},
    json::Extras,
    request::{Content, ContentBlock, Message, Sampling, ToolChoice},
};
use serde_json::Value;

use crate::dialect::{
    fields::{Object, take_array, take_bool, take_f64, take_string, take_strings, take_u64, take_value},
    request::{RequestError, known, take_content, take_messages, tool},
};

pub(in crate::dialect) fn decode(model: String, mut body: Object) -> Result<Request, RequestError> {
    let messages = take_messages(&mut body)?.into_iter().map(message).collect();
    Ok(Request {
        model,
        stream: take_bool(&mut body, "stream").unwrap_or(false),
        choices: 1,
        system: take_content(&mut body, "system", block),
        messages,
        tools: take_array(&mut body, "tools").into_iter().flatten().map(|raw| tool(raw, &[])).collect(),
        tool_choice: take_value(&mut body, "tool_choice").map(ToolChoice::Opaque),
        sampling: Sampling {
            max_output_tokens: take_u64(&mut body, "max_tokens"),
            temperature: take_f64(&mut body, "temperature"),
            top_p: take_f64(&mut body, "top_p"),
            top_k: take_u64(&mut body, "top_k"),
            stop: take_strings(&mut body, "stop_sequences"),
            ..Sampling::default()
        },
        extras: Extras::from(body),
        ..Request::default()
    })
}

fn message(mut message: Object) -> Message {
    let role = take_string(&mut message, "role").unwrap_or_default();
    let content = take_content(&mut message, "content", block);
    Message { role, content, extras: Extras::from(message) }
}

/// A block of which every known field is there and of its type; any other is opaque.
fn block(block: Object) -> Content {
    let is_string = |key: &str| block.get(key).is_some_and(Value::is_string);
    let make: Option<fn(&mut Object) -> ContentBlock> = match block.get("type").and_then(Value::as_str) {
        Some("text") if is_string("text") => Some(text),
        Some("thinking") if is_string("thinking") => Some(thinking),
        Some("redacted_thinking") if is_string("data") => Some(redacted),
        Some("tool_use" | "server_tool_use" | "mcp_tool_use") if is_string("name") => Some(call),
        Some("tool_result") if is_string("tool_use_id") => Some(result),
        Some(_) | None => None,
    };
    let Some(make) = make else { return ContentBlock::Opaque(Value::Object(block)).into() };
    let mut rest = block;
    let block = make(&mut rest);
    rest.shift_remove("type");
    known(block, rest)
}

fn text(block: &mut Object) -> ContentBlock {
    ContentBlock::Text(take_string(block, "text").unwrap_or_default())
}

fn thinking(block: &mut Object) -> ContentBlock {
    ContentBlock::Thinking {
        text: take_string(block, "thinking").unwrap_or_default(),
        signature: take_string(block, "signature").unwrap_or_default(),
        id: String::new(),
    }
}

fn redacted(block: &mut Object) -> ContentBlock {
    ContentBlock::RedactedThinking(take_string(block, "data").unwrap_or_default())
}

fn call(block: &mut Object) -> ContentBlock {
    let type_ = take_string(block, "type").unwrap_or_default();
    let (form, type_) =
        if type_ == "tool_use" { (ToolForm::Function, String::new()) } else { (ToolForm::Server, type_) };
    let call = ToolCall {
        id: take_string(block, "id").unwrap_or_default(),
        name: take_string(block, "name").unwrap_or_default(),
        namespace: String::new(),
        form,
        type_,
    };
    let arguments = take_value(block, "input").map(|input| input.to_string()).unwrap_or_default();
    ContentBlock::ToolCall { call, arguments }
}

fn result(result: &mut Object) -> ContentBlock {
    ContentBlock::ToolResult {
        id: take_string(result, "tool_use_id").unwrap_or_default(),
        is_error: take_bool(result, "is_error"),
        content: take_content(result, "content", part),
    }
}

/// A block within a tool's result: no result of its own, so that a request can't nest deeper than the protocol.
fn part(part: Object) -> Content {
    match part.get("type").and_then(Value::as_str) {
        Some("tool_result") => ContentBlock::Opaque(Value::Object(part)).into(),
        Some(_) | None => block(part),
    }
}
