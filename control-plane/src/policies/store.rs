//! The seam behind which policy sets are kept. Control planes that share a store share the current set.

use futures_util::future::BoxFuture;

use crate::record::StoreError;

/// Where policy sets are kept. Everything may be repeated without changing anything.
pub trait SetStore: Send + Sync + 'static {
    /// A control plane begins with this set from its file: it becomes current, if it differs from the last one that came
    /// from a file. Tells which one is.
    fn begin<'a>(&'a self, set: &'a StoredSet) -> BoxFuture<'a, Result<Current, StoreError>>;

    /// Which set is current; `None`: no control plane has begun.
    fn current(&self) -> BoxFuture<'_, Result<Option<Current>, StoreError>>;

    /// Makes a set current that came through the API, if that of `expected` is; `None`: whichever is.
    fn replace<'a>(
        &'a self,
        expected: Option<&'a str>,
        set: &'a StoredSet,
    ) -> BoxFuture<'a, Result<Replaced, StoreError>>;

    /// The configuration of a revision.
    fn config<'a>(&'a self, revision: &'a str) -> BoxFuture<'a, Result<Option<String>, StoreError>>;

    /// Calls had need of these sets.
    fn touch<'a>(&'a self, sets: &'a [StoredSet]) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Forgets the sets that no call had need of since then, but for the current one. Tells how many.
    fn forget(&self, before_us: i64) -> BoxFuture<'_, Result<u64, StoreError>>;
}

/// A set, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSet {
    /// Its revision.
    pub revision: String,
    /// Its configuration, as canonical JSON.
    pub config: String,
    /// The present moment: microseconds since 1970.
    pub now_us: i64,
}

/// Which set is current.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Current {
    /// Its revision.
    pub revision: String,
    /// Where it came from.
    pub source: Source,
    /// Since when: microseconds since 1970.
    pub since_us: i64,
}

/// Where a set came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The file of a control plane.
    File,
    /// The admin API.
    Api,
}

/// Whether a set was made current.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replaced {
    /// It is now.
    Done(Current),
    /// Another was than expected; it still is.
    Conflict(Current),
}

impl Source {
    /// The name, as it is kept and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Api => "api",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [Self::File, Self::Api].into_iter().find(|source| source.name() == name)
    }
}
