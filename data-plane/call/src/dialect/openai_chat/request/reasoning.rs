//! The reasoning of an earlier answer: `reasoning_content` or `reasoning`, and `reasoning_details`, which holds what the
//! provider wants to see again.

use luthien_proto::request::{Content, ContentBlock};
use serde_json::Value;

use super::mark;
use crate::dialect::{
    fields::{Object, take_array, take_string},
    openai_chat::details::{self, Detail},
    request::known,
};

pub(super) fn take(message: &mut Object) -> Vec<Content> {
    let prose = take_prose(message);
    let Some(entries) = take_array(message, "reasoning_details") else {
        return prose.into_iter().map(|(field, text)| thinking(field, text)).collect();
    };
    match details::read(&entries) {
        Some(details) => match join(prose, details) {
            Ok(content) => content,
            Err(prose) => {
                message.insert("reasoning_details".to_owned(), entries.into());
                prose.into_iter().map(|(field, text)| thinking(field, text)).collect()
            }
        },
        None => {
            message.insert("reasoning_details".to_owned(), entries.into());
            prose.into_iter().map(|(field, text)| thinking(field, text)).collect()
        }
    }
}

type Prose = Option<(&'static str, String)>;

/// Those that fill both fields say the same twice.
fn take_prose(message: &mut Object) -> Prose {
    let mut prose: Prose = None;
    for field in ["reasoning_content", "reasoning"] {
        match (take_string(message, field), &prose) {
            (Some(text), None) if !text.is_empty() => prose = Some((field, text)),
            (Some(text), Some((_, known))) if !text.is_empty() && text != *known => {
                message.insert(field.to_owned(), text.into());
            }
            (Some(_) | None, _) => {}
        }
    }
    prose
}

/// The prose repeats the texts of the details, or is the text of the one that has none. What neither fits is given back.
fn join(prose: Prose, details: Vec<Detail>) -> Result<Vec<Content>, Prose> {
    let mut details = fragments_joined(details);
    let texts: String = details.iter().filter_map(Detail::text).collect();
    let mut content = Vec::new();
    let field = prose.as_ref().map_or("", |(field, _)| *field);
    if let Some((field, text)) = prose
        && text != texts
    {
        if !texts.is_empty() {
            return Err(Some((field, text)));
        }
        match details.iter_mut().find_map(Detail::text_mut) {
            Some(place) => *place = text,
            None => content.push(thinking(field, text)),
        }
    }
    content.extend(details.into_iter().map(|detail| match detail {
        Detail::Text { text, signature, id, mut rest } => {
            mark_field(&mut rest, field);
            known(ContentBlock::Thinking { text, signature, id }, rest)
        }
        Detail::Encrypted { data, rest } => known(ContentBlock::RedactedThinking(data), rest),
    }));
    Ok(content)
}

/// Clients give back the pieces of a stream as they came.
fn fragments_joined(details: Vec<Detail>) -> Vec<Detail> {
    let mut joined: Vec<Detail> = Vec::with_capacity(details.len());
    for detail in details {
        match (joined.last_mut(), detail) {
            (Some(last), detail) if last.goes_on_with(&detail) => last.append(detail),
            (_, detail) => joined.push(detail),
        }
    }
    joined
}

fn thinking(field: &'static str, text: String) -> Content {
    let mut rest = Object::new();
    mark_field(&mut rest, field);
    known(ContentBlock::Thinking { text, signature: String::new(), id: String::new() }, rest)
}

fn mark_field(rest: &mut Object, field: &str) {
    if field == "reasoning" {
        rest.insert(mark::FIELD.to_owned(), Value::from(field));
    }
}
