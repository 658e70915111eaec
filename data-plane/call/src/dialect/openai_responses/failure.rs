//! Errors within a stream: an `error` event, or a response that failed.

use luthien_proto::event::CallError;
use serde_json::{Value, json};

use super::rest::{object, says_nothing};
use crate::dialect::fields::{Object, drop_if, take_object, take_string};

/// Takes the error out of a response, or out of a body that is none, if it tells one.
pub(super) fn take(response: &mut Object) -> Option<CallError> {
    let mut inner = take_object(response, "error")?;
    let error = take_fields(&mut inner, "type");
    if !inner.is_empty() {
        response.insert("error".to_owned(), Value::Object(inner));
    }
    Some(error)
}

/// Takes the error out of an `error` event: its fields, or an object of them.
pub(super) fn take_event(event: &mut Object) -> CallError {
    match take(event) {
        Some(error) => error,
        None => take_fields(event, ""),
    }
}

fn take_fields(inner: &mut Object, type_: &str) -> CallError {
    let mut text = |key| take_string(inner, key).unwrap_or_default();
    CallError { status: 0, message: text("message"), type_: text(type_), code: text("code"), param: text("param") }
}

/// The error of a response that failed.
pub(super) fn json(error: &CallError) -> Value {
    let mut inner = object(json!({"code": code(error), "message": error.message}));
    for (key, text) in [("type", &error.type_), ("param", &error.param)] {
        if !text.is_empty() {
            inner.insert(key.to_owned(), text.as_str().into());
        }
    }
    Value::Object(inner)
}

/// The fields of an `error` event.
pub(super) fn event(error: &CallError) -> Object {
    let param = Some(error.param.as_str()).filter(|param| !param.is_empty());
    object(json!({"code": code(error), "message": error.message, "param": param}))
}

fn code(error: &CallError) -> &str {
    match (error.code.as_str(), error.status) {
        ("", 400) => "invalid_prompt",
        ("", 429) => "rate_limit_exceeded",
        ("", 503 | 529) => "server_is_overloaded",
        ("", _) => "server_error",
        (code, _) => code,
    }
}

/// Drops an error that says nothing.
pub(super) fn drop_empty(response: &mut Object) {
    drop_if(response, "error", says_nothing);
}
