//! What is on record here and not in Postgres yet: batches in an SQLite file of this control plane alone, in order.
//!
//! What is committed to the journal is durable, and Postgres may be down for as long as there is room for it. A
//! [`Shipper`] writes the batches to Postgres one after the other, however often it has to try, and only then they are
//! forgotten here. A batch may be written twice, when nobody heard that it was: that changes nothing.

mod damage;
mod file;
mod packed;
mod shipper;

use std::{
    fs::{self, File as LockFile, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use luthien_policy::Audit;
use luthien_service::metrics::{Counter, Page};
use tokio::{sync::Notify, time::Instant};
use tracing::error;
use uuid::Uuid;

use super::{Batch, StoreError};
use file::{File, OpenError, Row};
pub use shipper::Shipper;

/// The file with the batches, in the journal's directory.
const FILE: &str = "journal.db";
/// The file that is locked as long as a control plane has the journal.
const LOCK: &str = "lock";

/// The journal of a control plane.
pub struct Journal {
    directory: PathBuf,
    file: File,
    id: Uuid,
    /// What its batches may take on disk.
    bytes_max: u64,
    state: Mutex<State>,
    /// A batch was added.
    added: Notify,
    shipped: Counter,
    /// Released with the process, however that ends.
    _lock: LockFile,
}

#[derive(Default)]
struct State {
    /// The last batch of all.
    last: i64,
    /// The last that was there when the journal was opened.
    last_at_open: i64,
    /// The last that is in Postgres.
    shipped: i64,
    /// The last that was forgotten since.
    forgotten: i64,
    /// What is not in Postgres.
    waiting: Waiting,
    /// When the oldest of it was added: microseconds since 1970.
    oldest_us: Option<i64>,
    /// Since when nothing can be written to Postgres, and why.
    failing: Option<(Instant, String)>,
}

/// What waits for Postgres.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Batches.
    pub batches: u64,
    /// Entries in them.
    pub entries: u64,
    /// What they take on disk.
    pub bytes: u64,
}

impl Journal {
    /// Opens the journal in a directory, makes it if there is none, and locks it. A file that is damaged is set aside, and
    /// told of until somebody takes it away.
    ///
    /// # Errors
    /// Another control plane has it; it can't be made or opened; a later version of this program wrote it.
    pub async fn open(directory: &Path, audit: Audit, bytes_max: u64) -> Result<Self, StoreError> {
        let failed = |source| StoreError::File { path: directory.display().to_string(), source };
        make_private(directory).map_err(failed)?;
        let lock = lock(directory)?;
        let path = directory.join(FILE);
        let file = match File::open(&path, audit).await {
            Ok(file) => file,
            Err(OpenError::Failed(error)) => return Err(error),
            Err(OpenError::Damaged(reason)) => {
                let aside = damage::set_aside(&path).map_err(failed)?;
                error!(
                    file = %aside.display(),
                    reason,
                    "the journal is damaged: it is set aside, and what it held may be missing from the record"
                );
                File::open(&path, audit).await.map_err(OpenError::into_error)?
            }
        };
        let (id, last, waiting, oldest_us) = file.found().await?;
        let shipped = waiting.map_or(last, |(first, _)| first - 1);
        let waiting = waiting.map(|(_, waiting)| waiting).unwrap_or_default();
        let state = State { last, last_at_open: last, shipped, forgotten: shipped, waiting, oldest_us, failing: None };
        let directory = directory.to_owned();
        let (state, added, shipped) = (Mutex::new(state), Notify::new(), Counter::default());
        Ok(Self { directory, file, id, bytes_max, state, added, shipped, _lock: lock })
    }

    /// Adds a batch. What returns `Ok` is durable. What there is no room for is not taken, and can be tried again.
    pub(super) async fn append(&self, batch: &Batch) -> Result<(), StoreError> {
        let packed = packed::pack(batch)?;
        let (size, entries) = (packed.len() as u64, batch.entries.len() as u64);
        let (shipped, forgotten) = {
            let state = self.state();
            if state.waiting.batches > 0 && state.waiting.bytes + size > self.bytes_max {
                return Err(StoreError::JournalFull(self.bytes_max));
            }
            (state.shipped, state.forgotten)
        };
        let at_us = now_us();
        let forget = (shipped > forgotten).then_some(shipped);
        let id = self.file.append(at_us, entries, &packed, forget).await?;
        let mut state = self.state();
        state.last = state.last.max(id);
        state.forgotten = state.forgotten.max(shipped);
        state.waiting.add(entries, size);
        state.oldest_us.get_or_insert(at_us);
        drop(state);
        self.added.notify_one();
        Ok(())
    }

    /// What waits for Postgres.
    pub fn waiting(&self) -> Waiting {
        self.state().waiting
    }

    /// How many entries came to Postgres by it, since it was opened.
    pub fn shipped(&self) -> u64 {
        self.shipped.get()
    }

    /// Whether calls that were recorded before this process began may not be in Postgres yet.
    pub(super) fn is_behind(&self) -> bool {
        let state = self.state();
        state.shipped < state.last_at_open
    }

    /// Whether nothing can be written to the database at present.
    pub(crate) fn is_failing(&self) -> bool {
        self.state().failing.is_some()
    }

    /// What an operator has to know, while calls go on.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let state = self.state();
        if let Some((since, reason)) = &state.failing {
            let (seconds, Waiting { entries, bytes, .. }) = (since.elapsed().as_secs(), state.waiting);
            warnings.push(format!(
                "the record can't be written to the database since {seconds} s: {reason}; {entries} entries ({bytes} \
                 bytes) wait in the journal"
            ));
        }
        drop(state);
        for file in damage::found(&self.directory) {
            warnings.push(format!(
                "a part of the journal was set aside, and what it held may be missing from the record: {}",
                file.display()
            ));
        }
        warnings
    }

    /// What there is to count.
    pub(crate) fn write_metrics(&self, page: &mut Page) {
        let (Waiting { batches, entries, bytes }, oldest_us, failing) = {
            let state = self.state();
            (state.waiting, state.oldest_us, state.failing.is_some())
        };
        let lag = oldest_us.map_or(0, |oldest| now_us().saturating_sub(oldest)).max(0);
        page.gauge("luthien_control_plane_journal_batches", "Batches that are not in the database yet.")
            .value(&[], batches);
        page.gauge("luthien_control_plane_journal_entries", "Entries that are not in the database yet.")
            .value(&[], entries);
        page.gauge("luthien_control_plane_journal_bytes", "What the journal takes for them.").value(&[], bytes);
        page.gauge("luthien_control_plane_journal_bytes_max", "What it may take; then calls are pushed back.")
            .value(&[], self.bytes_max);
        page.gauge("luthien_control_plane_journal_lag_seconds", "How long the oldest of them has waited.")
            .value(&[], Duration::from_micros(lag.unsigned_abs()).as_secs_f64());
        page.gauge(
            "luthien_control_plane_journal_failing",
            "Whether nothing can be written to the database at present.",
        )
        .value(&[], u8::from(failing));
        page.gauge("luthien_control_plane_journal_set_aside", "Damaged files that somebody has to look at.")
            .value(&[], damage::found(&self.directory).len());
        page.counter(
            "luthien_control_plane_journal_shipped_total",
            "Entries that came to the database by the journal.",
        )
        .value(&[], self.shipped.get());
    }

    /// Lets go of the files.
    pub(super) async fn close(&self) {
        self.file.close().await;
    }

    /// The next batches in order; none: all is in Postgres.
    async fn next(&self) -> Result<Vec<Row>, StoreError> {
        let shipped = self.state().shipped;
        let rows = self.file.next(shipped).await?;
        self.state().oldest_us = rows.first().map(|row| row.at_us);
        Ok(rows)
    }

    /// Batches are in Postgres, or set aside.
    fn done(&self, rows: &[Row]) {
        let Some(last) = rows.last() else { return };
        let entries = rows.iter().map(|row| row.entries).sum();
        self.shipped.add(entries);
        let mut state = self.state();
        state.shipped = last.id;
        state.waiting.remove(rows.len() as u64, entries, rows.iter().map(|row| row.packed.len() as u64).sum());
        state.oldest_us = state.oldest_us.filter(|_| state.waiting.batches > 0);
    }

    /// Forgets what is in Postgres, when nothing is added that does it beside.
    async fn forget(&self) -> Result<(), StoreError> {
        let (shipped, forgotten) = {
            let state = self.state();
            (state.shipped, state.forgotten)
        };
        if shipped > forgotten {
            self.file.forget(shipped).await?;
            self.state().forgotten = shipped;
        }
        Ok(())
    }

    fn fail(&self, reason: Option<String>) {
        let mut state = self.state();
        let since = state.failing.as_ref().map_or_else(Instant::now, |(since, _)| *since);
        state.failing = reason.map(|reason| (since, reason));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn add(&mut self, entries: u64, bytes: u64) {
        self.batches += 1;
        self.entries += entries;
        self.bytes += bytes;
    }

    fn remove(&mut self, batches: u64, entries: u64, bytes: u64) {
        self.batches = self.batches.saturating_sub(batches);
        self.entries = self.entries.saturating_sub(entries);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// Makes the directory, for its owner only: the journal holds what people say to models.
fn make_private(directory: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

fn lock(directory: &Path) -> Result<LockFile, StoreError> {
    let path = directory.join(LOCK);
    let failed = |source| StoreError::File { path: path.display().to_string(), source };
    let mut options = LockFile::options();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::JournalTaken(directory.display().to_string())),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
