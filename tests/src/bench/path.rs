//! What stands between the client and the upstream.

use std::{io, net::SocketAddr};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    process::{Process, Usage},
    stamp::{MARK, REPLACED_MARK},
};

/// A path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Nothing.
    Straight,
    /// The floor of what is not gated: a relay.
    Relay,
    /// The floor of what is gated: a relay, and a message each way per SSE event.
    Judged,
    /// luthien, nothing gated.
    Nothing,
    /// luthien, everything gated, and all of it passes.
    Passed,
    /// luthien, everything gated, and something is replaced in each delta.
    Replaced,
    /// luthien, everything gated and passed, under strict audit. Measured where it is asked for: it tells of the disk.
    Strict,
}

impl Path {
    /// Those that are always measured, each after its floor.
    pub const ALL: [Self; 6] = [Self::Straight, Self::Relay, Self::Nothing, Self::Judged, Self::Passed, Self::Replaced];

    /// For the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Straight => "straight",
            Self::Relay => "*floor: relay*",
            Self::Judged => "*floor: relay, a message per event*",
            Self::Nothing => "nothing gated",
            Self::Passed => "gated, passed",
            Self::Replaced => "gated, replaced",
            Self::Strict => "gated, passed, strict audit",
        }
    }

    /// What its cost is compared with.
    pub fn floor(self) -> Option<Self> {
        match self {
            Self::Straight | Self::Relay | Self::Judged => None,
            Self::Nothing => Some(Self::Relay),
            Self::Passed | Self::Replaced => Some(Self::Judged),
            Self::Strict => Some(Self::Passed),
        }
    }

    /// Starts its processes.
    ///
    /// # Errors
    /// One does not start.
    pub fn start(self, upstream: SocketAddr) -> io::Result<Running> {
        match self {
            Self::Straight => Ok(Running { address: upstream, front: None, back: None, folder: None }),
            Self::Relay => {
                let (relay, address) = Process::role(&["relay".into(), upstream.to_string()])?;
                Ok(Running { address, front: Some(relay), back: None, folder: None })
            }
            Self::Judged => {
                let (judge, peer) = Process::role(&["judge".into()])?;
                let (relay, address) = Process::role(&["relay".into(), upstream.to_string(), peer.to_string()])?;
                Ok(Running { address, front: Some(relay), back: Some(judge), folder: None })
            }
            Self::Nothing => planes(upstream, &json!({"name": "p", "kind": "noop"}), "relaxed"),
            Self::Passed => planes(upstream, &replacing("#never#"), "relaxed"),
            Self::Strict => planes(upstream, &replacing("#never#"), "strict"),
            Self::Replaced => planes(upstream, &replacing(&(MARK as char).to_string()), "relaxed"),
        }
    }
}

fn replacing(word: &str) -> Value {
    let by = (REPLACED_MARK as char).to_string();
    json!({"name": "p", "kind": "string_replacement", "config": {"replacements": [[word, by]]}})
}

/// The processes of a path.
#[derive(Debug)]
pub struct Running {
    /// Where clients connect.
    pub address: SocketAddr,
    /// The relay, or the data plane.
    front: Option<Process>,
    /// The judge, or the control plane.
    back: Option<Process>,
    folder: Option<TempDir>,
}

impl Running {
    /// What its two processes have used so far.
    pub fn usage(&self) -> [Option<Usage>; 2] {
        [&self.front, &self.back].map(|process| process.as_ref().map(Process::usage))
    }

    /// Whether all its processes still run.
    pub fn is_whole(&mut self) -> bool {
        [&mut self.front, &mut self.back].into_iter().flatten().all(Process::is_running)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The processes end before their folder does.
        (self.front, self.back) = (None, None);
        drop(self.folder.take());
    }
}

/// Both planes, with one thread each as the floor has, and SQLite.
fn planes(upstream: SocketAddr, policy: &Value, audit: &str) -> io::Result<Running> {
    let folder = tempfile::tempdir()?;
    let control = json!({"control_plane": {
        "grpc_listen": "127.0.0.1:0",
        "http_listen": "127.0.0.1:0",
        "threads": 1,
        "audit": audit,
        "admin": {"token": "a-token-for-a-benchmark-of-luthien"},
        "database": format!("sqlite://{}", folder.path().join("luthien.db").display()),
        "policies": [policy],
        "pipeline": [policy["name"]],
    }});
    let name = "luthien-control-plane";
    let (back, [policy_service, _admin]) = Process::plane(name, folder.path(), &control.to_string())?;
    let data = json!({"data_plane": {
        "listen": "127.0.0.1:0",
        "threads": 1,
        "control_plane": format!("http://{policy_service}"),
        "upstreams": {"u": {"dialect": "openai-chat", "base_url": format!("http://{upstream}/v1")}},
        "routes": [{"model": "*", "upstream": "u"}],
    }});
    let (front, [address]) = Process::plane("luthien-data-plane", folder.path(), &data.to_string())?;
    Ok(Running { address, front: Some(front), back: Some(back), folder: Some(folder) })
}
