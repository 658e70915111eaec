//! The tools, and which of them to call.

use luthien_proto::request::{Tool, ToolChoice, ToolKind};
use serde_json::Value;

use crate::dialect::{
    fields::{Object, take_array, take_bool, take_string, take_value},
    request::hosted,
};

pub(super) fn take(body: &mut Object) -> Vec<Tool> {
    let tools = take_array(body, "tools").into_iter().flatten();
    tools.map(|raw| read(&raw).unwrap_or_else(|| hosted(raw))).collect()
}

/// Tools of any other type are the provider's, or have a schema that the model knows.
fn read(raw: &Value) -> Option<Tool> {
    let mut rest = raw.as_object()?.clone();
    if !matches!(rest.shift_remove("type"), None | Some(Value::Null)) && raw["type"] != "custom" {
        return None;
    }
    let name = take_string(&mut rest, "name")?;
    let description = take_string(&mut rest, "description").unwrap_or_default();
    let schema = take_value(&mut rest, "input_schema").unwrap_or_default();
    let kind = ToolKind::Function { schema, strict: take_bool(&mut rest, "strict") };
    Some(Tool { name, namespace: String::new(), description, kind, extras: rest.into() })
}

/// The choice, and whether several may be called at once. A choice with unknown fields is opaque.
pub(super) fn take_choice(body: &mut Object) -> (Option<ToolChoice>, Option<bool>) {
    let Some(raw) = take_value(body, "tool_choice") else { return (None, None) };
    match read_choice(&raw) {
        Some((choice, parallel)) => (Some(choice), parallel),
        None => (Some(ToolChoice::Opaque(raw)), None),
    }
}

fn read_choice(raw: &Value) -> Option<(ToolChoice, Option<bool>)> {
    let mut fields = raw.as_object()?.clone();
    let choice = match take_string(&mut fields, "type")?.as_str() {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Required,
        "none" => ToolChoice::None,
        "tool" => ToolChoice::Named(take_string(&mut fields, "name")?),
        _ => return None,
    };
    let disabled = take_bool(&mut fields, "disable_parallel_tool_use");
    fields.is_empty().then_some((choice, disabled.map(|disabled| !disabled)))
}
