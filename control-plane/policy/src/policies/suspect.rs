//! What may be a tool call, whatever form it has.

mod parts;

use std::borrow::Cow;

pub(super) use parts::OpaqueParts;
use serde_json::{Map, Value};

use super::strings::{Part, every_string, is_json, parts, unescape};

/// What may be a call: its names, and the texts that its arguments may be read as.
#[derive(Debug, Default)]
pub(super) struct Suspect<'a> {
    pub names: Vec<&'a str>,
    pub texts: Vec<Cow<'a, str>>,
    /// The strings among the texts that are values, in order.
    pub fields: Vec<Field<'a>>,
}

/// A string of the arguments.
#[derive(Debug)]
pub(super) struct Field<'a> {
    /// The key that it stands under; empty, if there is none.
    pub key: Cow<'a, str>,
    pub text: Cow<'a, str>,
    /// Whether it is the first under that key, and not a further one of a list.
    pub is_first: bool,
}

impl<'a> Suspect<'a> {
    /// A call of a tool.
    pub fn call(name: &'a str, arguments: &'a str, takes_json: bool) -> Self {
        let mut suspect = Self { names: vec![name], ..Self::default() };
        match takes_json {
            true => suspect.add_json(arguments),
            false => {
                suspect.texts.push(arguments.into());
                suspect.add_field("".into(), arguments.into(), true);
            }
        }
        suspect
    }

    /// A text that ought to be JSON: as it is, each of its strings, and without escapes if it is none.
    pub fn add_json(&mut self, text: &'a str) {
        self.texts.push(text.into());
        let (mut key, mut is_first) = (Cow::default(), true);
        for part in parts(text) {
            match part {
                Part::Between(_) => {}
                Part::Quoted { escaped, is_key, .. } => {
                    let text = unescape(escaped);
                    self.texts.push(text.clone());
                    if is_key {
                        (key, is_first) = (text, true);
                    } else {
                        self.add_field(key.clone(), text, is_first);
                        is_first = false;
                    }
                }
            }
        }
        if !is_json(text) {
            self.add_field(Cow::default(), text.into(), true);
            if text.contains('\\') {
                self.texts.push(unescape(text));
                self.add_field(Cow::default(), unescape(text), true);
            }
        }
    }

    /// Anything: every field that names tools in some dialect is a name, and every string may be an argument.
    pub fn add_opaque(&mut self, value: &'a Value) {
        every_string(value, &mut |text| self.texts.push(text.into()));
        self.add_names(value);
        self.add_fields("", value, &mut true);
    }

    /// One more string under a key.
    pub fn add_field(&mut self, key: Cow<'a, str>, text: Cow<'a, str>, is_first: bool) {
        self.fields.push(Field { key, text, is_first });
    }

    fn add_fields(&mut self, key: &'a str, value: &'a Value, is_first: &mut bool) {
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
            Value::String(text) => self.add_field(key.into(), text.into(), std::mem::take(is_first)),
            Value::Array(items) => items.iter().for_each(|item| self.add_fields(key, item, is_first)),
            Value::Object(map) => map.iter().for_each(|(key, value)| self.add_fields(key, value, &mut true)),
        }
    }

    fn add_names(&mut self, value: &'a Value) {
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            Value::Array(items) => items.iter().for_each(|item| self.add_names(item)),
            Value::Object(map) => {
                self.names.extend(names(map));
                map.values().for_each(|value| self.add_names(value));
            }
        }
    }
}

fn names(map: &Map<String, Value>) -> impl Iterator<Item = &str> {
    map.iter().filter(|(key, _)| names_tools(key)).filter_map(|(_, value)| value.as_str())
}

/// Whether a field of that name names a tool in some dialect.
pub(super) fn names_tools(key: &str) -> bool {
    matches!(key, "name" | "tool")
}
