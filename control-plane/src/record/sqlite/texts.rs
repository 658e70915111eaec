//! What calls are found by.

use sqlx::SqliteConnection;

use super::rows::integer;
use crate::record::{StoreError, Text};

/// Adds what was said; what is there is kept.
pub(super) async fn add(connection: &mut SqliteConnection, texts: &[Text]) -> Result<(), StoreError> {
    for text in texts {
        let id: Option<i64> = sqlx::query_scalar(
            "INSERT INTO texts (call_id, epoch, seq) VALUES (?, ?, ?) ON CONFLICT DO NOTHING RETURNING id",
        )
        .bind(text.call_id.as_bytes().as_slice())
        .bind(text.epoch)
        .bind(integer(text.seq))
        .fetch_optional(&mut *connection)
        .await?;
        if let Some(id) = id {
            sqlx::query("INSERT INTO words (rowid, text) VALUES (?, ?)")
                .bind(id)
                .bind(&text.text)
                .execute(&mut *connection)
                .await?;
        }
    }
    Ok(())
}
