//! Anthropic Messages, as its SDKs read it.

mod next;
mod stream;

pub use next::next_turn;
pub use stream::{relayed, stream};

use serde_json::Value;

use super::{
    json::{self, expect, nonempty, string},
    turn::{Block, Choice, Failure, Form, ToolCall, Turn},
};

/// Reads a response that was not streamed.
///
/// # Errors
/// The first rule that it breaks.
pub fn whole(body: &[u8]) -> Result<Turn, String> {
    let message = json::object(body)?;
    head(&message)?;
    let content = message["content"].as_array().ok_or("content is not a list")?;
    let finish = nonempty(&message, "stop_reason")?.to_owned();
    let mut blocks = Vec::new();
    for (index, value) in content.iter().enumerate() {
        blocks.push(block(value).map_err(|error| format!("content[{index}]: {error}"))?);
    }
    usage(&message["usage"], &["input_tokens", "output_tokens"])?;
    finish_fits(&finish, &blocks)?;
    Ok(Turn {
        id: string(&message, "id")?.to_owned(),
        model: string(&message, "model")?.to_owned(),
        choices: vec![Choice { blocks, finish }],
        usage: Some(message["usage"].clone()),
        failure: None,
    })
}

/// Reads the body of a response with an error status, or the data of an `error` event.
///
/// # Errors
/// The first rule that it breaks.
pub fn error(body: &[u8]) -> Result<Failure, String> {
    let body = json::object(body)?;
    expect(&body, "type", "error")?;
    let type_ = nonempty(&body["error"], "type")?.to_owned();
    let message = nonempty(&body["error"], "message")?.to_owned();
    Ok(Failure { type_, message, body })
}

/// What a message begins with, streamed or not.
fn head(message: &Value) -> Result<(), String> {
    nonempty(message, "id")?;
    expect(message, "type", "message")?;
    expect(message, "role", "assistant")?;
    nonempty(message, "model")?;
    Ok(())
}

fn usage(usage: &Value, counts: &[&str]) -> Result<(), String> {
    counts.iter().try_for_each(|count| json::integer(usage, count).map(drop)).map_err(|error| format!("usage: {error}"))
}

/// A block that is complete.
fn block(value: &Value) -> Result<Block, String> {
    Ok(match string(value, "type")? {
        "text" => Block::Text(string(value, "text")?.to_owned()),
        "thinking" => Block::Thinking {
            text: string(value, "thinking")?.to_owned(),
            signature: string(value, "signature")?.to_owned(),
        },
        "redacted_thinking" => Block::RedactedThinking(nonempty(value, "data")?.to_owned()),
        type_ if is_tool_use(type_) => match &value["input"] {
            Value::Object(_) => Block::ToolCall(tool_call(value, value["input"].to_string())?),
            other => return Err(format!("input is not an object: {other}")),
        },
        _ => Block::Other(value.clone()),
    })
}

fn is_tool_use(type_: &str) -> bool {
    matches!(type_, "tool_use" | "server_tool_use" | "mcp_tool_use")
}

fn tool_call(value: &Value, arguments: String) -> Result<ToolCall, String> {
    let id = nonempty(value, "id")?;
    if !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-') {
        return Err(format!("the id {id:?} has a character that Anthropic refuses"));
    }
    let form = if string(value, "type")? == "tool_use" { Form::Function } else { Form::Server };
    Ok(ToolCall { id: id.to_owned(), name: nonempty(value, "name")?.to_owned(), arguments, form })
}

/// Stop reasons that cut a response short: whatever is left, it may be called by them.
fn cuts_short(finish: &str) -> bool {
    matches!(finish, "max_tokens" | "model_context_window_exceeded" | "refusal" | "compaction")
}

fn finish_fits(finish: &str, blocks: &[Block]) -> Result<(), String> {
    let mut ids = Vec::new();
    for block in blocks {
        if let Block::ToolCall(call) = block {
            if ids.contains(&&call.id) {
                return Err(format!("two tool calls have the id {:?}", call.id));
            }
            ids.push(&call.id);
        }
    }
    let asks = blocks.iter().any(|block| matches!(block, Block::ToolCall(ToolCall { form: Form::Function, .. })));
    match finish {
        "tool_use" if !asks => Err("stop_reason is tool_use, and no tool_use block is left".into()),
        finish if asks && finish != "tool_use" && !cuts_short(finish) => {
            Err(format!("stop_reason is {finish}, and a tool_use block is left"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
