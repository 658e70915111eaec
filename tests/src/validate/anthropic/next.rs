//! The request that follows: what Anthropic refuses in it.

use serde_json::{Value, json};

use super::super::turn::{Block, Form, ToolCall, Turn};

/// Writes the assistant's message and the user's answer to its tool calls.
///
/// # Errors
/// The rule for which Anthropic would refuse them.
pub fn next_turn(turn: &Turn) -> Result<Vec<Value>, String> {
    let [choice] = turn.choices.as_slice() else { return Err(format!("{} choices", turn.choices.len())) };
    let content = choice.blocks.iter().map(sent_back).collect::<Result<Vec<_>, _>>()?;
    if content.is_empty() {
        return Err("an assistant's message without content".into());
    }
    let mut called: Option<&ToolCall> = None;
    for block in &choice.blocks {
        match (block, called) {
            (Block::ToolCall(call), _) if call.form == Form::Function => called = Some(call),
            (_, None) => {}
            (other, Some(call)) => return Err(format!("{other:?} stands behind the tool_use {:?}", call.id)),
        }
    }
    let answers: Vec<Value> = choice.tool_calls().iter().filter_map(answer).collect();
    let user = if answers.is_empty() { json!([{"type": "text", "text": "Go on."}]) } else { Value::Array(answers) };
    Ok(vec![json!({"role": "assistant", "content": content}), json!({"role": "user", "content": user})])
}

fn sent_back(block: &Block) -> Result<Value, String> {
    Ok(match block {
        Block::Text(text) if text.trim().is_empty() => return Err("a text block without text".into()),
        Block::Text(text) => json!({"type": "text", "text": text}),
        Block::Thinking { signature, .. } if signature.is_empty() => return Err("thinking without a signature".into()),
        Block::Thinking { text, signature } => json!({"type": "thinking", "thinking": text, "signature": signature}),
        Block::RedactedThinking(data) => json!({"type": "redacted_thinking", "data": data}),
        Block::ToolCall(call) => {
            let input = super::json::object(call.arguments.as_bytes())?;
            let type_ = if call.form == Form::Function { "tool_use" } else { "server_tool_use" };
            json!({"type": type_, "id": call.id, "name": call.name, "input": input})
        }
        Block::Other(value) => value.clone(),
        Block::Refusal(_) => return Err("Anthropic has no refusal blocks".into()),
    })
}

fn answer(call: &ToolCall) -> Option<Value> {
    let answer = json!({"type": "tool_result", "tool_use_id": call.id, "content": "done"});
    (call.form == Form::Function).then_some(answer)
}
