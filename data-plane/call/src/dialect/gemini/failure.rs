//! Errors: `{"error": {"code", "message", "status", "details"}}`, sometimes in a list of one.

use bytes::Bytes;
use luthien_proto::{
    event::CallError,
    json::{self, Extras},
};
use serde_json::{Value, json};

use super::spelling::camel;
use crate::dialect::{
    failure::{Family, type_},
    fields::{Object, drop_if, drop_null, take_string},
};

/// The error that a body tells, and its unknown fields.
pub(in crate::dialect) fn decode(body: &Bytes) -> Option<(CallError, Extras)> {
    let mut body = match json::parse(body).ok()? {
        Value::Object(body) => body,
        Value::Array(items) => items.into_iter().find_map(|item| match item {
            Value::Object(body) => Some(body),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
        })?,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
    };
    let error = take(&mut body)?;
    Some((error, body.into()))
}

/// Takes the error out of a chunk or a body, if it tells one.
pub(super) fn take(chunk: &mut Object) -> Option<CallError> {
    drop_null(chunk, "error");
    let error = match chunk.get_mut("error")? {
        Value::Object(inner) => {
            camel(inner);
            let message = take_string(inner, "message").unwrap_or_default();
            let code = inner.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
            let status = code.filter(|code| (400..600).contains(code)).unwrap_or(0);
            drop_if(inner, "code", |code| *code == status);
            let code = if is_context_overflow(&message) { "context_length_exceeded" } else { "" };
            let (type_, code) = (take_string(inner, "status").unwrap_or_default(), code.to_owned());
            CallError { status, type_, message, code, ..CallError::default() }
        }
        Value::String(text) => CallError { message: std::mem::take(text), ..CallError::default() },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => CallError::default(),
    };
    drop_if(chunk, "error", |rest| match rest {
        Value::Object(inner) => inner.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => false,
    });
    Some(error)
}

/// The provider has no code for it: «The input token count (N) exceeds the maximum number of tokens allowed (L).»
fn is_context_overflow(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("token count") && message.contains("exceeds the maximum number of tokens")
}

/// The error as JSON.
pub(in crate::dialect) fn body(error: &CallError) -> Object {
    let code = if error.status == 0 { 500 } else { error.status };
    let error = json!({"code": code, "message": error.message, "status": type_(Family::Gemini, error)});
    Object::from_iter([("error".to_owned(), error)])
}
