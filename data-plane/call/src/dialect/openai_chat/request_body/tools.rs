//! The tools, and which of them to call.

use luthien_proto::{
    Request,
    request::{Tool, ToolChoice, ToolKind},
};
use serde_json::{Value, json};

use crate::dialect::{
    UpstreamOptions,
    fields::{Object, merge},
    openai_chat::request::mark,
    write::{arguments_schema, free_text_schema, put, put_some, put_text},
};

/// Without tools there is nothing to choose from: providers refuse a choice then.
pub(super) fn encode(request: &Request, options: &UpstreamOptions, body: &mut Object) {
    if request.tools.is_empty() {
        return;
    }
    let (older, tools): (Vec<_>, Vec<_>) = request.tools.iter().partition(|tool| is_older(tool));
    let only_older = tools.is_empty();
    if !only_older {
        put(body, "tools", tools.into_iter().map(|tool| entry(tool, options)).collect::<Vec<_>>());
    }
    if !older.is_empty() {
        put(body, "functions", older.into_iter().map(function).collect::<Vec<_>>());
    }
    match &request.tool_choice {
        Some(ToolChoice::Named(name)) if only_older => put(body, "function_call", json!({"name": name})),
        Some(choice) => {
            let key = if only_older { "function_call" } else { "tool_choice" };
            put(body, key, tool_choice(choice, &request.tools, options));
        }
        None => {}
    }
    put_some(body, "parallel_tool_calls", request.parallel_tool_calls);
}

fn is_older(tool: &Tool) -> bool {
    tool.extras.get(mark::FUNCTIONS).is_some()
}

fn entry(tool: &Tool, options: &UpstreamOptions) -> Value {
    let (type_, inner) = match &tool.kind {
        ToolKind::Hosted(raw) => return raw.clone(),
        ToolKind::Function { .. } => ("function", function_fields(tool)),
        ToolKind::Custom { .. } if options.compatible => ("function", function_fields(tool)),
        ToolKind::Custom { format } => {
            let mut fields = named(tool);
            if !format.is_null() {
                put(&mut fields, "format", format.clone());
            }
            ("custom", fields)
        }
    };
    let mut entry = Object::new();
    put(&mut entry, "type", type_);
    put(&mut entry, type_, inner);
    merge(&mut entry, &tool.extras.clone().into_map());
    Value::Object(entry)
}

/// An entry of `functions`.
fn function(tool: &Tool) -> Value {
    if let ToolKind::Hosted(raw) = &tool.kind {
        return raw.clone();
    }
    let mut fields = function_fields(tool);
    let mut rest = tool.extras.clone().into_map();
    rest.shift_remove(mark::FUNCTIONS);
    merge(&mut fields, &rest);
    Value::Object(fields)
}

fn function_fields(tool: &Tool) -> Object {
    let mut fields = named(tool);
    match &tool.kind {
        ToolKind::Function { schema, strict } => {
            put(&mut fields, "parameters", arguments_schema(schema));
            put_some(&mut fields, "strict", *strict);
        }
        ToolKind::Custom { .. } | ToolKind::Hosted(_) => put(&mut fields, "parameters", free_text_schema()),
    }
    fields
}

fn named(tool: &Tool) -> Object {
    let mut fields = Object::new();
    put(&mut fields, "name", tool.name.as_str());
    put_text(&mut fields, "description", &tool.description);
    fields
}

fn tool_choice(choice: &ToolChoice, tools: &[Tool], options: &UpstreamOptions) -> Value {
    match choice {
        ToolChoice::Auto => "auto".into(),
        ToolChoice::None => "none".into(),
        ToolChoice::Required => "required".into(),
        ToolChoice::Named(name) => reference(name, tools, options),
        ToolChoice::Allowed { required, names } => {
            let mode = if *required { "required" } else { "auto" };
            let tools: Vec<_> = names.iter().map(|name| reference(name, tools, options)).collect();
            json!({"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}})
        }
        ToolChoice::Opaque(raw) => raw.clone(),
    }
}

fn reference(name: &str, tools: &[Tool], options: &UpstreamOptions) -> Value {
    let is_custom = |tool: &Tool| tool.name == name && matches!(tool.kind, ToolKind::Custom { .. });
    let type_ = if !options.compatible && tools.iter().any(is_custom) { "custom" } else { "function" };
    json!({"type": type_, type_: {"name": name}})
}
