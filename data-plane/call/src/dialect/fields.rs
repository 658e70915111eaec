//! Taking known fields out of JSON objects: what remains is unknown, and stays visible.
//!
//! A known field that says nothing (null) is dropped; one of an unexpected type stays where it is. Responses are read
//! without copying them ([`read_object`]); the functions here are for what is owned.

use luthien_proto::json::{self, Borrowed, Fields};
use serde_json::{Map, Value, error::Category};

use super::DecodeError;

pub(super) type Object = Map<String, Value>;

/// Reads the JSON object that an upstream sent.
pub(super) fn read_object<'a>(place: &str, text: &'a [u8]) -> Result<Fields<'a>, DecodeError> {
    let value = read(place, text)?;
    let found = value.type_name();
    let Borrowed::Object(object) = value else {
        return Err(DecodeError::new(place, format!("expected a JSON object, found {found}")));
    };
    Ok(object)
}

/// As [`read_object`], owned.
pub(super) fn parse_object(place: &str, text: &[u8]) -> Result<Object, DecodeError> {
    read_object(place, text).map(Fields::into_map)
}

/// Reads the JSON that an upstream sent, owned.
pub(super) fn parse(place: &str, text: &[u8]) -> Result<Value, DecodeError> {
    read(place, text).map(Value::from)
}

fn read<'a>(place: &str, text: &'a [u8]) -> Result<Borrowed<'a>, DecodeError> {
    json::read(text).map_err(|error| {
        // The error's own text may hold content.
        let what = match error.classify() {
            Category::Data => "a duplicate key",
            Category::Eof => "the JSON is cut",
            Category::Syntax | Category::Io => "malformed JSON",
        };
        DecodeError::new(place, format!("{what} at line {} column {}", error.line(), error.column()))
    })
}

/// Takes out a field if it satisfies the conversion, or is null.
fn take<T>(object: &mut Object, key: &str, convert: impl FnOnce(Value) -> Result<T, Value>) -> Option<T> {
    let value = object.get_mut(key)?;
    match convert(value.take()) {
        Ok(taken) => {
            object.shift_remove(key);
            Some(taken)
        }
        Err(Value::Null) => {
            object.shift_remove(key);
            None
        }
        Err(other) => {
            *value = other;
            None
        }
    }
}

pub(super) fn take_string(object: &mut Object, key: &str) -> Option<String> {
    take(object, key, |value| if let Value::String(text) = value { Ok(text) } else { Err(value) })
}

pub(super) fn take_object(object: &mut Object, key: &str) -> Option<Object> {
    take(object, key, |value| if let Value::Object(inner) = value { Ok(inner) } else { Err(value) })
}

pub(super) fn take_array(object: &mut Object, key: &str) -> Option<Vec<Value>> {
    take(object, key, |value| if let Value::Array(items) = value { Ok(items) } else { Err(value) })
}

pub(super) fn take_bool(object: &mut Object, key: &str) -> Option<bool> {
    take(object, key, |value| value.as_bool().ok_or(value))
}

pub(super) fn take_u64(object: &mut Object, key: &str) -> Option<u64> {
    take(object, key, |value| value.as_u64().ok_or(value))
}

pub(super) fn take_u32(object: &mut Object, key: &str) -> Option<u32> {
    take(object, key, |value| value.as_u64().and_then(|number| number.try_into().ok()).ok_or(value))
}

pub(super) fn take_i64(object: &mut Object, key: &str) -> Option<i64> {
    take(object, key, |value| value.as_i64().ok_or(value))
}

pub(super) fn take_f64(object: &mut Object, key: &str) -> Option<f64> {
    take(object, key, |value| value.as_f64().ok_or(value))
}

/// A list of strings; any other stays where it is.
pub(super) fn take_strings(body: &mut Object, key: &str) -> Vec<String> {
    let all_strings = |value: &Value| value.as_array().is_some_and(|items| items.iter().all(Value::is_string));
    if !body.get(key).is_some_and(all_strings) {
        return Vec::new();
    }
    let text = |item| if let Value::String(text) = item { Some(text) } else { None };
    take_array(body, key).into_iter().flatten().filter_map(text).collect()
}

/// Takes out any value but null.
pub(super) fn take_value(object: &mut Object, key: &str) -> Option<Value> {
    object.shift_remove(key).filter(|value| !value.is_null())
}

/// Drops a field that says what is known anyway.
pub(super) fn drop_if(object: &mut Object, key: &str, is_known: impl FnOnce(&Value) -> bool) {
    if object.get(key).is_some_and(is_known) {
        object.shift_remove(key);
    }
}

/// Drops a field that is null.
pub(super) fn drop_null(object: &mut Object, key: &str) {
    drop_if(object, key, Value::is_null);
}

/// Puts back what is left of an object, if anything is.
pub(super) fn put_back(object: &mut Object, key: &str, rest: Object) {
    if !rest.is_empty() {
        object.insert(key.to_owned(), Value::Object(rest));
    }
}

/// Writes fields back where they came from. What `into` says stays, unless it is null or empty.
pub(super) fn merge(into: &mut Object, from: &Object) {
    for (key, value) in from {
        match (into.get_mut(key), value) {
            (Some(Value::Object(inner)), Value::Object(value)) if !inner.is_empty() => merge(inner, value),
            (Some(known), value) if says_nothing(known) => *known = value.clone(),
            (Some(_), _) => {}
            (None, value) => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}

/// As [`merge`], for what is about to be written.
pub(super) fn merge_fields<'a>(into: &mut Fields<'a>, from: Fields<'a>) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Borrowed::Object(inner)), Borrowed::Object(value)) if !inner.is_empty() => merge_fields(inner, value),
            (Some(known), value) if known.says_nothing() => *known = value,
            (Some(_), _) => {}
            (None, value) => into.insert(key, value),
        }
    }
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(object) => object.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}
