//! The parts of a message's content. A part of which a known field is missing, or of another type, is opaque.

use luthien_proto::request::{Content, ContentBlock, Source};
use serde_json::Value;

use crate::dialect::{
    fields::{Object, put_back, take_object, take_string},
    request::known,
    source,
};

pub(super) fn part(mut part: Object) -> Content {
    if !is_known(&part) {
        return ContentBlock::Opaque(Value::Object(part)).into();
    }
    let type_ = take_string(&mut part, "type").unwrap_or_default();
    let block = match type_.as_str() {
        "text" => ContentBlock::Text(take_string(&mut part, "text").unwrap_or_default()),
        "refusal" => ContentBlock::Refusal(take_string(&mut part, "refusal").unwrap_or_default()),
        "image_url" => image(&mut part),
        "file" => file(&mut part),
        _ => audio(&mut part),
    };
    known(block, part)
}

fn is_known(part: &Object) -> bool {
    let is_text = |key| part.get(key).is_some_and(Value::is_string);
    let inner = |key| part.get(key).and_then(Value::as_object);
    let has_text = |key, field| inner(key).and_then(|inner| inner.get(field)).is_some_and(Value::is_string);
    match part.get("type").and_then(Value::as_str) {
        Some("text") => is_text("text"),
        Some("refusal") => is_text("refusal"),
        Some("image_url") => is_text("image_url") || has_text("image_url", "url"),
        Some("file") => inner("file").is_some_and(is_known_file),
        Some("input_audio") => has_text("input_audio", "data"),
        Some(_) | None => false,
    }
}

fn is_known_file(file: &Object) -> bool {
    let text = |key| file.get(key).and_then(Value::as_str);
    let is_named = text("filename").is_some() || file.get("filename").is_none_or(Value::is_null);
    is_named
        && match text("file_data") {
            Some(url) => source::split_data_url(url).is_some(),
            None => text("file_id").is_some(),
        }
}

/// An object, or the URL alone. What a `data:` URL holds may be no picture.
fn image(part: &mut Object) -> ContentBlock {
    if let Some(url) = take_string(part, "image_url") {
        return shown(source::from_url(url), String::new());
    }
    let mut inner = take_object(part, "image_url").unwrap_or_default();
    let source = source::from_url(take_string(&mut inner, "url").unwrap_or_default());
    let detail = take_string(&mut inner, "detail").unwrap_or_default();
    put_back(part, "image_url", inner);
    shown(source, detail)
}

fn shown(source: Source, detail: String) -> ContentBlock {
    let is_picture = |media_type: &str| media_type.is_empty() || media_type.starts_with("image/");
    match &source {
        Source::Base64 { media_type, .. } if !is_picture(media_type) => {
            ContentBlock::Document { source, title: String::new() }
        }
        Source::Base64 { .. } | Source::Url(_) | Source::FileId(_) | Source::Text(_) => {
            ContentBlock::Image { source, detail }
        }
    }
}

fn file(part: &mut Object) -> ContentBlock {
    let mut inner = take_object(part, "file").unwrap_or_default();
    let source = match take_string(&mut inner, "file_data") {
        Some(data) => source::from_url(data),
        None => Source::FileId(take_string(&mut inner, "file_id").unwrap_or_default()),
    };
    let title = take_string(&mut inner, "filename").unwrap_or_default();
    put_back(part, "file", inner);
    ContentBlock::Document { source, title }
}

fn audio(part: &mut Object) -> ContentBlock {
    let mut inner = take_object(part, "input_audio").unwrap_or_default();
    let data = take_string(&mut inner, "data").unwrap_or_default();
    let format = take_string(&mut inner, "format").unwrap_or_default();
    put_back(part, "input_audio", inner);
    ContentBlock::Audio { data, format }
}
