//! The two planes: where they listen, and what they say of themselves.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{
    client::{Answer, Ask},
    process::{Process, Program},
    record::Record,
};
use crate::peers::{eventually, within};

/// The admin token of every control plane here.
pub const ADMIN_TOKEN: &str = "admin-token-canary-0123456789abcdef";

/// Everything that luthien itself can say; of the crates below it, what matters.
const LOG: &str = "info,luthien_service=trace,luthien_call=trace,luthien_policy=trace,luthien_data_plane=trace,\
                   luthien_control_plane=trace";

/// A running control plane.
#[derive(Debug)]
pub struct ControlPlane {
    /// The process.
    pub process: Process,
    /// Where data planes reach it.
    pub grpc: SocketAddr,
    /// Where operators reach it.
    pub admin: SocketAddr,
}

/// A running data plane.
#[derive(Debug)]
pub struct DataPlane {
    /// The process.
    pub process: Process,
    /// Where clients reach it.
    pub address: SocketAddr,
}

impl ControlPlane {
    /// Starts one with that `control_plane:` section (what it does not say is said here), and waits until it is ready.
    pub async fn start(folder: &Path, name: &str, section: &Value) -> Self {
        Self::start_with(folder, name, section, &[]).await
    }

    /// The same, with more in its environment.
    pub async fn start_with(folder: &Path, name: &str, section: &Value, env: &[(String, String)]) -> Self {
        let plane = Self::begin(folder, name, section, env).await;
        ready(plane.admin).await;
        plane
    }

    /// The same of one that may not be ready for long.
    pub async fn begin(folder: &Path, name: &str, section: &Value, env: &[(String, String)]) -> Self {
        let mut config = json!({
            "grpc_listen": "127.0.0.1:0",
            "http_listen": "127.0.0.1:0",
            "admin": {"token": ADMIN_TOKEN},
            "database": format!("sqlite://{}", folder.join("luthien.db").display()),
        });
        merge(&mut config, section);
        Self::of(start(Program::ControlPlane, folder, name, &json!({"control_plane": config}), env)).await
    }

    /// One that was started otherwise, as soon as it is ready. It logs as JSON.
    pub async fn of(process: Process) -> Self {
        let grpc = listening(&process, "policy").await;
        let admin = listening(&process, "admin").await;
        Self { process, grpc, admin }
    }

    /// Where data planes reach it, for a configuration.
    pub fn url(&self) -> String {
        format!("http://{}", self.grpc)
    }

    /// Asks the admin API.
    ///
    /// # Panics
    /// When it does not answer 200 with JSON.
    pub async fn api(&self, path: &str) -> Value {
        let answer = self.ask(path).send(self.admin).await;
        let (status, body) = (answer.status, answer.complete().await);
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body:?}"))
    }

    /// Waits until the call is on record with its end, and reads its record.
    pub async fn record(&self, call_id: &str) -> Record {
        let ask = self.ask(&format!("/api/calls/{call_id}"));
        eventually("the record of a call", async || {
            let answer = ask.send(self.admin).await;
            let json: Value = serde_json::from_slice(&answer.complete().await).unwrap_or_default();
            (!json["outcome"].is_null()).then(|| Record::new(json))
        })
        .await
    }

    /// Waits until a call that was not heard of before has ended, and reads its record.
    pub async fn last_record(&self) -> Record {
        let id = eventually("a call on record", async || {
            let page = self.api("/api/calls?limit=1").await;
            page["calls"][0]["call_id"].as_str().map(str::to_owned)
        })
        .await;
        self.record(&id).await
    }

    /// A request that the admin API answers.
    pub fn ask(&self, path: &str) -> Ask {
        Ask::get(path).header("authorization", &format!("Bearer {ADMIN_TOKEN}"))
    }
}

impl DataPlane {
    /// Starts one with that `data_plane:` section, and waits until it is ready.
    pub async fn start(folder: &Path, name: &str, section: &Value) -> Self {
        Self::start_with(folder, name, section, &[]).await
    }

    /// The same, with more in its environment.
    pub async fn start_with(folder: &Path, name: &str, section: &Value, env: &[(String, String)]) -> Self {
        let mut config = json!({"listen": "127.0.0.1:0"});
        merge(&mut config, section);
        Self::of(start(Program::DataPlane, folder, name, &json!({"data_plane": config}), env)).await
    }

    /// One that was started otherwise, as soon as it is ready. It logs as JSON.
    pub async fn of(process: Process) -> Self {
        let address = listening(&process, "").await;
        ready(address).await;
        Self { process, address }
    }

    /// Sends a request, and waits for the head of the answer.
    pub async fn ask(&self, ask: Ask) -> Answer {
        ask.send(self.address).await
    }

    /// Sends a request, and does not wait. Aborting the task closes the connection.
    pub fn begin(&self, ask: Ask) -> JoinHandle<Answer> {
        let address = self.address;
        tokio::spawn(async move { ask.send(address).await })
    }
}

/// JSON is YAML: what the test has as a value is written as it is.
fn start(program: Program, folder: &Path, name: &str, config: &Value, more: &[(String, String)]) -> Process {
    let file = format!("{name}.yaml");
    fs::write(folder.join(&file), format!("{config:#}\n")).expect("the folder is ours");
    let mut env = vec![("RUST_LOG", LOG)];
    env.extend(more.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    Process::start(program, folder, &["--config", &file, "--log-format", "json"], &env)
}

/// Waits for the address that a program says it listens on.
async fn listening(process: &Process, service: &str) -> SocketAddr {
    let wanted = |line: &super::Line| {
        line.field("message") == "listening" && (service.is_empty() || line.field("service") == service)
    };
    let line = process.line("the address", wanted).await;
    line.field("addr").parse().unwrap_or_else(|error| panic!("{error}: {}", line.text))
}

async fn ready(address: SocketAddr) {
    let look = async || match Ask::get("/readyz").try_send(address).await {
        Ok(answer) if answer.status == 200 => Some(()),
        _ => {
            tokio::time::sleep(Duration::from_millis(20)).await;
            None
        }
    };
    within("a plane to be ready", eventually("a plane to be ready", look)).await;
}

/// Puts what `more` says over what is there; objects are merged.
pub(super) fn merge(into: &mut Value, more: &Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (key, value) in more {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more.clone(),
    }
}
