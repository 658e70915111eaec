//! What calls are found by.

use std::collections::HashMap;

use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};

use super::{
    read::call_id,
    rows::{integer, rows_at_once},
};
use crate::record::{StoreError, Text};

/// The most texts of one INSERT. They may be long, and are copied for it.
const TEXTS_MAX: usize = 64;

/// Adds what was said; what is there is kept.
pub(super) async fn add(connection: &mut SqliteConnection, mut texts: &[Text]) -> Result<(), StoreError> {
    while !texts.is_empty() {
        let (rows, rest) = texts.split_at(rows_at_once(texts.len().min(TEXTS_MAX)));
        let new = add_places(connection, rows).await?;
        add_words(connection, &new).await?;
        texts = rest;
    }
    Ok(())
}

/// Adds where something was said. Tells what is new, by its id.
async fn add_places<'a>(
    connection: &mut SqliteConnection,
    texts: &'a [Text],
) -> Result<Vec<(i64, &'a Text)>, StoreError> {
    let mut insert = QueryBuilder::<Sqlite>::new("INSERT INTO texts (call_id, epoch, seq) ");
    insert.push_values(texts, |mut row, text| {
        row.push_bind(text.call_id.as_bytes().as_slice()).push_bind(text.epoch).push_bind(integer(text.seq));
    });
    insert.push(" ON CONFLICT DO NOTHING RETURNING id, call_id, epoch, seq");
    let mut by_place: HashMap<_, &Text> =
        texts.iter().rev().map(|text| ((text.call_id, text.epoch, integer(text.seq)), text)).collect();
    let mut new = Vec::with_capacity(texts.len());
    for row in insert.build().fetch_all(connection).await? {
        let place = (call_id("texts", &row)?, row.try_get("epoch")?, row.try_get("seq")?);
        if let Some(text) = by_place.remove(&place) {
            new.push((row.try_get("id")?, text));
        }
    }
    Ok(new)
}

async fn add_words(connection: &mut SqliteConnection, mut texts: &[(i64, &Text)]) -> Result<(), StoreError> {
    while !texts.is_empty() {
        let (rows, rest) = texts.split_at(rows_at_once(texts.len()));
        let mut insert = QueryBuilder::<Sqlite>::new("INSERT INTO words (rowid, text) ");
        insert.push_values(rows, |mut row, (id, text)| {
            row.push_bind(*id).push_bind(&*text.text);
        });
        insert.build().execute(&mut *connection).await?;
        texts = rest;
    }
    Ok(())
}
