//! Variables of the environment within a string.

use std::borrow::Cow;

/// Where the values of variables come from.
pub(super) struct Env(Box<Lookup>);

type Lookup = dyn Fn(&str) -> Option<String>;

/// A string with its variables put in.
pub(super) struct Substituted<'a> {
    pub text: Cow<'a, str>,
    /// The variables that were put in, and their values; empty where the string names none.
    pub variables: Vec<(&'a str, String)>,
}

impl Env {
    pub fn new(lookup: impl Fn(&str) -> Option<String> + 'static) -> Self {
        Self(Box::new(lookup))
    }

    /// Puts the variables in. The error says what is wrong with a reference.
    pub fn substitute<'a>(&self, text: &'a str) -> Result<Substituted<'a>, String> {
        if !text.contains("${") {
            return Ok(Substituted { text: Cow::Borrowed(text), variables: vec![] });
        }
        let (mut out, mut variables, mut rest) = (String::new(), vec![], text);
        while let Some(at) = rest.find("${") {
            let (before, reference) = rest.split_at(at);
            if let Some(escaped) = before.strip_suffix('$') {
                out.push_str(escaped);
                out.push_str("${");
                rest = &reference[2..];
                continue;
            }
            out.push_str(before);
            let (name, default, after) = parse(reference).ok_or(MALFORMED)?;
            let value = self.value(name, default)?;
            out.push_str(&value);
            variables.push((name, value));
            rest = after;
        }
        out.push_str(rest);
        Ok(Substituted { text: Cow::Owned(out), variables })
    }

    fn value(&self, name: &str, default: Option<&str>) -> Result<String, String> {
        match (self.0(name), default) {
            (Some(value), None) => Ok(value),
            (Some(value), Some(_)) if !value.is_empty() => Ok(value),
            (_, Some(default)) => Ok(default.to_owned()),
            (None, None) => Err(format!(
                "the environment variable {name} is not set; set it, or write ${{{name}:-default}} to do without"
            )),
        }
    }
}

const MALFORMED: &str =
    "`${` has to begin a variable, as ${NAME} or ${NAME:-default}; write `$${` for the characters themselves";

/// `${NAME}rest`, `${NAME:-default}rest`: name, default, rest.
fn parse(reference: &str) -> Option<(&str, Option<&str>, &str)> {
    let (inside, after) = reference.strip_prefix("${")?.split_once('}')?;
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name.then_some((name, default, after))
}
