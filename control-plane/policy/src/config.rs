//! The policies as an operator writes them.

use std::collections::BTreeMap;

use luthien_proto::message::FailureMode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// What is configured: policies, and which of them a call goes through.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PolicySetConfig {
    /// The policies; each is checked, used or not.
    #[serde(default)]
    pub policies: Vec<PolicyConfig>,
    /// The names of the policies that a call goes through, in order.
    #[serde(default)]
    pub pipeline: Vec<String>,
    /// The calls that go through others instead; the first that matches counts.
    #[serde(default)]
    pub bindings: Vec<BindingConfig>,
}

/// Which calls go through which policies.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BindingConfig {
    /// Which calls.
    pub when: WhenConfig,
    /// The names of the policies that they go through, in order.
    pub pipeline: Vec<String>,
}

/// What has to be true of a call; all that is given, and something has to be.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct WhenConfig {
    /// A glob that the model's name, as the client gave it, matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Whose key it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The pattern of the route, as the data plane's configuration has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// Headers of the client's request: each name, in whatever case, with exactly that value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub header: BTreeMap<String, String>,
}

/// One policy.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyConfig {
    /// Its name: what the pipeline and the record call it.
    pub name: String,
    /// What it does.
    pub kind: String,
    /// How; which keys there are depends on the kind.
    #[serde(default)]
    pub config: Value,
    /// What becomes of a call in which it fails.
    #[serde(default)]
    pub on_failure: OnFailure,
}

/// What becomes of a call in which a policy fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// It ends with an error.
    #[default]
    Closed,
    /// It goes on without the policy.
    Open,
}

impl From<OnFailure> for FailureMode {
    fn from(on_failure: OnFailure) -> Self {
        match on_failure {
            OnFailure::Closed => Self::Closed,
            OnFailure::Open => Self::Open,
        }
    }
}

impl PolicySetConfig {
    /// The configuration with its keys sorted and its defaults written out.
    pub fn canonical(&self) -> Value {
        let policies: Vec<Value> = self.policies.iter().map(PolicyConfig::canonical).collect();
        sorted(&json!({ "policies": policies, "pipeline": self.pipeline, "bindings": self.bindings }))
    }

    /// The revision: the hexadecimal SHA-256 of the canonical JSON.
    pub(crate) fn revision(&self) -> String {
        let canonical = self.canonical().to_string();
        Sha256::digest(canonical).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl PolicyConfig {
    fn canonical(&self) -> Value {
        let config = if self.config.is_null() { json!({}) } else { self.config.clone() };
        json!({ "name": self.name, "kind": self.kind, "config": config, "on_failure": self.on_failure })
    }
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            Value::Object(keys.into_iter().map(|key| (key.clone(), sorted(&map[key]))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(yaml: Value) -> String {
        serde_json::from_value::<PolicySetConfig>(yaml).unwrap().revision()
    }

    #[test]
    fn the_revision_depends_neither_on_the_order_of_keys_nor_on_defaults_being_written() {
        let short = revision(json!({ "policies": [{ "name": "a", "kind": "noop" }], "pipeline": ["a"] }));
        let long = revision(json!({
            "pipeline": ["a"],
            "policies": [{ "on_failure": "closed", "config": {}, "kind": "noop", "name": "a" }],
        }));
        assert_eq!(short, long);
        assert_eq!(short.len(), 64);
        let canonical =
            serde_json::from_value::<PolicySetConfig>(json!({ "policies": [{ "name": "a", "kind": "noop" }] }));
        let canonical = canonical.unwrap().canonical();
        assert_eq!(revision(canonical.clone()), revision(json!({ "policies": [{ "name": "a", "kind": "noop" }] })));
        assert_eq!(serde_json::from_value::<PolicySetConfig>(canonical.clone()).unwrap().canonical(), canonical);
        assert_ne!(short, revision(json!({ "policies": [{ "name": "a", "kind": "noop" }], "pipeline": [] })));
    }
}
