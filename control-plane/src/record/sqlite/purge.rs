//! How the oldest is forgotten.

use sqlx::{Row as _, SqliteConnection, SqlitePool};

use super::immediate;
use crate::record::{Extent, Period, Purged, StoreError};

/// How much is deleted in one transaction, for which a batch may have to wait.
const CALLS_AT_ONCE: u32 = 32;
const ROWS_AT_ONCE: u32 = 512;

/// How much there is.
pub(super) async fn extent(pool: &SqlitePool) -> Result<Extent, StoreError> {
    let row = sqlx::query(
        "SELECT (SELECT page_count FROM pragma_page_count) - (SELECT freelist_count FROM pragma_freelist_count) AS pages, \
         (SELECT page_size FROM pragma_page_size) AS page_size, \
         (SELECT MIN(period) FROM calls) AS c_min, (SELECT MAX(period) FROM calls) AS c_max, \
         (SELECT MIN(period) FROM messages) AS m_min, (SELECT MAX(period) FROM messages) AS m_max, \
         (SELECT MIN(period) FROM histories) AS h_min, (SELECT MAX(period) FROM histories) AS h_max",
    )
    .fetch_one(pool)
    .await?;
    let (pages, page_size): (i64, i64) = (row.try_get("pages")?, row.try_get("page_size")?);
    let periods = |columns: [&str; 3]| -> Result<Vec<Period>, sqlx::Error> {
        let numbers = columns.map(|column| row.try_get::<Option<u32>, _>(column));
        let numbers = numbers.into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(numbers.into_iter().flatten().map(Period::from_number).collect())
    };
    Ok(Extent {
        bytes: u64::try_from(pages.saturating_mul(page_size)).unwrap_or_default(),
        oldest: periods(["c_min", "m_min", "h_min"])?.into_iter().min(),
        newest: periods(["c_max", "m_max", "h_max"])?.into_iter().max(),
    })
}

/// Deletes some of what is of a period or an earlier one: calls first, then what they had in common.
pub(super) async fn purge(connection: &mut SqliteConnection, until: Period) -> Result<Purged, StoreError> {
    let mut transaction = immediate(connection).await?;
    let calls = purge_calls(&mut transaction, until).await?;
    let rows = match calls {
        0 => purge_shared(&mut transaction, until).await?,
        calls => calls,
    };
    transaction.commit().await?;
    Ok(Purged { calls, more: rows > 0 })
}

async fn purge_calls(connection: &mut SqliteConnection, until: Period) -> Result<u64, StoreError> {
    let due = "CREATE TEMP TABLE IF NOT EXISTS due (call_id BLOB NOT NULL, session_id TEXT NOT NULL)";
    sqlx::query(due).execute(&mut *connection).await?;
    sqlx::query("DELETE FROM due").execute(&mut *connection).await?;
    sqlx::query("INSERT INTO due SELECT call_id, session_id FROM calls WHERE period <= ? ORDER BY period LIMIT ?")
        .bind(until.number())
        .bind(CALLS_AT_ONCE)
        .execute(&mut *connection)
        .await?;
    for delete in [
        "DELETE FROM words WHERE rowid IN (SELECT id FROM texts WHERE call_id IN (SELECT call_id FROM due))",
        "DELETE FROM texts WHERE call_id IN (SELECT call_id FROM due)",
        "DELETE FROM entries WHERE call_id IN (SELECT call_id FROM due)",
    ] {
        sqlx::query(delete).execute(&mut *connection).await?;
    }
    let calls = sqlx::query("DELETE FROM calls WHERE call_id IN (SELECT call_id FROM due)")
        .execute(&mut *connection)
        .await?
        .rows_affected();
    sqlx::query(
        "DELETE FROM sessions WHERE id IN (SELECT session_id FROM due) \
         AND NOT EXISTS (SELECT 1 FROM calls WHERE calls.session_id = sessions.id)",
    )
    .execute(connection)
    .await?;
    Ok(calls)
}

async fn purge_shared(connection: &mut SqliteConnection, until: Period) -> Result<u64, StoreError> {
    let mut rows = 0;
    for delete in [
        "DELETE FROM messages WHERE rowid IN (SELECT rowid FROM messages WHERE period <= ? LIMIT ?)",
        "DELETE FROM histories WHERE (period, hash) IN (SELECT period, hash FROM histories WHERE period <= ? LIMIT ?)",
    ] {
        let deleted = sqlx::query(delete).bind(until.number()).bind(ROWS_AT_ONCE).execute(&mut *connection).await?;
        rows += deleted.rows_affected();
    }
    Ok(rows)
}
