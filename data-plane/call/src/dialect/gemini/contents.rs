//! The conversation: turns of the user and of the model, one after the other.

use luthien_proto::{
    Request,
    request::{Content, ContentBlock, Message},
};
use serde_json::{Value, json};

use super::{
    media,
    model::Model,
    results::{self, Answer},
    signature,
    spoken::Spoken,
};
use crate::dialect::target::Lost;

/// The conversation as parts.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    /// Instructions that stand before it.
    pub(super) system: Vec<Value>,
    /// The turns.
    pub(super) contents: Vec<Value>,
}

#[derive(Debug)]
enum Turn<'a> {
    User { answers: Vec<Answer<'a>>, parts: Vec<Value> },
    Model(Spoken<'a>),
}

impl Conversation {
    pub(super) fn of(request: &Request, model: Model, lost: &mut Lost) -> Self {
        let mut system = texts(&request.system, lost);
        let mut turns = Vec::new();
        for message in &request.messages {
            match message.role.as_str() {
                "system" | "developer" if turns.is_empty() => system.extend(texts(&message.content, lost)),
                "system" | "developer" => remind(message, &mut turns, lost),
                "assistant" => speak(message, &mut turns, lost),
                _ => ask(message, &mut turns, lost),
            }
        }
        let mut contents = contents(turns, model, lost);
        if contents.is_empty() {
            contents.extend(system.pop().map(|text| json!({"role": "user", "parts": [text]})));
        }
        // The user begins.
        if contents.first().is_some_and(|content| content["role"] == "model") {
            contents.insert(0, json!({"role": "user", "parts": [{"text": "."}]}));
        }
        if model.third {
            sign_calls(&mut contents);
        }
        Self { system, contents }
    }
}

/// The type of a block that is known by its JSON alone.
pub(super) fn type_of(block: &Value) -> &str {
    block.get("type").and_then(Value::as_str).unwrap_or("content")
}

/// Instructions: nothing but text.
fn texts(content: &[Content], lost: &mut Lost) -> Vec<Value> {
    let mut parts = Vec::new();
    for Content { block, .. } in content {
        match media::text(block) {
            Some(text) if text.is_empty() => {}
            Some(text) => parts.push(json!({"text": text})),
            None => lost.drop("system"),
        }
    }
    parts
}

/// An instruction within the conversation stays where it is: said by the user.
fn remind(message: &Message, turns: &mut Vec<Turn<'_>>, lost: &mut Lost) {
    let texts = texts(&message.content, lost);
    let reminders = texts.iter().filter_map(|part| part["text"].as_str());
    let reminders = reminders.map(|text| json!({"text": format!("<system-reminder>\n{text}\n</system-reminder>")}));
    let reminders: Vec<_> = reminders.collect();
    add(turns, Vec::new(), reminders);
}

fn speak<'a>(message: &'a Message, turns: &mut Vec<Turn<'a>>, lost: &mut Lost) {
    if message.content.is_empty() {
        return;
    }
    if !matches!(turns.last(), Some(Turn::Model(_))) {
        turns.push(Turn::Model(Spoken::default()));
    }
    if let Some(Turn::Model(spoken)) = turns.last_mut() {
        message.content.iter().for_each(|content| spoken.say(&content.block, lost));
    }
}

fn ask<'a>(message: &'a Message, turns: &mut Vec<Turn<'a>>, lost: &mut Lost) {
    let mut answers = Vec::new();
    let mut parts = Vec::new();
    for Content { block, .. } in &message.content {
        match block {
            ContentBlock::ToolResult { id, is_error, content } => {
                answers.push(Answer { id, is_error: *is_error == Some(true), content });
            }
            ContentBlock::Text(_)
            | ContentBlock::Refusal(_)
            | ContentBlock::Image { .. }
            | ContentBlock::Document { .. }
            | ContentBlock::Audio { .. } => match media::text(block) {
                Some(text) if text.is_empty() => {}
                Some(text) => parts.push(json!({"text": text})),
                None => parts.extend(media::part(block)),
            },
            ContentBlock::Thinking { .. } | ContentBlock::RedactedThinking(_) => lost.omit("thinking"),
            ContentBlock::ToolCall { .. } => lost.drop("tool_use"),
            ContentBlock::Opaque(value) => lost.drop(type_of(value)),
        }
    }
    add(turns, answers, parts);
}

fn add<'a>(turns: &mut Vec<Turn<'a>>, more_answers: Vec<Answer<'a>>, more_parts: Vec<Value>) {
    if more_answers.is_empty() && more_parts.is_empty() {
        return;
    }
    if let Some(Turn::User { answers, parts }) = turns.last_mut() {
        answers.extend(more_answers);
        parts.extend(more_parts);
    } else {
        turns.push(Turn::User { answers: more_answers, parts: more_parts });
    }
}

/// The turns that say something. Where functions were called, their responses come first.
fn contents(turns: Vec<Turn<'_>>, model: Model, lost: &mut Lost) -> Vec<Value> {
    let mut contents: Vec<(&str, Vec<Value>)> = Vec::new();
    let mut calls = Vec::new();
    for turn in turns {
        let (role, parts) = match turn {
            Turn::User { answers, parts } => {
                let mut all = results::parts(&std::mem::take(&mut calls), &answers, model, lost);
                all.extend(parts);
                ("user", all)
            }
            Turn::Model(spoken) => {
                let (parts, called) = spoken.finish();
                calls.extend(called);
                ("model", parts)
            }
        };
        match contents.last_mut() {
            Some((last, known)) if *last == role => known.extend(parts),
            Some(_) | None if parts.is_empty() => {}
            Some(_) | None => contents.push((role, parts)),
        }
    }
    contents.into_iter().map(|(role, parts)| json!({"role": role, "parts": parts})).collect()
}

/// In the current turn, the first function call of each step has to be signed. Where the signature is lost, it is told not
/// to be looked for.
fn sign_calls(contents: &mut [Value]) {
    let has = |content: &Value, key: &str| {
        content["parts"].as_array().is_some_and(|parts| parts.iter().any(|part| part.get(key).is_some()))
    };
    let begins_turn = |content: &Value| content["role"] == "user" && !has(content, "functionResponse");
    let current = contents.iter().rposition(begins_turn).map_or(0, |at| at + 1);
    for content in contents.iter_mut().skip(current) {
        let parts = content.get_mut("parts").and_then(Value::as_array_mut);
        let call = parts.and_then(|parts| parts.iter_mut().find(|part| part.get("functionCall").is_some()));
        if let Some(call) = call
            && call.get("thoughtSignature").is_none()
        {
            call["thoughtSignature"] = signature::UNCHECKED.into();
        }
    }
}
