//! What was written not long ago, and need not be written again.

use hashlink::LruCache;

use crate::record::Hash;

/// A session of 1000 messages has twice as many hashes.
const KNOWN_MAX: usize = 1 << 17;

/// Hashes that went into a batch of this process, in the present period. Forgetting one costs a write that changes nothing.
pub(in crate::record) struct Known(LruCache<Hash, ()>);

impl Known {
    /// Nothing was written yet.
    pub(in crate::record) fn new() -> Self {
        Self(LruCache::new_unbounded())
    }

    /// Whether it may not be on record yet. From now on it is known.
    pub(super) fn is_new(&mut self, hash: Hash) -> bool {
        let is_new = self.0.insert(hash, ()).is_none();
        if self.0.len() > KNOWN_MAX {
            self.0.remove_lru();
        }
        is_new
    }

    /// Another period begins.
    pub(in crate::record) fn forget(&mut self) {
        self.0.clear();
    }
}
