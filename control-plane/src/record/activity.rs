//! What happens in calls, as it becomes durable, whichever control plane wrote it: for those who watch.
//!
//! A store notes which entries it wrote, in the order in which they came to be seen by its readers. Who knows how far it
//! has read goes on from there, on any control plane, without loss and without seeing anything twice.

mod happening;
mod place;
mod runs;

use futures_util::future::BoxFuture;

use super::StoreError;

pub use happening::{
    Admission, Block, BlockStatus, Call, Consult, Happening, Note, Opened, Outcome, Report, Request, Resumed, Verdict,
    What,
};
pub use place::Place;
pub(super) use runs::{Run, runs};

/// What a store tells those who watch.
pub trait Activity: Send + Sync + 'static {
    /// The end of what there is.
    fn end(&self) -> BoxFuture<'_, Result<Place, StoreError>>;

    /// What happened behind that place, in order; at most what was written of `limit` calls at a time.
    fn after(&self, place: Place, limit: u32) -> BoxFuture<'_, Result<Activities, StoreError>>;

    /// Forgets all but the latest `keep`.
    fn forget(&self, keep: u32) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Activities {
    /// In order.
    pub happenings: Vec<Happening>,
    /// Where to go on.
    pub through: Place,
    /// Whether there is more already.
    pub is_more: bool,
    /// Whether something may have been forgotten that came before these.
    pub is_gap: bool,
}

/// The types of entries that are told of.
pub(super) const TOLD: [&str; 9] =
    ["request", "resumed", "admission", "block", "verdict", "note", "consult", "report", "outcome"];

/// They as a list in SQL.
pub(super) fn told_in_sql() -> String {
    format!("('{}')", TOLD.join("', '"))
}
