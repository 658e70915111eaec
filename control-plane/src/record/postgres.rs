//! The record in a Postgres database. Control planes on any number of machines may share it.
//!
//! Reads have connections of their own: they never wait for a batch that is being written. Nothing waits for ever for a
//! server that does not answer.

mod activity;
mod line;
mod purge;
mod read;
mod rows;
mod schema;
mod sessions;
mod sets;
mod shared;
mod trouble;

use std::{
    sync::{PoisonError, RwLock},
    time::Duration,
};

use futures_util::future::BoxFuture;
use sqlx::{
    Connection as _, PgConnection,
    postgres::{PgConnectOptions, PgPool},
};
use tokio::sync::Mutex;

use uuid::Uuid;

use super::{
    Batch, Conversation, Cursor, Extent, FullCall, Page, Period, Purged, Query, SessionPage, SessionQuery, Store,
    StoreError, Summary, Written,
};
use crate::continuation::Asked;
use line::{Line, in_time};
pub(crate) use trouble::Trouble;

/// How long a goodbye may take.
const CLOSE_MAX: Duration = Duration::from_secs(1);

/// A database with the record.
pub struct Postgres {
    options: PgConnectOptions,
    readers: PgPool,
    /// What batches are written with, one after the other.
    writer: Mutex<Option<Writer>>,
    /// Why nothing can be asked yet.
    unprepared: RwLock<Option<String>>,
}

/// A connection, and the process of the server that serves it.
struct Writer {
    connection: PgConnection,
    backend: i32,
}

impl Postgres {
    /// A database that nobody has looked at yet: nothing can be asked of it before [`Self::prepare`].
    pub fn new(options: PgConnectOptions) -> Self {
        let options = match options.get_application_name() {
            Some(_) => options,
            None => options.application_name("luthien"),
        };
        let unprepared = RwLock::new(Some("it was not reached yet".to_owned()));
        Self { readers: line::pool(&options), options, writer: Mutex::new(None), unprepared }
    }

    /// Reaches the database, and brings its schema up to date.
    ///
    /// # Errors
    /// It can't be reached, or has a schema that this program does not know.
    pub async fn open(options: PgConnectOptions) -> Result<Self, StoreError> {
        let store = Self::new(options);
        store.prepare().await?;
        Ok(store)
    }

    /// The same, of a database that may be down at first. May be repeated.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn prepare(&self) -> Result<(), StoreError> {
        let prepared = async {
            let mut connection = line::connect(&self.options).await?;
            schema::migrate(&mut connection).await?;
            *self.writer.lock().await = Some(Writer::new(connection).await?);
            Ok(())
        };
        let prepared = prepared.await;
        let reason = prepared.as_ref().err().map(|error: &StoreError| error.to_string());
        *self.unprepared.write().unwrap_or_else(PoisonError::into_inner) = reason;
        prepared
    }

    /// Writes a batch, whole or not at all, and how far a journal is written with it. A connection that fails is not used
    /// again; nothing is tried again here.
    pub(crate) async fn put(&self, batch: &Batch, mark: Option<&Mark>) -> Result<Written, StoreError> {
        let mut kept = self.writer.lock().await;
        let mut writer = match kept.take() {
            Some(writer) => writer,
            None => Writer::new(line::connect(&self.options).await?).await?,
        };
        let written = tokio::select! {
            written = write(&mut writer.connection, batch, mark) => written?,
            () = line::until_deaf(&self.options, writer.backend) => return Err(StoreError::Slow(line::ANSWER_MAX)),
        };
        *kept = Some(writer);
        Ok(written)
    }

    /// A connection for a read, or for what is small.
    async fn line(&self) -> Result<Line, StoreError> {
        let unprepared = self.unprepared.read().unwrap_or_else(PoisonError::into_inner).clone();
        match unprepared {
            Some(reason) => Err(StoreError::Unreachable(reason)),
            None => Line::of(&self.readers).await,
        }
    }
}

impl Writer {
    async fn new(mut connection: PgConnection) -> Result<Self, StoreError> {
        let backend = line::backend(&mut connection).await?;
        Ok(Self { connection, backend })
    }
}

/// How far a journal is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Which journal.
    pub(crate) journal: Uuid,
    /// The last of its batches that is written with this.
    pub(crate) shipped: i64,
    /// The SHA-256 of what is written with this: another process that has the same journal has not written that.
    pub(crate) digest: [u8; 32],
}

async fn write(connection: &mut PgConnection, batch: &Batch, mark: Option<&Mark>) -> Result<Written, StoreError> {
    let mut transaction = connection.begin().await?;
    activity::add(&mut transaction, batch).await?;
    if let Some(mark) = mark
        && !set_mark(&mut transaction, mark).await?
    {
        // The last attempt came to more than it told.
        return Ok(Written::default());
    }
    let bytes = shared::add(&mut transaction, batch).await?;
    let (conflicts, entry_bytes) = rows::add_entries(&mut transaction, &batch.entries).await?;
    rows::put_summaries(&mut transaction, &batch.summaries).await?;
    let writer = mark.map_or(Uuid::nil(), |mark| mark.journal);
    purge::count(&mut transaction, batch.period, writer, bytes + entry_bytes).await?;
    transaction.commit().await?;
    Ok(Written { conflicts })
}

/// Notes how far a journal is written; that it was written further stays noted, when it is written again. False: the very
/// same is noted already.
async fn set_mark(connection: &mut PgConnection, Mark { journal, shipped, digest }: &Mark) -> Result<bool, StoreError> {
    let set = sqlx::query(
        "INSERT INTO journals (journal, shipped, digest, shipped_at) VALUES ($1, $2, $3, now()) \
         ON CONFLICT (journal) DO UPDATE SET shipped = GREATEST(journals.shipped, $2), shipped_at = now(), \
            digest = CASE WHEN $2 >= journals.shipped THEN $3 ELSE journals.digest END \
         WHERE (journals.shipped, journals.digest) IS DISTINCT FROM ($2, $3)",
    );
    let set = set.bind(journal).bind(shipped).bind(digest.as_slice()).execute(connection).await?;
    Ok(set.rows_affected() == 1)
}

impl Store for Postgres {
    fn write<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<Written, StoreError>> {
        Box::pin(self.put(batch, None))
    }

    fn calls<'a>(&'a self, query: &'a Query) -> BoxFuture<'a, Result<Page, StoreError>> {
        Box::pin(async move {
            let mut line = self.line().await?;
            let answer = in_time(read::calls(&mut line, query)).await;
            line.hand_back(answer)
        })
    }

    fn call(&self, id: Uuid) -> BoxFuture<'_, Result<Option<FullCall>, StoreError>> {
        Box::pin(async move {
            let mut line = self.line().await?;
            let answer = read::call(&mut line, id).await;
            line.hand_back(answer)
        })
    }

    fn sessions<'a>(&'a self, query: &'a SessionQuery) -> BoxFuture<'a, Result<SessionPage, StoreError>> {
        Box::pin(async move {
            let mut line = self.line().await?;
            let answer = in_time(sessions::sessions(&mut line, query)).await;
            line.hand_back(answer)
        })
    }

    fn session<'a>(
        &'a self,
        id: &'a str,
        after: Option<Cursor>,
        limit: u32,
    ) -> BoxFuture<'a, Result<Option<Conversation>, StoreError>> {
        Box::pin(async move {
            let mut line = self.line().await?;
            let answer = sessions::conversation(&mut line, id, after, limit).await;
            line.hand_back(answer)
        })
    }

    fn continued<'a>(&'a self, from: &'a Asked) -> BoxFuture<'a, Result<Vec<Summary>, StoreError>> {
        Box::pin(async move {
            let mut line = self.line().await?;
            let answer = in_time(read::continued(&mut line, from)).await;
            line.hand_back(answer)
        })
    }

    fn extent(&self) -> BoxFuture<'_, Result<Extent, StoreError>> {
        Box::pin(async move {
            let mut line = self.line().await?;
            let answer = in_time(purge::extent(&mut line)).await;
            line.hand_back(answer)
        })
    }

    fn purge(&self, until: Period) -> BoxFuture<'_, Result<Purged, StoreError>> {
        Box::pin(async move {
            let mut line = self.line().await?;
            let answer = in_time(purge::purge(&mut line, until)).await;
            line.hand_back(answer)
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            drop(self.writer.lock().await.take());
            // A server that does not answer does not say goodbye either.
            let _ = tokio::time::timeout(CLOSE_MAX, self.readers.close()).await;
        })
    }
}
