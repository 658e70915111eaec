//! `remote`: a policy that somebody else serves, over the verdict protocol.
//!
//! It has no hooks here: its stage tells the service what it asks for and takes its verdicts. How it is reached is the
//! shell's to act on; what it may do is in [`Remote`].

mod settings;

use std::{sync::Arc, time::Duration};

use luthien_proto::message::{CallStarted, FailureMode, Interest, Level};
pub(super) use settings::schema;

use super::Common;
use crate::{BuildError, Hooks, Policy, PolicyCall, set::Fields};

/// A policy that somebody else serves: how it is reached, and what it may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Where.
    pub address: RemoteAddress,
    /// How long a connection to it may take.
    pub connect_timeout: Duration,
    /// The longest silence of one that owes something; after two of them it is lost.
    pub lease: Duration,
    /// How long it may take to decide.
    pub hold_time: Duration,
    /// The names of the upstreams that it may ask, as proxies are configured.
    pub consult: Vec<String>,
    /// Whether it may ask with the credentials of the call's client.
    pub caller_credentials: bool,
    /// The largest message, either way.
    pub message_bytes_max: usize,
}

/// Where a policy is served. Those of one address share connections.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RemoteAddress {
    /// Scheme, host and port; no credentials.
    pub url: String,
    /// `None` with `https`: whom the system trusts.
    pub tls: Option<RemoteTls>,
}

/// Whom to trust, and who we are: files in PEM.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RemoteTls {
    /// The authorities that are trusted; `None`: those of the system.
    pub ca_file: Option<String>,
    /// Our certificate and its key.
    pub identity: Option<(String, String)>,
    /// The name in the service's certificate, if it is not the host.
    pub server_name: Option<String>,
}

/// The policy.
pub(super) struct RemotePolicy {
    common: Common,
    remote: Arc<Remote>,
}

/// Its state is its stage's.
struct Call;

impl PolicyCall for Call {}

impl RemotePolicy {
    pub fn build(common: Common, fields: &mut Fields) -> Result<Self, BuildError> {
        Ok(Self { common, remote: Arc::new(settings::read(fields)?) })
    }
}

impl Policy for RemotePolicy {
    fn name(&self) -> &str {
        &self.common.name
    }

    fn hooks(&self) -> Hooks {
        Hooks::NONE
    }

    /// It says so itself, when it admits the call.
    fn interest(&self, _: &CallStarted) -> Interest {
        Interest::all(Level::Record)
    }

    fn failure_mode(&self) -> FailureMode {
        self.common.failure_mode
    }

    fn begin(&self, _: &CallStarted) -> Box<dyn PolicyCall + Send> {
        Box::new(Call)
    }

    fn remote(&self) -> Option<&Arc<Remote>> {
        Some(&self.remote)
    }
}
