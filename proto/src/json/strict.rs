//! What serde_json reads, with no key twice.

use std::{borrow::Cow, collections::HashSet, fmt};

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Error, Number};

use super::fields::{Borrowed, Fields};

/// From so many fields on, they are looked up by hash.
const MANY: usize = 32;

/// Reads one JSON text.
pub(super) fn read(bytes: &[u8]) -> Result<Borrowed<'_>, Error> {
    serde_json::from_slice(bytes)
}

impl<'de> Deserialize<'de> for Borrowed<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Strict)
    }
}

struct Strict;

impl<'de> Visitor<'de> for Strict {
    type Value = Borrowed<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Borrowed<'de>, E> {
        Ok(Borrowed::Null)
    }

    fn visit_bool<E>(self, v: bool) -> Result<Borrowed<'de>, E> {
        Ok(Borrowed::Bool(v))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Borrowed<'de>, E> {
        Ok(Borrowed::Number(v.into()))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Borrowed<'de>, E> {
        Ok(Borrowed::Number(v.into()))
    }

    fn visit_f64<E>(self, v: f64) -> Result<Borrowed<'de>, E> {
        Ok(Number::from_f64(v).map_or(Borrowed::Null, Borrowed::Number))
    }

    fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Borrowed<'de>, E> {
        Ok(Borrowed::String(Cow::Borrowed(v)))
    }

    fn visit_str<E>(self, v: &str) -> Result<Borrowed<'de>, E> {
        Ok(Borrowed::String(Cow::Owned(v.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Borrowed<'de>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Borrowed::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Borrowed<'de>, A::Error> {
        let mut fields = Fields::new();
        let mut keys = Keys::default();
        while let Some(key) = access.next_key_seed(Key)? {
            if !keys.insert(&fields, &key) {
                return Err(A::Error::custom(format_args!("duplicate key {key:?}")));
            }
            let value: Borrowed<'de> = access.next_value()?;
            fields.push(key, value);
        }
        Ok(Borrowed::Object(fields))
    }
}

/// The keys of an object so far.
#[derive(Default)]
pub(super) struct Keys<'a>(Option<HashSet<Cow<'a, str>>>);

impl<'a> Keys<'a> {
    /// Whether the key is new.
    #[expect(clippy::ptr_arg, reason = "a key that is borrowed from the text is kept without copying it")]
    pub(super) fn insert(&mut self, fields: &Fields<'a>, key: &Cow<'a, str>) -> bool {
        if fields.len() < MANY {
            return !fields.contains_key(key);
        }
        self.0.get_or_insert_with(|| fields.keys().cloned().collect()).insert(key.clone())
    }
}

struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(v))
    }

    fn visit_str<E>(self, v: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(v.to_owned()))
    }
}
