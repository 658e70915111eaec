//! The record in a Postgres database. Control planes on any number of machines may share it.
//!
//! Reads have connections of their own: they never wait for a batch that is being written. Nothing waits for ever for a
//! server that does not answer.

mod line;
mod schema;
mod sets;

use std::sync::{PoisonError, RwLock};

use sqlx::{
    PgConnection,
    postgres::{PgConnectOptions, PgPool},
};
use tokio::sync::Mutex;

use super::StoreError;
use line::Line;

/// A database with the record.
pub struct Postgres {
    options: PgConnectOptions,
    readers: PgPool,
    /// What batches are written with, one after the other.
    writer: Mutex<Option<PgConnection>>,
    /// Why nothing can be asked yet.
    unprepared: RwLock<Option<String>>,
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
            *self.writer.lock().await = Some(connection);
            Ok(())
        };
        let prepared = prepared.await;
        let reason = prepared.as_ref().err().map(|error: &StoreError| error.to_string());
        *self.unprepared.write().unwrap_or_else(PoisonError::into_inner) = reason;
        prepared
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
