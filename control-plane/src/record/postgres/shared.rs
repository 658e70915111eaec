//! What calls have in common: messages, and the histories that they make. What was said, and in which sessions.

use std::collections::HashMap;

use sqlx::{PgConnection, Row as _, postgres::PgRow};

use super::{
    line::in_time,
    rows::{ROW_BYTES, column, integer, text},
};
use crate::record::{
    Batch, Entry, Hash, History, Message, Period, StoreError, Summary, Text,
    messages::{Reference, put_back, references},
    packed::{pack, unpack},
};

/// Adds what the entries of a batch refer to, and what they are found by. Tells about how many bytes those are.
pub(super) async fn add(connection: &mut PgConnection, batch: &Batch) -> Result<usize, StoreError> {
    let messages = add_messages(connection, &batch.messages).await?;
    add_histories(connection, &batch.histories).await?;
    add_texts(connection, &batch.texts).await?;
    add_sessions(connection, &batch.summaries).await?;
    // Of a text, its words and their places, and what they take in the index.
    let texts: usize = batch.texts.iter().map(|said| 2 * said.text.len() + ROW_BYTES).sum();
    Ok(messages + texts + batch.histories.len() * 2 * ROW_BYTES + batch.summaries.len() * 4 * ROW_BYTES)
}

async fn add_messages(connection: &mut PgConnection, messages: &[Message]) -> Result<usize, StoreError> {
    if messages.is_empty() {
        return Ok(0);
    }
    let mut rows: Vec<&Message> = messages.iter().collect();
    rows.sort_by_key(|message| (message.period, message.hash));
    let bodies = column(&rows, |message| pack(&message.body));
    let bytes = bodies.iter().map(|body| body.len() + ROW_BYTES).sum();
    sqlx::query(
        "INSERT INTO messages (period, hash, body) SELECT * FROM UNNEST($1::bigint[], $2::bytea[], $3::bytea[]) \
         ON CONFLICT DO NOTHING",
    )
    .bind(column(&rows, |message| i64::from(message.period.number())))
    .bind(column(&rows, |message| message.hash.as_bytes()))
    .bind(bodies)
    .execute(connection)
    .await?;
    Ok(bytes)
}

async fn add_histories(connection: &mut PgConnection, histories: &[History]) -> Result<(), StoreError> {
    if histories.is_empty() {
        return Ok(());
    }
    let mut rows: Vec<&History> = histories.iter().collect();
    rows.sort_by_key(|history| (history.period, history.hash));
    sqlx::query(
        "INSERT INTO histories (period, hash, parent, message, length) \
         SELECT * FROM UNNEST($1::bigint[], $2::bytea[], $3::bytea[], $4::bytea[], $5::bigint[]) ON CONFLICT DO NOTHING",
    )
    .bind(column(&rows, |history| i64::from(history.period.number())))
    .bind(column(&rows, |history| history.hash.as_bytes()))
    .bind(column(&rows, |history| history.parent.as_ref().map(Hash::as_bytes)))
    .bind(column(&rows, |history| history.message.as_bytes()))
    .bind(column(&rows, |history| i64::from(history.length)))
    .execute(connection)
    .await?;
    Ok(())
}

async fn add_texts(connection: &mut PgConnection, texts: &[Text]) -> Result<(), StoreError> {
    if texts.is_empty() {
        return Ok(());
    }
    let mut rows: Vec<&Text> = texts.iter().collect();
    rows.sort_by_key(|said| (said.call_id, said.epoch, said.seq));
    sqlx::query(
        "INSERT INTO texts (call_id, epoch, seq, words) SELECT call_id, epoch, seq, words_of(said) \
         FROM UNNEST($1::uuid[], $2::bigint[], $3::bigint[], $4::text[]) AS new (call_id, epoch, seq, said) \
         ON CONFLICT DO NOTHING",
    )
    .bind(column(&rows, |said| said.call_id))
    .bind(column(&rows, |said| i64::from(said.epoch)))
    .bind(column(&rows, |said| integer(said.seq)))
    .bind(column(&rows, |said| text(&said.text)))
    .execute(connection)
    .await?;
    Ok(())
}

async fn add_sessions(connection: &mut PgConnection, summaries: &[Summary]) -> Result<(), StoreError> {
    if summaries.is_empty() {
        return Ok(());
    }
    let rows: Vec<&Summary> = summaries.iter().collect();
    sqlx::query(
        "INSERT INTO sessions (id, last_at_us) SELECT id, MAX(at) FROM UNNEST($1::text[], $2::bigint[]) AS new (id, at) \
         GROUP BY id ORDER BY id ON CONFLICT (id) DO UPDATE SET last_at_us = excluded.last_at_us \
         WHERE excluded.last_at_us > sessions.last_at_us",
    )
    .bind(column(&rows, |summary| text(&summary.session_id()).into_owned()))
    .bind(column(&rows, |summary| summary.started_at_us))
    .execute(connection)
    .await?;
    Ok(())
}

/// Makes entries whole.
pub(super) async fn complete(connection: &mut PgConnection, entries: &mut [Entry]) -> Result<(), StoreError> {
    let mut found = HashMap::new();
    for reference in references(&*entries) {
        let bodies = match reference {
            Reference::Message(period, hash) => in_time(message(connection, period, hash)).await?,
            Reference::History(period, hash) => in_time(history(connection, period, hash)).await?,
        };
        if !bodies.is_empty() {
            found.insert(reference, bodies);
        }
    }
    put_back(entries, &found);
    Ok(())
}

pub(super) async fn message(
    connection: &mut PgConnection,
    period: Period,
    hash: Hash,
) -> Result<Vec<String>, StoreError> {
    let rows = sqlx::query("SELECT body FROM messages WHERE period = $1 AND hash = $2")
        .bind(i64::from(period.number()))
        .bind(hash.as_bytes())
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| body(hash, row)).collect()
}

/// The messages of a history, in order; none, if not all are there.
async fn history(connection: &mut PgConnection, period: Period, hash: Hash) -> Result<Vec<String>, StoreError> {
    let rows = sqlx::query(
        "WITH RECURSIVE chain (parent, message, length) AS ( \
             SELECT parent, message, length FROM histories WHERE period = $1 AND hash = $2 \
             UNION ALL \
             SELECT before.parent, before.message, before.length FROM chain \
             JOIN histories AS before ON before.period = $1 AND before.hash = chain.parent) \
         SELECT chain.length, messages.body FROM chain \
         JOIN messages ON messages.period = $1 AND messages.hash = chain.message ORDER BY chain.length DESC",
    )
    .bind(i64::from(period.number()))
    .bind(hash.as_bytes())
    .fetch_all(connection)
    .await?;
    let length: i64 = rows.first().map_or(Ok(0), |row| row.try_get("length"))?;
    if i64::try_from(rows.len()) != Ok(length) {
        return Ok(Vec::new());
    }
    rows.iter().rev().map(|row| body(hash, row)).collect()
}

fn body(hash: Hash, row: &PgRow) -> Result<String, StoreError> {
    let inconsistent = |_| StoreError::Inconsistent { table: "messages", column: "body", call_id: hash.to_string() };
    unpack(row.try_get("body")?).map_err(inconsistent)
}
