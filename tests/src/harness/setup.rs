//! One of each: an upstream, a control plane, a data plane.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::{
    client::{Answer, Ask},
    planes::{ControlPlane, DataPlane, merge},
    record::Record,
};
use crate::peers::upstream::Upstream;

/// What to start.
#[derive(Clone, Debug)]
pub struct Setup {
    data_plane: Value,
    control_plane: Value,
    env: Vec<(String, String)>,
}

/// A running data plane, its control plane, and the upstream that all its routes lead to.
#[derive(Debug)]
pub struct Gateway {
    /// The data plane.
    pub data: DataPlane,
    /// The control plane.
    pub control: ControlPlane,
    /// The upstream.
    pub upstream: Upstream,
    folder: TempDir,
}

impl Setup {
    /// Nothing is judged.
    pub fn noop() -> Self {
        Self::pipeline(&[json!({"name": "nothing", "kind": "noop"})])
    }

    /// Words are replaced.
    pub fn replacing(config: Value) -> Self {
        Self::pipeline(&[json!({"name": "words", "kind": "string_replacement", "config": config})])
    }

    /// `cool` becomes `radical`, in whatever a model can say.
    pub fn replacing_cool() -> Self {
        Self::replacing(json!({"replacements": [["cool", "radical"]]}))
    }

    /// Tool calls are refused by rules.
    pub fn denying(deny: Value) -> Self {
        let config = json!({"deny": deny, "message": "The call of {tool_name} was refused: {reason}"});
        Self::pipeline(&[json!({"name": "rules", "kind": "tool_call_rules", "config": config})])
    }

    /// Calls of `delete_*` are refused.
    pub fn denying_deletes() -> Self {
        Self::denying(json!([{"tool": "delete_*", "reason": "it deletes"}]))
    }

    /// These policies, in this order.
    pub fn pipeline(policies: &[Value]) -> Self {
        let names: Vec<&Value> = policies.iter().map(|policy| &policy["name"]).collect();
        Self { data_plane: json!({}), control_plane: json!({"policies": policies, "pipeline": names}), env: Vec::new() }
    }

    /// More for the `data_plane:` section.
    #[must_use]
    pub fn with_data_plane(mut self, section: Value) -> Self {
        merge(&mut self.data_plane, &section);
        self
    }

    /// More for the `control_plane:` section.
    #[must_use]
    pub fn with_control_plane(mut self, section: Value) -> Self {
        merge(&mut self.control_plane, &section);
        self
    }

    /// A variable in the environment of both planes.
    #[must_use]
    pub fn with_env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Upstreams have keys of their own, `upstream-key-…`, as those need that clients of other dialects call.
    #[must_use]
    pub fn with_upstream_keys(self) -> Self {
        let names = ["openai", "anthropic", "responses", "gemini"];
        let keys = names.map(|name| (name.to_owned(), json!({"api_key": format!("upstream-key-{name}")})));
        self.with_data_plane(json!({"upstreams": serde_json::Map::from_iter(keys)}))
    }

    /// Starts all three.
    pub async fn start(self) -> Gateway {
        let folder = TempDir::new().expect("a folder for the test");
        let upstream = Upstream::start().await;
        let control = ControlPlane::start_with(folder.path(), "control-plane", &self.control_plane, &self.env).await;
        let mut section = data_plane_section(&upstream, &[control.url()]);
        merge(&mut section, &self.data_plane);
        let data = DataPlane::start_with(folder.path(), "data-plane", &section, &self.env).await;
        Gateway { data, control, upstream, folder }
    }
}

/// A `data_plane:` section: one upstream of each dialect, all at the same place; one control plane or several.
pub fn data_plane_section(upstream: &Upstream, control_planes: &[String]) -> Value {
    let address = upstream.address();
    json!({
        "control_plane": control_planes,
        "upstreams": {
            "openai": {"dialect": "openai-chat", "base_url": format!("http://{address}/v1")},
            "anthropic": {"dialect": "anthropic-messages", "base_url": format!("http://{address}")},
            "gemini": {"dialect": "gemini", "base_url": format!("http://{address}")},
            "responses": {"dialect": "openai-responses", "base_url": format!("http://{address}/v1")},
            "gemini": {"dialect": "gemini", "base_url": format!("http://{address}")},
        },
        // What is not about a takeover need not wait for one.
        "timeouts": {"takeover": "500ms"},
        "routes": [
            {"model": "claude-*", "upstream": "anthropic"},
            {"model": "codex-*", "upstream": "responses"},
            {"model": "gemini-*", "upstream": "gemini"},
            {"model": "*", "upstream": "openai"},
        ],
    })
}

impl Gateway {
    /// Sends a request to the data plane, and waits for the head of the answer.
    pub async fn ask(&self, ask: Ask) -> Answer {
        self.data.ask(ask).await
    }

    /// Sends a request to the data plane, and does not wait. Aborting the task closes the connection.
    pub fn begin(&self, ask: Ask) -> JoinHandle<Answer> {
        self.data.begin(ask)
    }

    /// Waits until the call is on record with its end, and reads its record.
    pub async fn record(&self, call_id: &str) -> Record {
        self.control.record(call_id).await
    }

    /// The folder with the configurations and the database.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}
