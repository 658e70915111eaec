//! The one conversion between the wire and the checked types.
//!
//! To the wire nothing can fail. From the wire the conversion is total: any message that protobuf can express becomes a
//! checked value or a [`Malformed`], and nothing panics. What a sender left out or what is newer than this reader is
//! read as the `.proto` says: enums as their strictest value, messages and oneofs as malformed.

mod event;
mod from_service;
mod report;
mod request;
mod to_service;

#[cfg(test)]
mod tests;

use std::fmt::Display;

use serde_json::{Map, Value, error::Category};
use thiserror::Error;

use crate::json::{self, Extras};

/// A message that can't be read: which field, and what is wrong with it.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("{field}: {reason}")]
pub struct Malformed {
    /// The path of the field, as the `.proto` names it.
    pub field: String,
    /// What is wrong with it; never content.
    pub reason: String,
}

impl Malformed {
    fn new(field: &str, reason: impl Into<String>) -> Self {
        Self { field: field.to_owned(), reason: reason.into() }
    }

    /// The same, seen from the message that has the faulty one as its field.
    fn within(mut self, parent: impl Display) -> Self {
        self.field = format!("{parent}.{}", self.field);
        self
    }
}

/// What has to be set.
fn set<T>(value: Option<T>, field: &str) -> Result<T, Malformed> {
    value.ok_or_else(|| Malformed::new(field, "not set"))
}

/// A message that has to be set.
fn message<W, T>(value: Option<W>, field: &str) -> Result<T, Malformed>
where
    T: TryFrom<W, Error = Malformed>,
{
    nested(set(value, field)?, field)
}

fn nested<W, T>(value: W, field: &str) -> Result<T, Malformed>
where
    T: TryFrom<W, Error = Malformed>,
{
    T::try_from(value).map_err(|malformed| malformed.within(field))
}

fn each<W, T>(values: Vec<W>, field: &str) -> Result<Vec<T>, Malformed>
where
    T: TryFrom<W, Error = Malformed>,
{
    let item =
        |(i, value)| T::try_from(value).map_err(|malformed: Malformed| malformed.within(format_args!("{field}[{i}]")));
    values.into_iter().enumerate().map(item).collect()
}

fn to_each<W, T: Into<W>>(values: Vec<T>) -> Vec<W> {
    values.into_iter().map(Into::into).collect()
}

/// One JSON text.
fn json(text: &str, field: &str) -> Result<Value, Malformed> {
    if text.is_empty() {
        return Err(Malformed::new(field, "not set"));
    }
    json::parse(text.as_bytes()).map_err(|error| no_json(&error, field))
}

/// Faults of a JSON text are told without naming its keys, which are content.
fn no_json(error: &serde_json::Error, field: &str) -> Malformed {
    let (line, column) = (error.line(), error.column());
    let reason = match error.classify() {
        Category::Data => format!("not JSON: a key is named twice in one object at line {line} column {column}"),
        Category::Syntax | Category::Eof | Category::Io => format!("not JSON: {error}"),
    };
    Malformed { field: field.to_owned(), reason }
}

/// One JSON text, or nothing.
fn optional_json(text: &str, field: &str) -> Result<Option<Value>, Malformed> {
    if text.is_empty() { Ok(None) } else { json(text, field).map(Some) }
}

/// A JSON object, or nothing.
fn optional_object(text: &str, field: &str) -> Result<Option<Map<String, Value>>, Malformed> {
    match optional_json(text, field)? {
        None => Ok(None),
        Some(Value::Object(map)) => Ok(Some(map)),
        Some(other) => Err(no_object(json::type_name(&other), field)),
    }
}

fn extras(text: String, field: &str) -> Result<Extras, Malformed> {
    if text.is_empty() {
        return Ok(Extras::NONE);
    }
    let extras = Extras::of(text).map_err(|error| no_json(&error, field))?;
    extras.map_err(|found| no_object(found, field))
}

fn no_object(found: &str, field: &str) -> Malformed {
    Malformed::new(field, format!("expected a JSON object, found {found}"))
}

/// An HTTP status; 0: there is none.
fn status(status: u32, field: &str) -> Result<u16, Malformed> {
    u16::try_from(status).map_err(|_| Malformed::new(field, format!("{status} is no HTTP status")))
}
