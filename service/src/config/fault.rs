//! What serde says is wrong, kept in parts until it is known where it stands and whether it may show a value.

use std::fmt::{self, Display};

use serde::de::{self, Expected, Unexpected};

use super::{ConfigError, node::Mark};

/// What is wrong with a value; from [`Fault::settle`] on also where.
#[derive(Debug)]
pub(super) struct Fault {
    reason: Reason,
    place: Option<(Option<Mark>, String)>,
}

#[derive(Clone, Debug)]
enum Reason {
    /// Of a wrong type.
    Type { found: &'static str, expected: String },
    /// Of the right type, and yet wrong.
    Value { found: String, expected: String },
    /// None of the names that are possible.
    Variant { found: String, expected: &'static [&'static str] },
    /// Told in words that show no value.
    Plain(String),
    /// Told in words that may show a value.
    Told(String),
}

/// What of a value came from the environment.
pub(super) enum Origin<'a> {
    /// Nothing.
    File,
    /// All of it: whatever is told of it may show what must not be shown.
    Variables(&'a [(&'a str, String)]),
    /// Parts within it.
    Holds(Vec<(&'a str, String)>),
}

impl Fault {
    pub fn plain(reason: impl Into<String>) -> Self {
        Self::new(Reason::Plain(reason.into()))
    }

    fn new(reason: Reason) -> Self {
        Self { reason, place: None }
    }

    pub fn is_settled(&self) -> bool {
        self.place.is_some()
    }

    /// Fixes the place, and takes out of the reason what must not be shown.
    pub fn settle(self, mark: Option<Mark>, key: String, origin: &Origin<'_>) -> Self {
        Self { reason: Reason::Plain(self.reason.text(origin)), place: Some((mark, key)) }
    }

    pub fn into_error(self) -> ConfigError {
        let error = ConfigError::new(self.reason.text(&Origin::File));
        match self.place {
            Some((mark, key)) => error.at(mark, key),
            None => error,
        }
    }
}

impl Reason {
    fn text(self, origin: &Origin<'_>) -> String {
        match (self, origin) {
            (Self::Plain(text), _) => text,
            (Self::Type { expected, .. } | Self::Value { expected, .. }, Origin::Variables(variables)) => {
                format!("{} is not {expected}", the_value_of(variables))
            }
            (Self::Variant { expected, .. }, Origin::Variables(variables)) => {
                format!("{} is not {}", the_value_of(variables), one_of(expected))
            }
            (Self::Told(_), Origin::Variables(variables)) => {
                format!("{} is not accepted (why is not shown: it might show the value)", the_value_of(variables))
            }
            (Self::Told(text), Origin::Holds(variables)) if shows_any(&text, variables) => {
                format!("not accepted (why is not shown: it might show {})", the_value_of(variables))
            }
            (Self::Type { found: found @ ("a number" | "a boolean"), expected }, _) if expected.contains("string") => {
                format!("expected {expected}, found {found}; put it in quotes")
            }
            (Self::Type { found, expected }, Origin::File | Origin::Holds(_)) => {
                format!("expected {expected}, found {found}")
            }
            (Self::Value { found, expected }, Origin::File | Origin::Holds(_)) => {
                format!("expected {expected}, found {found}")
            }
            (Self::Variant { found, expected }, Origin::File | Origin::Holds(_)) => {
                format!("`{found}` is not {}", one_of(expected))
            }
            (Self::Told(text), Origin::File | Origin::Holds(_)) => text,
        }
    }
}

fn the_value_of(variables: &[(&str, String)]) -> String {
    let names: Vec<_> = variables.iter().map(|(name, _)| format!("${{{name}}}")).collect();
    format!("the value of {}", names.join(" and "))
}

/// Whether a text has one of the values in it, as it is, escaped, or in another case.
fn shows_any(text: &str, variables: &[(&str, String)]) -> bool {
    let text = text.to_lowercase();
    variables.iter().map(|(_, value)| value.to_lowercase()).any(|value| {
        let escaped = format!("{value:?}");
        !value.is_empty() && (text.contains(&value) || text.contains(escaped.trim_matches('"')))
    })
}

fn one_of(names: &[&str]) -> String {
    match names {
        [] => "anything that is possible here".to_owned(),
        [name] => format!("`{name}`"),
        names => format!("one of {}", names.join(", ")),
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason.clone().text(&Origin::File))
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: Display>(text: T) -> Self {
        Self::new(Reason::Told(text.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Reason::Type { found: type_name(found), expected: in_words(expected) })
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let found = match found {
            Unexpected::Str(text) => format!("{text:?}"),
            Unexpected::Unsigned(number) => number.to_string(),
            Unexpected::Signed(number) => number.to_string(),
            Unexpected::Other(text) => text.to_owned(),
            other => type_name(other).to_owned(),
        };
        Self::new(Reason::Value { found, expected: in_words(expected) })
    }

    fn unknown_variant(found: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Reason::Variant { found: found.to_owned(), expected })
    }

    fn unknown_field(_: &str, expected: &'static [&'static str]) -> Self {
        match expected {
            [] => Self::plain("unknown key; none are possible here"),
            [name] => Self::plain(format!("unknown key; the only one is {name}")),
            names => Self::plain(format!("unknown key; expected {}", one_of(names))),
        }
    }

    fn missing_field(name: &'static str) -> Self {
        Self::plain(format!("the key {name} is missing"))
    }

    fn duplicate_field(name: &'static str) -> Self {
        Self::plain(format!("the key {name} is given twice"))
    }
}

fn type_name(found: Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Bool(_) => "a boolean",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_) => "a number",
        Unexpected::Str(_) | Unexpected::Char(_) | Unexpected::Bytes(_) => "a string",
        Unexpected::Unit | Unexpected::Option => "nothing",
        Unexpected::Seq => "a list",
        Unexpected::Map | Unexpected::StructVariant => "a mapping",
        _ => "something else",
    }
}

/// What a reader of YAML calls what a type of ours expects.
fn in_words(expected: &dyn Expected) -> String {
    match expected.to_string().as_str() {
        "u8" => "a whole number from 0 to 255".to_owned(),
        "u16" => "a whole number from 0 to 65535".to_owned(),
        "u32" | "u64" | "usize" => "a whole number, not negative".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a mapping".to_owned(),
        text if text.starts_with("struct ") => "a mapping".to_owned(),
        text => text.to_owned(),
    }
}
