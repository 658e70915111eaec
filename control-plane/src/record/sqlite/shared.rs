//! What calls have in common: messages, and the histories that they make.

use std::collections::HashMap;

use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection, sqlite::SqliteRow};

use super::rows::rows_at_once;
use crate::record::{
    Entry, Hash, History, Message, Period, StoreError,
    messages::{Reference, put_back, references},
    packed::{pack, unpack},
};

/// Adds messages; what is there is the same.
pub(super) async fn add_messages(
    connection: &mut SqliteConnection,
    mut messages: &[Message],
) -> Result<(), StoreError> {
    while !messages.is_empty() {
        let (rows, rest) = messages.split_at(rows_at_once(messages.len()));
        let mut insert = QueryBuilder::<Sqlite>::new("INSERT INTO messages (period, hash, body) ");
        insert.push_values(rows, |mut row, message| {
            row.push_bind(message.period.number()).push_bind(message.hash.as_bytes()).push_bind(pack(&message.body));
        });
        insert.push(" ON CONFLICT DO NOTHING");
        insert.build().execute(&mut *connection).await?;
        messages = rest;
    }
    Ok(())
}

/// Adds histories; what is there is the same.
pub(super) async fn add_histories(
    connection: &mut SqliteConnection,
    mut histories: &[History],
) -> Result<(), StoreError> {
    while !histories.is_empty() {
        let (rows, rest) = histories.split_at(rows_at_once(histories.len()));
        let mut insert = QueryBuilder::<Sqlite>::new("INSERT INTO histories (period, hash, parent, message, length) ");
        insert.push_values(rows, |mut row, history| {
            row.push_bind(history.period.number())
                .push_bind(history.hash.as_bytes())
                .push_bind(history.parent.as_ref().map(Hash::as_bytes))
                .push_bind(history.message.as_bytes())
                .push_bind(history.length);
        });
        insert.push(" ON CONFLICT DO NOTHING");
        insert.build().execute(&mut *connection).await?;
        histories = rest;
    }
    Ok(())
}

/// Makes entries whole.
pub(super) async fn complete(connection: &mut SqliteConnection, entries: &mut [Entry]) -> Result<(), StoreError> {
    let mut found = HashMap::new();
    for reference in references(&*entries) {
        let bodies = match reference {
            Reference::Message(period, hash) => message(connection, period, hash).await?.into_iter().collect(),
            Reference::History(period, hash) => history(connection, period, hash).await?,
        };
        if !bodies.is_empty() {
            found.insert(reference, bodies);
        }
    }
    put_back(entries, &found);
    Ok(())
}

pub(super) async fn message(
    connection: &mut SqliteConnection,
    period: Period,
    hash: Hash,
) -> Result<Option<String>, StoreError> {
    let row = sqlx::query("SELECT body FROM messages WHERE period = ? AND hash = ?")
        .bind(period.number())
        .bind(hash.as_bytes())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(|row| body(hash, row)).transpose()
}

/// The messages of a history, in order; none, if not all are there.
async fn history(connection: &mut SqliteConnection, period: Period, hash: Hash) -> Result<Vec<String>, StoreError> {
    let rows = sqlx::query(
        "WITH RECURSIVE chain (parent, message, length) AS ( \
             SELECT parent, message, length FROM histories WHERE period = ?1 AND hash = ?2 \
             UNION ALL \
             SELECT before.parent, before.message, before.length FROM chain \
             JOIN histories AS before ON before.period = ?1 AND before.hash = chain.parent) \
         SELECT chain.length, messages.body FROM chain \
         JOIN messages ON messages.period = ?1 AND messages.hash = chain.message ORDER BY chain.length DESC",
    )
    .bind(period.number())
    .bind(hash.as_bytes())
    .fetch_all(connection)
    .await?;
    let length: u32 = rows.first().map_or(Ok(0), |row| row.try_get("length"))?;
    if rows.len() != length as usize {
        return Ok(Vec::new());
    }
    rows.iter().rev().map(|row| body(hash, row)).collect()
}

fn body(hash: Hash, row: &SqliteRow) -> Result<String, StoreError> {
    let inconsistent = |_| StoreError::Inconsistent { table: "messages", column: "body", call_id: hash.to_string() };
    unpack(row.try_get("body")?).map_err(inconsistent)
}
