//! `parallel`: judges that work at once, and must all agree.
//!
//! All of them see the same input. What they all pass, passes; what one of them refuses is refused, and the others are not
//! waited for. What one of them writes anew waits for the others. Only judges may be in it: what another policy changes, the
//! others would not have seen.

use std::{collections::BTreeSet, sync::Arc};

use luthien_proto::message::{CallStarted, FailureMode, Interest, Level};
use serde_json::{Value, json};

use super::{Common, object};
use crate::{BuildError, Hooks, OnFailure, Policy, PolicyCall, PolicyConfig, set::Fields};

/// The kinds that pass or refuse, and rewrite nothing that another judge should have seen.
const JUDGES: [&str; 9] = [
    "tool_call_rules",
    "tool_call_judge",
    "llm_judge",
    "no_yapping",
    "no_apologies",
    "prefer_uv",
    "block_dangerous_commands",
    "block_web_requests",
    "block_sensitive_file_writes",
];

/// The policy.
pub(super) struct Parallel {
    common: Common,
    members: Vec<Arc<dyn Policy>>,
}

/// The group itself has no hooks: its members are run.
struct Call;

impl PolicyCall for Call {}

/// What [`Parallel::build`] reads.
pub(super) fn schema() -> Value {
    let policy = json!({
        "type": "object",
        "properties": {
            "name": { "type": "string", "minLength": 1 },
            "kind": { "type": "string", "enum": JUDGES },
            "config": { "type": "object" },
            "on_failure": { "type": "string", "enum": ["closed", "open"], "default": "closed" },
        },
        "required": ["name", "kind"],
        "additionalProperties": false,
    });
    let policies = json!({
        "type": "array",
        "minItems": 1,
        "items": policy,
        "description": "The judges, each with a name of its own. One is open if it is and the group is.",
    });
    let examples = json!([{ "policies": [
        { "name": "no-destruction", "kind": "block_dangerous_commands" },
        { "name": "guard", "kind": "tool_call_judge", "config": { "model": "claude-haiku-4-5" } },
        { "name": "tone", "kind": "llm_judge", "config": { "model": "gpt-5-mini", "instructions": "Be kind." } },
    ] }]);
    object(json!({ "policies": policies }), &["policies"], examples)
}

impl Parallel {
    pub fn build(common: Common, fields: &mut Fields) -> Result<Self, BuildError> {
        let members = fields.list("policies", |value| member(value, &common))?.unwrap_or_default();
        if members.is_empty() {
            return Err(BuildError::new("policies", "there are none: give at least one"));
        }
        let mut names = BTreeSet::from([common.name.as_str()]);
        for (index, member) in members.iter().enumerate() {
            if !names.insert(member.name()) {
                return Err(BuildError::new(format!("policies[{index}].name"), "there is another policy of that name"));
            }
        }
        drop(names);
        Ok(Self { common, members })
    }
}

impl Policy for Parallel {
    fn name(&self) -> &str {
        &self.common.name
    }

    fn hooks(&self) -> Hooks {
        Hooks::NONE
    }

    fn interest(&self, call: &CallStarted) -> Interest {
        self.members.iter().map(|member| member.interest(call)).fold(Interest::all(Level::Record), Interest::join)
    }

    fn failure_mode(&self) -> FailureMode {
        self.members.iter().map(|member| member.failure_mode()).max().unwrap_or(self.common.failure_mode)
    }

    fn begin(&self, _: &CallStarted) -> Box<dyn PolicyCall + Send> {
        Box::new(Call)
    }

    fn members(&self) -> &[Arc<dyn Policy>] {
        &self.members
    }
}

/// A judge of the group; closed, if the group is.
fn member(value: Value, group: &Common) -> Result<Arc<dyn Policy>, BuildError> {
    let mut policy: PolicyConfig =
        serde_json::from_value(value).map_err(|error| BuildError::new("", error.to_string()))?;
    if policy.name.is_empty() {
        return Err(BuildError::new("name", "it is empty"));
    }
    if !JUDGES.contains(&policy.kind.as_str()) {
        let why = format!(
            "{:?} is no kind of judge: what it changed, the others would not have seen; put it before or behind the group. \
             There are: {}",
            policy.kind,
            JUDGES.join(", ")
        );
        return Err(BuildError::new("kind", why));
    }
    if group.failure_mode == FailureMode::Closed {
        policy.on_failure = OnFailure::Closed;
    }
    let fields = Fields::of(&policy.config).map_err(|why| BuildError::new("config", why))?;
    super::build(&policy, fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_judge_is_a_kind() {
        let kinds = super::super::kinds();
        let kinds: Vec<&str> = kinds.as_array().unwrap().iter().map(|kind| kind["kind"].as_str().unwrap()).collect();
        assert!(JUDGES.iter().all(|judge| kinds.contains(judge)), "{kinds:?}");
    }
}
