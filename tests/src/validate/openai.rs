//! OpenAI Chat Completions, as its SDKs read it.

mod next;
mod stream;

pub use next::next_turn;
pub use stream::{relayed, stream};

use serde_json::Value;

use super::{
    json::{self, expect, integer, nonempty, optional, string},
    turn::{Block, Choice, Failure, Form, ToolCall, Turn},
};

/// Reads a response that was not streamed.
///
/// # Errors
/// The first rule that it breaks.
pub fn whole(body: &[u8]) -> Result<Turn, String> {
    let body = json::object(body)?;
    head(&body, "chat.completion")?;
    let values = body["choices"].as_array().ok_or("choices is not a list")?;
    if values.is_empty() {
        return Err("no choices".into());
    }
    let mut choices = Vec::new();
    for (index, value) in values.iter().enumerate() {
        if integer(value, "index")? != index as u64 {
            return Err(format!("index {} where {index} is due", value["index"]));
        }
        choices.push(choice(value).map_err(|error| format!("choice {index}: {error}"))?);
    }
    let usage = optional(&body, "usage").cloned();
    usage.iter().try_for_each(self::usage)?;
    let (id, model) = (string(&body, "id")?.to_owned(), string(&body, "model")?.to_owned());
    Ok(Turn { id, model, choices, usage, failure: None })
}

/// Reads the body of a response with an error status, or the data of the SSE event that ends a stream with an error.
///
/// # Errors
/// The first rule that it breaks.
pub fn error(body: &[u8]) -> Result<Failure, String> {
    let body = json::object(body)?;
    let error = &body["error"];
    let (type_, message) = (nonempty(error, "type")?.to_owned(), nonempty(error, "message")?.to_owned());
    for key in ["param", "code"] {
        match error.get(key) {
            Some(Value::Null | Value::String(_)) => {}
            other => return Err(format!("{key} is neither null nor a string: {other:?}")),
        }
    }
    Ok(Failure { type_, message, body })
}

fn head(body: &Value, object: &str) -> Result<(), String> {
    nonempty(body, "id")?;
    expect(body, "object", object)?;
    integer(body, "created")?;
    nonempty(body, "model")?;
    Ok(())
}

fn usage(usage: &Value) -> Result<(), String> {
    let counts = ["prompt_tokens", "completion_tokens", "total_tokens"];
    counts.iter().try_for_each(|count| integer(usage, count).map(drop)).map_err(|error| format!("usage: {error}"))
}

fn choice(value: &Value) -> Result<Choice, String> {
    let message = &value["message"];
    expect(message, "role", "assistant")?;
    if message.get("content").is_none() {
        return Err("the message has no content, not even null".into());
    }
    let finish = nonempty(value, "finish_reason")?.to_owned();
    let mut blocks = Vec::new();
    if let Some(text) = ["reasoning_content", "reasoning"].iter().find_map(|key| optional(message, key)) {
        let text = text.as_str().ok_or("reasoning is not a string")?.to_owned();
        blocks.push(Block::Thinking { text, signature: String::new() });
    }
    details(message, &mut blocks)?;
    for (key, block) in [("content", Block::Text as fn(String) -> Block), ("refusal", Block::Refusal)] {
        if optional(message, key).is_some() {
            blocks.push(block(string(message, key)?.to_owned()));
        }
    }
    if let Some(call) = optional(message, "function_call") {
        blocks.push(Block::ToolCall(legacy_call(call)?));
    }
    if let Some(calls) = optional(message, "tool_calls") {
        let calls = calls.as_array().filter(|calls| !calls.is_empty()).ok_or("tool_calls is not a list, or empty")?;
        for call in calls {
            blocks.push(Block::ToolCall(tool_call(call)?));
        }
    }
    finish_fits(&finish, &blocks)?;
    Ok(Choice { blocks, finish })
}

/// What reasoning is proven by, where a gateway tells it: `reasoning_details`, as OpenRouter spells them.
fn details(message: &Value, blocks: &mut Vec<Block>) -> Result<(), String> {
    for detail in message["reasoning_details"].as_array().into_iter().flatten() {
        match string(detail, "type")? {
            "reasoning.text" => {
                let proof = nonempty(detail, "signature")?;
                let last = blocks.iter_mut().rev().find_map(|block| match block {
                    Block::Thinking { signature, .. } => Some(signature),
                    _ => None,
                });
                match last {
                    Some(signature) if signature.is_empty() => proof.clone_into(signature),
                    Some(_) | None => {
                        blocks.push(Block::Thinking { text: String::new(), signature: proof.to_owned() });
                    }
                }
            }
            "reasoning.encrypted" => blocks.push(Block::RedactedThinking(nonempty(detail, "data")?.to_owned())),
            other => return Err(format!("reasoning_details of type {other}")),
        }
    }
    Ok(())
}

fn legacy_call(call: &Value) -> Result<ToolCall, String> {
    let (name, arguments) = (nonempty(call, "name")?.to_owned(), string(call, "arguments")?.to_owned());
    Ok(ToolCall { id: String::new(), name, arguments, form: Form::Legacy })
}

fn tool_call(call: &Value) -> Result<ToolCall, String> {
    let id = nonempty(call, "id")?.to_owned();
    let (form, body, input) = match string(call, "type")? {
        "function" => (Form::Function, &call["function"], "arguments"),
        "custom" => (Form::Custom, &call["custom"], "input"),
        other => return Err(format!("a tool call of type {other:?}")),
    };
    let (name, arguments) = (nonempty(body, "name")?.to_owned(), string(body, input)?.to_owned());
    Ok(ToolCall { id, name, arguments, form })
}

/// Whether the reason to finish fits what is left of a choice.
fn finish_fits(finish: &str, blocks: &[Block]) -> Result<(), String> {
    let calls: Vec<&ToolCall> = blocks.iter().filter_map(call_of).collect();
    for (at, call) in calls.iter().enumerate() {
        if !call.id.is_empty() && calls[..at].iter().any(|other| other.id == call.id) {
            return Err(format!("two tool calls have the id {:?}", call.id));
        }
    }
    let legacy = calls.iter().any(|call| call.form == Form::Legacy);
    let tools = calls.iter().any(|call| call.form != Form::Legacy);
    let cut = matches!(finish, "length" | "content_filter");
    match finish {
        "tool_calls" if !tools => Err("finish_reason is tool_calls, and no tool call is left".into()),
        "function_call" if !legacy => Err("finish_reason is function_call, and there is none".into()),
        finish if tools && finish != "tool_calls" && !cut => {
            Err(format!("finish_reason is {finish}, and a tool call is left"))
        }
        finish if legacy && finish != "function_call" && !cut => {
            Err(format!("finish_reason is {finish}, and a function_call is left"))
        }
        _ if cut => Ok(()),
        _ => calls.iter().try_for_each(|call| arguments_are_json(call)),
    }
}

fn call_of(block: &Block) -> Option<&ToolCall> {
    match block {
        Block::ToolCall(call) => Some(call),
        _ => None,
    }
}

fn arguments_are_json(call: &ToolCall) -> Result<(), String> {
    match call.form {
        Form::Custom => Ok(()),
        Form::Function | Form::Legacy | Form::Server => json::object(call.arguments.as_bytes())
            .map(drop)
            .map_err(|error| format!("the arguments of {}: {error}", call.name)),
    }
}

#[cfg(test)]
mod tests;
