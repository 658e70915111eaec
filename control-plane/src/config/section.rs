//! The section as it is written.

use std::path::PathBuf;

use luthien_policy::{BindingConfig, PolicyConfig};
use luthien_service::{
    Secret,
    config::{ByteSize, HumanDuration},
};
use serde::Deserialize;

/// The section `control_plane` of the configuration file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Section {
    pub(super) grpc_listen: Option<String>,
    pub(super) http_listen: Option<String>,
    /// Listens on addresses that others can reach, although nothing is encrypted and proxies show no token.
    pub(super) insecure: bool,
    pub(super) threads: Option<usize>,
    pub(super) admin: AdminSection,
    pub(super) database: Option<String>,
    pub(super) journal: Option<PathBuf>,
    pub(super) journal_max: Option<ByteSize>,
    pub(super) audit: AuditSection,
    pub(super) redact: Vec<RedactSection>,
    pub(super) retention: RetentionSection,
    pub(super) policies: Vec<PolicyConfig>,
    pub(super) pipeline: Vec<String>,
    pub(super) bindings: Vec<BindingConfig>,
    pub(super) limits: LimitsSection,
    pub(super) timeouts: TimeoutsSection,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AdminSection {
    pub(super) token: Option<Secret>,
}

/// Whether verdicts wait until they are on record.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum AuditSection {
    /// They do not.
    #[default]
    Relaxed,
    /// They do.
    Strict,
}

/// What is masked before it is put on record.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RedactSection {
    pub(super) name: String,
    /// Without one the name is that of a pattern that is built in.
    #[serde(default)]
    pub(super) pattern: Option<String>,
}

/// How long what is on record is kept.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RetentionSection {
    pub(super) age: Option<HumanDuration>,
    pub(super) size: Option<ByteSize>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LimitsSection {
    pub(super) message: Option<ByteSize>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TimeoutsSection {
    pub(super) lease: Option<HumanDuration>,
    pub(super) takeover_wait: Option<HumanDuration>,
    pub(super) drain: Option<HumanDuration>,
}
