//! A store in two: a journal takes what is written, a database answers what is asked.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use uuid::Uuid;

use super::{
    Batch, Conversation, Cursor, Extent, FullCall, Journal, Page, Period, Postgres, Purged, Query, SessionPage,
    SessionQuery, Store, StoreError, Summary, Written,
};
use crate::continuation::Asked;

/// Postgres with a journal before it. What was written is read when a [`Shipper`](super::Shipper) has brought it there.
pub struct Journaled {
    journal: Arc<Journal>,
    postgres: Arc<Postgres>,
}

impl Journaled {
    /// The two of them.
    pub fn new(journal: Arc<Journal>, postgres: Arc<Postgres>) -> Self {
        Self { journal, postgres }
    }
}

impl Store for Journaled {
    /// Conflicts are noticed, and told of, where the batch is written to the database.
    fn write<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<Written, StoreError>> {
        Box::pin(async {
            self.journal.append(batch).await?;
            Ok(Written::default())
        })
    }

    fn calls<'a>(&'a self, query: &'a Query) -> BoxFuture<'a, Result<Page, StoreError>> {
        self.postgres.calls(query)
    }

    fn call(&self, id: Uuid) -> BoxFuture<'_, Result<Option<FullCall>, StoreError>> {
        self.postgres.call(id)
    }

    fn sessions<'a>(&'a self, query: &'a SessionQuery) -> BoxFuture<'a, Result<SessionPage, StoreError>> {
        self.postgres.sessions(query)
    }

    fn session<'a>(
        &'a self,
        id: &'a str,
        after: Option<Cursor>,
        limit: u32,
    ) -> BoxFuture<'a, Result<Option<Conversation>, StoreError>> {
        self.postgres.session(id, after, limit)
    }

    fn continued<'a>(&'a self, from: &'a Asked) -> BoxFuture<'a, Result<Vec<Summary>, StoreError>> {
        Box::pin(async {
            // Who remembers those calls is gone: that they are not found would mean nothing.
            match self.journal.is_behind() {
                true => Err(StoreError::Behind),
                false => self.postgres.continued(from).await,
            }
        })
    }

    fn extent(&self) -> BoxFuture<'_, Result<Extent, StoreError>> {
        self.postgres.extent()
    }

    fn purge(&self, until: Period) -> BoxFuture<'_, Result<Purged, StoreError>> {
        self.postgres.purge(until)
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.journal.close().await;
            self.postgres.close().await;
        })
    }
}
