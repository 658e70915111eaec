//! The tools, and the choice among them.

use luthien_proto::{
    Request,
    json::Extras,
    request::{Tool, ToolChoice, ToolKind},
};
use serde_json::{Value, json};

use crate::dialect::{
    fields::{Object, drop_null, merge, take_array, take_bool, take_string, take_value},
    write::{arguments_schema, put, put_filled, put_some, put_text},
};

/// On a tool, the fields of its group.
const GROUP: &str = "namespace";

/// The tools, those of a namespace one by one.
pub(super) fn take(body: &mut Object) -> Vec<Tool> {
    take_array(body, "tools").into_iter().flatten().flat_map(decode).collect()
}

fn decode(raw: Value) -> Vec<Tool> {
    if is_group(&raw) { members(raw) } else { vec![tool(raw)] }
}

/// A group with a name and with tools; any other is a tool that isn't known.
fn is_group(tool: &Value) -> bool {
    let has_name = tool.get("name").and_then(Value::as_str).is_some_and(|name| !name.is_empty());
    let has_tools = tool.get("tools").and_then(Value::as_array).is_some_and(|tools| !tools.is_empty());
    tool.get("type").is_some_and(|type_| type_ == "namespace") && has_name && has_tools
}

fn members(group: Value) -> Vec<Tool> {
    let mut group = fields(group);
    let tools = take_array(&mut group, "tools").unwrap_or_default();
    let namespace = take_string(&mut group, "name").unwrap_or_default();
    group.shift_remove("type");
    drop_null(&mut group, "description");
    let member = |raw: Value| {
        // Two things of one name can't stand in one place.
        let mut tool = if raw.get(GROUP).is_some() { hosted(raw) } else { tool(raw) };
        tool.namespace = namespace.clone();
        tool.extras.insert(GROUP, Value::Object(group.clone()));
        tool
    };
    tools.into_iter().map(member).collect()
}

fn tool(raw: Value) -> Tool {
    let is_named = raw.get("name").is_some_and(Value::is_string);
    match raw.get("type").and_then(Value::as_str) {
        Some("function") if is_named => function(fields(raw)),
        Some("custom") if is_named => custom(fields(raw)),
        Some(_) | None => hosted(raw),
    }
}

fn fields(raw: Value) -> Object {
    if let Value::Object(fields) = raw { fields } else { Object::new() }
}

fn function(mut raw: Object) -> Tool {
    let schema = take_value(&mut raw, "parameters").unwrap_or_default();
    let strict = take_bool(&mut raw, "strict");
    if schema.is_null() {
        raw.insert("parameters".to_owned(), Value::Null);
    }
    if strict.is_none() {
        raw.entry("strict").or_insert(Value::Null);
    }
    declared(raw, ToolKind::Function { schema, strict })
}

fn custom(mut raw: Object) -> Tool {
    let format = take_value(&mut raw, "format").unwrap_or_default();
    declared(raw, ToolKind::Custom { format })
}

fn declared(mut raw: Object, kind: ToolKind) -> Tool {
    raw.shift_remove("type");
    let mut text = |key| take_string(&mut raw, key).unwrap_or_default();
    let (name, description) = (text("name"), text("description"));
    Tool { name, namespace: String::new(), description, kind, extras: Extras::from(raw) }
}

fn hosted(raw: Value) -> Tool {
    let text = |key| raw.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (name, description) = (text("name"), text("description"));
    Tool { name, namespace: String::new(), description, kind: ToolKind::Hosted(raw), extras: Extras::NONE }
}

/// The choice, as far as it can be written again from what it is.
pub(super) fn take_choice(body: &mut Object, tools: &[Tool]) -> Option<ToolChoice> {
    let raw = take_value(body, "tool_choice")?;
    let known = match raw.as_str() {
        Some("auto") => Some(ToolChoice::Auto),
        Some("none") => Some(ToolChoice::None),
        Some("required") => Some(ToolChoice::Required),
        Some(_) => None,
        None => referred(&raw, tools).map(ToolChoice::Named).or_else(|| allowed(&raw, tools)),
    };
    Some(known.unwrap_or(ToolChoice::Opaque(raw)))
}

/// The tool's name, if the reference says nothing else.
fn referred(reference: &Value, tools: &[Tool]) -> Option<String> {
    let name = reference.get("name")?.as_str()?;
    (*reference == refer(name, tools)).then(|| name.to_owned())
}

fn allowed(raw: &Value, tools: &[Tool]) -> Option<ToolChoice> {
    let required = match raw.get("mode")?.as_str()? {
        "auto" => false,
        "required" => true,
        _ => return None,
    };
    let names: Option<Vec<_>> = raw.get("tools")?.as_array()?.iter().map(|tool| referred(tool, tools)).collect();
    let choice = ToolChoice::Allowed { required, names: names? };
    (encode_choice(&choice, tools) == *raw).then_some(choice)
}

fn refer(name: &str, tools: &[Tool]) -> Value {
    let is_custom = |tool: &Tool| tool.name == name && matches!(tool.kind, ToolKind::Custom { .. });
    let type_ = if tools.iter().any(is_custom) { "custom" } else { "function" };
    json!({"type": type_, "name": name})
}

/// Writes the tools, the choice, and whether several may be called at once.
pub(super) fn encode(request: &Request, body: &mut Object) {
    put_filled(body, "tools", encode_tools(&request.tools));
    put_some(body, "tool_choice", request.tool_choice.as_ref().map(|choice| encode_choice(choice, &request.tools)));
    put_some(body, "parallel_tool_calls", request.parallel_tool_calls);
}

/// Neighbours of one group are written as one.
fn encode_tools(tools: &[Tool]) -> Value {
    let is_together = |one: &Tool, next: &Tool| {
        !one.namespace.is_empty() && one.namespace == next.namespace && one.extras.get(GROUP) == next.extras.get(GROUP)
    };
    tools.chunk_by(is_together).map(encode_group).collect()
}

fn encode_group(tools: &[Tool]) -> Value {
    match tools {
        [first, ..] if !first.namespace.is_empty() => {
            let mut group = Object::new();
            put(&mut group, "type", "namespace");
            put(&mut group, "name", first.namespace.as_str());
            if let Some(Value::Object(fields)) = first.extras.get(GROUP) {
                merge(&mut group, fields);
            }
            put(&mut group, "tools", tools.iter().map(encode_tool).collect::<Value>());
            Value::Object(group)
        }
        [tool, ..] => encode_tool(tool),
        [] => Value::Null,
    }
}

fn encode_tool(tool: &Tool) -> Value {
    let mut raw = Object::new();
    match &tool.kind {
        ToolKind::Hosted(raw) => return raw.clone(),
        ToolKind::Function { schema, strict } => {
            declare(&mut raw, "function", tool);
            if !schema.is_null() || tool.extras.get("parameters").is_none() {
                put(&mut raw, "parameters", arguments_schema(schema));
            }
            // What it is by default differs from the other dialects.
            let default = tool.extras.get("strict").is_none().then_some(false);
            put_some(&mut raw, "strict", strict.or(default));
        }
        ToolKind::Custom { format } => {
            declare(&mut raw, "custom", tool);
            put_some(&mut raw, "format", Some(format).filter(|format| !format.is_null()).cloned());
        }
    }
    let mut extras = tool.extras.clone().into_map();
    if !tool.namespace.is_empty() {
        extras.shift_remove(GROUP);
    }
    // What a schema says is said by the schema alone.
    if raw.contains_key("parameters") {
        extras.shift_remove("parameters");
    }
    merge(&mut raw, &extras);
    Value::Object(raw)
}

fn declare(raw: &mut Object, type_: &str, tool: &Tool) {
    put(raw, "type", type_);
    put(raw, "name", tool.name.as_str());
    put_text(raw, "description", &tool.description);
}

fn encode_choice(choice: &ToolChoice, tools: &[Tool]) -> Value {
    match choice {
        ToolChoice::Auto => Value::from("auto"),
        ToolChoice::None => Value::from("none"),
        ToolChoice::Required => Value::from("required"),
        ToolChoice::Named(name) => refer(name, tools),
        ToolChoice::Allowed { required, names } => {
            let mode = if *required { "required" } else { "auto" };
            let tools: Vec<_> = names.iter().map(|name| refer(name, tools)).collect();
            json!({"type": "allowed_tools", "mode": mode, "tools": tools})
        }
        ToolChoice::Opaque(choice) => choice.clone(),
    }
}
