//! Errors, in a body of their own or within a stream: `{"type": "error", "error": {"type", "message"}}`.

use luthien_proto::{
    event::CallError,
    json::{Borrowed, Fields},
};
use serde_json::{Value, json};

use crate::dialect::{
    failure::{Family, type_},
    fields::Object,
};

/// Takes the error out of a body or an event, if it tells one.
pub(in crate::dialect) fn take(object: &mut Fields<'_>) -> Option<CallError> {
    if object.text("type") != Some("error") {
        return None;
    }
    object.remove("type");
    let Some(Borrowed::Object(inner)) = object.get_mut("error") else { return Some(CallError::default()) };
    let error = CallError {
        type_: inner.take_str("type").unwrap_or_default().into_owned(),
        message: inner.take_str("message").unwrap_or_default().into_owned(),
        ..CallError::default()
    };
    object.drop_if("error", |rest| rest.as_object().is_some_and(Fields::is_empty));
    Some(error)
}

/// The error as JSON.
pub(in crate::dialect) fn body(error: &CallError) -> Object {
    let mut inner = json!({"type": type_(Family::Anthropic, error), "message": error.message});
    if !error.code.is_empty() {
        inner["details"] = json!({"error_code": error.code});
    }
    Object::from_iter([("type".to_owned(), Value::from("error")), ("error".to_owned(), inner)])
}
