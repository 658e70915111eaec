//! What tools have answered: for each function call of the turn before one response, in the same order.

use luthien_proto::request::{Content, ContentBlock};
use serde_json::{Value, json};

use super::{contents::type_of, media, model::Model, spoken::Call};
use crate::dialect::target::Lost;

/// The result of a call.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    pub(super) id: &'a str,
    pub(super) is_error: bool,
    pub(super) content: &'a [Content],
}

/// What is in an answer.
struct Told {
    text: String,
    media: Vec<Value>,
}

/// The parts: all responses, then what does not fit into them. A function is answered by its name.
pub(super) fn parts(calls: &[Call<'_>], answers: &[Answer<'_>], model: Model, lost: &mut Lost) -> Vec<Value> {
    let mut parts = Vec::with_capacity(calls.len());
    let mut behind = Vec::new();
    for call in calls {
        let answer = answers.iter().rfind(|answer| answer.id == call.id);
        let (response, media) = match answer {
            Some(answer) => {
                let Told { text, media } = told(answer.content, lost);
                (if answer.is_error { json!({"error": text}) } else { json!({"result": text}) }, media)
            }
            None => (json!({"error": "no result was recorded"}), Vec::new()),
        };
        let mut function = json!({"name": call.name, "response": response});
        if !call.id.is_empty() {
            function["id"] = call.id.into();
        }
        let (within, after): (Vec<_>, Vec<_>) = media.into_iter().partition(|part| model.third && fits_within(part));
        if !within.is_empty() {
            function["parts"] = within.into();
        }
        parts.push(json!({"functionResponse": function}));
        behind.extend(after);
    }
    for orphan in answers.iter().filter(|answer| calls.iter().all(|call| call.id != answer.id)) {
        let Told { text, media } = told(orphan.content, lost);
        behind.push(json!({"text": format!("[result of an unknown tool call ID]: {text}")}));
        behind.extend(media);
    }
    parts.extend(behind);
    parts
}

/// Whether a medium may be within a response: some types of what is here.
fn fits_within(part: &Value) -> bool {
    let media_type = part.get("inlineData").and_then(|data| data["mimeType"].as_str()).unwrap_or_default();
    media_type.starts_with("image/") || matches!(media_type, "application/pdf" | "text/plain")
}

fn told(content: &[Content], lost: &mut Lost) -> Told {
    let mut texts = Vec::new();
    let mut media = Vec::new();
    for Content { block, .. } in content {
        if let Some(text) = media::text(block) {
            texts.push(text);
        } else if let Some(part) = media::part(block) {
            media.push(part);
        } else if let ContentBlock::Opaque(value) = block {
            lost.drop(type_of(value));
        }
    }
    Told { text: texts.join("\n"), media }
}
