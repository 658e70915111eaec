//! Reading a policy's own configuration key by key, so that an error names the key.

use luthien_proto::json::type_name;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::BuildError;

/// The keys of a configuration that nobody has read yet.
pub(crate) struct Fields {
    rest: Map<String, Value>,
    known: Vec<&'static str>,
}

impl Fields {
    /// The keys of an object; `null` has none.
    pub fn of(value: &Value) -> Result<Self, String> {
        let rest = match value {
            Value::Null => Map::new(),
            Value::Object(map) => map.clone(),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                return Err(format!("expected keys, found {}", type_name(value)));
            }
        };
        Ok(Self { rest, known: Vec::new() })
    }

    /// Reads a key, if it is there.
    pub fn optional<T: DeserializeOwned>(&mut self, key: &'static str) -> Result<Option<T>, BuildError> {
        self.known.push(key);
        let Some(value) = self.rest.remove(key) else { return Ok(None) };
        serde_json::from_value(value).map(Some).map_err(|error| BuildError::new(key, error.to_string()))
    }

    /// Reads a list, item by item; absent: `None`.
    pub fn list<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(Value) -> Result<T, BuildError>,
    ) -> Result<Option<Vec<T>>, BuildError> {
        let Some(items) = self.optional::<Vec<Value>>(key)? else { return Ok(None) };
        let read = items.into_iter().enumerate().map(|(index, item)| {
            read(item).map_err(|error| {
                let inner = if error.key.is_empty() { String::new() } else { format!(".{}", error.key) };
                BuildError::new(format!("{key}[{index}]{inner}"), error.why)
            })
        });
        read.collect::<Result<Vec<T>, _>>().map(Some)
    }

    /// The keys that were asked for.
    #[cfg(test)]
    pub fn known(&self) -> std::collections::BTreeSet<&'static str> {
        self.known.iter().copied().collect()
    }

    /// Whatever is left was misspelt.
    pub fn finish(self) -> Result<(), BuildError> {
        match self.rest.keys().next() {
            None => Ok(()),
            Some(key) if self.known.is_empty() => Err(BuildError::new(key, "unknown key: this kind has none")),
            Some(key) => Err(BuildError::new(key, format!("unknown key; there are: {}", self.known.join(", ")))),
        }
    }
}
