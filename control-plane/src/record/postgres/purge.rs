//! How much there is, and how the oldest is forgotten.

use sqlx::{Connection as _, PgConnection, Row as _};
use uuid::Uuid;

use super::rows::integer;
use crate::record::{Extent, Period, Purged, StoreError};

/// How much is deleted in one transaction.
const CALLS_AT_ONCE: i64 = 200;
const ROWS_AT_ONCE: i64 = 2_000;

/// Notes how many bytes were added for a period, each writer for itself: nobody waits for another one's count.
pub(super) async fn count(
    connection: &mut PgConnection,
    period: Period,
    writer: Uuid,
    bytes: usize,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO volumes (period, writer, bytes) VALUES ($1, $2, $3) \
         ON CONFLICT (period, writer) DO UPDATE SET bytes = volumes.bytes + excluded.bytes",
    )
    .bind(i64::from(period.number()))
    .bind(writer)
    .bind(integer(bytes as u64))
    .execute(connection)
    .await?;
    Ok(())
}

/// How much there is. What a table takes on disk does not fall with what is deleted from it: so it is counted.
pub(super) async fn extent(connection: &mut PgConnection) -> Result<Extent, StoreError> {
    let row = sqlx::query(
        "SELECT (SELECT COALESCE(SUM(bytes), 0)::bigint FROM volumes) AS bytes, \
         LEAST((SELECT MIN(period) FROM calls), (SELECT MIN(period) FROM messages), (SELECT MIN(period) FROM histories), \
            (SELECT MIN(period) FROM volumes)) AS oldest, \
         GREATEST((SELECT MAX(period) FROM calls), (SELECT MAX(period) FROM messages)) AS newest",
    )
    .fetch_one(connection)
    .await?;
    let period = |column| -> Result<Option<Period>, sqlx::Error> {
        let number: Option<i64> = row.try_get(column)?;
        Ok(number.and_then(|number| u32::try_from(number).ok()).map(Period::from_number))
    };
    let bytes: i64 = row.try_get("bytes")?;
    Ok(Extent { bytes: u64::try_from(bytes).unwrap_or_default(), oldest: period("oldest")?, newest: period("newest")? })
}

/// Deletes some of what is of a period or an earlier one: calls first, then what they had in common. Of several who do
/// so, none waits for another.
pub(super) async fn purge(connection: &mut PgConnection, until: Period) -> Result<Purged, StoreError> {
    let until = i64::from(until.number());
    let mut transaction = connection.begin().await?;
    let due = sqlx::query(
        "SELECT call_id, session_id FROM calls WHERE period <= $1 ORDER BY period LIMIT $2 FOR UPDATE SKIP LOCKED",
    )
    .bind(until)
    .bind(CALLS_AT_ONCE)
    .fetch_all(&mut *transaction)
    .await?;
    let mut calls: Vec<Uuid> = Vec::new();
    let mut sessions: Vec<String> = Vec::new();
    for row in &due {
        calls.push(row.try_get("call_id")?);
        sessions.push(row.try_get("session_id")?);
    }
    for delete in [
        "DELETE FROM texts WHERE call_id = ANY ($1)",
        "DELETE FROM entries WHERE call_id = ANY ($1)",
        "DELETE FROM calls WHERE call_id = ANY ($1)",
    ] {
        sqlx::query(delete).bind(&calls).execute(&mut *transaction).await?;
    }
    sqlx::query(
        "DELETE FROM sessions WHERE id = ANY ($1) \
         AND NOT EXISTS (SELECT 1 FROM calls WHERE calls.session_id = sessions.id)",
    )
    .bind(&sessions)
    .execute(&mut *transaction)
    .await?;
    let mut rows = calls.len() as u64;
    if calls.is_empty() {
        for delete in [
            "DELETE FROM messages WHERE ctid = ANY (ARRAY \
                (SELECT ctid FROM messages WHERE period <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED))",
            "DELETE FROM histories WHERE ctid = ANY (ARRAY \
                (SELECT ctid FROM histories WHERE period <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED))",
        ] {
            let deleted = sqlx::query(delete).bind(until).bind(ROWS_AT_ONCE).execute(&mut *transaction).await?;
            rows += deleted.rows_affected();
        }
    }
    if rows == 0 {
        sqlx::query("DELETE FROM volumes WHERE period <= $1").bind(until).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(Purged { calls: calls.len() as u64, more: rows > 0 })
}
