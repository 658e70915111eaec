//! Policy sets, in the same file as the record.

use futures_util::future::BoxFuture;
use sqlx::{Row as _, SqliteConnection};

use super::{Sqlite, immediate};
use crate::{
    policies::{Current, Replaced, SetStore, Source, StoredSet},
    record::StoreError,
};

impl SetStore for Sqlite {
    fn begin<'a>(&'a self, set: &'a StoredSet) -> BoxFuture<'a, Result<Current, StoreError>> {
        Box::pin(async move {
            let mut connection = self.to_write().await?;
            let mut transaction = immediate(&mut connection).await?;
            keep(&mut transaction, set).await?;
            sqlx::query(
                "INSERT INTO current_policies (id, revision, source, since_us, file_revision) VALUES (0, ?1, 'file', ?2, ?1) \
                 ON CONFLICT (id) DO UPDATE SET revision = ?1, source = 'file', since_us = ?2, file_revision = ?1 \
                 WHERE file_revision <> ?1",
            )
            .bind(&set.revision)
            .bind(set.now_us)
            .execute(&mut *transaction)
            .await?;
            let current = current(&mut transaction).await?;
            transaction.commit().await?;
            current.ok_or(StoreError::Database(sqlx::Error::RowNotFound))
        })
    }

    fn current(&self) -> BoxFuture<'_, Result<Option<Current>, StoreError>> {
        Box::pin(async { current(&mut *self.readers.acquire().await?).await })
    }

    fn replace<'a>(
        &'a self,
        expected: Option<&'a str>,
        set: &'a StoredSet,
    ) -> BoxFuture<'a, Result<Replaced, StoreError>> {
        Box::pin(async move {
            let mut connection = self.to_write().await?;
            let mut transaction = immediate(&mut connection).await?;
            let before = current(&mut transaction).await?.ok_or(sqlx::Error::RowNotFound)?;
            if expected.is_some_and(|expected| expected != before.revision) {
                return Ok(Replaced::Conflict(before));
            }
            keep(&mut transaction, set).await?;
            sqlx::query("UPDATE current_policies SET revision = ?, source = 'api', since_us = ?")
                .bind(&set.revision)
                .bind(set.now_us)
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
            let revision = set.revision.clone();
            Ok(Replaced::Done(Current { revision, source: Source::Api, since_us: set.now_us }))
        })
    }

    fn config<'a>(&'a self, revision: &'a str) -> BoxFuture<'a, Result<Option<String>, StoreError>> {
        Box::pin(async move {
            let query = sqlx::query_scalar("SELECT config FROM policy_sets WHERE revision = ?").bind(revision);
            Ok(query.fetch_optional(&self.readers).await?)
        })
    }

    fn touch<'a>(&'a self, sets: &'a [StoredSet]) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let mut connection = self.to_write().await?;
            let mut transaction = immediate(&mut connection).await?;
            for set in sets {
                keep(&mut transaction, set).await?;
            }
            Ok(transaction.commit().await?)
        })
    }

    fn forget(&self, before_us: i64) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(async move {
            let done = sqlx::query(
                "DELETE FROM policy_sets WHERE last_used_at_us < ? \
                 AND revision NOT IN (SELECT revision FROM current_policies)",
            )
            .bind(before_us)
            .execute(&self.writer)
            .await?;
            Ok(done.rows_affected())
        })
    }
}

/// Puts a set there, or notes that it is needed.
async fn keep(connection: &mut SqliteConnection, set: &StoredSet) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO policy_sets (revision, config, created_at_us, last_used_at_us) VALUES (?1, ?2, ?3, ?3) \
         ON CONFLICT (revision) DO UPDATE SET last_used_at_us = MAX(last_used_at_us, ?3)",
    )
    .bind(&set.revision)
    .bind(&set.config)
    .bind(set.now_us)
    .execute(connection)
    .await?;
    Ok(())
}

async fn current(connection: &mut SqliteConnection) -> Result<Option<Current>, StoreError> {
    let row = sqlx::query("SELECT revision, source, since_us FROM current_policies").fetch_optional(connection).await?;
    let Some(row) = row else { return Ok(None) };
    let source = Source::from_name(row.try_get("source")?).ok_or_else(|| StoreError::Inconsistent {
        table: "current_policies",
        column: "source",
        call_id: "-".to_owned(),
    })?;
    Ok(Some(Current { revision: row.try_get("revision")?, source, since_us: row.try_get("since_us")? }))
}
