//! Content blocks: of a stream as they begin, of a whole body as they are.

use luthien_proto::event::{BlockKind, Delta, ToolCall, ToolForm};
use serde_json::{Value, json};

use crate::dialect::fields::{Object, drop_if, drop_null, take_array, take_object, take_string};

/// A block, what of its content it begins with, and the fields that are not known.
pub(super) struct Begun {
    pub(super) kind: BlockKind,
    pub(super) deltas: Vec<Delta>,
    pub(super) rest: Object,
}

impl Begun {
    fn new(kind: BlockKind, deltas: impl IntoIterator<Item = Delta>, rest: Object) -> Self {
        Self { kind, deltas: deltas.into_iter().collect(), rest }
    }
}

/// Reads a `content_block`. Servers may put all of a block into its start.
pub(super) fn begin(mut block: Object) -> Begun {
    let type_ = block.get("type").and_then(Value::as_str).unwrap_or_default();
    match type_ {
        "text" => {
            drop_type(&mut block);
            drop_null(&mut block, "citations");
            let text = take_non_empty(&mut block, "text").map(Delta::Text);
            let citations = take_array(&mut block, "citations").into_iter().flatten();
            let citations =
                citations.map(|citation| Delta::Opaque(json!({"type": "citations_delta", "citation": citation})));
            Begun::new(BlockKind::Text, text.into_iter().chain(citations), block)
        }
        "thinking" => {
            drop_type(&mut block);
            let text = take_non_empty(&mut block, "thinking").map(Delta::Text);
            let signature = take_non_empty(&mut block, "signature").map(Delta::Signature);
            let kind = BlockKind::Thinking { field: String::new(), id: String::new() };
            Begun::new(kind, text.into_iter().chain(signature), block)
        }
        "redacted_thinking" if block.get("data").is_some_and(Value::is_string) => {
            drop_type(&mut block);
            let data = take_string(&mut block, "data").unwrap_or_default();
            Begun::new(BlockKind::RedactedThinking { data }, [], block)
        }
        "tool_use" => call(block, ToolForm::Function, String::new()),
        "server_tool_use" | "mcp_tool_use" => {
            let type_ = type_.to_owned();
            call(block, ToolForm::Server, type_)
        }
        _ => Begun::new(BlockKind::Opaque(Value::Object(block)), [], Object::new()),
    }
}

fn call(mut block: Object, form: ToolForm, type_: String) -> Begun {
    drop_type(&mut block);
    let id = take_string(&mut block, "id").unwrap_or_default();
    let name = take_string(&mut block, "name").unwrap_or_default();
    let input = take_object(&mut block, "input").filter(|input| !input.is_empty());
    let arguments = input.map(|input| Delta::Arguments(Value::Object(input).to_string()));
    let call = ToolCall { id, name, namespace: String::new(), form, type_ };
    Begun::new(BlockKind::ToolCall(call), arguments, block)
}

/// A `content_block` as a stream begins it.
pub(super) fn head(kind: &BlockKind) -> Object {
    let block = match kind {
        BlockKind::Text | BlockKind::Refusal => json!({"type": "text", "text": ""}),
        BlockKind::Thinking { .. } => json!({"type": "thinking", "thinking": "", "signature": ""}),
        BlockKind::RedactedThinking { data } => json!({"type": "redacted_thinking", "data": data}),
        BlockKind::ToolCall(call) => {
            let type_ = match call.form {
                ToolForm::Function | ToolForm::Custom | ToolForm::Legacy => "tool_use",
                ToolForm::Server if call.type_.is_empty() => "server_tool_use",
                ToolForm::Server => &call.type_,
            };
            json!({"type": type_, "id": call.id, "name": call.name, "input": {}})
        }
        BlockKind::Opaque(value) => value.clone(),
    };
    if let Value::Object(block) = block { block } else { Object::new() }
}

fn drop_type(block: &mut Object) {
    drop_if(block, "type", |_| true);
}

fn take_non_empty(block: &mut Object, key: &str) -> Option<String> {
    take_string(block, key).filter(|text| !text.is_empty())
}
