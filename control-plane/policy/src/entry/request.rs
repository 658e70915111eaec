//! The canonical request, as JSON for the record.

use luthien_proto::{
    Request,
    json::Extras,
    request::{Content, ContentBlock, Message, Sampling, Tool},
};
use serde_json::{Map, Value, json};

use super::content::form;

/// The request as an operator reads it; what was not given is left out.
pub(super) fn to_json(request: &Request) -> Value {
    let mut map = Map::new();
    map.insert("stream".into(), request.stream.into());
    if request.choices > 1 {
        map.insert("choices".into(), request.choices.into());
    }
    list(&mut map, "system", &request.system, content);
    list(&mut map, "messages", &request.messages, message);
    list(&mut map, "tools", &request.tools, tool);
    put(&mut map, "tool_choice", request.tool_choice.clone());
    let sampling = sampling(&request.sampling);
    put(&mut map, "sampling", (!sampling.is_empty()).then_some(Value::Object(sampling)));
    extras(&mut map, &request.extras);
    Value::Object(map)
}

fn message(message: &Message) -> Value {
    let mut map = Map::new();
    map.insert("role".into(), message.role.clone().into());
    map.insert("content".into(), message.content.iter().map(content).collect());
    extras(&mut map, &message.extras);
    Value::Object(map)
}

fn content(content: &Content) -> Value {
    let value = match &content.block {
        ContentBlock::Text(text) => json!({ "text": text }),
        ContentBlock::Thinking { text, signature } if signature.is_empty() => json!({ "thinking": text }),
        ContentBlock::Thinking { text, signature } => json!({ "thinking": text, "signature": signature }),
        ContentBlock::RedactedThinking(data) => json!({ "redacted_thinking": data }),
        ContentBlock::Refusal(text) => json!({ "refusal": text }),
        ContentBlock::ToolCall { call, arguments } => json!({
            "tool_call": { "id": call.id, "name": call.name, "form": form(call.form), "arguments": arguments },
        }),
        ContentBlock::ToolResult { id, is_error, content } => json!({ "tool_result": result(id, *is_error, content) }),
        ContentBlock::Opaque(json) => json!({ "opaque": json }),
    };
    match value {
        Value::Object(mut map) => {
            extras(&mut map, &content.extras);
            Value::Object(map)
        }
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => other,
    }
}

fn result(id: &str, is_error: Option<bool>, parts: &[Content]) -> Value {
    let mut map = Map::new();
    map.insert("id".into(), id.into());
    put(&mut map, "is_error", is_error);
    map.insert("content".into(), parts.iter().map(content).collect());
    Value::Object(map)
}

fn tool(tool: &Tool) -> Value {
    tool.raw.clone()
}

fn sampling(sampling: &Sampling) -> Map<String, Value> {
    let mut map = Map::new();
    put(&mut map, "max_output_tokens", sampling.max_output_tokens);
    put(&mut map, "temperature", sampling.temperature);
    put(&mut map, "top_p", sampling.top_p);
    put(&mut map, "top_k", sampling.top_k);
    put(&mut map, "stop", (!sampling.stop.is_empty()).then(|| sampling.stop.clone()));
    map
}

fn list<T>(map: &mut Map<String, Value>, key: &str, items: &[T], to_json: impl Fn(&T) -> Value) {
    put(map, key, (!items.is_empty()).then(|| items.iter().map(to_json).collect::<Value>()));
}

fn put(map: &mut Map<String, Value>, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        map.insert(key.to_owned(), value.into());
    }
}

fn extras(map: &mut Map<String, Value>, extras: &Extras) {
    if !extras.is_empty() {
        map.insert("extras".into(), Value::Object(extras.clone().into_map()));
    }
}
