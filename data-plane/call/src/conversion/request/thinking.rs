//! Reasoning of earlier answers: its provider gets it back as it was, nobody else gets what is signed or encrypted.

use luthien_proto::{
    json::Extras,
    request::{Content, ContentBlock, Dialect, Message, ReasoningMode, Request},
};

use super::Way;
use crate::{
    conversion::{Envelope, Kind, unwrap},
    dialect::Lost,
};

pub(super) fn convert(text: String, signature: String, id: String, way: &Way<'_>, lost: &mut Lost) -> Vec<Content> {
    let own = match unwrap(&signature) {
        Some(envelope) => own(envelope, way, &text),
        // Of the client's dialect. What was never signed may still be read.
        None => None,
    };
    let block = own.or_else(|| prose(text, id, way));
    if block.is_none() {
        lost.omit("reasoning_content");
    }
    block.map(Content::from).into_iter().collect()
}

pub(super) fn convert_redacted(data: String, way: &Way<'_>, lost: &mut Lost) -> Vec<Content> {
    let own = unwrap(&data).and_then(|envelope| own(envelope, way, ""));
    if own.is_none() {
        lost.omit("reasoning_content");
    }
    own.map(Content::from).into_iter().collect()
}

/// The block that the target made.
fn own(envelope: Envelope, way: &Way<'_>, text: &str) -> Option<ContentBlock> {
    let Envelope { origin, model, kind, data, id } = envelope;
    let is_any_models = match origin {
        Dialect::AnthropicMessages | Dialect::OpenAiChat => true,
        Dialect::OpenAiResponses | Dialect::Gemini => model.is_empty() || model == way.to.model,
    };
    if origin != way.target() || !is_any_models || data.is_empty() {
        return None;
    }
    match kind {
        Kind::Unsigned => None,
        Kind::Signature => Some(ContentBlock::Thinking { text: text.to_owned(), signature: data, id }),
        Kind::Redacted => Some(ContentBlock::RedactedThinking(data)),
    }
}

/// What was reasoned, for those who want to be reminded of it.
fn prose(text: String, id: String, way: &Way<'_>) -> Option<ContentBlock> {
    let is_wanted = way.target() == Dialect::OpenAiChat && way.to.options.reasoning_echo && !text.is_empty();
    is_wanted.then(|| ContentBlock::Thinking { text, signature: String::new(), id })
}

/// The thought that a client of OpenAI Chat keeps with a call, where Google's own answers in that dialect have it.
pub(super) fn beside_call(extras: &Extras, way: &Way<'_>) -> Option<Content> {
    let signature = extras.get("extra_content")?.get("google")?.get("thought_signature")?.as_str()?;
    let is_own = way.target() == Dialect::Gemini && unwrap(signature).is_none();
    let thought =
        || ContentBlock::Thinking { text: String::new(), signature: format!("call:{signature}"), id: String::new() };
    is_own.then(|| thought().into())
}

/// A turn of Anthropic's older models that thinks and calls tools begins with its thinking as long as it lasts, and one
/// that doesn't think has none.
pub(in crate::conversion) fn fits_history(request: &Request) -> bool {
    let ReasoningMode::Budget(_) = request.reasoning.mode else { return true };
    let begins_turn = |content: &[Content]| !content.iter().any(is_result);
    let current = request.messages.iter().rposition(|message| message.role == "user" && begins_turn(&message.content));
    let answers = request.messages.iter().skip(current.map_or(0, |at| at + 1));
    let calls = |content: &Content| matches!(content.block, ContentBlock::ToolCall { .. });
    let mut calling = answers.filter(|message| message.role == "assistant" && message.content.iter().any(calls));
    calling.all(|message| message.content.first().is_some_and(is_thinking))
}

fn is_result(content: &Content) -> bool {
    matches!(content.block, ContentBlock::ToolResult { .. })
}

pub(super) fn is_thinking(content: &Content) -> bool {
    matches!(content.block, ContentBlock::Thinking { .. } | ContentBlock::RedactedThinking(_))
}

/// Takes the reasoning out of the conversation, and what nothing remains of.
pub(super) fn forget(request: &mut Request) {
    let mut messages: Vec<Message> = Vec::with_capacity(request.messages.len());
    for mut message in std::mem::take(&mut request.messages) {
        message.content.retain(|content| !is_thinking(content));
        match messages.last_mut() {
            _ if message.content.is_empty() => {}
            Some(last) if last.role == message.role => last.content.extend(message.content),
            Some(_) | None => messages.push(message),
        }
    }
    request.messages = messages;
}
