//! What became of a call's chunks, in numbers.

use luthien_proto::{
    event::Kind,
    message::{ServiceFailure, Waited},
};

/// The upper bounds of the buckets in which the times of holding are counted, in microseconds; above the last there is one
/// more bucket.
pub const HELD_BOUNDS_US: [u64; 17] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000, 30_000_000, 60_000_000,
];

/// What became of a chunk on its way through the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It needed no verdict.
    Unjudged,
    /// It was held, and passed.
    Passed,
    /// It was held, and something stands in its place.
    Replaced,
    /// It was held, and nothing stands in its place.
    Dropped,
    /// It was held, and released without a verdict, because an operator wrote so.
    Opened,
    /// It was not released, and nobody decided about it: the response was over first.
    Withheld,
}

impl Fate {
    /// Every fate.
    pub const ALL: [Self; 6] =
        [Self::Unjudged, Self::Passed, Self::Replaced, Self::Dropped, Self::Opened, Self::Withheld];

    /// Its name, as metrics spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unjudged => "unjudged",
            Self::Passed => "passed",
            Self::Replaced => "replaced",
            Self::Dropped => "dropped",
            Self::Opened => "opened",
            Self::Withheld => "withheld",
        }
    }
}

/// What went wrong with the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamFailure {
    /// There was no answer.
    Unreachable,
    /// The answer broke off, or nobody could read it.
    BrokenOff,
    /// It was silent for too long.
    TimedOut,
    /// The answer tells of an error, or breaks the grammar of its dialect.
    Failed,
}

/// What became of a call's chunks, and what failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Chunks by kind (the last: those that belong to no block) and fate.
    chunks: [[u64; Fate::ALL.len()]; Kind::ALL.len() + 1],
    /// Chunks that had a verdict, by how long they were held; see [`HELD_BOUNDS_US`].
    pub held: [u64; HELD_BOUNDS_US.len() + 1],
    /// How many those are, and how long they were held in all and at most.
    pub waited: Waited,
    /// How often another policy service took the call over.
    pub resumed: u64,
    /// Whether that was not possible because more had been told than is kept.
    pub outgrown: bool,
    /// What went wrong with the policy service.
    pub service_failure: Option<ServiceFailure>,
    /// What went wrong with the upstream.
    pub upstream_failure: Option<UpstreamFailure>,
}

impl Stats {
    /// How many chunks of a kind (`None`: that belong to no block) had that fate.
    pub fn chunks(&self, kind: Option<Kind>, fate: Fate) -> u64 {
        self.chunks[row(kind)][fate as usize]
    }

    /// How many chunks had that fate.
    pub fn total(&self, fate: Fate) -> u64 {
        self.chunks.iter().map(|row| row[fate as usize]).sum()
    }

    pub(crate) fn count(&mut self, kind: Option<Kind>, fate: Fate) {
        self.chunks[row(kind)][fate as usize] += 1;
    }

    pub(crate) fn judged(&mut self, kind: Option<Kind>, fate: Fate, held_us: u64) {
        self.count(kind, fate);
        self.held[HELD_BOUNDS_US.partition_point(|bound| *bound < held_us)] += 1;
        self.waited.chunks += 1;
        self.waited.total_us += held_us;
        self.waited.longest_us = self.waited.longest_us.max(held_us);
    }
}

fn row(kind: Option<Kind>) -> usize {
    kind.map_or(Kind::ALL.len(), |kind| kind as usize)
}
