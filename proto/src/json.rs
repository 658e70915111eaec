//! JSON that hides nothing: parsing that refuses duplicate keys, and the fields that a model has no place for.

mod extras;
mod fields;
mod read;
mod strict;
mod write;

use serde::de::Error as _;
use serde_json::{Map, Value};

pub use extras::Extras;
pub use fields::{Borrowed, Fields};

/// Parses one JSON text (RFC 8259), and refuses an object that names a key twice: readers disagree on which one counts,
/// so what a policy saw might not be what a client reads.
///
/// # Errors
/// Syntax (with line and column), nesting deeper than 128, numbers out of range, invalid UTF-8, duplicate keys.
pub fn parse(text: &[u8]) -> Result<Value, serde_json::Error> {
    read::read(text).map(Value::from)
}

/// As [`parse`], and borrows from the text what it can.
///
/// # Errors
/// As [`parse`].
pub fn read(text: &[u8]) -> Result<Borrowed<'_>, serde_json::Error> {
    read::read(text)
}

/// As [`parse`], for a text that has to be an object.
///
/// # Errors
/// As [`parse`]; and any other type of value.
pub fn parse_object(text: &[u8]) -> Result<Map<String, Value>, serde_json::Error> {
    match parse(text)? {
        Value::Object(map) => Ok(map),
        other => Err(serde_json::Error::custom(format_args!("expected a JSON object, found {}", type_name(&other)))),
    }
}

/// The JSON name of a value's type, for error texts.
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duplicate_key_is_refused_at_any_depth() {
        let error = parse(br#"{"a":[{"b":1,"b":2}]}"#).unwrap_err().to_string();
        assert!(error.starts_with("duplicate key \"b\" at line 1"), "{error}");
    }

    #[test]
    fn the_order_of_keys_and_the_text_of_numbers_survive() {
        let text = r#"{"z":1,"a":[-0.31725305,1.0,18446744073709551615]}"#;
        assert_eq!(parse(text.as_bytes()).unwrap().to_string(), text);
    }
}
