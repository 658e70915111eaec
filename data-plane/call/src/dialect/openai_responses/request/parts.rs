//! The parts of messages and of outputs.

use luthien_proto::request::{Content, ContentBlock, Source};
use serde_json::{Value, json};

use crate::dialect::{
    fields::{Object, drop_if, drop_null, merge, take_object, take_string},
    request::known,
    source::{data_url, from_url, split_data_url},
    write::{put, put_text},
};

pub(super) const INPUT_TEXT: &str = "input_text";
const OUTPUT_TEXT: &str = "output_text";

/// The type of the texts of a role's messages.
pub(super) fn text_type(role: &str) -> &'static str {
    if role == "assistant" { OUTPUT_TEXT } else { INPUT_TEXT }
}

/// A part of which every known field is there and of its type; any other is opaque.
pub(super) fn decode(part: Object, text_type: &str) -> Content {
    let mut rest = part;
    let make: fn(&mut Object) -> Option<ContentBlock> = match rest.get("type").and_then(Value::as_str) {
        Some(INPUT_TEXT | OUTPUT_TEXT | "text") => text,
        Some("refusal") => |part| take_string(part, "refusal").map(ContentBlock::Refusal),
        Some("input_image") => image,
        Some("input_file") => file,
        Some("input_audio") => audio,
        Some(_) | None => |_| None,
    };
    let Some(block) = make(&mut rest) else { return ContentBlock::Opaque(Value::Object(rest)).into() };
    let is_text = matches!(block, ContentBlock::Text(_));
    drop_if(&mut rest, "type", |type_| !is_text || type_ == text_type);
    known(block, rest)
}

fn text(part: &mut Object) -> Option<ContentBlock> {
    take_string(part, "text").map(ContentBlock::Text)
}

/// What a `data:` URL holds may be no picture.
fn image(part: &mut Object) -> Option<ContentBlock> {
    let (url, nested_detail) = match part.get("image_url") {
        Some(Value::Object(nested)) => nested_url(nested)?,
        Some(_) | None => (None, String::new()),
    };
    if url.is_some() {
        part.shift_remove("image_url");
    }
    let source = match url.or_else(|| take_string(part, "image_url")) {
        Some(url) => from_url(url),
        None => Source::FileId(take_string(part, "file_id")?),
    };
    if let Source::Base64 { media_type, .. } = &source
        && !media_type.starts_with("image/")
    {
        let title = file_name(media_type).to_owned();
        return Some(ContentBlock::Document { source, title });
    }
    // That is what it is without it, and the field has to be there.
    drop_if(part, "detail", |detail| detail == "auto");
    Some(ContentBlock::Image { source, detail: take_string(part, "detail").unwrap_or(nested_detail) })
}

/// Where OpenAI Chat has it, and how closely to look, if that is all.
fn nested_url(nested: &Object) -> Option<(Option<String>, String)> {
    let mut nested = nested.clone();
    let url = take_string(&mut nested, "url")?;
    drop_if(&mut nested, "detail", |detail| detail == "auto");
    let detail = take_string(&mut nested, "detail").unwrap_or_default();
    nested.is_empty().then_some((Some(url), detail))
}

fn file(part: &mut Object) -> Option<ContentBlock> {
    let source = match part.get("file_data").and_then(Value::as_str) {
        Some(data) => {
            let source = file_data(data)?;
            part.shift_remove("file_data");
            source
        }
        None => take_string(part, "file_url")
            .map(Source::Url)
            .or_else(|| take_string(part, "file_id").map(Source::FileId))?,
    };
    let title = take_string(part, "filename").unwrap_or_default();
    if title.is_empty() && matches!(source, Source::Base64 { .. }) {
        part.entry("filename").or_insert(Value::Null);
    }
    Some(ContentBlock::Document { source, title })
}

/// A `data:` URL, or Base64 of an unsaid type.
fn file_data(data: &str) -> Option<Source> {
    let (media_type, data) = match split_data_url(data) {
        Some(split) => split,
        None if data.starts_with("data:") => return None,
        None => ("", data),
    };
    Some(Source::Base64 { media_type: media_type.to_owned(), data: data.to_owned() })
}

fn audio(part: &mut Object) -> Option<ContentBlock> {
    let is_text = |key: &str| part.get("input_audio").and_then(|audio| audio.get(key)).is_some_and(Value::is_string);
    if !is_text("data") || !is_text("format") {
        return None;
    }
    let mut audio = take_object(part, "input_audio")?;
    let block =
        ContentBlock::Audio { data: take_string(&mut audio, "data")?, format: take_string(&mut audio, "format")? };
    if !audio.is_empty() {
        part.insert("input_audio".to_owned(), Value::Object(audio));
    }
    Some(block)
}

/// Writes a part. What is none, but an item by itself, is no part.
pub(super) fn encode(content: &Content, text_type: &str) -> Option<Value> {
    let part = match &content.block {
        ContentBlock::Text(text) => {
            let type_ = content.extras.get("type").and_then(Value::as_str).unwrap_or(text_type);
            json!({"type": type_, "text": text})
        }
        ContentBlock::Refusal(refusal) => json!({"type": "refusal", "refusal": refusal}),
        ContentBlock::Image { source: source @ Source::Base64 { media_type, .. }, .. }
            if !media_type.starts_with("image/") =>
        {
            document(source, "", None, text_type)
        }
        ContentBlock::Image { source, detail } => {
            let detail = if detail.is_empty() { "auto" } else { detail };
            match source {
                Source::Base64 { media_type, data } => {
                    json!({"type": "input_image", "image_url": data_url(media_type, data), "detail": detail})
                }
                Source::Url(url) => json!({"type": "input_image", "image_url": url, "detail": detail}),
                Source::FileId(id) => json!({"type": "input_image", "file_id": id, "detail": detail}),
                Source::Text(text) => json!({"type": text_type, "text": text}),
            }
        }
        ContentBlock::Document { source, title } => document(source, title, content.extras.get("filename"), text_type),
        ContentBlock::Audio { data, format } => {
            json!({"type": "input_audio", "input_audio": {"data": data, "format": format}})
        }
        ContentBlock::Opaque(part) => return Some(part.clone()),
        ContentBlock::Thinking { .. }
        | ContentBlock::RedactedThinking(_)
        | ContentBlock::ToolCall { .. }
        | ContentBlock::ToolResult { .. } => return None,
    };
    let Value::Object(mut part) = part else { return Some(part) };
    let mut extras = content.extras.clone().into_map();
    drop_null(&mut extras, "filename");
    merge(&mut part, &extras);
    Some(Value::Object(part))
}

fn document(source: &Source, title: &str, marked: Option<&Value>, text_type: &str) -> Value {
    let mut part = Object::new();
    put(&mut part, "type", "input_file");
    match source {
        Source::Text(text) => {
            let titled = if title.is_empty() { text.clone() } else { format!("{title}\n\n{text}") };
            return json!({"type": text_type, "text": titled});
        }
        Source::Base64 { media_type, data } => {
            // Content has to have a name, by which the provider knows what it is.
            if title.is_empty() && marked.is_none() {
                put(&mut part, "filename", file_name(media_type));
            }
            let data = if media_type.is_empty() { data.clone() } else { data_url(media_type, data) };
            put(&mut part, "file_data", data);
        }
        Source::Url(url) => put(&mut part, "file_url", url.as_str()),
        Source::FileId(id) => put(&mut part, "file_id", id.as_str()),
    }
    put_text(&mut part, "filename", title);
    Value::Object(part)
}

fn file_name(media_type: &str) -> &'static str {
    match media_type {
        "application/pdf" => "document.pdf",
        "text/plain" => "document.txt",
        "text/markdown" => "document.md",
        "text/html" => "document.html",
        "text/csv" => "document.csv",
        "application/json" => "document.json",
        _ => "document",
    }
}
