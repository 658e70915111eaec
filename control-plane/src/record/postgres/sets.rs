//! Policy sets, in the same database as the record.

use futures_util::future::BoxFuture;
use sqlx::{Connection as _, PgConnection, PgTransaction, Row as _};

use super::{Postgres, line::in_time};
use crate::{
    policies::{Current, Replaced, SetStore, Source, StoredSet},
    record::StoreError,
};

/// What those take who change sets: one after the other, none waits for another in a circle.
const LOCK: i64 = 0x6c75_7468_6965_6e02;

impl SetStore for Postgres {
    fn begin<'a>(&'a self, set: &'a StoredSet) -> BoxFuture<'a, Result<Current, StoreError>> {
        Box::pin(async move {
            let mut line = self.line().await?;
            let answer = in_time(begin(&mut line, set)).await;
            line.hand_back(answer)
        })
    }

    fn current(&self) -> BoxFuture<'_, Result<Option<Current>, StoreError>> {
        Box::pin(async {
            let mut line = self.line().await?;
            let answer = in_time(current(&mut line)).await;
            line.hand_back(answer)
        })
    }

    fn replace<'a>(
        &'a self,
        expected: Option<&'a str>,
        set: &'a StoredSet,
    ) -> BoxFuture<'a, Result<Replaced, StoreError>> {
        Box::pin(async move {
            let mut line = self.line().await?;
            let answer = in_time(replace(&mut line, expected, set)).await;
            line.hand_back(answer)
        })
    }

    fn config<'a>(&'a self, revision: &'a str) -> BoxFuture<'a, Result<Option<String>, StoreError>> {
        Box::pin(async move {
            let mut line = self.line().await?;
            let answer = in_time(config(&mut line, revision)).await;
            line.hand_back(answer)
        })
    }

    fn touch<'a>(&'a self, sets: &'a [StoredSet]) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let mut line = self.line().await?;
            let answer = in_time(touch(&mut line, sets)).await;
            line.hand_back(answer)
        })
    }

    fn forget(&self, before_us: i64) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(async move {
            let mut line = self.line().await?;
            let answer = in_time(forget(&mut line, before_us)).await;
            line.hand_back(answer)
        })
    }
}

async fn begin(line: &mut PgConnection, set: &StoredSet) -> Result<Current, StoreError> {
    let mut transaction = locked(line).await?;
    keep(&mut transaction, set).await?;
    sqlx::query(
        "INSERT INTO current_policies (id, revision, source, since_us, file_revision) VALUES (0, $1, 'file', $2, $1) \
         ON CONFLICT (id) DO UPDATE SET revision = $1, source = 'file', since_us = $2, file_revision = $1 \
         WHERE current_policies.file_revision <> $1",
    )
    .bind(&set.revision)
    .bind(set.now_us)
    .execute(&mut *transaction)
    .await?;
    let current = current(&mut transaction).await?;
    transaction.commit().await?;
    current.ok_or(StoreError::Database(sqlx::Error::RowNotFound))
}

async fn replace(line: &mut PgConnection, expected: Option<&str>, set: &StoredSet) -> Result<Replaced, StoreError> {
    let mut transaction = locked(line).await?;
    let before = current(&mut transaction).await?.ok_or(sqlx::Error::RowNotFound)?;
    if expected.is_some_and(|expected| expected != before.revision) {
        return Ok(Replaced::Conflict(before));
    }
    keep(&mut transaction, set).await?;
    sqlx::query("UPDATE current_policies SET revision = $1, source = 'api', since_us = $2")
        .bind(&set.revision)
        .bind(set.now_us)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    let revision = set.revision.clone();
    Ok(Replaced::Done(Current { revision, source: Source::Api, since_us: set.now_us }))
}

async fn config(line: &mut PgConnection, revision: &str) -> Result<Option<String>, StoreError> {
    let query = sqlx::query_scalar("SELECT config FROM policy_sets WHERE revision = $1").bind(revision);
    Ok(query.fetch_optional(line).await?)
}

async fn touch(line: &mut PgConnection, sets: &[StoredSet]) -> Result<(), StoreError> {
    let mut transaction = locked(line).await?;
    for set in sets {
        keep(&mut transaction, set).await?;
    }
    Ok(transaction.commit().await?)
}

async fn forget(line: &mut PgConnection, before_us: i64) -> Result<u64, StoreError> {
    let mut transaction = locked(line).await?;
    let done = sqlx::query(
        "DELETE FROM policy_sets WHERE last_used_at_us < $1 \
         AND revision NOT IN (SELECT revision FROM current_policies)",
    )
    .bind(before_us)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(done.rows_affected())
}

/// A transaction in which sets may be changed.
async fn locked(line: &mut PgConnection) -> Result<PgTransaction<'_>, StoreError> {
    let mut transaction = line.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *transaction).await?;
    Ok(transaction)
}

/// Puts a set there, or notes that it is needed.
async fn keep(connection: &mut PgConnection, set: &StoredSet) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO policy_sets (revision, config, created_at_us, last_used_at_us) VALUES ($1, $2, $3, $3) \
         ON CONFLICT (revision) DO UPDATE SET last_used_at_us = GREATEST(policy_sets.last_used_at_us, $3)",
    )
    .bind(&set.revision)
    .bind(&set.config)
    .bind(set.now_us)
    .execute(connection)
    .await?;
    Ok(())
}

async fn current(connection: &mut PgConnection) -> Result<Option<Current>, StoreError> {
    let row = sqlx::query("SELECT revision, source, since_us FROM current_policies").fetch_optional(connection).await?;
    let Some(row) = row else { return Ok(None) };
    let source = Source::from_name(row.try_get("source")?).ok_or_else(|| StoreError::Inconsistent {
        table: "current_policies",
        column: "source",
        call_id: "-".to_owned(),
    })?;
    Ok(Some(Current { revision: row.try_get("revision")?, source, since_us: row.try_get("since_us")? }))
}
