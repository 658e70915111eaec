//! The functions that the model may call, and which of them it may or must.

use luthien_proto::request::{Tool, ToolChoice, ToolKind};
use serde_json::{Value, json};

use crate::dialect::{fields::Object, target::Lost};

/// What the provider has to offer itself.
const HOSTED: [&str; 7] =
    ["googleSearch", "googleSearchRetrieval", "codeExecution", "urlContext", "googleMaps", "fileSearch", "computerUse"];

/// The `tools`: all functions in one of them.
pub(super) fn tools(tools: &[Tool], lost: &mut Lost) -> Vec<Value> {
    let mut functions = Vec::new();
    let mut hosted = Vec::new();
    for tool in tools {
        match &tool.kind {
            ToolKind::Function { schema, .. } => functions.push(function(tool, parameters(schema))),
            ToolKind::Custom { .. } => functions.push(function(tool, Some(free_text()))),
            ToolKind::Hosted(raw) if is_own(raw) => hosted.push(raw.clone()),
            ToolKind::Hosted(raw) => {
                let type_ = raw.get("type").and_then(Value::as_str).filter(|type_| *type_ != "function");
                lost.drop(format!("tools.{}", type_.unwrap_or(&tool.name)));
            }
        }
    }
    if !functions.is_empty() {
        hosted.insert(0, json!({"functionDeclarations": functions}));
    }
    hosted
}

/// The name that a tool is called by.
pub(super) fn name(namespace: &str, name: &str) -> String {
    if namespace.is_empty() { name.to_owned() } else { format!("{namespace}__{name}") }
}

/// The `toolConfig`, where there are functions.
pub(super) fn config(choice: &ToolChoice, lost: &mut Lost) -> Option<Value> {
    let (mode, names) = match choice {
        ToolChoice::Auto => ("AUTO", None),
        ToolChoice::None => ("NONE", None),
        ToolChoice::Required => ("ANY", None),
        ToolChoice::Named(name) => ("ANY", Some(json!([name]))),
        ToolChoice::Allowed { required: true, names } => ("ANY", Some(json!(names))),
        // Together with names, AUTO is refused.
        ToolChoice::Allowed { required: false, names } => ("VALIDATED", Some(json!(names))),
        ToolChoice::Opaque(_) => {
            lost.drop("tool_choice");
            return None;
        }
    };
    let mut config = json!({"mode": mode});
    if let Some(names) = names {
        config["allowedFunctionNames"] = names;
    }
    Some(json!({"functionCallingConfig": config}))
}

fn function(tool: &Tool, parameters: Option<Value>) -> Value {
    let mut function = Object::new();
    function.insert("name".to_owned(), name(&tool.namespace, &tool.name).into());
    if !tool.description.is_empty() {
        function.insert("description".to_owned(), tool.description.as_str().into());
    }
    if let Some(parameters) = parameters {
        // As JSON Schema: `parameters` knows but a part of it, and refuses the rest.
        function.insert("parametersJsonSchema".to_owned(), parameters);
    }
    Value::Object(function)
}

/// The schema, which has to be one of an object.
fn parameters(schema: &Value) -> Option<Value> {
    let Value::Object(schema) = schema else { return None };
    let mut schema = schema.clone();
    if schema.get("properties").is_some_and(Value::is_null) {
        schema.shift_remove("properties");
    }
    if !schema.contains_key("type") {
        schema.insert("type".to_owned(), "object".into());
    }
    Some(Value::Object(schema))
}

/// Of a tool that takes free text.
fn free_text() -> Value {
    json!({"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]})
}

fn is_own(raw: &Value) -> bool {
    raw.as_object().is_some_and(|raw| !raw.is_empty() && raw.keys().all(|key| HOSTED.contains(&key.as_str())))
}
