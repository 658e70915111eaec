//! Content blocks: of a stream as they begin, of a whole body as they are.

use std::borrow::Cow;

use luthien_proto::{
    event::{BlockKind, Delta, ToolCall, ToolForm},
    json::Fields,
};
use serde_json::{Value, json};

use crate::dialect::fields::Object;

/// A block, what of its content it begins with, and the fields that are not known.
pub(super) struct Begun<'a> {
    pub(super) kind: BlockKind,
    pub(super) deltas: Vec<Delta>,
    pub(super) rest: Fields<'a>,
}

impl<'a> Begun<'a> {
    fn new(kind: BlockKind, deltas: impl IntoIterator<Item = Delta>, rest: Fields<'a>) -> Self {
        Self { kind, deltas: deltas.into_iter().collect(), rest }
    }
}

/// Reads a `content_block`. Servers may put all of a block into its start.
pub(super) fn begin(mut block: Fields<'_>) -> Begun<'_> {
    match block.text("type").unwrap_or_default() {
        "text" => {
            block.remove("type");
            let text = take_non_empty(&mut block, "text").map(Delta::Text);
            let citations = block.take_array("citations").into_iter().flatten().map(Value::from);
            let citations =
                citations.map(|citation| Delta::Opaque(json!({"type": "citations_delta", "citation": citation})));
            Begun::new(BlockKind::Text, text.into_iter().chain(citations), block)
        }
        "thinking" => {
            block.remove("type");
            let text = take_non_empty(&mut block, "thinking").map(Delta::Text);
            let signature = take_non_empty(&mut block, "signature").map(Delta::Signature);
            let kind = BlockKind::Thinking { field: String::new(), id: String::new() };
            Begun::new(kind, text.into_iter().chain(signature), block)
        }
        "redacted_thinking" if block.text("data").is_some() => {
            block.remove("type");
            let data = block.take_str("data").unwrap_or_default().into_owned();
            Begun::new(BlockKind::RedactedThinking { data }, [], block)
        }
        "tool_use" => call(block, ToolForm::Function, String::new()),
        type_ @ ("server_tool_use" | "mcp_tool_use") => {
            let type_ = type_.to_owned();
            call(block, ToolForm::Server, type_)
        }
        _ => Begun::new(BlockKind::Opaque(block.into()), [], Fields::new()),
    }
}

fn call(mut block: Fields<'_>, form: ToolForm, type_: String) -> Begun<'_> {
    block.remove("type");
    let id = block.take_str("id").unwrap_or_default().into_owned();
    let name = block.take_str("name").unwrap_or_default().into_owned();
    let input = block.take_object("input").filter(|input| !input.is_empty());
    let arguments = input.map(|input| Delta::Arguments(input.to_string()));
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

fn take_non_empty(block: &mut Fields<'_>, key: &str) -> Option<String> {
    block.take_str(key).filter(|text| !text.is_empty()).map(Cow::into_owned)
}
