//! The record in an SQLite file. Several control planes on one machine may share it.
//!
//! WAL mode: readers never wait for the writer. `synchronous = NORMAL`: a commit survives the death of every process, a
//! power cut may take the last of them (`audit: relaxed`). `FULL`: each commit waits for the disk (`audit: strict`).

mod activity;
mod checkpoints;
mod purge;
mod read;
mod rows;
mod schema;
mod sessions;
mod sets;
mod shared;
mod texts;

use std::{
    fs::OpenOptions,
    io::ErrorKind,
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::future::BoxFuture;
use luthien_policy::Audit;
use sqlx::{
    Connection as _, SqliteConnection, SqlitePool,
    pool::PoolConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::continuation::Asked;

use checkpoints::Checkpoints;

use super::{
    Batch, Conversation, Cursor, Extent, FullCall, Page, Period, Purged, Query, SessionPage, SessionQuery, Store,
    StoreError, Summary, Written,
};

/// How long a statement waits for another process's write.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Before an opening is tried again that another process was in the way of.
const BUSY_PAUSE: Duration = Duration::from_millis(10);
const READERS: u32 = 4;
/// What a write-ahead log that grew beyond it in a burst is cut to.
const WAL_SIZE_KEPT: u32 = 64 << 20;
/// As many pages in the log are written back by the commit that finds them, if nobody did before.
const WAL_PAGES_MAX: u32 = 8 << 10;
/// What the writer keeps in memory of the file, in KiB: the indexes are written all over.
const WRITER_CACHE_KIB: u32 = 16 << 10;

/// A file with the record.
pub struct Sqlite {
    path: PathBuf,
    writer: SqlitePool,
    readers: SqlitePool,
    checkpoints: Checkpoints,
}

impl Sqlite {
    /// Opens the file, makes it if it is not there, and brings its schema up to date.
    ///
    /// # Errors
    /// The file can't be made or opened, is not a database, or has a schema that this program does not know.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_for(Audit::Relaxed, path).await
    }

    /// The same, with commits as lasting as the audit needs them.
    ///
    /// # Errors
    /// The same.
    pub async fn open_for(audit: Audit, path: &Path) -> Result<Self, StoreError> {
        make_private(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .busy_timeout(BUSY_TIMEOUT)
            .synchronous(synchronous(audit))
            .pragma("journal_size_limit", WAL_SIZE_KEPT.to_string())
            .thread_name(|id| format!("sqlite-{id}"));

        let writing = options
            .clone()
            .journal_mode(SqliteJournalMode::Wal)
            .pragma("wal_autocheckpoint", WAL_PAGES_MAX.to_string())
            .pragma("cache_size", format!("-{WRITER_CACHE_KIB}"));
        let writer = connect_to_write(writing).await?;
        schema::migrate(&mut *writer.acquire().await?).await?;

        let checkpointer = SqlitePoolOptions::new().max_connections(1).connect_lazy_with(options.clone());
        let reading = options.pragma("query_only", "ON");
        let readers = SqlitePoolOptions::new().max_connections(READERS).connect_lazy_with(reading);
        let checkpoints = Checkpoints::start(checkpointer);
        Ok(Self { path: path.to_owned(), writer, readers, checkpoints })
    }

    async fn to_write(&self) -> Result<PoolConnection<sqlx::Sqlite>, sqlx::Error> {
        to_write(&self.writer).await
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Store for Sqlite {
    fn write<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<Written, StoreError>> {
        Box::pin(async move {
            let mut connection = self.to_write().await?;
            self.checkpoints.make_gap(&mut connection).await?;
            let mut transaction = immediate(&mut connection).await?;
            shared::add_messages(&mut transaction, &batch.messages).await?;
            shared::add_histories(&mut transaction, &batch.histories).await?;
            let conflicts = rows::add_entries(&mut transaction, &batch.entries).await?;
            texts::add(&mut transaction, &batch.texts).await?;
            rows::put_summaries(&mut transaction, &batch.summaries).await?;
            activity::add(&mut transaction, batch).await?;
            transaction.commit().await?;
            self.checkpoints.committed();
            Ok(Written { conflicts })
        })
    }

    fn calls<'a>(&'a self, query: &'a Query) -> BoxFuture<'a, Result<Page, StoreError>> {
        Box::pin(read::calls(&self.readers, query))
    }

    fn call(&self, id: Uuid) -> BoxFuture<'_, Result<Option<FullCall>, StoreError>> {
        Box::pin(read::call(&self.readers, id))
    }

    fn sessions<'a>(&'a self, query: &'a SessionQuery) -> BoxFuture<'a, Result<SessionPage, StoreError>> {
        Box::pin(sessions::sessions(&self.readers, query))
    }

    fn session<'a>(
        &'a self,
        id: &'a str,
        after: Option<Cursor>,
        limit: u32,
    ) -> BoxFuture<'a, Result<Option<Conversation>, StoreError>> {
        Box::pin(sessions::conversation(&self.readers, id, after, limit))
    }

    fn continued<'a>(&'a self, from: &'a Asked) -> BoxFuture<'a, Result<Vec<Summary>, StoreError>> {
        Box::pin(read::continued(&self.readers, from))
    }

    fn extent(&self) -> BoxFuture<'_, Result<Extent, StoreError>> {
        Box::pin(purge::extent(&self.readers))
    }

    fn purge(&self, until: Period) -> BoxFuture<'_, Result<Purged, StoreError>> {
        Box::pin(async move { purge::purge(&mut *self.writer.acquire().await?, until).await })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.checkpoints.close().await;
            self.readers.close().await;
            self.writer.close().await;
        })
    }
}

pub(super) fn synchronous(audit: Audit) -> SqliteSynchronous {
    match audit {
        Audit::Relaxed => SqliteSynchronous::Normal,
        Audit::Strict => SqliteSynchronous::Full,
    }
}

/// A pool of the one connection that writes. Who makes the file one with a write-ahead log is not made to wait by SQLite
/// where others open it at that moment, but refused.
async fn connect_to_write(options: SqliteConnectOptions) -> Result<SqlitePool, sqlx::Error> {
    let until = Instant::now() + BUSY_TIMEOUT;
    loop {
        match SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await {
            Err(error) if is_busy(&error) && Instant::now() < until => sleep(BUSY_PAUSE).await,
            connected => return connected,
        }
    }
}

/// SQLite's result codes say what they are in their lowest byte (<https://sqlite.org/rescode.html>).
fn is_busy(error: &sqlx::Error) -> bool {
    const BUSY: u32 = 5;
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<u32>().ok());
    code.is_some_and(|code| code & 0xff == BUSY)
}

/// A connection that can begin a transaction. One that SQLite gave up by itself, as it does when the disk is full, goes on
/// for ever by sqlx's count: such a connection is replaced.
pub(super) async fn to_write(pool: &SqlitePool) -> Result<PoolConnection<sqlx::Sqlite>, sqlx::Error> {
    let connection = pool.acquire().await?;
    if !connection.is_in_transaction() {
        return Ok(connection);
    }
    // That it can't be closed in good order either is no news.
    let _ = connection.close().await;
    pool.acquire().await
}

/// A transaction that takes the write lock at its start: one that has to wait for it later can fail at once instead.
async fn immediate(connection: &mut SqliteConnection) -> Result<sqlx::Transaction<'_, sqlx::Sqlite>, sqlx::Error> {
    connection.begin_with("BEGIN IMMEDIATE").await
}

/// Makes the file, readable by its owner only: it holds what people say to models. SQLite gives its side files the same
/// mode.
pub(super) fn make_private(path: &Path) -> Result<(), StoreError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(StoreError::File { path: path.display().to_string(), source }),
    }
}
