//! The SQLite file of a journal.

use std::{path::Path, time::Duration};

use futures_util::TryStreamExt as _;
use luthien_policy::Audit;
use sqlx::{
    AssertSqlSafe, Connection as _, Row as _, SqliteConnection, SqlitePool,
    sqlite::{SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions},
};
use uuid::Uuid;

use super::Waiting;
use crate::record::{StoreError, sqlite};

const SCHEMA: &str = include_str!("../../../../migrations/journal/0001_journal.sql");
/// The version of the schema.
const VERSION: i64 = 1;
/// How long a statement waits for another one's write.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// What a write-ahead log that grew beyond it in a burst is cut to.
const WAL_SIZE_KEPT: u32 = 64 << 20;
/// What is read at once.
const READ_BYTES_MAX: u64 = 2 << 20;
const READ_ROWS_MAX: i64 = 256;
/// Free pages beyond these are given back to the disk, so many at a time.
const FREE_PAGES_KEPT: i64 = 16 << 10;
const FREED_AT_ONCE: i64 = 2 << 10;

/// The primary result codes of SQLite for a file that is not as SQLite left it.
const CORRUPT: u32 = 11;
const NOT_A_DATABASE: u32 = 26;

pub(super) struct File {
    /// Adds batches.
    writer: SqlitePool,
    /// Reads and forgets them.
    reader: SqlitePool,
}

/// A batch in the file.
pub(super) struct Row {
    pub(super) id: i64,
    pub(super) at_us: i64,
    pub(super) entries: u64,
    pub(super) packed: Vec<u8>,
}

/// Why a file can't be opened.
pub(super) enum OpenError {
    /// What is in it is not to be relied on.
    Damaged(String),
    Failed(StoreError),
}

/// What a file holds at first: its id, the last batch that was ever added, what waits and since which batch, and when that
/// was added.
pub(super) type Found = (Uuid, i64, Option<(i64, Waiting)>, Option<i64>);

impl File {
    /// Opens the file, makes it if it is not there, and checks it.
    pub(super) async fn open(path: &Path, audit: Audit) -> Result<Self, OpenError> {
        sqlite::make_private(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .busy_timeout(BUSY_TIMEOUT)
            .auto_vacuum(SqliteAutoVacuum::Incremental)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(sqlite::synchronous(audit))
            .pragma("journal_size_limit", WAL_SIZE_KEPT.to_string())
            .thread_name(|id| format!("journal-{id}"));
        let one = || SqlitePoolOptions::new().max_connections(1);
        let writer = one().connect_with(options.clone()).await?;
        let mut connection = writer.acquire().await?;
        check(&mut connection).await?;
        make_schema(&mut connection).await?;
        drop(connection);
        Ok(Self { writer, reader: one().connect_lazy_with(options) })
    }

    /// What it holds.
    pub(super) async fn found(&self) -> Result<Found, StoreError> {
        let mut connection = self.writer.acquire().await?;
        let id: Vec<u8> = sqlx::query_scalar("SELECT id FROM journal").fetch_one(&mut *connection).await?;
        let id = Uuid::from_slice(&id).map_err(|_| StoreError::Inconsistent {
            table: "journal",
            column: "id",
            call_id: "-".to_owned(),
        })?;
        let last: Option<i64> = sqlx::query_scalar("SELECT seq FROM sqlite_sequence WHERE name = 'batches'")
            .fetch_optional(&mut *connection)
            .await?;
        let row = sqlx::query(
            "SELECT COUNT(*), COALESCE(SUM(entries), 0), COALESCE(SUM(bytes), 0), MIN(id), MIN(at_us) FROM batches",
        )
        .fetch_one(&mut *connection)
        .await?;
        let count = |at| row.try_get::<i64, usize>(at).map(|count| count.unsigned_abs());
        let waiting = Waiting { batches: count(0)?, entries: count(1)?, bytes: count(2)? };
        let first: Option<i64> = row.try_get(3)?;
        Ok((id, last.unwrap_or(0), first.map(|first| (first, waiting)), row.try_get(4)?))
    }

    /// Adds a batch, and forgets those up to another one. Tells its id.
    pub(super) async fn append(
        &self,
        at_us: i64,
        entries: u64,
        packed: &[u8],
        forget: Option<i64>,
    ) -> Result<i64, StoreError> {
        let mut connection = sqlite::to_write(&self.writer).await?;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        let id = sqlx::query("INSERT INTO batches (at_us, entries, bytes, packed) VALUES (?, ?, ?, ?)")
            .bind(at_us)
            .bind(i64::try_from(entries).unwrap_or(i64::MAX))
            .bind(i64::try_from(packed.len()).unwrap_or(i64::MAX))
            .bind(packed)
            .execute(&mut *transaction)
            .await?
            .last_insert_rowid();
        if let Some(through) = forget {
            delete(&mut transaction, through).await?;
        }
        transaction.commit().await?;
        Ok(id)
    }

    /// The next batches behind one, as many as are to be read at once.
    pub(super) async fn next(&self, after: i64) -> Result<Vec<Row>, StoreError> {
        let mut connection = self.reader.acquire().await?;
        let query = sqlx::query("SELECT id, at_us, entries, packed FROM batches WHERE id > ? ORDER BY id LIMIT ?");
        let mut found = query.bind(after).bind(READ_ROWS_MAX).fetch(&mut *connection);
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while let Some(row) = found.try_next().await? {
            let packed: Vec<u8> = row.try_get("packed")?;
            let entries: i64 = row.try_get("entries")?;
            bytes += packed.len() as u64;
            let (id, at_us) = (row.try_get("id")?, row.try_get("at_us")?);
            rows.push(Row { id, at_us, entries: entries.unsigned_abs(), packed });
            if bytes >= READ_BYTES_MAX {
                break;
            }
        }
        Ok(rows)
    }

    /// Forgets the batches up to one, and gives back to the disk what a long outage has taken.
    pub(super) async fn forget(&self, through: i64) -> Result<(), StoreError> {
        let mut connection = self.reader.acquire().await?;
        delete(&mut connection, through).await?;
        let free: i64 = sqlx::query_scalar("PRAGMA freelist_count").fetch_one(&mut *connection).await?;
        if free > FREE_PAGES_KEPT {
            let vacuum = AssertSqlSafe(format!("PRAGMA incremental_vacuum({FREED_AT_ONCE})"));
            sqlx::query(vacuum).fetch_all(&mut *connection).await?;
        }
        Ok(())
    }

    pub(super) async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }
}

async fn delete(connection: &mut SqliteConnection, through: i64) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM batches WHERE id <= ?").bind(through).execute(connection).await?;
    Ok(())
}

async fn check(connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let found: String = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(connection).await?;
    match found.as_str() {
        "ok" => Ok(()),
        _ => Err(OpenError::Damaged(found)),
    }
}

async fn make_schema(connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let found: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await?;
    match found {
        VERSION => Ok(()),
        0 => {
            let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
            sqlx::raw_sql(SCHEMA).execute(&mut *transaction).await?;
            let id = Uuid::now_v7();
            let insert = sqlx::query("INSERT INTO journal (id) VALUES (?)").bind(id.as_bytes().as_slice());
            insert.execute(&mut *transaction).await?;
            let version = AssertSqlSafe(format!("PRAGMA user_version = {VERSION}"));
            sqlx::query(version).execute(&mut *transaction).await?;
            Ok(transaction.commit().await?)
        }
        found => Err(StoreError::TooNew { found, known: VERSION }.into()),
    }
}

impl OpenError {
    pub(super) fn into_error(self) -> StoreError {
        match self {
            Self::Damaged(reason) => StoreError::Unreachable(reason),
            Self::Failed(error) => error,
        }
    }
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl From<sqlx::Error> for OpenError {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|error| error.code()?.parse::<u32>().ok());
        // The primary code is in the lowest byte.
        match code.map(|code| code & 0xff) {
            Some(CORRUPT | NOT_A_DATABASE) => Self::Damaged(error.to_string()),
            Some(_) | None => Self::Failed(error.into()),
        }
    }
}
