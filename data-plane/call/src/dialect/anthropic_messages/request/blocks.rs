//! Content blocks: one of which every known field is there and of its type; any other is opaque.

use luthien_proto::{
    event::{ToolCall, ToolForm},
    request::{Content, ContentBlock, Source},
};
use serde_json::Value;

use crate::dialect::{
    fields::{Object, drop_if, put_back, take_bool, take_object, take_string},
    request::{known, take_content},
};

pub(super) fn block(block: Object) -> Content {
    let mut rest = block.clone();
    match read(&mut rest) {
        Some(read) => {
            rest.shift_remove("type");
            known(read, rest)
        }
        None => ContentBlock::Opaque(Value::Object(block)).into(),
    }
}

fn read(block: &mut Object) -> Option<ContentBlock> {
    match block.get("type").and_then(Value::as_str)? {
        "text" => take_string(block, "text").map(ContentBlock::Text),
        "thinking" => thinking(block),
        "redacted_thinking" => take_string(block, "data").map(ContentBlock::RedactedThinking),
        "tool_use" | "server_tool_use" | "mcp_tool_use" => call(block),
        "tool_result" => take_string(block, "tool_use_id").map(|id| result(id, block)),
        "image" => {
            let source = take_source(block)?;
            Some(ContentBlock::Image { source, detail: String::new() })
        }
        "document" => {
            let source = take_source(block)?;
            Some(ContentBlock::Document { source, title: take_string(block, "title").unwrap_or_default() })
        }
        _ => None,
    }
}

fn thinking(block: &mut Object) -> Option<ContentBlock> {
    let text = take_string(block, "thinking")?;
    let signature = take_string(block, "signature").unwrap_or_default();
    (!block.contains_key("signature")).then_some(ContentBlock::Thinking { text, signature, id: String::new() })
}

fn call(block: &mut Object) -> Option<ContentBlock> {
    let name = take_string(block, "name")?;
    let type_ = take_string(block, "type")?;
    let (form, type_) =
        if type_ == "tool_use" { (ToolForm::Function, String::new()) } else { (ToolForm::Server, type_) };
    let id = take_string(block, "id").unwrap_or_default();
    let input = take_object(block, "input");
    let call = ToolCall { id, name, namespace: String::new(), form, type_ };
    let arguments = input.map(|input| Value::Object(input).to_string()).unwrap_or_default();
    (!block.contains_key("input")).then_some(ContentBlock::ToolCall { call, arguments })
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

fn take_source(block: &mut Object) -> Option<Source> {
    let mut source = take_object(block, "source")?;
    let read = match take_string(&mut source, "type")?.as_str() {
        "base64" => Source::Base64 {
            media_type: take_string(&mut source, "media_type")?,
            data: take_string(&mut source, "data")?,
        },
        "url" => Source::Url(take_string(&mut source, "url")?),
        "file" => Source::FileId(take_string(&mut source, "file_id")?),
        "text" => {
            drop_if(&mut source, "media_type", |media_type| media_type == "text/plain");
            let text = take_string(&mut source, "data")?;
            Some(Source::Text(text)).filter(|_| !source.contains_key("media_type"))?
        }
        _ => return None,
    };
    put_back(block, "source", source);
    Some(read)
}
