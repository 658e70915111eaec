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
}

impl<'a> Suspect<'a> {
    /// A call of a tool.
    pub fn call(name: &'a str, arguments: &'a str, takes_json: bool) -> Self {
        let mut suspect = Self { names: vec![name], texts: Vec::new() };
        match takes_json {
            true => suspect.add_json(arguments),
            false => suspect.texts.push(arguments.into()),
        }
        suspect
    }

    /// A text that ought to be JSON: as it is, each of its strings, and without escapes if it is none.
    pub fn add_json(&mut self, text: &'a str) {
        self.texts.push(text.into());
        for part in parts(text) {
            match part {
                Part::Between(_) => {}
                Part::Quoted { escaped, .. } => self.texts.push(unescape(escaped)),
            }
        }
        if text.contains('\\') && !is_json(text) {
            self.texts.push(unescape(text));
        }
    }

    /// Anything: every field that names tools in some dialect is a name, and every string may be an argument.
    pub fn add_opaque(&mut self, value: &'a Value) {
        every_string(value, &mut |text| self.texts.push(text.into()));
        self.add_names(value);
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
