//! Errors, in a body of their own or within a stream: `{"type": "error", "error": {"type", "message"}}`.

use luthien_proto::event::CallError;
use serde_json::{Value, json};

use crate::dialect::{
    failure::{Family, type_},
    fields::{Object, drop_if, take_string},
};

/// Takes the error out of a body or an event, if it tells one.
pub(in crate::dialect) fn take(object: &mut Object) -> Option<CallError> {
    if object.get("type").is_none_or(|type_| type_ != "error") {
        return None;
    }
    drop_if(object, "type", |_| true);
    let Some(Value::Object(inner)) = object.get_mut("error") else { return Some(CallError::default()) };
    let error = CallError {
        type_: take_string(inner, "type").unwrap_or_default(),
        message: take_string(inner, "message").unwrap_or_default(),
        ..CallError::default()
    };
    drop_if(object, "error", |rest| rest.as_object().is_some_and(Object::is_empty));
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
