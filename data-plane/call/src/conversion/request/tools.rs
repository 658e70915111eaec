//! The tools, and which of them to call.

use std::collections::BTreeMap;

use luthien_proto::{
    Request,
    event::ToolForm,
    json::Extras,
    request::{Dialect, Tool, ToolChoice, ToolKind},
};
use serde_json::{Map, Value, json};

use super::Way;
use crate::{conversion::BridgedTool, dialect::Lost};

/// The tools that the target knows by another name, or in another form.
pub(super) fn bridges(tools: &[Tool], way: &Way<'_>) -> BTreeMap<String, BridgedTool> {
    let mut bridges = BTreeMap::new();
    for tool in tools {
        let (form, told) = match &tool.kind {
            ToolKind::Hosted(_) => continue,
            ToolKind::Custom { .. } if way.has_free_text() => (ToolForm::Custom, ToolForm::Custom),
            ToolKind::Custom { .. } => (ToolForm::Custom, ToolForm::Function),
            ToolKind::Function { .. } if is_older(tool) => (ToolForm::Legacy, ToolForm::Function),
            ToolKind::Function { .. } => (ToolForm::Function, ToolForm::Function),
        };
        let name = way.names.get(&tool.namespace, &tool.name);
        if name != tool.name || !tool.namespace.is_empty() || form != told {
            let bridged = BridgedTool { name: tool.name.clone(), namespace: tool.namespace.clone(), form };
            bridges.entry(name).or_insert(bridged);
        }
    }
    bridges
}

/// Whether it was declared in OpenAI Chat's older list, by which it is called in the older way.
fn is_older(tool: &Tool) -> bool {
    tool.extras.get("functions").is_some()
}

pub(super) fn convert(request: &mut Request, way: &Way<'_>, lost: &mut Lost) {
    let tools = std::mem::take(&mut request.tools);
    request.tools = tools.into_iter().filter_map(|tool| convert_tool(tool, way, lost)).collect();
    if request.tools.is_empty() {
        if request.tool_choice.take().is_some() {
            lost.omit("tool_choice");
        }
        if request.parallel_tool_calls.take().is_some() {
            lost.omit("parallel_tool_calls");
        }
        return;
    }
    request.tool_choice = request.tool_choice.take().and_then(|choice| convert_choice(choice, way, lost));
    if way.to.options.compatible
        && let Some(ToolChoice::Allowed { required, names }) = &request.tool_choice
    {
        // Only OpenAI itself knows that some are allowed only.
        request.tools.retain(|tool| names.contains(&tool.name));
        request.tool_choice = Some(if *required { ToolChoice::Required } else { ToolChoice::Auto });
    }
}

fn convert_tool(mut tool: Tool, way: &Way<'_>, lost: &mut Lost) -> Option<Tool> {
    if let ToolKind::Hosted(raw) = &tool.kind {
        let type_ = raw.get("type").and_then(Value::as_str).unwrap_or(&tool.name);
        lost.drop(if type_.is_empty() { "tools".to_owned() } else { format!("tools.{type_}") });
        return None;
    }
    tool.name = way.names.get(&tool.namespace, &tool.name);
    tool.namespace.clear();
    tool.extras = extras(&tool, way, lost);
    if let ToolKind::Custom { format } = tool.kind {
        if way.has_free_text() {
            tool.kind = ToolKind::Custom { format: convert_format(format, way.target()) };
        } else {
            describe(&mut tool.description, &format);
            let input = json!({"type": "string", "description": "The tool's input, as it is."});
            let schema = json!({"type": "object", "properties": {"input": input}, "required": ["input"]});
            tool.kind = ToolKind::Function { schema, strict: None };
        }
    }
    Some(tool)
}

fn extras(tool: &Tool, way: &Way<'_>, lost: &mut Lost) -> Extras {
    let mut kept = Map::new();
    for (name, value) in tool.extras.clone().into_map() {
        match (name.as_str(), way.target()) {
            // Marks of the client's dialect.
            ("functions" | "namespace" | "strict" | "parameters" | "type", _) => {}
            _ if value.is_null() => {}
            ("cache_control", Dialect::AnthropicMessages) | ("defer_loading", Dialect::OpenAiResponses) => {
                kept.insert(name, value);
            }
            (
                "cache_control"
                | "defer_loading"
                | "eager_input_streaming"
                | "input_examples"
                | "allowed_callers"
                | "async",
                _,
            ) => lost.omit(format!("tools.{name}")),
            _ => lost.drop(format!("tools.{name}")),
        }
    }
    Extras::from(kept)
}

/// OpenAI's dialects tell a grammar each in its own way.
fn convert_format(format: Value, target: Dialect) -> Value {
    let Some(grammar) = grammar(&format) else { return format };
    let mut told = Map::new();
    told.insert("type".to_owned(), "grammar".into());
    if target == Dialect::OpenAiChat {
        told.insert("grammar".to_owned(), Value::Object(grammar));
    } else {
        told.extend(grammar);
    }
    Value::Object(told)
}

/// The fields of a grammar.
fn grammar(format: &Value) -> Option<Map<String, Value>> {
    let mut fields =
        format.as_object().filter(|fields| fields.get("type").is_some_and(|type_| type_ == "grammar"))?.clone();
    fields.shift_remove("type");
    match fields.shift_remove("grammar") {
        Some(Value::Object(inner)) => Some(inner),
        Some(_) => None,
        None => Some(fields),
    }
}

/// What the text looks like is told in words where the target has no field for that.
fn describe(description: &mut String, format: &Value) {
    let Some(grammar) = grammar(format) else { return };
    let text = |key: &str| grammar.get(key).and_then(Value::as_str).unwrap_or_default();
    let gap = if description.is_empty() { "" } else { "\n\n" };
    let told = format!("{gap}The input follows this grammar ({}):\n{}", text("syntax"), text("definition"));
    description.push_str(&told);
}

fn convert_choice(choice: ToolChoice, way: &Way<'_>, lost: &mut Lost) -> Option<ToolChoice> {
    let convert = |name: &str| way.names.referred(name).map(str::to_owned);
    let converted = match choice {
        ToolChoice::Auto | ToolChoice::None | ToolChoice::Required => Some(choice),
        ToolChoice::Named(name) => convert(&name).map(ToolChoice::Named),
        ToolChoice::Allowed { required, names } => {
            let names: Vec<_> = names.iter().filter_map(|name| convert(name)).collect();
            (!names.is_empty()).then_some(ToolChoice::Allowed { required, names })
        }
        ToolChoice::Opaque(_) => None,
    };
    if converted.is_none() {
        lost.drop("tool_choice");
    }
    converted
}
