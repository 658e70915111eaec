//! What can't be converted: the request depends on what only a provider of the client's own dialect knows.

use luthien_proto::{
    Request,
    request::{Content, ContentBlock, Dialect, Message, Source},
};
use serde_json::Value;

use super::{Unconvertible, Way};

pub(super) fn check(request: &Request, way: &Way<'_>) -> Result<(), Unconvertible> {
    fields(request, way)?;
    let has_one_choice = matches!(way.target(), Dialect::AnthropicMessages | Dialect::OpenAiResponses);
    if request.choices > 1 && has_one_choice {
        return Err(refusal("n", "the model behind this name gives one answer at a time"));
    }
    for (at, message) in request.messages.iter().enumerate() {
        check_message(message, at, way)?;
    }
    Ok(())
}

fn fields(request: &Request, way: &Way<'_>) -> Result<(), Unconvertible> {
    let is_said = |name: &str| request.extras.get(name).is_some_and(|value| !value.is_null());
    const ELSEWHERE: &str = "the model behind this name is of another provider, which doesn't know it";
    match way.client {
        Dialect::OpenAiResponses => {
            for name in ["previous_response_id", "conversation", "prompt"] {
                if is_said(name) {
                    return Err(refusal(name, ELSEWHERE));
                }
            }
            if request.extras.get("background") == Some(&Value::Bool(true)) {
                return Err(refusal("background", "the model behind this name answers at once only"));
            }
        }
        Dialect::AnthropicMessages if is_said("thread") => {
            let reason = "the model behind this name is of another provider: send all messages";
            return Err(Unconvertible { code: Some("thread_unsupported_request"), ..refusal("thread", reason) });
        }
        Dialect::AnthropicMessages | Dialect::OpenAiChat | Dialect::Gemini => {}
    }
    Ok(())
}

fn check_message(message: &Message, at: usize, way: &Way<'_>) -> Result<(), Unconvertible> {
    let list = if way.client == Dialect::OpenAiResponses { "input" } else { "messages" };
    for (nth, content) in message.content.iter().enumerate() {
        let path =
            if message.role.is_empty() { format!("{list}[{at}]") } else { format!("{list}[{at}].content[{nth}]") };
        check_content(content, &path, way)?;
    }
    Ok(())
}

fn check_content(content: &Content, path: &str, way: &Way<'_>) -> Result<(), Unconvertible> {
    match &content.block {
        ContentBlock::Image { source, .. } | ContentBlock::Document { source, .. } => match source {
            Source::FileId(_) if !way.is_within_openai() => {
                Err(refusal(path, "this file is at another provider than the model behind this name"))
            }
            Source::FileId(_) | Source::Base64 { .. } | Source::Url(_) | Source::Text(_) => Ok(()),
        },
        ContentBlock::ToolResult { content, .. } => {
            content.iter().try_for_each(|content| check_content(content, path, way))
        }
        ContentBlock::Opaque(raw) => match raw.get("type").and_then(Value::as_str) {
            Some("item_reference") => {
                Err(refusal(path, "this item is at another provider than the model behind this name"))
            }
            Some("container_upload") => {
                Err(refusal(path, "this file is at another provider than the model behind this name"))
            }
            Some("compaction") if raw.get("encrypted_content").is_some_and(Value::is_string) => {
                Err(refusal(path, "only the provider that compacted this conversation can read it"))
            }
            Some(_) | None => Ok(()),
        },
        ContentBlock::Text(_)
        | ContentBlock::Thinking { .. }
        | ContentBlock::RedactedThinking(_)
        | ContentBlock::Refusal(_)
        | ContentBlock::ToolCall { .. }
        | ContentBlock::Audio { .. } => Ok(()),
    }
}

fn refusal(path: &str, reason: &str) -> Unconvertible {
    Unconvertible { path: path.to_owned(), reason: reason.to_owned(), code: None }
}
