//! Errors, in a body of their own or within a stream: `{"error": {"message", "type", "param", "code"}}`.

use luthien_proto::{
    event::CallError,
    json::{Borrowed, Fields},
};
use serde_json::{Value, json};

use crate::dialect::{
    failure::{Family, type_},
    fields::Object,
};

/// Takes the error out of a chunk or a body, if it tells one. Clients take whatever is not falsy for one.
pub(in crate::dialect) fn take(chunk: &mut Fields<'_>) -> Option<CallError> {
    chunk.drop_null("error");
    let error = match chunk.get_mut("error")? {
        Borrowed::Object(inner) if !inner.is_empty() => {
            let mut text = |key| inner.take_str(key).unwrap_or_default().into_owned();
            CallError {
                status: 0,
                type_: text("type"),
                message: text("message"),
                code: text("code"),
                param: text("param"),
            }
        }
        Borrowed::String(text) if !text.is_empty() => {
            CallError { message: std::mem::take(text).into_owned(), ..CallError::default() }
        }
        Borrowed::Array(items) if !items.is_empty() => CallError::default(),
        Borrowed::Bool(true) => CallError::default(),
        Borrowed::Number(number) if number.as_f64() != Some(0.0) => CallError::default(),
        Borrowed::Null
        | Borrowed::Bool(false)
        | Borrowed::Object(_)
        | Borrowed::String(_)
        | Borrowed::Array(_)
        | Borrowed::Number(_) => return None,
    };
    chunk.drop_if("error", |rest| match rest {
        Borrowed::Object(inner) => inner.is_empty(),
        Borrowed::String(text) => text.is_empty(),
        Borrowed::Null | Borrowed::Bool(_) | Borrowed::Number(_) | Borrowed::Array(_) => false,
    });
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
