//! OpenAI Responses, as its SDKs and Codex read it.

mod next;
mod stream;

pub use next::next_turn;
pub use stream::{relayed, stream};

use serde_json::Value;

use super::{
    json::{self, expect, integer, nonempty, optional, string},
    turn::{Block, Choice, Failure, Form, ToolCall, Turn},
};

/// What the SDK's model of a response requires.
const REQUIRED: [&str; 8] =
    ["id", "object", "created_at", "model", "output", "parallel_tool_calls", "tool_choice", "tools"];

/// Reads a response that was not streamed.
///
/// # Errors
/// The first rule that it breaks.
pub fn whole(body: &[u8]) -> Result<Turn, String> {
    let response = json::object(body)?;
    head(&response)?;
    let blocks = blocks(&response["output"])?;
    usage(&response)?;
    Ok(Turn {
        id: string(&response, "id")?.to_owned(),
        model: string(&response, "model")?.to_owned(),
        choices: vec![Choice { blocks, finish: finish(&response)? }],
        usage: optional(&response, "usage").cloned(),
        failure: None,
    })
}

/// Reads the body of a response with an error status.
///
/// # Errors
/// The first rule that it breaks.
pub fn error(body: &[u8]) -> Result<Failure, String> {
    super::openai::error(body)
}

/// What every snapshot of a response has.
fn head(response: &Value) -> Result<(), String> {
    if let Some(missing) = REQUIRED.iter().find(|key| response.get(**key).is_none()) {
        return Err(format!("the response has no {missing}"));
    }
    nonempty(response, "id")?;
    expect(response, "object", "response")?;
    integer(response, "created_at")?;
    nonempty(response, "model")?;
    nonempty(response, "status")?;
    if !response["output"].is_array() || !response["tools"].is_array() || !response["parallel_tool_calls"].is_boolean()
    {
        return Err("output, tools or parallel_tool_calls is of another type".into());
    }
    Ok(())
}

/// Why a complete response ended.
fn finish(response: &Value) -> Result<String, String> {
    match string(response, "status")? {
        "completed" if optional(response, "incomplete_details").is_none() => Ok("completed".into()),
        "completed" => Err("completed, with incomplete_details".into()),
        "incomplete" => nonempty(&response["incomplete_details"], "reason").map(str::to_owned),
        other => Err(format!("the status at the end is {other}")),
    }
}

/// Codex needs all three counts, or no usage.
fn usage(response: &Value) -> Result<(), String> {
    let Some(usage) = optional(response, "usage") else { return Ok(()) };
    let [input, output, total] = ["input_tokens", "output_tokens", "total_tokens"]
        .map(|count| integer(usage, count).map_err(|e| format!("usage: {e}")));
    let (input, output, total) = (input?, output?, total?);
    if input + output != total {
        return Err(format!("usage: {input} and {output} are not {total}"));
    }
    integer(&usage["input_tokens_details"], "cached_tokens").map_err(|error| format!("usage: {error}"))?;
    integer(&usage["output_tokens_details"], "reasoning_tokens").map_err(|error| format!("usage: {error}"))?;
    Ok(())
}

fn blocks(output: &Value) -> Result<Vec<Block>, String> {
    let items = output.as_array().ok_or("output is no list")?;
    let mut blocks = Vec::new();
    let mut calls = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let read = read_item(item).map_err(|error| format!("output[{index}]: {error}"))?;
        for block in &read {
            if let Block::ToolCall(call) = block {
                if calls.contains(&call.id) {
                    return Err(format!("two tool calls have the id {:?}", call.id));
                }
                calls.push(call.id.clone());
            }
        }
        blocks.extend(read);
    }
    Ok(blocks)
}

/// An item that is complete.
fn read_item(item: &Value) -> Result<Vec<Block>, String> {
    let type_ = nonempty(item, "type")?;
    Ok(match type_ {
        "message" => {
            nonempty(item, "id")?;
            expect(item, "role", "assistant")?;
            nonempty(item, "status")?;
            let parts = item["content"].as_array().ok_or("its content is no list")?;
            parts.iter().map(part).collect::<Result<_, _>>()?
        }
        "reasoning" => vec![reasoning(item)?],
        "function_call" => {
            let arguments = string(item, "arguments")?.to_owned();
            json::object(arguments.as_bytes()).map_err(|error| format!("arguments: {error}"))?;
            vec![call(item, arguments, Form::Function)?]
        }
        "custom_tool_call" => vec![call(item, string(item, "input")?.to_owned(), Form::Custom)?],
        _ => vec![Block::Other(item.clone())],
    })
}

fn part(part: &Value) -> Result<Block, String> {
    Ok(match nonempty(part, "type")? {
        "output_text" if !part["annotations"].is_array() => return Err("annotations are no list".into()),
        "output_text" => Block::Text(string(part, "text")?.to_owned()),
        "refusal" => Block::Refusal(string(part, "refusal")?.to_owned()),
        other => return Err(format!("a part of type {other}")),
    })
}

fn reasoning(item: &Value) -> Result<Block, String> {
    nonempty(item, "id")?;
    let summary = item["summary"].as_array().ok_or("its summary is no list")?;
    let texts = summary.iter().map(|part| {
        expect(part, "type", "summary_text")?;
        string(part, "text")
    });
    let texts: Vec<&str> = texts.collect::<Result<_, _>>()?;
    let signature = optional(item, "encrypted_content").and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(match texts.is_empty() && !signature.is_empty() {
        true => Block::RedactedThinking(signature),
        false => Block::Thinking { text: texts.join("\n\n"), signature },
    })
}

fn call(item: &Value, arguments: String, form: Form) -> Result<Block, String> {
    nonempty(item, "id")?;
    let (id, name) = (nonempty(item, "call_id")?.to_owned(), nonempty(item, "name")?.to_owned());
    Ok(Block::ToolCall(ToolCall { id, name, arguments, form }))
}

#[cfg(test)]
mod tests;
