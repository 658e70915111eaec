//! `prefer_uv`, `block_dangerous_commands`, `block_web_requests`, `block_sensitive_file_writes`: rules that read the commands
//! of tool calls, whatever the tools are called.
//!
//! They are guard rails for an agent that means well. One that means ill finds a way around them: what it runs has to be
//! confined by a sandbox.

use regex::Regex;
use serde_json::{Value, json};

use super::{dangerous, sensitive, uv, web};
use crate::{
    BuildError,
    policies::{
        Common, object,
        patterns::read_regex,
        shell::Reading,
        suspect::Suspect,
        tool_call_rules::{Denied, Deny, ToolCallRules, message_schema},
    },
    set::Fields,
};

/// What is kept from an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Guard {
    Uv,
    DangerousCommands,
    WebRequests,
    SensitiveFileWrites,
}

/// Something that a call does, and why it is denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// The command or the path, for the exceptions.
    pub what: String,
    pub reason: String,
}

impl Finding {
    pub fn new(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { what: what.into(), reason: reason.into() }
    }
}

/// A guard with its exceptions.
struct Guarding {
    guard: Guard,
    allow: Vec<Regex>,
}

/// A policy of that guard.
pub(in super::super) fn build(guard: Guard, common: Common, fields: &mut Fields) -> Result<ToolCallRules, BuildError> {
    let allow = fields.list("allow", exception)?.unwrap_or_default();
    ToolCallRules::of(common, Guarding { guard, allow }, fields)
}

/// What [`build`] reads.
pub(in super::super) fn schema(example: &str) -> Value {
    let allow = json!({
        "type": "array",
        "items": { "type": "string" },
        "default": [],
        "description": "Regular expressions. What one of them matches whole is let through: a command with its arguments, one \
            space between them, or the path of a file.",
    });
    let examples = json!([{ "allow": [example], "message": "{tool_name} was not run: {reason}" }]);
    object(json!({ "allow": allow, "message": message_schema() }), &[], examples)
}

impl Deny for Guarding {
    fn against(&self, suspect: &Suspect<'_>) -> Option<Denied> {
        let reading = Reading::of(suspect);
        let findings = match self.guard {
            Guard::Uv => uv::findings(&reading),
            Guard::DangerousCommands => dangerous::findings(&reading),
            Guard::WebRequests => web::findings(suspect, &reading),
            Guard::SensitiveFileWrites => sensitive::findings(suspect, &reading),
        };
        let unread = reading.is_cut.then(|| Finding::new("", "it is too long or too deeply nested to be read"));
        let found = findings.into_iter().find(|found| !self.allows(&found.what)).or(unread)?;
        Some(Denied { rule: json!(self.guard.name()), reason: Some(found.reason) })
    }
}

impl Guarding {
    fn allows(&self, what: &str) -> bool {
        self.allow.iter().any(|regex| regex.is_match(what))
    }
}

impl Guard {
    fn name(self) -> &'static str {
        match self {
            Self::Uv => "prefer_uv",
            Self::DangerousCommands => "block_dangerous_commands",
            Self::WebRequests => "block_web_requests",
            Self::SensitiveFileWrites => "block_sensitive_file_writes",
        }
    }
}

fn exception(value: Value) -> Result<Regex, BuildError> {
    let regex: String = serde_json::from_value(value).map_err(|error| BuildError::new("", error.to_string()))?;
    read_regex("", &format!("^(?:{regex})$"))
}
