//! The content of messages: a text, or parts.

use luthien_proto::request::{Content, ContentBlock, Source};
use serde_json::{Value, json};

use crate::dialect::{
    Lost,
    fields::{Object, merge},
    source::data_url,
    write::{put, put_text},
};

/// What OpenAI calls a document that has no name: it wants one.
const UNTITLED: &str = "document.pdf";

/// One text is told as such, several blocks as parts; nothing as an empty text.
pub(super) fn encode(content: &[&Content], lost: &mut Lost) -> Value {
    if content.is_empty() {
        return "".into();
    }
    if let [content] = content
        && let Some(text) = plain_text(content)
    {
        return text.into();
    }
    content.iter().filter_map(|content| part(content, lost)).collect()
}

/// Several plain texts run together, as what a model has said is one text.
pub(super) fn encode_said(content: &[&Content], lost: &mut Lost) -> Value {
    let texts = content.iter().map(|content| plain_text(content));
    match texts.collect::<Option<String>>() {
        Some(text) => text.into(),
        None => encode(content, lost),
    }
}

fn plain_text(content: &Content) -> Option<&str> {
    let ContentBlock::Text(text) = &content.block else { return None };
    content.extras.is_empty().then_some(text)
}

fn part(content: &Content, lost: &mut Lost) -> Option<Value> {
    let mut part = match &content.block {
        ContentBlock::Text(text) => fields(json!({"type": "text", "text": text})),
        ContentBlock::Refusal(text) => fields(json!({"type": "refusal", "refusal": text})),
        ContentBlock::Image { source, detail } => image(source, detail, lost),
        ContentBlock::Document { source, title } => document(source, title, lost),
        ContentBlock::Audio { data, format } => {
            fields(json!({"type": "input_audio", "input_audio": {"data": data, "format": format}}))
        }
        ContentBlock::Opaque(raw) => return Some(raw.clone()),
        ContentBlock::Thinking { .. }
        | ContentBlock::RedactedThinking(_)
        | ContentBlock::ToolCall { .. }
        | ContentBlock::ToolResult { .. } => {
            lost.omit("messages.content");
            return None;
        }
    };
    merge(&mut part, &content.extras.clone().into_map());
    Some(Value::Object(part))
}

fn image(source: &Source, detail: &str, lost: &mut Lost) -> Object {
    let url = match source {
        Source::Base64 { media_type, data } => data_url(media_type, data),
        Source::Url(url) => url.clone(),
        Source::FileId(_) => return document(source, "", lost),
        Source::Text(text) => return fields(json!({"type": "text", "text": text})),
    };
    let mut inner = Object::new();
    put(&mut inner, "url", url);
    put_text(&mut inner, "detail", detail);
    fields(json!({"type": "image_url", "image_url": inner}))
}

/// A document that is text is text; its title is the first line of it. One at a URL can only be told of.
fn document(source: &Source, title: &str, lost: &mut Lost) -> Object {
    let titled = |text: &str| if title.is_empty() { text.to_owned() } else { format!("{title}\n{text}") };
    let mut file = Object::new();
    match source {
        Source::Base64 { media_type, data } => {
            put(&mut file, "filename", if title.is_empty() { UNTITLED } else { title });
            put(&mut file, "file_data", data_url(media_type, data));
        }
        Source::FileId(id) => {
            put_text(&mut file, "filename", title);
            put(&mut file, "file_id", id.as_str());
        }
        Source::Text(text) => return fields(json!({"type": "text", "text": titled(text)})),
        Source::Url(url) => {
            lost.drop("document.source.url");
            return fields(json!({"type": "text", "text": titled(url)}));
        }
    }
    fields(json!({"type": "file", "file": file}))
}

pub(super) fn fields(value: Value) -> Object {
    if let Value::Object(fields) = value { fields } else { Object::new() }
}
