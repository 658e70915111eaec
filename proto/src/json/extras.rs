//! The fields that a model has no place for.

use std::{fmt, sync::OnceLock};

use serde::{Serialize, Serializer};
use serde_json::{Error, Map, Value};

use super::{
    fields::{Borrowed, Fields},
    parse_object, read,
};

/// Deeper than this, fields are not kept as a text: together with what is around them it might be too deep to be read.
const DEPTH: usize = 64;

/// Fields that a message has no place for, in their order. Costs one pointer while there are none.
///
/// Mostly they only pass through: they are kept as the JSON text that they came as, and taken apart for those who look at
/// them.
#[derive(Clone, Default)]
pub struct Extras(Option<Box<Told>>);

/// At least one field.
#[derive(Clone)]
enum Told {
    /// An object, which can be read; and taken apart, once somebody looked.
    Text {
        text: String,
        fields: OnceLock<Box<Map<String, Value>>>,
    },
    Fields(Map<String, Value>),
}

impl Extras {
    /// No fields.
    pub const NONE: Self = Self(None);

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The field of that name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.map()?.get(name)
    }

    /// The fields, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.map().into_iter().flat_map(Map::iter)
    }

    /// The fields, for a quick look.
    pub fn fields(&self) -> Fields<'_> {
        match self.0.as_deref() {
            None => Fields::new(),
            Some(Told::Text { text, .. }) => fields(text),
            Some(Told::Fields(fields)) => fields.into(),
        }
    }

    /// The text that they came as, if nothing is escaped in it: then whatever they say stands in it as it is.
    pub fn plain_text(&self) -> Option<&str> {
        match self.0.as_deref()? {
            Told::Text { text, .. } => (!text.contains('\\')).then_some(text),
            Told::Fields(_) => None,
        }
    }

    /// Whether these are the same, and came as the same text if both came as one. Of what comes with each chunk nothing has
    /// to be read to tell that.
    pub fn is_repeated_by(&self, other: &Self) -> bool {
        match (self.0.as_deref(), other.0.as_deref()) {
            (Some(Told::Text { text, .. }), Some(Told::Text { text: other, .. })) => text == other,
            (None | Some(Told::Text { .. } | Told::Fields(_)), None | Some(Told::Text { .. } | Told::Fields(_))) => {
                self == other
            }
        }
    }

    /// The fields as a JSON object; empty if there are none.
    pub fn into_map(self) -> Map<String, Value> {
        match self.0.map(|told| *told) {
            None => Map::new(),
            Some(Told::Text { text, fields: known }) => {
                known.into_inner().map_or_else(|| fields(&text).into_map(), |known| *known)
            }
            Some(Told::Fields(fields)) => fields,
        }
    }

    /// Adds a field, or changes it.
    pub fn insert(&mut self, name: impl Into<String>, value: Value) {
        let mut fields = std::mem::take(self).into_map();
        fields.insert(name.into(), value);
        *self = fields.into();
    }

    /// Adds a field that is an object, if that has fields itself.
    pub fn insert_fields(&mut self, name: &str, inner: Fields<'_>) {
        if inner.is_empty() {
            return;
        }
        let mut fields = self.fields();
        fields.insert(name, inner);
        *self = fields.into();
    }

    /// The fields as JSON text; empty if there are none.
    pub fn to_text(&self) -> String {
        self.clone().into_text()
    }

    /// As [`Self::to_text`].
    pub fn into_text(self) -> String {
        match self.0.map(|told| *told) {
            None => String::new(),
            Some(Told::Text { text, .. }) => text,
            Some(Told::Fields(fields)) => Value::Object(fields).to_string(),
        }
    }

    /// Reads what [`Self::to_text`] wrote.
    ///
    /// # Errors
    /// As [`parse_object`].
    pub fn from_text(text: &str) -> Result<Self, Error> {
        match text {
            "" => Ok(Self::NONE),
            text => parse_object(text.as_bytes()).map(Self::from),
        }
    }

    /// The fields of a text, if it is an object.
    ///
    /// # Errors
    /// As [`super::parse`]; and the JSON name of any other type of value.
    pub(crate) fn of(text: String) -> Result<Result<Self, &'static str>, Error> {
        Ok(match read(text.as_bytes())? {
            Borrowed::Object(fields) if fields.is_empty() => Ok(Self::NONE),
            Borrowed::Object(fields) if fields.is_shallow(DEPTH) => Ok(Self::text(text)),
            Borrowed::Object(fields) => Ok(fields.into_map().into()),
            other => Err(other.type_name()),
        })
    }

    fn text(text: String) -> Self {
        Self(Some(Box::new(Told::Text { text, fields: OnceLock::new() })))
    }

    fn map(&self) -> Option<&Map<String, Value>> {
        match self.0.as_deref()? {
            Told::Text { text, fields: known } => Some(known.get_or_init(|| Box::new(fields(text).into_map()))),
            Told::Fields(fields) => Some(fields),
        }
    }
}

/// The fields of a text that was read before.
fn fields(text: &str) -> Fields<'_> {
    match read(text.as_bytes()) {
        Ok(Borrowed::Object(fields)) => fields,
        Ok(_) | Err(_) => Fields::new(),
    }
}

impl From<Map<String, Value>> for Extras {
    fn from(fields: Map<String, Value>) -> Self {
        Self((!fields.is_empty()).then(|| Box::new(Told::Fields(fields))))
    }
}

impl From<Fields<'_>> for Extras {
    fn from(fields: Fields<'_>) -> Self {
        if fields.is_empty() {
            Self::NONE
        } else if fields.is_shallow(DEPTH) {
            let mut text = String::with_capacity(64);
            fields.write(&mut text);
            Self::text(text)
        } else {
            fields.into_map().into()
        }
    }
}

/// In whatever order.
impl PartialEq for Extras {
    fn eq(&self, other: &Self) -> bool {
        self.fields() == other.fields()
    }
}

/// As the object that they are.
impl Serialize for Extras {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.fields().serialize(serializer)
    }
}

impl fmt::Debug for Extras {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.fields())
    }
}
