//! The keys of blocks that policies make, new within the call.

use luthien_proto::event::BlockKey;

/// How many keys each stage has, where each has its own: as many as 64 of them can have.
const EACH: u32 = 1 << 25;

/// The next keys.
#[derive(Debug)]
pub(crate) enum Keys {
    /// Of all stages.
    Shared(u32),
    /// Of each stage. Where one of them is remote, nothing says in what order they make blocks: a call that is taken over
    /// must give them the same keys all the same.
    Apart(Vec<u32>),
}

impl Keys {
    /// For so many stages of which one is remote.
    pub fn apart(stages: usize) -> Self {
        Self::Apart((0..stages).map(first_of).collect())
    }

    /// The next key of a stage, to be counted on.
    pub fn of(&mut self, index: usize) -> &mut u32 {
        match self {
            Self::Shared(next) => next,
            Self::Apart(next) => &mut next[index],
        }
    }
}

impl Default for Keys {
    fn default() -> Self {
        Self::Shared(BlockKey::POLICY_FIRST.0)
    }
}

/// The first key of a stage that has its own.
pub(crate) fn first_of(index: usize) -> u32 {
    BlockKey::POLICY_FIRST.0 + EACH * u32::try_from(index).unwrap_or_default()
}
