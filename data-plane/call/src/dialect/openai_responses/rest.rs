//! What is said again, and what is not.

use serde_json::Value;

use crate::dialect::fields::Object;

/// What an object says beyond what is known of it.
pub(super) fn beyond(mut said: Object, known: &Object) -> Object {
    said.retain(|key, value| !says_nothing(value) && !known.get(key).is_some_and(|known| repeats(value, known)));
    said
}

/// Whether a value says no more than what is known.
fn repeats(said: &Value, known: &Value) -> bool {
    match (said, known) {
        (Value::Object(said), Value::Object(known)) => said
            .iter()
            .all(|(key, value)| says_nothing(value) || known.get(key).is_some_and(|known| repeats(value, known))),
        (Value::Array(said), Value::Array(known)) => {
            said.len() == known.len() && said.iter().zip(known).all(|(said, known)| repeats(said, known))
        }
        (said, known) => said == known,
    }
}

/// Puts fields in the place of what is known; not those of these names.
pub(super) fn overlay(known: &mut Object, said: &Object, but: &[&str]) {
    for (key, value) in said.iter().filter(|(key, _)| !but.contains(&key.as_str())) {
        known.insert(key.clone(), value.clone());
    }
}

/// Adds the fields that are not there.
pub(super) fn add(known: &mut Object, said: &Object) {
    for (key, value) in said {
        known.entry(key.clone()).or_insert_with(|| value.clone());
    }
}

pub(super) fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(object) => object.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

pub(super) fn object(value: Value) -> Object {
    if let Value::Object(object) = value { object } else { Object::new() }
}
