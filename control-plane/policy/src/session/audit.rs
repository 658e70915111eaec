//! Whether what is said of a call waits until it is on record.

use luthien_proto::message::{FailureMode, Interest, Level};

/// Whether what is said of a call waits until it is on record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Audit {
    /// It does not: entries follow what is said.
    #[default]
    Relaxed,
    /// It does: entries come before what is said, blocks are on record as far as they were decided, and nothing reaches a
    /// client that was not.
    Strict,
}

impl Audit {
    /// What the proxy is told to send for a verdict.
    pub(super) fn interest(self, wanted: Interest) -> Interest {
        match self {
            Self::Relaxed => wanted,
            Self::Strict => Interest::all(Level::Gate),
        }
    }

    /// What the proxy is to do when nobody judges the call any more: what is not on record must not be let through.
    pub(super) fn failure_mode(self, of_pipeline: FailureMode) -> FailureMode {
        match self {
            Self::Relaxed => of_pipeline,
            Self::Strict => FailureMode::Closed,
        }
    }
}
