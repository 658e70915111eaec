//! What has no place in the canonical model, put together as a client might.

use std::collections::BTreeMap;

use luthien_proto::{event::Delta, json::Extras};
use serde_json::{Value, json};

use super::{Suspect, names_tools};

/// The opaque parts of one block.
#[derive(Default)]
pub(in super::super) struct OpaqueParts {
    /// Each as it came.
    pub values: Vec<Value>,
    /// Strings that stood at the same place, one after the other, by their path.
    joined: BTreeMap<String, String>,
}

impl OpaqueParts {
    pub fn add(&mut self, value: &Value) {
        self.join(String::new(), value);
        self.values.push(value.clone());
    }

    pub fn add_delta(&mut self, delta: &Delta) {
        match delta {
            Delta::Text(text) => self.join_text(".text".to_owned(), text),
            Delta::Arguments(text) => self.join_text(".arguments".to_owned(), text),
            Delta::Signature(_) => {}
            Delta::Opaque(json) => self.add(json),
        }
    }

    pub fn add_extras(&mut self, extras: &Extras) {
        extras.iter().for_each(|(_, value)| self.add(value));
    }

    /// All of it, as it came, and put together.
    pub fn to_json(&self) -> String {
        match self.values.as_slice() {
            [value] => value.to_string(),
            values => json!({ "parts": values, "joined": self.joined }).to_string(),
        }
    }

    /// All of it as what may be a call.
    pub fn suspect(&self) -> Suspect<'_> {
        let mut suspect = Suspect::default();
        self.tell(&mut suspect);
        suspect
    }

    /// Adds all of it to what may be a call.
    pub fn tell<'a>(&'a self, suspect: &mut Suspect<'a>) {
        self.values.iter().for_each(|value| suspect.add_opaque(value));
        for (path, whole) in &self.joined {
            suspect.add_json(whole);
            let is_place = |segment: &&str| segment.bytes().all(|byte| byte.is_ascii_digit());
            let key = path.rsplit('.').find(|segment| !is_place(segment)).unwrap_or_default();
            suspect.add_field(key.into(), whole.into(), true);
            if path.rsplit('.').next().is_some_and(names_tools) {
                suspect.names.push(whole);
            }
        }
    }

    fn join(&mut self, path: String, value: &Value) {
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
            Value::String(text) => self.join_text(path, text),
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(at, item)| self.join(format!("{path}.{at}"), item))
            }
            Value::Object(map) => map.iter().for_each(|(key, value)| self.join(format!("{path}.{key}"), value)),
        }
    }

    fn join_text(&mut self, path: String, text: &str) {
        self.joined.entry(path).or_default().push_str(text);
    }
}
