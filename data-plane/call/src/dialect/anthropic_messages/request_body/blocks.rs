//! Content blocks of a request.

use luthien_proto::{
    event::{ToolCall, ToolForm},
    request::{Content, ContentBlock, Source},
};
use serde_json::{Map, Value, json};

use crate::dialect::{
    Lost,
    fields::merge,
    write::{free_text, put, put_filled, put_some, put_text},
};

/// What says nothing is left out: it would be refused.
pub(super) fn encode(content: &[Content], lost: &mut Lost) -> Vec<Value> {
    content.iter().filter_map(|content| block(content, lost)).collect()
}

/// One plain text is told as such.
pub(super) fn text_or_list(mut blocks: Vec<Value>) -> Value {
    let has_only_that = |block: &Value| block.as_object().is_some_and(|block| block.len() == 2);
    let is_plain = |block: &Value| has_only_that(block) && block["type"] == "text" && block["text"].is_string();
    match blocks.as_mut_slice() {
        [block] if is_plain(block) => block["text"].take(),
        _ => blocks.into(),
    }
}

fn block(content: &Content, lost: &mut Lost) -> Option<Value> {
    let block = match &content.block {
        ContentBlock::Text(text) | ContentBlock::Refusal(text) if text.is_empty() => return None,
        ContentBlock::Text(text) | ContentBlock::Refusal(text) => json!({"type": "text", "text": text}),
        ContentBlock::Thinking { signature, .. } if signature.is_empty() => {
            lost.omit("thinking");
            return None;
        }
        ContentBlock::Thinking { text, signature, .. } => {
            json!({"type": "thinking", "thinking": text, "signature": signature})
        }
        ContentBlock::RedactedThinking(data) => json!({"type": "redacted_thinking", "data": data}),
        ContentBlock::ToolCall { call, arguments } => tool_use(call, arguments, lost),
        ContentBlock::ToolResult { id, is_error, content } => tool_result(id, *is_error, content, lost),
        ContentBlock::Image { source, .. } => image(source),
        ContentBlock::Document { source, title } => document(source, title),
        ContentBlock::Audio { .. } => {
            lost.drop("input_audio");
            json!({"type": "text", "text": "[audio]"})
        }
        ContentBlock::Opaque(raw) => return Some(raw.clone()),
    };
    let Value::Object(mut block) = block else { return None };
    merge(&mut block, &content.extras.clone().into_map());
    Some(block.into())
}

fn tool_use(call: &ToolCall, arguments: &str, lost: &mut Lost) -> Value {
    let type_ = match call.form {
        ToolForm::Function | ToolForm::Custom | ToolForm::Legacy => "tool_use",
        ToolForm::Server if call.type_.is_empty() => "server_tool_use",
        ToolForm::Server => &call.type_,
    };
    let input = if call.form == ToolForm::Custom { free_text(arguments) } else { input(arguments, lost) };
    json!({"type": type_, "id": call.id, "name": call.name, "input": input})
}

/// The input is an object: a text that is none is put into one.
fn input(arguments: &str, lost: &mut Lost) -> Value {
    if arguments.trim().is_empty() {
        return Value::Object(Map::new());
    }
    match serde_json::from_str(arguments) {
        Ok(input @ Value::Object(_)) => input,
        _ => {
            lost.drop("tool_calls.function.arguments");
            json!({"_raw": arguments})
        }
    }
}

fn tool_result(id: &str, is_error: Option<bool>, content: &[Content], lost: &mut Lost) -> Value {
    let mut result = Map::new();
    put(&mut result, "type", "tool_result");
    put(&mut result, "tool_use_id", id);
    put_filled(&mut result, "content", text_or_list(encode(content, lost)));
    put_some(&mut result, "is_error", is_error);
    result.into()
}

/// What is no picture is a document.
fn image(source: &Source) -> Value {
    match source {
        Source::Base64 { media_type, .. } if !media_type.is_empty() && !media_type.starts_with("image/") => {
            document(source, "")
        }
        Source::Text(text) => json!({"type": "text", "text": text}),
        Source::Base64 { .. } | Source::Url(_) | Source::FileId(_) => {
            json!({"type": "image", "source": encode_source(source)})
        }
    }
}

fn document(source: &Source, title: &str) -> Value {
    if matches!(source, Source::Base64 { media_type, .. } if media_type.starts_with("image/")) {
        return image(source);
    }
    let mut document = Map::new();
    put(&mut document, "type", "document");
    put(&mut document, "source", encode_source(source));
    put_text(&mut document, "title", title);
    document.into()
}

fn encode_source(source: &Source) -> Value {
    match source {
        Source::Base64 { media_type, data } => text_source(media_type, data)
            .unwrap_or_else(|| json!({"type": "base64", "media_type": media_type, "data": data})),
        Source::Url(url) => json!({"type": "url", "url": url}),
        Source::FileId(id) => json!({"type": "file", "file_id": id}),
        Source::Text(text) => json!({"type": "text", "media_type": "text/plain", "data": text}),
    }
}

/// Text is told as text.
fn text_source(media_type: &str, data: &str) -> Option<Value> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};

    if !media_type.starts_with("text/") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(data).ok()?).ok()?;
    Some(json!({"type": "text", "media_type": "text/plain", "data": text}))
}
