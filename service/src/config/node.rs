//! A YAML file as a tree in which every value knows its place.

use std::fmt;

use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{Location, Spanned, UserMessageFormatter};

use super::ConfigError;

/// A place in the file; both count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub line: u64,
    pub column: u64,
}

impl Mark {
    fn of(location: Location) -> Option<Self> {
        (location != Location::UNKNOWN).then(|| Self { line: location.line(), column: location.column() })
    }
}

/// A value and its place.
pub(super) struct Node {
    pub mark: Option<Mark>,
    pub value: Value,
}

/// A value; strings with their variables not yet substituted.
pub(super) enum Value {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key with its value.
pub(super) struct Entry {
    pub key: String,
    pub mark: Option<Mark>,
    pub node: Node,
}

impl Node {
    /// Parses one document; an empty file has no keys. Errors show none of the file's values.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let options = serde_saphyr::options! { strict_booleans: true, leading_zero_numbers_as_strings: true };
        match serde_saphyr::from_str_with_options::<Option<Spanned<Value>>>(text, options) {
            Ok(root) => Ok(root.map_or(Self { mark: None, value: Value::Map(vec![]) }, Self::from)),
            Err(error) => {
                let mark = error.location().and_then(Mark::of);
                let text = error.without_snippet().render_with_formatter(&UserMessageFormatter);
                let place = mark.map(|Mark { line, column }| format!(" at line {line}, column {column}"));
                let reason = place.as_deref().and_then(|place| text.strip_suffix(place)).unwrap_or(&text);
                Err(ConfigError::new(reason).at(mark, ""))
            }
        }
    }

    /// What stands for a value that is not there, within the given one.
    pub fn absent(within: &Self) -> Self {
        Self { mark: within.mark, value: Value::Null }
    }

    /// The node at a path, if it is there.
    pub fn at(&self, path: &str) -> Option<&Self> {
        steps(path).try_fold(self, |node, step| node.child(step))
    }

    /// The node at a path, or the innermost around it.
    pub fn nearest(&self, path: &str) -> &Self {
        let mut nearest = self;
        for step in steps(path) {
            match nearest.child(step) {
                Some(child) => nearest = child,
                None => break,
            }
        }
        nearest
    }

    fn child(&self, step: &str) -> Option<&Self> {
        match &self.value {
            Value::List(items) => items.get(step.parse::<usize>().ok()?),
            Value::Map(entries) => entries.iter().find(|entry| entry.key == step).map(|entry| &entry.node),
            Value::Null | Value::Bool(_) | Value::Unsigned(_) | Value::Signed(_) | Value::Float(_) | Value::Text(_) => {
                None
            }
        }
    }
}

/// `a.b[2].c`: a, b, 2, c.
fn steps(path: &str) -> impl Iterator<Item = &str> {
    path.split(['.', '[', ']']).filter(|step| !step.is_empty())
}

impl From<Spanned<Value>> for Node {
    fn from(spanned: Spanned<Value>) -> Self {
        Self { mark: Mark::of(spanned.referenced), value: spanned.value }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(Value::Unsigned(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(u64::try_from(v).map_or(Value::Signed(v), Value::Unsigned))
    }

    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        Ok(Value::Float(v))
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(Value::Text(v.to_owned()))
    }

    fn visit_string<E>(self, v: String) -> Result<Value, E> {
        Ok(Value::Text(v))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element::<Spanned<Value>>()? {
            items.push(item.into());
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, value)) = map.next_entry::<Spanned<String>, Spanned<Value>>()? {
            entries.push(Entry { mark: Mark::of(key.referenced), key: key.value, node: value.into() });
        }
        Ok(Value::Map(entries))
    }
}
