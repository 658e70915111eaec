//! The parts of a message's content. A part of which a known field is missing, or of another type, is opaque.

use luthien_proto::request::{Content, ContentBlock, Source};
use serde_json::Value;

use crate::dialect::{
    fields::{Object, put_back, take_object, take_string},
    request::known,
    source,
};

pub(super) fn part(mut part: Object) -> Content {
    let raw = part.clone();
    let block = match part.get("type").and_then(Value::as_str) {
        Some("text") => take_string(&mut part, "text").map(ContentBlock::Text),
        Some("refusal") => take_string(&mut part, "refusal").map(ContentBlock::Refusal),
        Some("image_url") => image(&mut part),
        Some("file") => file(&mut part),
        Some("input_audio") => audio(&mut part),
        Some(_) | None => None,
    };
    match block {
        Some(block) => {
            part.shift_remove("type");
            known(block, part)
        }
        None => ContentBlock::Opaque(Value::Object(raw)).into(),
    }
}

/// An object, or the URL alone. What a `data:` URL holds may be no picture.
fn image(part: &mut Object) -> Option<ContentBlock> {
    if let Some(url) = take_string(part, "image_url") {
        return Some(shown(source::from_url(url), String::new()));
    }
    let mut inner = take_object(part, "image_url")?;
    let source = source::from_url(take_string(&mut inner, "url")?);
    let detail = take_string(&mut inner, "detail").unwrap_or_default();
    put_back(part, "image_url", inner);
    Some(shown(source, detail))
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

fn file(part: &mut Object) -> Option<ContentBlock> {
    let mut inner = take_object(part, "file")?;
    let source = match take_string(&mut inner, "file_data") {
        Some(data) => Some(source::from_url(data)).filter(|source| matches!(source, Source::Base64 { .. }))?,
        None => Source::FileId(take_string(&mut inner, "file_id")?),
    };
    let title = take_string(&mut inner, "filename").unwrap_or_default();
    if inner.contains_key("filename") {
        return None;
    }
    put_back(part, "file", inner);
    Some(ContentBlock::Document { source, title })
}

fn audio(part: &mut Object) -> Option<ContentBlock> {
    let mut inner = take_object(part, "input_audio")?;
    let data = take_string(&mut inner, "data")?;
    let format = take_string(&mut inner, "format").unwrap_or_default();
    put_back(part, "input_audio", inner);
    Some(ContentBlock::Audio { data, format })
}
