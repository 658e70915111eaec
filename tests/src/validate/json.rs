//! JSON (RFC 8259) without duplicate keys, and the look-ups that the readers need.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Parses one JSON text, and refuses an object that names a key twice.
///
/// # Errors
/// What is wrong with it.
pub fn strict(text: &[u8]) -> Result<Value, String> {
    serde_json::from_slice::<Strict>(text).map(|strict| strict.0).map_err(|error| format!("malformed JSON: {error}"))
}

pub(super) fn object(text: &[u8]) -> Result<Value, String> {
    match strict(text)? {
        value @ Value::Object(_) => Ok(value),
        other => Err(format!("not a JSON object: {other}")),
    }
}

pub(super) fn string<'a>(value: &'a Value, key: &str) -> Result<&'a str, String> {
    value[key].as_str().ok_or_else(|| format!("{key} is not a string: {}", value[key]))
}

pub(super) fn nonempty<'a>(value: &'a Value, key: &str) -> Result<&'a str, String> {
    match string(value, key)? {
        "" => Err(format!("{key} is empty")),
        text => Ok(text),
    }
}

pub(super) fn integer(value: &Value, key: &str) -> Result<u64, String> {
    value[key].as_u64().ok_or_else(|| format!("{key} is not a count: {}", value[key]))
}

pub(super) fn expect(value: &Value, key: &str, wanted: &str) -> Result<(), String> {
    match string(value, key)? {
        found if found == wanted => Ok(()),
        found => Err(format!("{key} is {found:?}, not {wanted:?}")),
    }
}

/// A field that may be missing or null.
pub(super) fn optional<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    value.get(key).filter(|value| !value.is_null())
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Strict(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(items.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((key, Strict(value))) = access.next_entry::<String, Strict>()? {
            if map.insert(key.clone(), value).is_some() {
                return Err(A::Error::custom(format_args!("the key {key:?} comes twice")));
            }
        }
        Ok(map.into())
    }
}
