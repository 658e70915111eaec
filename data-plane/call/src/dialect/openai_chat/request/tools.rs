//! The tools, and which of them to call.

use luthien_proto::request::{Tool, ToolChoice, ToolKind};
use serde_json::Value;

use super::mark;
use crate::dialect::{
    fields::{Object, put_back, take_array, take_bool, take_object, take_string, take_value},
    request::hosted,
};

pub(super) fn take(body: &mut Object) -> Vec<Tool> {
    let tools = take_array(body, "tools").into_iter().flatten().map(tool);
    let mut tools: Vec<_> = tools.collect();
    tools.extend(take_array(body, "functions").into_iter().flatten().map(older));
    tools
}

fn tool(raw: Value) -> Tool {
    read(&raw).unwrap_or_else(|| hosted(raw))
}

fn read(raw: &Value) -> Option<Tool> {
    let mut rest = raw.as_object()?.clone();
    let place = match take_value(&mut rest, "type") {
        None => "function",
        Some(type_) if type_ == "function" => "function",
        Some(type_) if type_ == "custom" => "custom",
        Some(_) => return None,
    };
    let mut inner = take_object(&mut rest, place)?;
    let name = take_string(&mut inner, "name")?;
    let description = take_string(&mut inner, "description").unwrap_or_default();
    let kind = match place {
        "custom" => ToolKind::Custom { format: take_value(&mut inner, "format").unwrap_or_default() },
        _ => function(&mut inner),
    };
    put_back(&mut rest, place, inner);
    Some(Tool { name, namespace: String::new(), description, kind, extras: rest.into() })
}

/// An entry of `functions`.
fn older(raw: Value) -> Tool {
    let Value::Object(mut rest) = raw else { return marked(hosted(raw)) };
    let Some(name) = take_string(&mut rest, "name") else { return marked(hosted(Value::Object(rest))) };
    let description = take_string(&mut rest, "description").unwrap_or_default();
    let kind = function(&mut rest);
    marked(Tool { name, namespace: String::new(), description, kind, extras: rest.into() })
}

fn function(fields: &mut Object) -> ToolKind {
    let schema = take_value(fields, "parameters").unwrap_or_default();
    ToolKind::Function { schema, strict: take_bool(fields, "strict") }
}

fn marked(mut tool: Tool) -> Tool {
    tool.extras.insert(mark::FUNCTIONS, true.into());
    tool
}

/// `function_call` chooses from `functions`.
pub(super) fn take_choice(body: &mut Object, tools: &[Tool]) -> Option<ToolChoice> {
    if let Some(choice) = take_value(body, "tool_choice") {
        return Some(choice_of(&choice).unwrap_or(ToolChoice::Opaque(choice)));
    }
    if tools.is_empty() || !tools.iter().all(|tool| tool.extras.get(mark::FUNCTIONS).is_some()) {
        return None;
    }
    let call = take_value(body, "function_call")?;
    let choice = word(&call).or_else(|| only_field(&call, "name")?.as_str().map(named));
    if choice.is_none() {
        body.insert("function_call".to_owned(), call);
    }
    choice
}

fn choice_of(choice: &Value) -> Option<ToolChoice> {
    let chosen = || -> Option<ToolChoice> {
        if let Some(name) = name_of(choice) {
            return Some(named(name));
        }
        let allowed = inner(choice, "allowed_tools")?;
        let required = match allowed.get("mode")?.as_str()? {
            "auto" => false,
            "required" => true,
            _ => return None,
        };
        let names = allowed.get("tools")?.as_array()?.iter().map(|tool| Some(name_of(tool)?.to_owned()));
        let names = names.collect::<Option<_>>()?;
        (allowed.len() == 2).then_some(ToolChoice::Allowed { required, names })
    };
    word(choice).or_else(chosen)
}

fn word(choice: &Value) -> Option<ToolChoice> {
    match choice.as_str()? {
        "none" => Some(ToolChoice::None),
        "auto" => Some(ToolChoice::Auto),
        "required" => Some(ToolChoice::Required),
        _ => None,
    }
}

fn named(name: &str) -> ToolChoice {
    ToolChoice::Named(name.to_owned())
}

/// The name in `{"type": T, T: {"name"}}`.
fn name_of(value: &Value) -> Option<&str> {
    let inner = inner(value, "function").or_else(|| inner(value, "custom"))?;
    inner.get("name").filter(|_| inner.len() == 1)?.as_str()
}

/// The object in `{"type": T, T: {}}`.
fn inner<'a>(value: &'a Value, type_: &str) -> Option<&'a Object> {
    let fields = value.as_object().filter(|fields| fields.len() == 2)?;
    fields.get(type_).filter(|_| fields.get("type").is_some_and(|found| found == type_))?.as_object()
}

fn only_field<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    value.as_object().filter(|fields| fields.len() == 1)?.get(key)
}
