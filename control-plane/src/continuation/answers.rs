//! The answers to calls that no client ever got.

use luthien_proto::{
    Request,
    json::Extras,
    message::Edit,
    request::{Content, ContentBlock, Dialect, Message},
};
use serde_json::{Value, json};

use super::Withheld;

/// What the model is told in place of an answer.
const NOT_RUN: &str = "The call was refused by policy and was not run.";

/// The edits that answer the calls which the request does not answer itself.
///
/// # Errors
/// Only the client can answer one of that kind.
pub(super) fn to(withheld: &[Withheld], request: &Request, dialect: Dialect) -> Result<Vec<Edit>, String> {
    let open = withheld.iter().filter(|call| !is_answered(&call.id, request));
    let messages = open.map(|call| answer(call, dialect)).collect::<Result<Vec<_>, _>>()?;
    Ok(messages.into_iter().map(|message| Edit::InsertMessage(0, message)).collect())
}

/// Whether an edit is one of these.
pub(super) fn is_ours(edit: &Edit) -> bool {
    let Edit::InsertMessage(0, message) = edit else { return false };
    message.content.iter().any(|content| match &content.block {
        ContentBlock::ToolResult { content, .. } => content == &[not_run()],
        ContentBlock::Opaque(item) => item.to_string().contains(NOT_RUN),
        ContentBlock::Text(_)
        | ContentBlock::Thinking { .. }
        | ContentBlock::RedactedThinking(_)
        | ContentBlock::Refusal(_)
        | ContentBlock::ToolCall { .. }
        | ContentBlock::Image { .. }
        | ContentBlock::Document { .. }
        | ContentBlock::Audio { .. } => false,
    })
}

fn is_answered(id: &str, request: &Request) -> bool {
    request.messages.iter().flat_map(|message| &message.content).any(|content| match &content.block {
        ContentBlock::ToolResult { id: answered, .. } => answered == id,
        // An answer of a form of its own.
        ContentBlock::Opaque(item) => {
            let is_output = item["type"].as_str().is_some_and(|type_| type_.ends_with("_output"));
            is_output && [&item["call_id"], &item["id"]].into_iter().any(|answered| answered == id)
        }
        ContentBlock::Text(_)
        | ContentBlock::Thinking { .. }
        | ContentBlock::RedactedThinking(_)
        | ContentBlock::Refusal(_)
        | ContentBlock::ToolCall { .. }
        | ContentBlock::Image { .. }
        | ContentBlock::Document { .. }
        | ContentBlock::Audio { .. } => false,
    })
}

fn answer(call: &Withheld, dialect: Dialect) -> Result<Message, String> {
    let Withheld { id, kind } = call;
    Ok(match kind.as_str() {
        "function" => result(id, dialect, Extras::NONE),
        "custom" => {
            let mut extras = Extras::NONE;
            extras.insert("type", json!("custom_tool_call_output"));
            result(id, dialect, extras)
        }
        "apply_patch_call" => {
            item(json!({"type": "apply_patch_call_output", "call_id": id, "status": "failed", "output": NOT_RUN}))
        }
        "shell_call" => {
            let output = json!([{"stdout": "", "stderr": NOT_RUN, "outcome": {"type": "exit", "exit_code": 126}}]);
            item(json!({"type": "shell_call_output", "call_id": id, "output": output}))
        }
        "local_shell_call" => item(json!({"type": "local_shell_call_output", "id": id, "output": NOT_RUN})),
        kind => return Err(kind.to_owned()),
    })
}

fn result(id: &str, dialect: Dialect, extras: Extras) -> Message {
    let (role, is_error) = match dialect {
        Dialect::AnthropicMessages => ("user", Some(true)),
        Dialect::OpenAiResponses | Dialect::OpenAiChat | Dialect::Gemini => ("tool", None),
    };
    let block = ContentBlock::ToolResult { id: id.to_owned(), is_error, content: vec![not_run()] };
    Message { role: role.to_owned(), content: vec![Content { block, extras }], extras: Extras::NONE }
}

fn item(item: Value) -> Message {
    Message { role: String::new(), content: vec![ContentBlock::Opaque(item).into()], extras: Extras::NONE }
}

fn not_run() -> Content {
    ContentBlock::Text(NOT_RUN.to_owned()).into()
}
