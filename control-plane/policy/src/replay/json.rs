//! Reading JSON that was written by luthien, and saying where it was not.

use luthien_proto::json::Extras;
use serde_json::{Map, Value};

/// What is on record is not what luthien writes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not what is written there")]
pub struct Unreadable(pub String);

/// An object, of which the fields are read by name.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    pub what: &'static str,
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    pub fn of(what: &'static str, value: &'a Value) -> Result<Self, Unreadable> {
        value.as_object().map(|map| Self { what, map }).ok_or_else(|| Unreadable(what.to_owned()))
    }

    pub fn get(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// A text; empty where there is none.
    pub fn text(&self, name: &str) -> Result<String, Unreadable> {
        self.read(name, |value| value.as_str().map(str::to_owned)).map(Option::unwrap_or_default)
    }

    pub fn texts(&self, name: &str) -> Result<Vec<String>, Unreadable> {
        self.list(name, |value| value.as_str().map(str::to_owned).ok_or_else(|| self.wrong(name)))
    }

    pub fn flag(&self, name: &str) -> Result<Option<bool>, Unreadable> {
        self.read(name, Value::as_bool)
    }

    pub fn count(&self, name: &str) -> Result<Option<u64>, Unreadable> {
        self.read(name, Value::as_u64)
    }

    /// A count that fits; 0 where there is none.
    pub fn small<T: TryFrom<u64> + Default>(&self, name: &str) -> Result<T, Unreadable> {
        let count = self.count(name)?;
        count.map_or(Ok(T::default()), |count| T::try_from(count).map_err(|_| self.wrong(name)))
    }

    /// Each item of a list; none where there is no list.
    pub fn list<T>(&self, name: &str, item: impl Fn(&'a Value) -> Result<T, Unreadable>) -> Result<Vec<T>, Unreadable> {
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => items.iter().map(item).collect(),
            Some(_) => Err(self.wrong(name)),
        }
    }

    pub fn extras(&self, name: &str) -> Result<Extras, Unreadable> {
        self.read(name, |value| value.as_object().cloned().map(Extras::from)).map(Option::unwrap_or_default)
    }

    /// A field, if it is there.
    pub fn read<T>(&self, name: &str, read: impl FnOnce(&'a Value) -> Option<T>) -> Result<Option<T>, Unreadable> {
        self.get(name).map(|value| read(value).ok_or_else(|| self.wrong(name))).transpose()
    }

    pub fn wrong(&self, name: &str) -> Unreadable {
        Unreadable(format!("{}.{name}", self.what))
    }
}
