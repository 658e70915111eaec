//! The tools, and which of them to call.

use luthien_proto::{
    Request,
    request::{Tool, ToolChoice, ToolKind},
};
use serde_json::{Value, json};

use crate::dialect::{
    fields::{Object, merge},
    write::{arguments_schema, free_text_schema, put, put_some, put_text},
};

/// Without tools there is nothing to choose from. Where only some are allowed, only those are told of.
pub(super) fn encode(request: &Request, body: &mut Object) {
    let is_told = |tool: &&Tool| match &request.tool_choice {
        Some(ToolChoice::Allowed { names, .. }) => names.contains(&tool.name),
        _ => true,
    };
    let tools: Vec<_> = request.tools.iter().filter(is_told).map(entry).collect();
    if tools.is_empty() {
        return;
    }
    put(body, "tools", tools);
    put_some(body, "tool_choice", tool_choice(request));
}

fn entry(tool: &Tool) -> Value {
    if let ToolKind::Hosted(raw) = &tool.kind {
        return raw.clone();
    }
    let mut entry = Object::new();
    put(&mut entry, "name", tool.name.as_str());
    put_text(&mut entry, "description", &tool.description);
    match &tool.kind {
        ToolKind::Function { schema, strict } => {
            put(&mut entry, "input_schema", arguments_schema(schema));
            put_some(&mut entry, "strict", *strict);
        }
        ToolKind::Custom { .. } | ToolKind::Hosted(_) => put(&mut entry, "input_schema", free_text_schema()),
    }
    merge(&mut entry, &tool.extras.clone().into_map());
    entry.into()
}

/// Whether several may be called at once is a part of the choice.
fn tool_choice(request: &Request) -> Option<Value> {
    let one_by_one = request.parallel_tool_calls.map(|parallel| !parallel);
    let choice = match &request.tool_choice {
        None if one_by_one == Some(true) => json!({"type": "auto"}),
        None => return None,
        Some(ToolChoice::Auto | ToolChoice::Allowed { required: false, .. }) => json!({"type": "auto"}),
        Some(ToolChoice::Required | ToolChoice::Allowed { required: true, .. }) => json!({"type": "any"}),
        Some(ToolChoice::Named(name)) => json!({"type": "tool", "name": name}),
        Some(ToolChoice::None) => return Some(json!({"type": "none"})),
        Some(ToolChoice::Opaque(raw)) => return Some(raw.clone()),
    };
    let Value::Object(mut choice) = choice else { return None };
    put_some(&mut choice, "disable_parallel_tool_use", one_by_one);
    Some(choice.into())
}
