//! Content blocks: one of which every known field is there and of its type; any other is opaque.

use luthien_proto::{
    event::{ToolCall, ToolForm},
    request::{Content, ContentBlock, Source},
};
use serde_json::Value;

use crate::dialect::{
    fields::{Object, put_back, take_bool, take_object, take_string},
    request::{known, take_content},
};

pub(super) fn block(mut block: Object) -> Content {
    if !is_known(&block) {
        return ContentBlock::Opaque(Value::Object(block)).into();
    }
    let type_ = take_string(&mut block, "type").unwrap_or_default();
    let mut text = |key| take_string(&mut block, key).unwrap_or_default();
    let read = match type_.as_str() {
        "text" => ContentBlock::Text(text("text")),
        "thinking" => {
            ContentBlock::Thinking { text: text("thinking"), signature: text("signature"), id: String::new() }
        }
        "redacted_thinking" => ContentBlock::RedactedThinking(text("data")),
        "image" => ContentBlock::Image { source: take_source(&mut block), detail: String::new() },
        "document" => ContentBlock::Document { title: text("title"), source: take_source(&mut block) },
        "tool_result" => result(text("tool_use_id"), &mut block),
        _ => call(type_, &mut block),
    };
    known(read, block)
}

fn is_known(block: &Object) -> bool {
    let is_text = |key| block.get(key).is_some_and(Value::is_string);
    let is_none = |key| block.get(key).is_none_or(Value::is_null);
    match block.get("type").and_then(Value::as_str) {
        Some("text") => is_text("text"),
        Some("thinking") => is_text("thinking") && (is_text("signature") || is_none("signature")),
        Some("redacted_thinking") => is_text("data"),
        Some("tool_use" | "server_tool_use" | "mcp_tool_use") => {
            is_text("name") && (is_none("input") || block.get("input").is_some_and(Value::is_object))
        }
        Some("tool_result") => is_text("tool_use_id"),
        Some("image" | "document") => block.get("source").and_then(Value::as_object).is_some_and(is_known_source),
        Some(_) | None => false,
    }
}

fn is_known_source(source: &Object) -> bool {
    let is_text = |key| source.get(key).is_some_and(Value::is_string);
    match source.get("type").and_then(Value::as_str) {
        Some("base64") => is_text("media_type") && is_text("data"),
        Some("url") => is_text("url"),
        Some("file") => is_text("file_id"),
        Some("text") => is_text("data") && source.get("media_type").is_none_or(|media_type| media_type == "text/plain"),
        Some(_) | None => false,
    }
}

fn call(type_: String, block: &mut Object) -> ContentBlock {
    let (form, type_) =
        if type_ == "tool_use" { (ToolForm::Function, String::new()) } else { (ToolForm::Server, type_) };
    let mut text = |key| take_string(block, key).unwrap_or_default();
    let call = ToolCall { id: text("id"), name: text("name"), namespace: String::new(), form, type_ };
    let arguments = take_object(block, "input").map(|input| Value::Object(input).to_string()).unwrap_or_default();
    ContentBlock::ToolCall { call, arguments }
}

fn result(id: String, block: &mut Object) -> ContentBlock {
    let is_error = take_bool(block, "is_error");
    ContentBlock::ToolResult { id, is_error, content: take_content(block, "content", part) }
}

/// A block within a tool's result: no result of its own, so that a request can't nest deeper than the protocol.
fn part(part: Object) -> Content {
    match part.get("type").and_then(Value::as_str) {
        Some("tool_result") => ContentBlock::Opaque(Value::Object(part)).into(),
        Some(_) | None => block(part),
    }
}

fn take_source(block: &mut Object) -> Source {
    let mut source = take_object(block, "source").unwrap_or_default();
    let type_ = take_string(&mut source, "type").unwrap_or_default();
    let mut text = |key| take_string(&mut source, key).unwrap_or_default();
    let read = match type_.as_str() {
        "base64" => Source::Base64 { media_type: text("media_type"), data: text("data") },
        "url" => Source::Url(text("url")),
        "file" => Source::FileId(text("file_id")),
        _ => {
            text("media_type");
            Source::Text(text("data"))
        }
    };
    put_back(block, "source", source);
    read
}
