//! What is counted of a policy that somebody else serves.

use std::time::Duration;

use luthien_service::metrics::{Counter, Histogram, LATENCIES_US};

/// Why one is lost to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RemoteCause {
    /// It can't be reached, or its stream broke.
    Lost,
    /// It showed no life.
    Silent,
    /// It was alive, and did not decide.
    Late,
    /// It said more than there was to say.
    Flood,
    /// It said what it may not.
    Fault,
}

impl RemoteCause {
    pub(super) const ALL: [Self; 5] = [Self::Lost, Self::Silent, Self::Late, Self::Flood, Self::Fault];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Silent => "silent",
            Self::Late => "late",
            Self::Flood => "flood",
            Self::Fault => "fault",
        }
    }
}

/// The counters of one policy.
#[derive(Debug)]
pub(crate) struct RemoteMetrics {
    pub(super) calls: Counter,
    pub(super) lost: [Counter; RemoteCause::ALL.len()],
    pub(super) answers: Histogram,
}

impl Default for RemoteMetrics {
    fn default() -> Self {
        Self { calls: Counter::default(), lost: Default::default(), answers: Histogram::new(LATENCIES_US) }
    }
}

impl RemoteMetrics {
    /// It is told of a call.
    pub(crate) fn told(&self) {
        self.calls.one();
    }

    /// It is lost to a call.
    pub(crate) fn lost(&self, cause: RemoteCause) {
        self.lost[cause as usize].one();
    }

    /// It said a word, so long after it was told something.
    pub(crate) fn answered(&self, after: Duration) {
        self.answers.observe(after);
    }
}
