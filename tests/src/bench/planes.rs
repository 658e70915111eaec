//! Both planes, with one thread each as the floor has.

use std::{fs, io, net::SocketAddr, path::Path as Folder, process::Command};

use luthien_tests_postgres::{Cluster, HOW_TO_INSTALL, Programs};
use serde_json::{Value, json};

use super::{
    path::Path,
    process::Process,
    running::{Running, Setting},
    stamp::{MARK, REPLACED_MARK},
};
use crate::environment::package;

/// What they are to be.
#[derive(Clone, Debug)]
pub(super) struct Planes<'a> {
    setting: &'a Setting,
    policy: Value,
    audit: &'static str,
    database: Database,
    remote: Option<Remote>,
    upstream_key: Option<&'static str>,
}

/// Where the record is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Database {
    Sqlite,
    Postgres,
}

/// Who serves the policy, where it is not the control plane itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remote {
    ControlPlane,
    Python,
}

/// Gates everything, sees every chunk, and lets it by.
const PASSES: &str = r#"
from luthien import HookOutput, Policy, Seen, serve


class Passes(Policy):
    def on_content_chunk(self, seen: Seen, out: HookOutput) -> None:
        out.pass_()


serve(Passes, "127.0.0.1:0")
"#;

impl<'a> Planes<'a> {
    /// Everything gated, all of it passed.
    pub(super) fn new(setting: &'a Setting) -> Self {
        let (policy, database) = (replacing("#never#"), Database::Sqlite);
        Self { setting, policy, audit: "relaxed", database, remote: None, upstream_key: None }
    }

    pub(super) fn gating_nothing(self) -> Self {
        Self { policy: json!({"name": "p", "kind": "noop"}), ..self }
    }

    pub(super) fn replacing(self) -> Self {
        Self { policy: replacing(&(MARK as char).to_string()), ..self }
    }

    pub(super) fn strict(self) -> Self {
        Self { audit: "strict", ..self }
    }

    pub(super) fn on(self, database: Database) -> Self {
        Self { database, ..self }
    }

    pub(super) fn behind(self, remote: Remote) -> Self {
        Self { remote: Some(remote), ..self }
    }

    /// The client's credentials are of another dialect.
    pub(super) fn with_upstream_key(self) -> Self {
        Self { upstream_key: Some("none"), ..self }
    }

    pub(super) fn start(self, path: Path) -> io::Result<Running> {
        let folder = tempfile::tempdir()?;
        let remote = match self.remote {
            None => None,
            Some(Remote::Python) => Some(python(folder.path())?),
            Some(Remote::ControlPlane) => {
                let database = sqlite(&folder.path().join("remote.db"));
                Some(self.control_plane(folder.path(), &self.policy, &database)?)
            }
        };
        let cluster = (self.database == Database::Postgres).then(postgres).transpose()?;
        let database = cluster.as_ref().map_or_else(|| sqlite(&folder.path().join("luthien.db")), Cluster::database);
        let policy = remote.as_ref().map_or(
            self.policy.clone(),
            |(_, address)| json!({"name": "p", "kind": "remote", "config": {"address": format!("http://{address}")}}),
        );
        let (control, policy_service) = self.control_plane(folder.path(), &policy, &database)?;
        let (data, address) = self.data_plane(folder.path(), policy_service)?;
        let processes = [data, control].into_iter().chain(remote.map(|(process, _)| process)).collect();
        Ok(Running::of(path.talk_to(address), processes).with(folder, cluster))
    }

    /// No control plane.
    pub(super) fn judged_by_python(self, path: Path) -> io::Result<Running> {
        let folder = tempfile::tempdir()?;
        let (python, policy_service) = python(folder.path())?;
        let (data, address) = self.data_plane(folder.path(), policy_service)?;
        Ok(Running::of(path.talk_to(address), vec![data, python]).with(folder, None))
    }

    fn control_plane(&self, folder: &Folder, policy: &Value, database: &str) -> io::Result<(Process, SocketAddr)> {
        let config = control_plane(self.audit, policy, database, folder, [0, 0]);
        let program = self.setting.programs.join("luthien-control-plane");
        let (process, [policy_service, _admin]) = Process::plane(&program, folder, &config.to_string())?;
        Ok((process, policy_service))
    }

    fn data_plane(&self, folder: &Folder, policy_service: SocketAddr) -> io::Result<(Process, SocketAddr)> {
        let mut config = data_plane(self.setting.upstream, policy_service, 0);
        if let Some(key) = self.upstream_key {
            config["data_plane"]["upstreams"]["u"]["api_key"] = json!(key);
        }
        let program = self.setting.programs.join("luthien-data-plane");
        let (process, [address]) = Process::plane(&program, folder, &config.to_string())?;
        Ok((process, address))
    }
}

/// A configuration, with ports for data planes and for operators; 0: any.
pub(super) fn control_plane(audit: &str, policy: &Value, database: &str, folder: &Folder, ports: [u16; 2]) -> Value {
    let [grpc, http] = ports.map(|port| format!("127.0.0.1:{port}"));
    json!({"control_plane": {
        "grpc_listen": grpc,
        "http_listen": http,
        "threads": 1,
        "audit": audit,
        "admin": {"token": "a-token-for-a-benchmark-of-luthien"},
        "database": database,
        "journal": folder.join("journal"),
        "policies": [policy],
        "pipeline": [policy["name"]],
    }})
}

/// A configuration, with a port for clients; 0: any.
pub(super) fn data_plane(upstream: SocketAddr, policy_service: SocketAddr, port: u16) -> Value {
    json!({"data_plane": {
        "listen": format!("127.0.0.1:{port}"),
        "threads": 1,
        "control_plane": format!("http://{policy_service}"),
        "upstreams": {"u": {"dialect": "openai-chat", "base_url": format!("http://{upstream}/v1")}},
        "routes": [{"model": "*", "upstream": "u"}],
    }})
}

/// The URL of a database in a file.
pub(super) fn sqlite(file: &Folder) -> String {
    format!("sqlite://{}", file.display())
}

/// A policy that gates everything, and replaces a word.
pub(super) fn replacing(word: &str) -> Value {
    let by = (REPLACED_MARK as char).to_string();
    json!({"name": "p", "kind": "string_replacement", "config": {"replacements": [[word, by]]}})
}

fn postgres() -> io::Result<Cluster> {
    match Programs::find() {
        Some(_) => Ok(Cluster::start()),
        None => Err(io::Error::other(HOW_TO_INSTALL)),
    }
}

fn python(folder: &Folder) -> io::Result<(Process, SocketAddr)> {
    let python = package::python().ok_or_else(|| io::Error::other("there is no Python to serve a policy with"))?;
    let script = folder.join("passes.py");
    fs::write(&script, PASSES)?;
    let mut command = Command::new(python);
    command.arg(script).env_clear().env("PYTHONDONTWRITEBYTECODE", "1").current_dir(folder);
    Process::service(command, "the policy service in Python")
}
