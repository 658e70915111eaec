//! Writing the fields of a request: what says nothing is not written.

use serde_json::{Value, json};

use super::fields::Object;

pub(super) fn put(object: &mut Object, key: &str, value: impl Into<Value>) {
    object.insert(key.to_owned(), value.into());
}

pub(super) fn put_some(object: &mut Object, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        put(object, key, value);
    }
}

pub(super) fn put_text(object: &mut Object, key: &str, text: &str) {
    if !text.is_empty() {
        put(object, key, text);
    }
}

/// A list, or an object.
pub(super) fn put_filled(object: &mut Object, key: &str, value: impl Into<Value>) {
    let value = value.into();
    let is_empty = match &value {
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    };
    if !is_empty {
        put(object, key, value);
    }
}

/// A number as people write it: without a fraction where it has none.
pub(super) fn number(value: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let text = if value.fract() == 0.0 && value.abs() < EXACT { format!("{value:.0}") } else { return value.into() };
    text.parse::<i64>().map_or_else(|_| value.into(), Value::from)
}

/// The schema of a tool's arguments: an object, as every provider requires. What else it says is untouched.
pub(super) fn arguments_schema(schema: &Value) -> Value {
    let Value::Object(fields) = schema else {
        return if schema.is_null() { json!({"type": "object", "properties": {}}) } else { schema.clone() };
    };
    let mut fields = fields.clone();
    if fields.get("type").is_none_or(Value::is_null) {
        put(&mut fields, "type", "object");
    }
    if fields.get("properties").is_some_and(Value::is_null) {
        put(&mut fields, "properties", json!({}));
    }
    Value::Object(fields)
}

/// The schema of a tool of free text, where tools have JSON arguments only.
pub(super) fn free_text_schema() -> Value {
    json!({"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]})
}

/// The arguments of a tool of free text, where tools have JSON arguments only.
pub(super) fn free_text(input: &str) -> Value {
    json!({"input": input})
}
