//! The request that follows: what OpenAI refuses in it.

use serde_json::{Value, json};

use super::super::turn::{Block, Form, Turn};

/// Writes the items of the turn, and an answer to each of its tool calls.
///
/// # Errors
/// The rule for which OpenAI would refuse them.
pub fn next_turn(turn: &Turn) -> Result<Vec<Value>, String> {
    let [choice] = turn.choices.as_slice() else { return Err(format!("{} choices", turn.choices.len())) };
    if choice.blocks.is_empty() {
        return Err("a turn without items".into());
    }
    let mut items = choice.blocks.iter().map(sent_back).collect::<Result<Vec<_>, _>>()?;
    for call in choice.tool_calls() {
        let type_ = match call.form {
            Form::Function => "function_call_output",
            Form::Custom => "custom_tool_call_output",
            Form::Legacy | Form::Server => continue,
        };
        items.push(json!({"type": type_, "call_id": call.id, "output": "done"}));
    }
    Ok(items)
}

fn sent_back(block: &Block) -> Result<Value, String> {
    let message = |part: Value| json!({"type": "message", "role": "assistant", "content": [part]});
    Ok(match block {
        Block::Text(text) => message(json!({"type": "output_text", "text": text, "annotations": []})),
        Block::Refusal(text) => message(json!({"type": "refusal", "refusal": text})),
        Block::Thinking { signature, .. } if signature.is_empty() => {
            return Err("reasoning without encrypted content can't be sent back".into());
        }
        Block::Thinking { text, signature } => {
            json!({"type": "reasoning", "summary": [{"type": "summary_text", "text": text}], "encrypted_content": signature})
        }
        Block::RedactedThinking(data) => json!({"type": "reasoning", "summary": [], "encrypted_content": data}),
        Block::ToolCall(call) => match call.form {
            Form::Custom => {
                json!({"type": "custom_tool_call", "call_id": call.id, "name": call.name, "input": call.arguments})
            }
            Form::Function => {
                json!({"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments})
            }
            Form::Legacy | Form::Server => return Err(format!("a call of the form {:?}", call.form)),
        },
        Block::Other(item) => item.clone(),
    })
}
