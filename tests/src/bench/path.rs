//! What stands between the client and the upstream.

use std::io;

use super::{
    client::Talk,
    dialect::Dialect,
    planes::{Database, Planes, Remote},
    process::Process,
    running::{Running, Setting},
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
    /// As passed, for a client that speaks another dialect than the upstream.
    Converted,
    /// As passed, under strict audit. It tells of the disk.
    Strict,
    /// As passed, its record in Postgres.
    Postgres,
    /// The same, under strict audit.
    StrictPostgres,
    /// Passed by a remote policy, which is another control plane.
    Remote,
    /// Passed by a policy service in Python, in the place of a control plane.
    Python,
    /// Passed by a remote policy in Python.
    RemotePython,
}

impl Path {
    /// Each of them, in the order in which they are measured: behind what they are compared with.
    pub const ALL: [Self; 13] = [
        Self::Straight,
        Self::Relay,
        Self::Nothing,
        Self::Judged,
        Self::Passed,
        Self::Replaced,
        Self::Converted,
        Self::Strict,
        Self::Postgres,
        Self::StrictPostgres,
        Self::Remote,
        Self::Python,
        Self::RemotePython,
    ];

    /// Those that are measured when nothing is said.
    pub const USUAL: [Self; 6] =
        [Self::Straight, Self::Relay, Self::Nothing, Self::Judged, Self::Passed, Self::Replaced];

    /// For the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Straight => "straight",
            Self::Relay => "*floor: relay*",
            Self::Judged => "*floor: relay, a message per event*",
            Self::Nothing => "nothing gated",
            Self::Passed => "gated, passed",
            Self::Replaced => "gated, replaced",
            Self::Converted => "gated, passed, converted",
            Self::Strict => "gated, passed, strict audit",
            Self::Postgres => "gated, passed, Postgres",
            Self::StrictPostgres => "gated, passed, strict audit, Postgres",
            Self::Remote => "gated, passed by a remote policy",
            Self::Python => "gated, passed by Python",
            Self::RemotePython => "gated, passed by a remote policy in Python",
        }
    }

    /// Whether it is luthien.
    pub fn is_luthien(self) -> bool {
        !matches!(self, Self::Straight | Self::Relay | Self::Judged)
    }

    /// The least that it could cost.
    pub fn floor(self) -> Option<Self> {
        match self {
            Self::Straight | Self::Relay | Self::Judged => None,
            Self::Nothing => Some(Self::Relay),
            Self::Passed
            | Self::Replaced
            | Self::Converted
            | Self::Strict
            | Self::Postgres
            | Self::StrictPostgres
            | Self::Remote
            | Self::Python
            | Self::RemotePython => Some(Self::Judged),
        }
    }

    /// What it adds to.
    pub fn base(self) -> Option<Self> {
        match self {
            Self::Straight | Self::Relay | Self::Judged | Self::Nothing | Self::Passed | Self::Replaced => None,
            Self::Converted
            | Self::Strict
            | Self::Postgres
            | Self::StrictPostgres
            | Self::Remote
            | Self::Python
            | Self::RemotePython => Some(Self::Passed),
        }
    }

    /// Starts its processes.
    ///
    /// # Errors
    /// One does not start.
    pub fn start(self, setting: &Setting) -> io::Result<Running> {
        let upstream = setting.upstream.to_string();
        let passed = Planes::new(setting);
        match self {
            Self::Straight => Ok(Running::of(self.talk_to(setting.upstream), Vec::new())),
            Self::Relay => {
                let (relay, address) = Process::role(&["relay".into(), upstream])?;
                Ok(Running::of(self.talk_to(address), vec![relay]))
            }
            Self::Judged => {
                let (judge, peer) = Process::role(&["judge".into()])?;
                let (relay, address) = Process::role(&["relay".into(), upstream, peer.to_string()])?;
                Ok(Running::of(self.talk_to(address), vec![relay, judge]))
            }
            Self::Nothing => passed.gating_nothing().start(self),
            Self::Passed => passed.start(self),
            Self::Replaced => passed.replacing().start(self),
            Self::Converted => passed.with_upstream_key().start(self),
            Self::Strict => passed.strict().start(self),
            Self::Postgres => passed.on(Database::Postgres).start(self),
            Self::StrictPostgres => passed.on(Database::Postgres).strict().start(self),
            Self::Remote => passed.behind(Remote::ControlPlane).start(self),
            Self::Python => passed.judged_by_python(self),
            Self::RemotePython => passed.behind(Remote::Python).start(self),
        }
    }

    /// How its clients talk to it.
    pub(super) fn talk_to(self, address: std::net::SocketAddr) -> Talk {
        let dialect = if self == Self::Converted { Dialect::Anthropic } else { Dialect::OpenAi };
        Talk { address, dialect, replaced: self == Self::Replaced }
    }
}
