//! The request that follows: what OpenAI refuses in it.

use serde_json::{Value, json};

use super::super::turn::{Block, Form, ToolCall, Turn};

/// Writes the assistant's message (of the first choice) and the answers to its tool calls.
///
/// # Errors
/// The rule for which OpenAI would refuse them.
pub fn next_turn(turn: &Turn) -> Result<Vec<Value>, String> {
    let choice = turn.choices.first().ok_or("no choice")?;
    let mut message = json!({"role": "assistant", "content": null});
    let mut answers = Vec::new();
    for block in &choice.blocks {
        match block {
            Block::Text(text) => message["content"] = json!(text),
            Block::Refusal(text) => message["refusal"] = json!(text),
            Block::Thinking { signature, .. } if signature.is_empty() => {}
            Block::Thinking { text, signature } => {
                message["reasoning_content"] = json!(text);
                detail(&mut message, json!({"type": "reasoning.text", "text": text, "signature": signature}));
            }
            Block::RedactedThinking(data) => detail(&mut message, json!({"type": "reasoning.encrypted", "data": data})),
            Block::ToolCall(call) => {
                name_is_accepted(&call.name)?;
                super::arguments_are_json(call)?;
                send_back(&mut message, call);
                answers.push(answer(call));
            }
            Block::Other(_) => return Err(format!("OpenAI has no {block:?}")),
        }
    }
    if message["content"].is_null() && answers.is_empty() && message.get("refusal").is_none() {
        return Err("an assistant's message without content or tool_calls".into());
    }
    Ok([vec![message], answers].concat())
}

fn detail(message: &mut Value, detail: Value) {
    match message.get_mut("reasoning_details").and_then(Value::as_array_mut) {
        Some(details) => details.push(detail),
        None => message["reasoning_details"] = json!([detail]),
    }
}

fn name_is_accepted(name: &str) -> Result<(), String> {
    let accepted = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    match name.len() {
        1..=64 if name.bytes().all(accepted) => Ok(()),
        _ => Err(format!("a tool can't be called {name:?}")),
    }
}

fn send_back(message: &mut Value, call: &ToolCall) {
    let (id, name, arguments) = (&call.id, &call.name, &call.arguments);
    let value = match call.form {
        Form::Legacy => {
            message["function_call"] = json!({"name": name, "arguments": arguments});
            return;
        }
        Form::Custom => json!({"id": id, "type": "custom", "custom": {"name": name, "input": arguments}}),
        Form::Function | Form::Server => {
            json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
        }
    };
    match message.get_mut("tool_calls").and_then(Value::as_array_mut) {
        Some(calls) => calls.push(value),
        None => message["tool_calls"] = json!([value]),
    }
}

fn answer(call: &ToolCall) -> Value {
    match call.form {
        Form::Legacy => json!({"role": "function", "name": call.name, "content": "done"}),
        Form::Function | Form::Custom | Form::Server => {
            json!({"role": "tool", "tool_call_id": call.id, "content": "done"})
        }
    }
}
