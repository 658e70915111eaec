//! Errors, in a body of their own or within a stream: `{"error": {"message", "type", "param", "code"}}`.

use luthien_proto::event::CallError;
use serde_json::{Value, json};

use crate::dialect::{
    failure::{Family, type_},
    fields::{Object, drop_null, take_string},
};

/// Takes the error out of a chunk or a body, if it tells one. Clients take whatever is not falsy for one.
pub(in crate::dialect) fn take(chunk: &mut Object) -> Option<CallError> {
    drop_null(chunk, "error");
    let error = match chunk.get_mut("error")? {
        Value::Object(inner) if !inner.is_empty() => CallError {
            status: 0,
            type_: take_string(inner, "type").unwrap_or_default(),
            message: take_string(inner, "message").unwrap_or_default(),
            code: take_string(inner, "code").unwrap_or_default(),
            param: take_string(inner, "param").unwrap_or_default(),
        },
        Value::String(text) if !text.is_empty() => CallError { message: std::mem::take(text), ..CallError::default() },
        Value::Array(items) if !items.is_empty() => CallError::default(),
        Value::Bool(true) => CallError::default(),
        Value::Number(number) if number.as_f64() != Some(0.0) => CallError::default(),
        Value::Null | Value::Bool(false) | Value::Object(_) | Value::String(_) | Value::Array(_) | Value::Number(_) => {
            return None;
        }
    };
    let nothing_left = match chunk.get("error") {
        Some(Value::Object(inner)) => inner.is_empty(),
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_)) | None => false,
    };
    if nothing_left {
        chunk.shift_remove("error");
    }
    Some(error)
}

/// The error as JSON.
pub(in crate::dialect) fn body(error: &CallError) -> Object {
    let or_null = |text: &str| if text.is_empty() { Value::Null } else { Value::from(text) };
    let error = json!({
        "message": error.message,
        "type": type_(Family::OpenAi, error),
        "param": or_null(&error.param),
        "code": or_null(&error.code),
    });
    Object::from_iter([("error".to_owned(), error)])
}
