//! A request for an upstream of the client's own dialect. It leaves as it came, unless an upstream of another dialect
//! answered earlier in the conversation: what that one signed would be refused.

use bytes::Bytes;
use luthien_proto::{
    Request,
    request::{Content, ContentBlock, Dialect, ReasoningMode},
};

use super::{request::thinking, unwrap};
use crate::dialect::{ClientRequest, Lost, UpstreamOptions, encode_request};

/// The body for an upstream of the client's own dialect, and what was lost on the way there.
pub fn forward(client: &ClientRequest, model: &str, options: &UpstreamOptions) -> (Bytes, Lost) {
    match has_foreign(&client.request) {
        true => anew(client.dialect, &client.request, model, options),
        false => (client.upstream_body(model), Lost::default()),
    }
}

/// The same of a request that does not leave as it came.
pub(super) fn anew(dialect: Dialect, request: &Request, model: &str, options: &UpstreamOptions) -> (Bytes, Lost) {
    let mut lost = Lost::default();
    let mut request = Request { model: model.to_owned(), ..request.clone() };
    if has_foreign(&request) {
        leave_foreign(&mut request, dialect, &mut lost);
    }
    let body = encode_request(dialect, &request, options, &mut lost);
    (body, lost)
}

fn leave_foreign(request: &mut Request, dialect: Dialect, lost: &mut Lost) {
    for message in &mut request.messages {
        let had = message.content.len();
        message.content.retain_mut(|content| !is_foreign(content) || stays(content, dialect));
        if message.content.is_empty() && had > 0 {
            message.role.clear();
        }
    }
    request.messages.retain(|message| !(message.role.is_empty() && message.content.is_empty()));
    lost.omit(name(dialect));
    if dialect == Dialect::AnthropicMessages && !thinking::fits_history(request) {
        request.reasoning.mode = ReasoningMode::Unset;
        request.reasoning.shown = None;
        lost.drop(name(dialect));
    }
}

fn has_foreign(request: &Request) -> bool {
    request.messages.iter().flat_map(|message| &message.content).any(is_foreign)
}

/// Whether an upstream of another dialect signed it.
fn is_foreign(content: &Content) -> bool {
    let signature = match &content.block {
        ContentBlock::Thinking { signature, .. } => signature,
        ContentBlock::RedactedThinking(data) => data,
        ContentBlock::Text(_)
        | ContentBlock::Refusal(_)
        | ContentBlock::ToolCall { .. }
        | ContentBlock::ToolResult { .. }
        | ContentBlock::Image { .. }
        | ContentBlock::Document { .. }
        | ContentBlock::Audio { .. }
        | ContentBlock::Opaque(_) => return false,
    };
    unwrap(signature).is_some()
}

/// OpenAI Chat has reasoning that nobody signed.
fn stays(content: &mut Content, dialect: Dialect) -> bool {
    if let ContentBlock::Thinking { text, signature, .. } = &mut content.block
        && dialect == Dialect::OpenAiChat
    {
        signature.clear();
        return !text.is_empty();
    }
    false
}

fn name(client: Dialect) -> &'static str {
    match client {
        Dialect::OpenAiChat => "reasoning_details",
        Dialect::AnthropicMessages | Dialect::Gemini => "thinking",
        Dialect::OpenAiResponses => "reasoning",
    }
}
