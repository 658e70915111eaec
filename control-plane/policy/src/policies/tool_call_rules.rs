//! `tool_call_rules`: tool calls that a rule denies never reach the client.
//!
//! A call is held until it is whole. One that is refused becomes a text that says why; the other calls of the turn stay.
//! A call that never became whole, because the response broke off, is not let through at all. What has no place in the
//! canonical model may be a call of a kind that is not known: it is judged by whatever names and strings it has.

mod call;
mod rule;

use std::sync::Arc;

use call::Call;
use luthien_proto::{
    event::Kind,
    message::{CallStarted, FailureMode, Interest, Level},
};
use rule::Rule;
use serde_json::{Value, json};

use super::{Common, object, refusal::Template, suspect::Suspect};
use crate::{BuildError, Hook, Hooks, Policy, PolicyCall, set::Fields};

const MESSAGE: &str = "The call of {tool_name} was refused: {reason}";

/// The policy.
pub(super) struct ToolCallRules {
    common: Common,
    rules: Arc<Rules>,
}

/// What is denied, and what is said of it.
struct Rules {
    deny: Box<dyn Deny>,
    message: Template,
}

/// What decides about calls.
pub(super) trait Deny: Send + Sync {
    /// Whether it is denied, and why.
    fn against(&self, suspect: &Suspect<'_>) -> Option<Denied>;
}

/// Why a call is denied.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Denied {
    /// Which rule it is that denies it.
    pub rule: Value,
    /// For whoever reads the message.
    pub reason: Option<String>,
}

/// What [`ToolCallRules::build`] reads.
pub(super) fn schema() -> Value {
    let deny = json!({
        "type": "array",
        "minItems": 1,
        "items": rule::schema(),
        "description": "The rules; a call that one of them matches is refused.",
    });
    let examples = json!([{
        "deny": [
            { "tool": "delete_*", "reason": "deletes" },
            { "tool": "Bash", "arguments": "rm\\s+-rf", "reason": "deletes recursively" },
        ],
        "message": "The call of {tool_name} was refused: {reason}",
    }]);
    object(json!({ "deny": deny, "message": message_schema() }), &["deny"], examples)
}

/// The property that [`ToolCallRules::of`] reads.
pub(super) fn message_schema() -> Value {
    json!({
        "type": "string",
        "default": MESSAGE,
        "description": "What stands in place of a refused call; {tool_name}, {tool_arguments} and {reason} are filled in.",
    })
}

impl ToolCallRules {
    pub fn build(common: Common, fields: &mut Fields) -> Result<Self, BuildError> {
        let deny = fields.list("deny", Rule::read)?.unwrap_or_default();
        if deny.is_empty() {
            return Err(BuildError::new("deny", "there are no rules: give at least one"));
        }
        Self::of(common, deny, fields)
    }

    /// What is denied is given; the rest is configured.
    pub fn of(common: Common, deny: impl Deny + 'static, fields: &mut Fields) -> Result<Self, BuildError> {
        let message = fields.optional::<String>("message")?.unwrap_or_else(|| MESSAGE.to_owned());
        Ok(Self { common, rules: Arc::new(Rules { deny: Box::new(deny), message: Template(message) }) })
    }
}

impl Policy for ToolCallRules {
    fn name(&self) -> &str {
        &self.common.name
    }

    fn hooks(&self) -> Hooks {
        Hooks::of(&[Hook::ToolCallChunk, Hook::ToolCallCompleted, Hook::OpaqueChunk, Hook::Finished, Hook::Failed])
    }

    fn interest(&self, _: &CallStarted) -> Interest {
        Interest::all(Level::Record).with(Kind::ToolCall, Level::Gate).with(Kind::Opaque, Level::Gate)
    }

    fn failure_mode(&self) -> FailureMode {
        self.common.failure_mode
    }

    fn begin(&self, _: &CallStarted) -> Box<dyn PolicyCall + Send> {
        Box::new(Call::new(self.rules.clone()))
    }
}
