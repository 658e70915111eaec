//! The record: what is stored of the calls, and the seam behind which it is stored.
//!
//! A call is on record as one [`Summary`], for lists and filters, and its [`Entry`]s, which are everything. Each stream of
//! a call has an *epoch*, which the proxy counts when it resumes the call, here or elsewhere: two streams of it never
//! write the same entry. Each epoch tells the call from its beginning, in entries that are numbered densely; [`FullCall::epoch`] says
//! which of them is read.
//!
//! What requests repeat is taken out of the entries and kept once ([`Message`], [`History`]), for a [`Period`] at a time;
//! readers see the entries whole.
//!
//! Sessions hand their entries to the [`Recorder`], which queues them for the one [`Writer`] of the process; only that
//! writes to the [`Store`].

pub mod activity;
mod batch;
mod conversation;
mod fields;
mod hash;
mod journal;
mod journaled;
mod messages;
mod packed;
mod parts;
mod period;
mod postgres;
mod query;
mod recorder;
mod redact;
mod retention;
mod sessions;
mod sorter;
mod sqlite;
mod summary;
mod text;
mod writer;

use futures_util::future::BoxFuture;
use luthien_proto::message::Outcome;
use thiserror::Error;
use uuid::Uuid;

use crate::continuation::Asked;

pub use activity::{Activities, Activity, Happening, Place};
pub use batch::{Batch, Entry, EntryKey, History, Message, Text, Written};
pub use conversation::{Conversation, Turn};
pub(crate) use fields::Fields;
pub use hash::{Hash, NotAHash};
pub use journal::{Journal, Shipper, Waiting};
pub use journaled::Journaled;
pub(crate) use parts::{joined, without_superseded};
pub use period::Period;
pub use postgres::Postgres;
pub(crate) use postgres::Trouble;
pub use query::{Cursor, Ended, Query, Search};
pub use recorder::{CallRecord, Health, NotDurable, Recorder};
pub use redact::{BUILTIN, Redaction, Unusable};
pub use retention::{Extent, Purged, Purger, Retention};
pub use sessions::{Session, SessionCursor, SessionPage, SessionQuery};
pub use sqlite::Sqlite;
pub use summary::{Summary, Tokens};
pub(crate) use summary::{outcome_from_name, severity_from_name};
pub use writer::Writer;

/// Where the record is kept. Everything may be repeated without changing anything.
pub trait Store: Send + Sync + 'static {
    /// Writes a batch, whole or not at all. What returns `Ok` is durable.
    fn write<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<Written, StoreError>>;

    /// A page of summaries, newest first.
    fn calls<'a>(&'a self, query: &'a Query) -> BoxFuture<'a, Result<Page, StoreError>>;

    /// All that is on record of a call.
    fn call(&self, id: Uuid) -> BoxFuture<'_, Result<Option<FullCall>, StoreError>>;

    /// A page of sessions, that with the latest call first.
    fn sessions<'a>(&'a self, query: &'a SessionQuery) -> BoxFuture<'a, Result<SessionPage, StoreError>>;

    /// The calls of a session in the order in which they began, from behind `after` and at most `limit`, each with what is
    /// new in it. `None`: there is no such session.
    fn session<'a>(
        &'a self,
        id: &'a str,
        after: Option<Cursor>,
        limit: u32,
    ) -> BoxFuture<'a, Result<Option<Conversation>, StoreError>>;

    /// The calls by which it can be told what another one goes on from, newest first, [`CONTINUED_MAX`] at most: those with
    /// that response; those of that conversation that changed something, or of which it is not known.
    fn continued<'a>(&'a self, from: &'a Asked) -> BoxFuture<'a, Result<Vec<Summary>, StoreError>>;

    /// How much there is.
    fn extent(&self) -> BoxFuture<'_, Result<Extent, StoreError>>;

    /// Forgets some of what is of a period or an earlier one; little enough that nobody waits for it long.
    fn purge(&self, until: Period) -> BoxFuture<'_, Result<Purged, StoreError>>;

    /// Finishes what is under way and lets go of the files.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// The most calls that [`Store::continued`] tells of.
pub const CONTINUED_MAX: u32 = 16;

/// Some of the summaries that a query matches.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The calls, newest first.
    pub calls: Vec<Summary>,
    /// Where to go on, if there are more.
    pub next: Option<Cursor>,
}

/// All that is on record of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct FullCall {
    /// At a glance.
    pub summary: Summary,
    /// By epoch and number.
    pub entries: Vec<Entry>,
}

impl FullCall {
    /// The epoch that tells what became of the call: the last that ends with an outcome that is known; else the last with
    /// any; else the one with the most entries, of several the last. A report tells nothing of what was said.
    pub fn epoch(&self) -> u32 {
        let rank = |epoch: u32| {
            let entries = self.entries_of(epoch);
            let told = entries.iter().filter(|entry| entry.kind != "report").count();
            let outcome = entries.iter().find(|entry| entry.kind == "outcome").map(|entry| !is_unknown(entry));
            match outcome {
                Some(is_known) => (1 + u8::from(is_known), epoch as usize, epoch),
                None => (0, told, epoch),
            }
        };
        self.epochs().into_iter().max_by_key(|epoch| rank(*epoch)).unwrap_or(self.summary.epoch)
    }

    /// What a proxy reported of the end, if no control plane had the call then.
    pub fn report(&self) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| entry.kind == "report")
    }

    /// The epochs that have entries, in order.
    pub fn epochs(&self) -> Vec<u32> {
        let mut epochs: Vec<u32> = self.entries.iter().map(|entry| entry.epoch).collect();
        epochs.dedup();
        epochs
    }

    /// The entries of an epoch.
    pub fn entries_of(&self, epoch: u32) -> &[Entry] {
        let start = self.entries.partition_point(|entry| entry.epoch < epoch);
        let end = self.entries.partition_point(|entry| entry.epoch <= epoch);
        &self.entries[start..end]
    }
}

fn is_unknown(outcome: &Entry) -> bool {
    let body = serde_json::from_str::<serde_json::Value>(&outcome.body).unwrap_or_default();
    body["outcome"] == Outcome::Unknown.name()
}

/// Why a store failed.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The database did.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// The database was written by a later version of this program.
    #[error(
        "the database has schema version {found}, this program knows versions up to {known}: \
         use the version of luthien that wrote it, or another database"
    )]
    TooNew {
        /// The newest version in the database.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// The database could not be brought up to date.
    #[error("the database can't be brought to the schema of this program: {0}")]
    Migration(#[source] sqlx::migrate::MigrateError),
    /// The file could not be made.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The database can't be asked.
    #[error("the database can't be reached: {0}")]
    Unreachable(String),
    /// The database is silent.
    #[error("the database did not answer within {} s", .0.as_secs())]
    Slow(std::time::Duration),
    /// There is no room in the journal.
    #[error("the journal has grown to what it may be, {0} bytes: it waits for the database")]
    JournalFull(u64),
    /// Another process has the journal.
    #[error("{0} is the journal of another control plane that runs: each needs a directory of its own")]
    JournalTaken(String),
    /// What was put on record before this process began is not in the database yet.
    #[error("what the journal held at the start is not in the database yet")]
    Behind,
    /// A row says what no row of ours can say.
    #[error("table {table}, call {call_id}: {column} is not what it should be")]
    Inconsistent {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The call, or what stands in its place.
        call_id: String,
    },
}
