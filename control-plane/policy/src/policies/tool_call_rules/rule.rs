//! A rule, what it is held against, and what is said of what it denies.

use std::borrow::Cow;

use globset::{GlobBuilder, GlobMatcher};
use luthien_proto::json::type_name;
use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value, json};

use super::Rules;
use crate::{
    BuildError,
    policies::strings::{Part, every_string, is_json, parts, unescape},
    set::Fields,
};

/// The largest compiled expression, in bytes.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// Denies the calls whose tool and arguments both match; what is missing matches all.
pub(super) struct Rule {
    tool: Option<GlobMatcher>,
    arguments: Option<Regex>,
    pub reason: Option<String>,
}

/// What [`Rule::read`] reads.
pub(super) fn schema() -> Value {
    let key = |description: &str| json!({ "type": "string", "description": description });
    json!({
        "type": "object",
        "properties": {
            "tool": key("A glob that the tool's name matches; without it, every name does."),
            "arguments": key("A regular expression that matches in one of the strings of the arguments, or in their JSON; \
                              without it, all arguments do."),
            "reason": key("Why, for whoever reads the message."),
        },
        "additionalProperties": false,
    })
}

impl Rule {
    /// Reads one item of `deny`.
    pub fn read(value: Value) -> Result<Self, BuildError> {
        if !value.is_object() {
            return Err(BuildError::new("", format!("expected a rule with keys, found {}", type_name(&value))));
        }
        let mut fields = Fields::of(&value).map_err(|why| BuildError::new("", why))?;
        let tool = fields.optional::<String>("tool")?.map(|glob| read_glob(&glob)).transpose()?;
        let arguments = fields.optional::<String>("arguments")?.map(|regex| read_regex(&regex)).transpose()?;
        let reason = fields.optional("reason")?;
        fields.finish()?;
        Ok(Self { tool, arguments, reason })
    }

    fn denies(&self, suspect: &Suspect<'_>) -> bool {
        let has_condition = self.tool.is_some() || self.arguments.is_some();
        let tool = self.tool.as_ref().is_none_or(|glob| suspect.names.iter().any(|name| glob.is_match(name)));
        // An opaque thing without any name is no call, unless its strings say so.
        tool && (has_condition || !suspect.names.is_empty())
            && self.arguments.as_ref().is_none_or(|regex| suspect.texts.iter().any(|text| regex.is_match(text)))
    }
}

impl Rules {
    /// The first rule that denies it, and its position.
    pub(super) fn against(&self, suspect: &Suspect<'_>) -> Option<(usize, &Rule)> {
        self.deny.iter().enumerate().find(|(_, rule)| rule.denies(suspect))
    }
}

fn read_glob(glob: &str) -> Result<GlobMatcher, BuildError> {
    let glob = GlobBuilder::new(glob).literal_separator(false).backslash_escape(true).build();
    glob.map(|glob| glob.compile_matcher()).map_err(|error| BuildError::new("tool", error.to_string()))
}

fn read_regex(regex: &str) -> Result<Regex, BuildError> {
    let regex = RegexBuilder::new(regex).size_limit(REGEX_BYTES_MAX).dfa_size_limit(REGEX_BYTES_MAX).build();
    regex.map_err(|error| BuildError::new("arguments", error.to_string()))
}

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

/// What is said in place of a refused call: a template.
pub(super) struct Message(pub String);

impl Default for Message {
    fn default() -> Self {
        Self("The call of {tool_name} was refused: {reason}".to_owned())
    }
}

impl Message {
    /// The template filled in. What is put in is not searched again.
    pub fn fill(&self, tool_name: &str, tool_arguments: &str, reason: &str) -> String {
        let values = [("{tool_name}", tool_name), ("{tool_arguments}", tool_arguments), ("{reason}", reason)];
        let mut filled = String::new();
        let mut rest = self.0.as_str();
        while let Some(at) = rest.find('{') {
            filled.push_str(&rest[..at]);
            rest = &rest[at..];
            let found = values.iter().find(|(placeholder, _)| rest.starts_with(placeholder));
            let (value, length) = found.map_or(("{", 1), |(placeholder, value)| (*value, placeholder.len()));
            filled.push_str(value);
            rest = &rest[length..];
        }
        filled + rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_names_the_keys_that_are_read() {
        let schema = schema();
        let keys: Vec<&str> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        let error = Rule::read(json!({ "unheard-of": 1 })).err().unwrap();
        assert!(error.why.ends_with(&format!("there are: {}", keys.join(", "))), "{error}");
    }

    #[test]
    fn a_template_is_filled_once() {
        let message = Message("{tool_name}({tool_arguments}): {reason} {other} {".to_owned());
        assert_eq!(message.fill("a", "{reason}", "{tool_name}"), "a({reason}): {tool_name} {other} {");
    }
}
