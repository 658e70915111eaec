//! A JSON text as it was read: what has no escapes is borrowed from the text, and nothing is hashed.
//!
//! Known fields are taken out of an object; what remains is unknown, and stays visible. A known field that says nothing
//! (null) is dropped, one of an unexpected type stays where it is.

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use serde_json::{Map, Number, Value};

/// A JSON value that borrows from its text.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Borrowed<'a> {
    /// `null`.
    #[default]
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    String(Cow<'a, str>),
    /// A list.
    Array(Vec<Borrowed<'a>>),
    /// An object.
    Object(Fields<'a>),
}

/// A JSON object that borrows from its text: its fields in their order, none twice. Made for the few fields of a message;
/// each is looked for among all.
#[derive(Clone, Debug, Default)]
pub struct Fields<'a>(Vec<(Cow<'a, str>, Borrowed<'a>)>);

impl<'a> Fields<'a> {
    /// No fields.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// No fields, and room for so many.
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The fields, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Borrowed<'a>)> {
        self.0.iter().map(|(key, value)| (&**key, value))
    }

    /// The field of that name.
    pub fn get(&self, key: &str) -> Option<&Borrowed<'a>> {
        self.iter().find(|(known, _)| *known == key).map(|(_, value)| value)
    }

    /// The field of that name.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Borrowed<'a>> {
        self.0.iter_mut().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// The text of the field of that name, if it is a string.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str()
    }

    /// Whether there is a field of that name.
    pub fn contains_key(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Adds a field, or changes it.
    pub fn insert(&mut self, key: impl Into<Cow<'a, str>>, value: impl Into<Borrowed<'a>>) {
        let key = key.into();
        match self.get_mut(&key) {
            Some(known) => *known = value.into(),
            None => self.push(key, value.into()),
        }
    }

    /// Adds a field that is not there.
    pub(super) fn push(&mut self, key: Cow<'a, str>, value: Borrowed<'a>) {
        self.0.push((key, value));
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &Cow<'a, str>> {
        self.0.iter().map(|(key, _)| key)
    }

    /// Takes a field out.
    pub fn remove(&mut self, key: &str) -> Option<Borrowed<'a>> {
        let at = self.0.iter().position(|(known, _)| known == key)?;
        Some(self.0.remove(at).1)
    }

    /// Keeps the fields of which that is true.
    pub fn retain(&mut self, mut keeps: impl FnMut(&str, &Borrowed<'a>) -> bool) {
        self.0.retain(|(key, value)| keeps(key, value));
    }

    /// Takes out a string.
    pub fn take_str(&mut self, key: &str) -> Option<Cow<'a, str>> {
        self.take(key, |value| if let Borrowed::String(text) = value { Ok(text) } else { Err(value) })
    }

    /// Takes out an object.
    pub fn take_object(&mut self, key: &str) -> Option<Self> {
        self.take(key, |value| if let Borrowed::Object(inner) = value { Ok(inner) } else { Err(value) })
    }

    /// Takes out a list.
    pub fn take_array(&mut self, key: &str) -> Option<Vec<Borrowed<'a>>> {
        self.take(key, |value| if let Borrowed::Array(items) = value { Ok(items) } else { Err(value) })
    }

    /// Takes out a whole number.
    pub fn take_u64(&mut self, key: &str) -> Option<u64> {
        self.take(key, |value| value.as_u64().ok_or(value))
    }

    /// Takes out a whole number.
    pub fn take_u32(&mut self, key: &str) -> Option<u32> {
        self.take(key, |value| value.as_u64().and_then(|number| number.try_into().ok()).ok_or(value))
    }

    /// Drops a field that says what is known anyway.
    pub fn drop_if(&mut self, key: &str, is_known: impl FnOnce(&Borrowed<'a>) -> bool) {
        if let Some(at) = self.0.iter().position(|(known, _)| known == key)
            && is_known(&self.0[at].1)
        {
            self.0.remove(at);
        }
    }

    /// Drops a field that is null.
    pub fn drop_null(&mut self, key: &str) {
        self.drop_if(key, Borrowed::is_null);
    }

    /// Puts back what is left of an object, if anything is.
    pub fn put_back(&mut self, key: &'a str, rest: Self) {
        if !rest.is_empty() {
            self.insert(key, rest);
        }
    }

    /// Whether nothing in it is nested deeper.
    pub(super) fn is_shallow(&self, depth: usize) -> bool {
        self.iter().all(|(_, value)| value.is_shallow(depth))
    }

    /// The fields, owned.
    pub fn into_map(self) -> Map<String, Value> {
        self.0.into_iter().map(|(key, value)| (key.into_owned(), value.into())).collect()
    }

    /// Takes out a field if it satisfies the conversion, or is null.
    fn take<T>(&mut self, key: &str, convert: impl FnOnce(Borrowed<'a>) -> Result<T, Borrowed<'a>>) -> Option<T> {
        let at = self.0.iter().position(|(known, _)| known == key)?;
        match convert(std::mem::take(&mut self.0[at].1)) {
            Ok(taken) => {
                self.0.remove(at);
                Some(taken)
            }
            Err(Borrowed::Null) => {
                self.0.remove(at);
                None
            }
            Err(other) => {
                self.0[at].1 = other;
                None
            }
        }
    }
}

/// In whatever order.
impl PartialEq for Fields<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|(key, value)| other.get(key) == Some(value))
    }
}

impl<'a> Borrowed<'a> {
    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Its text, if it is a string.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// The number, if it is a whole one that fits.
    pub fn as_u64(&self) -> Option<u64> {
        if let Self::Number(number) = self { number.as_u64() } else { None }
    }

    /// The number, if it is a whole one that fits.
    pub fn as_i64(&self) -> Option<i64> {
        if let Self::Number(number) = self { number.as_i64() } else { None }
    }

    /// The items, if it is a list.
    pub fn as_array(&self) -> Option<&[Self]> {
        if let Self::Array(items) = self { Some(items) } else { None }
    }

    /// The fields, if it is an object.
    pub fn as_object(&self) -> Option<&Fields<'a>> {
        if let Self::Object(fields) = self { Some(fields) } else { None }
    }

    /// The field of that name, if it is an object.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.as_object()?.get(key)
    }

    fn is_shallow(&self, depth: usize) -> bool {
        match (self, depth.checked_sub(1)) {
            (Self::Null | Self::Bool(_) | Self::Number(_) | Self::String(_), _) => true,
            (Self::Array(items), Some(depth)) => items.iter().all(|item| item.is_shallow(depth)),
            (Self::Object(fields), Some(depth)) => fields.is_shallow(depth),
            (Self::Array(_) | Self::Object(_), None) => false,
        }
    }

    /// Whether it says nothing: null, or empty.
    pub fn says_nothing(&self) -> bool {
        match self {
            Self::Null => true,
            Self::String(text) => text.is_empty(),
            Self::Array(items) => items.is_empty(),
            Self::Object(fields) => fields.is_empty(),
            Self::Bool(_) | Self::Number(_) => false,
        }
    }

    /// The JSON name of its type, for error texts.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

impl PartialEq<Value> for Borrowed<'_> {
    fn eq(&self, other: &Value) -> bool {
        match (self, other) {
            (Self::Null, Value::Null) => true,
            (Self::Bool(one), Value::Bool(other)) => one == other,
            (Self::Number(one), Value::Number(other)) => one == other,
            (Self::String(one), Value::String(other)) => one == other,
            (Self::Array(one), Value::Array(other)) => {
                one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one == other)
            }
            (Self::Object(one), Value::Object(other)) => {
                one.len() == other.len()
                    && one.iter().all(|(key, value)| other.get(key).is_some_and(|other| value == other))
            }
            (
                Self::Null | Self::Bool(_) | Self::Number(_) | Self::String(_) | Self::Array(_) | Self::Object(_),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_),
            ) => false,
        }
    }
}

impl PartialEq<str> for Borrowed<'_> {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == Some(other)
    }
}

impl From<Borrowed<'_>> for Value {
    fn from(value: Borrowed<'_>) -> Self {
        match value {
            Borrowed::Null => Self::Null,
            Borrowed::Bool(value) => Self::Bool(value),
            Borrowed::Number(number) => Self::Number(number),
            Borrowed::String(text) => Self::String(text.into_owned()),
            Borrowed::Array(items) => items.into_iter().map(Self::from).collect(),
            Borrowed::Object(fields) => fields.into(),
        }
    }
}

impl From<Fields<'_>> for Value {
    fn from(fields: Fields<'_>) -> Self {
        Self::Object(fields.into_map())
    }
}

impl<'a> From<&'a Value> for Borrowed<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => Self::Number(number.clone()),
            Value::String(text) => Self::String(text.as_str().into()),
            Value::Array(items) => Self::Array(items.iter().map(Self::from).collect()),
            Value::Object(fields) => Self::Object(fields.into()),
        }
    }
}

impl<'a> From<&'a Map<String, Value>> for Fields<'a> {
    fn from(fields: &'a Map<String, Value>) -> Self {
        Self(fields.iter().map(|(key, value)| (key.as_str().into(), value.into())).collect())
    }
}

impl<'a> From<Fields<'a>> for Borrowed<'a> {
    fn from(fields: Fields<'a>) -> Self {
        Self::Object(fields)
    }
}

impl<'a> From<Vec<Borrowed<'a>>> for Borrowed<'a> {
    fn from(items: Vec<Borrowed<'a>>) -> Self {
        Self::Array(items)
    }
}

impl<'a> From<&'a str> for Borrowed<'a> {
    fn from(text: &'a str) -> Self {
        Self::String(text.into())
    }
}

impl From<String> for Borrowed<'_> {
    fn from(text: String) -> Self {
        Self::String(text.into())
    }
}

impl<'a> From<Cow<'a, str>> for Borrowed<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        Self::String(text)
    }
}

impl From<u64> for Borrowed<'_> {
    fn from(number: u64) -> Self {
        Self::Number(number.into())
    }
}

impl From<i64> for Borrowed<'_> {
    fn from(number: i64) -> Self {
        Self::Number(number.into())
    }
}

impl From<u32> for Borrowed<'_> {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl<'a> FromIterator<(&'a str, Borrowed<'a>)> for Fields<'a> {
    fn from_iter<I: IntoIterator<Item = (&'a str, Borrowed<'a>)>>(fields: I) -> Self {
        let mut made = Self::new();
        fields.into_iter().for_each(|(key, value)| made.insert(key, value));
        made
    }
}

impl<'a> IntoIterator for Fields<'a> {
    type Item = (Cow<'a, str>, Borrowed<'a>);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Serialize for Borrowed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(number) => number.serialize(serializer),
            Self::String(text) => serializer.serialize_str(text),
            Self::Array(items) => serializer.collect_seq(items),
            Self::Object(fields) => fields.serialize(serializer),
        }
    }
}

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}
