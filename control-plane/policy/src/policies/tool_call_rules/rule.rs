//! A rule, and what it denies.

use globset::GlobMatcher;
use luthien_proto::json::type_name;
use regex::Regex;
use serde_json::{Value, json};

use super::{Denied, Deny};
use crate::{
    BuildError,
    policies::{
        patterns::{read_glob, read_regex},
        suspect::Suspect,
    },
    set::Fields,
};

/// Denies the calls whose tool and arguments both match; what is missing matches all.
pub(super) struct Rule {
    tool: Option<GlobMatcher>,
    arguments: Option<Regex>,
    reason: Option<String>,
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
        let tool = fields.optional::<String>("tool")?.map(|glob| read_glob("tool", &glob)).transpose()?;
        let arguments = fields.optional::<String>("arguments")?;
        let arguments = arguments.map(|regex| read_regex("arguments", &regex)).transpose()?;
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

impl Deny for Vec<Rule> {
    /// By the first rule that does.
    fn against(&self, suspect: &Suspect<'_>) -> Option<Denied> {
        let (position, rule) = self.iter().enumerate().find(|(_, rule)| rule.denies(suspect))?;
        Some(Denied { rule: json!(position), reason: rule.reason.clone() })
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
}
