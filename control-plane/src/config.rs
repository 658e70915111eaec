//! The configuration of the control plane: the section `control_plane` of the file, read, checked and with its defaults.

mod check;
mod database;
mod section;

use std::{fmt, net::SocketAddr, num::NonZeroUsize, time::Duration};

use luthien_policy::{Audit, PolicySet};
use luthien_service::{
    ConfigError, Secret,
    config::{Document, File},
};
use serde::de::IgnoredAny;
use thiserror::Error;

use crate::record::{Redaction, Retention};

pub use database::Database;
pub use section::Section;

/// Everything that the control plane is told at its start.
pub struct Config {
    /// Where proxies connect. Port 0: any free one.
    pub grpc_listen: SocketAddr,
    /// Where operators connect.
    pub http_listen: SocketAddr,
    /// Threads for calls, each with a runtime and a listener of its own.
    pub threads: NonZeroUsize,
    /// Where the record is kept.
    pub database: Database,
    /// Whether what is said of calls waits until it is on record.
    pub audit: Audit,
    /// What is masked before it is put on record.
    pub redaction: Redaction,
    /// How long what is on record is kept.
    pub retention: Retention,
    /// What opens the admin API; `None`: a token is made and kept beside the database.
    pub admin_token: Option<Secret>,
    /// The policies, checked.
    pub policies: PolicySet,
    /// Whether a shutdown hands calls over to other control planes; else they have until its second step to end.
    pub hands_over: bool,
    /// What may be spent.
    pub limits: Limits,
    /// How long may be waited.
    pub timeouts: Timeouts,
}

/// What may be spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest message of a proxy, in bytes: its largest body, and what is said around it.
    pub message: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { message: 33 << 20 }
    }
}

/// How long may be waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// The longest silence toward a proxy whose call runs.
    pub lease: Duration,
    /// For a call whose proxy was lost to be resumed.
    pub takeover_wait: Duration,
    /// For running calls to end, when the plane shuts down.
    pub drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { lease: Duration::from_secs(5), takeover_wait: Duration::from_secs(30), drain: Duration::from_secs(30) }
    }
}

/// A value that can't be used: which, and why.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{key}: {reason}")]
pub struct Invalid {
    /// The path of the key in the file.
    pub key: String,
    /// What is wrong.
    pub reason: String,
}

impl Invalid {
    fn new(key: impl fmt::Display, reason: impl Into<String>) -> Self {
        Self { key: format!("control_plane.{key}"), reason: reason.into() }
    }
}

impl Config {
    /// Reads the section of a file that may have the data plane's too.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn load(document: &Document) -> Result<Self, ConfigError> {
        let file: File<IgnoredAny, Section> = document.get()?;
        let section = file.control_plane.unwrap_or_default();
        section.check().map_err(|invalid| document.error_at(&invalid.key, invalid.reason))
    }
}
