//! What a part of the benchmark is called: as `luthien-bench` calls it.

use clap::ValueEnum;

/// A part, with what it is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Nothing gated, beside a bare relay
    Nothing,
    /// Everything gated, and all of it passed, beside a relay with a message each way per SSE event
    Passed,
    /// Everything gated, and something replaced in each chunk
    Replaced,
    /// Passed, for a client that speaks Anthropic Messages, from an upstream that speaks OpenAI Chat
    Converted,
    /// Passed under strict audit, on SQLite
    Strict,
    /// Passed, the record in Postgres
    Postgres,
    /// Passed under strict audit, the record in Postgres
    StrictPostgres,
    /// Passed by a remote policy, which is another control plane
    Remote,
    /// Passed by a policy service in Python, in the place of the control plane
    Python,
    /// Passed by a remote policy in Python
    RemotePython,
    /// Whole responses, on the paths of the others
    Whole,
}

impl Scenario {
    /// Whether a server has to be there.
    pub fn needs_postgres(self) -> bool {
        match self {
            Self::Postgres | Self::StrictPostgres => true,
            Self::Nothing
            | Self::Passed
            | Self::Replaced
            | Self::Converted
            | Self::Strict
            | Self::Remote
            | Self::Python
            | Self::RemotePython
            | Self::Whole => false,
        }
    }
}
