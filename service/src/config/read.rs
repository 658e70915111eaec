//! Reads a program's own types from the tree.

use std::fmt;

use serde::{
    Deserializer,
    de::{
        DeserializeSeed, Error as _, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor,
        value::StringDeserializer,
    },
    forward_to_deserialize_any,
};

use super::{
    env::{Env, Substituted},
    fault::{Fault, Origin},
    node::{Entry, Mark, Node, Value},
};

/// The way to a value, as keys.
pub(super) enum Place<'a> {
    Root,
    Path(&'a str),
    Key(&'a Place<'a>, &'a str),
    Index(&'a Place<'a>, usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Path(path) => f.write_str(path),
            Self::Key(Self::Root, key) => f.write_str(key),
            Self::Key(parent, key) => write!(f, "{parent}.{key}"),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// Reads one value. Its faults leave with the place where they happened.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    node: &'a Node,
    place: &'a Place<'a>,
    env: &'a Env,
}

impl<'a> Reader<'a> {
    pub fn new(node: &'a Node, place: &'a Place<'a>, env: &'a Env) -> Self {
        Self { node, place, env }
    }

    /// Reads a value of the seed's type. Types have faults of their own, after all was read: those are of this place too.
    pub fn read<'de, T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        self.settle(seed.deserialize(self))
    }

    fn text(self, text: &'a str) -> Result<Substituted<'a>, Fault> {
        self.env.substitute(text).map_err(Fault::plain)
    }

    /// The substituted text, if the value is a string that names variables.
    fn variables(self) -> Result<Option<Substituted<'a>>, Fault> {
        match &self.node.value {
            Value::Text(text) => Ok(Some(self.text(text)?).filter(|text| !text.variables.is_empty())),
            _ => Ok(None),
        }
    }

    fn any<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Unsigned(value) => visitor.visit_u64(*value),
            Value::Signed(value) => visitor.visit_i64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Text(text) => visitor.visit_str(&self.text(text)?.text),
            Value::List(items) => visitor.visit_seq(Items { reader: self, items: items.iter().enumerate() }),
            Value::Map(entries) => visitor.visit_map(Entries { reader: self, entries: entries.iter(), value: None }),
        }
    }

    /// A mapping; nothing at all is one without keys.
    fn mapping<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Null => visitor.visit_map(Entries { reader: self, entries: [].iter(), value: None }),
            Value::List(_) => Err(Fault::invalid_type(Unexpected::Seq, &visitor)),
            _ => self.any(visitor),
        }
    }

    /// A number or boolean, which may stand in a variable.
    fn scalar<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let Some(text) = self.variables()? else { return self.any(visitor) };
        let text = text.text.trim();
        if let Ok(value) = text.parse() {
            visitor.visit_bool(value)
        } else if let Ok(value) = text.parse() {
            visitor.visit_u64(value)
        } else if let Ok(value) = text.parse() {
            visitor.visit_i64(value)
        } else if let Some(value) = text.parse().ok().filter(|value: &f64| value.is_finite()) {
            visitor.visit_f64(value)
        } else {
            visitor.visit_str(text)
        }
    }

    fn option<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let is_absent = match &self.node.value {
            Value::Null => true,
            _ => self.variables()?.is_some_and(|text| text.text.is_empty()),
        };
        if is_absent { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn variant<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Text(text) => {
                let name: StringDeserializer<Fault> = self.text(text)?.text.into_owned().into_deserializer();
                visitor.visit_enum(name)
            }
            Value::Map(entries) if entries.len() == 1 => {
                visitor.visit_enum(serde::de::value::MapAccessDeserializer::new(Entries {
                    reader: self,
                    entries: entries.iter(),
                    value: None,
                }))
            }
            _ => self.any(visitor),
        }
    }

    /// Gives a fault that has no place this one.
    fn settle<T>(self, result: Result<T, Fault>) -> Result<T, Fault> {
        match result {
            Err(fault) if !fault.is_settled() => {
                let found = self.variables_within();
                let origin = match &self.node.value {
                    _ if found.is_empty() => Origin::File,
                    Value::Text(_) => Origin::Variables(&found),
                    _ => Origin::Holds(found),
                };
                Err(fault.settle(self.node.mark, self.place.to_string(), &origin))
            }
            other => other,
        }
    }

    fn variables_within(self) -> Vec<(&'a str, String)> {
        let mut found = Vec::new();
        let mut open = vec![self.node];
        while let Some(node) = open.pop() {
            match &node.value {
                Value::Text(text) => {
                    found.extend(self.env.substitute(text).into_iter().flat_map(|text| text.variables))
                }
                Value::List(items) => open.extend(items),
                Value::Map(entries) => open.extend(entries.iter().map(|entry| &entry.node)),
                Value::Null | Value::Bool(_) | Value::Unsigned(_) | Value::Signed(_) | Value::Float(_) => {}
            }
        }
        found
    }
}

macro_rules! settled {
    ($($method:ident => $read:ident),* $(,)?) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            self.settle(self.$read(visitor))
        })*
    };
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Fault;

    settled! {
        deserialize_any => any,
        deserialize_bool => scalar,
        deserialize_i8 => scalar,
        deserialize_i16 => scalar,
        deserialize_i32 => scalar,
        deserialize_i64 => scalar,
        deserialize_u8 => scalar,
        deserialize_u16 => scalar,
        deserialize_u32 => scalar,
        deserialize_u64 => scalar,
        deserialize_f32 => scalar,
        deserialize_f64 => scalar,
        deserialize_option => option,
        deserialize_map => mapping,
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.settle(self.mapping(visitor))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.settle(self.variant(visitor))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        self.settle(visitor.visit_newtype_struct(self))
    }

    /// Nothing of what is ignored is looked at: its variables need not be set.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.settle(visitor.visit_unit())
    }

    forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct identifier
    }
}

struct Items<'a> {
    reader: Reader<'a>,
    items: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some((index, node)) = self.items.next() else { return Ok(None) };
        let place = Place::Index(self.reader.place, index);
        Reader { node, place: &place, env: self.reader.env }.read(seed).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

struct Entries<'a> {
    reader: Reader<'a>,
    entries: std::slice::Iter<'a, Entry>,
    value: Option<&'a Entry>,
}

impl Entries<'_> {
    fn settle_at(&self, fault: Fault, mark: Option<Mark>, key: &str) -> Fault {
        fault.settle(mark, Place::Key(self.reader.place, key).to_string(), &Origin::File)
    }
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let Some(entry) = self.entries.next() else { return Ok(None) };
        self.value = Some(entry);
        let key: StringDeserializer<Fault> = entry.key.clone().into_deserializer();
        seed.deserialize(key).map(Some).map_err(|fault| self.settle_at(fault, entry.mark, &entry.key))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let entry = self.value.take().ok_or_else(|| Fault::custom("a value was asked for before its key"))?;
        let place = Place::Key(self.reader.place, &entry.key);
        Reader { node: &entry.node, place: &place, env: self.reader.env }.read(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.entries.len())
    }
}
