//! How rows become sessions.

use std::collections::{BTreeSet, HashMap};

use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection, SqlitePool, sqlite::SqliteRow};

use super::{
    read::{filter, inconsistent, names, severity_of_rank, summary, unsigned},
    shared::message,
};
use crate::record::{
    Conversation, Cursor, Entry, FullCall, Hash, Period, Query, Session, SessionCursor, SessionPage, SessionQuery,
    StoreError, Tokens, Turn,
    conversation::{Link, Said, Telling, histories, shown},
};

/// A page of sessions, that with the latest call first.
pub(super) async fn sessions(pool: &SqlitePool, query: &SessionQuery) -> Result<SessionPage, StoreError> {
    let mut transaction = pool.begin().await?;
    let limit = query.calls.limit.min(Query::LIMIT_MAX);
    let mut select = QueryBuilder::<Sqlite>::new(
        "SELECT id, last_at_us FROM sessions WHERE EXISTS (SELECT 1 FROM calls WHERE calls.session_id = sessions.id",
    );
    filter(&mut select, &query.calls);
    select.push(")");
    if let Some(SessionCursor { last_at_us, id }) = &query.after {
        select.push(" AND (last_at_us, id) < (").push_bind(*last_at_us).push(", ").push_bind(id.as_str()).push(")");
    }
    select.push(" ORDER BY last_at_us DESC, id DESC LIMIT ").push_bind(limit + 1);
    let rows = select.build().fetch_all(&mut *transaction).await?;
    let mut places = Vec::new();
    for row in &rows {
        places.push(SessionCursor { last_at_us: row.try_get("last_at_us")?, id: row.try_get("id")? });
    }
    let more = places.len() > limit as usize;
    places.truncate(limit as usize);

    let mut sessions = Vec::with_capacity(places.len());
    for place in &places {
        sessions.push(session(&mut transaction, &place.id).await?);
    }
    transaction.rollback().await?;
    Ok(SessionPage { sessions, next: places.pop().filter(|_| more) })
}

async fn session(connection: &mut SqliteConnection, id: &str) -> Result<Session, StoreError> {
    let row = sqlx::query(
        "SELECT MIN(started_at_us) AS first_at_us, MAX(started_at_us) AS last_at_us, COUNT(*) AS calls, \
         SUM(outcome IS NULL) AS running, SUM(input_tokens) AS input, SUM(cache_read_tokens) AS cache_read, \
         SUM(cache_write_tokens) AS cache_write, SUM(output_tokens) AS output, SUM(thinking_tokens) AS thinking, \
         json_group_array(DISTINCT model) AS models, \
         json_group_array(DISTINCT client) FILTER (WHERE client IS NOT NULL) AS clients, \
         MAX(CASE severity WHEN 'debug' THEN 0 WHEN 'info' THEN 1 WHEN 'warning' THEN 2 WHEN 'error' THEN 3 END) \
            AS severity \
         FROM calls WHERE session_id = ?",
    )
    .bind(id)
    .fetch_one(connection)
    .await?;
    let count = |column| unsigned("calls", column, &row);
    Ok(Session {
        id: id.to_owned(),
        first_at_us: row.try_get("first_at_us")?,
        last_at_us: row.try_get("last_at_us")?,
        calls: count("calls")?.unwrap_or_default(),
        running: count("running")?.unwrap_or_default(),
        tokens: Tokens {
            input: count("input")?,
            cache_read: count("cache_read")?,
            cache_write: count("cache_write")?,
            output: count("output")?,
            thinking: count("thinking")?,
        },
        models: names(&row, "models")?.unwrap_or_default(),
        clients: names(&row, "clients")?.unwrap_or_default(),
        severity: severity_of_rank(&row)?,
    })
}

/// The calls of a session, each with what is new in it.
pub(super) async fn conversation(
    pool: &SqlitePool,
    id: &str,
    after: Option<Cursor>,
    limit: u32,
) -> Result<Option<Conversation>, StoreError> {
    let mut transaction = pool.begin().await?;
    let limit = limit.clamp(1, Query::LIMIT_MAX) as usize;
    let mut calls = page(&mut transaction, id, after, limit + 1).await?;
    if calls.is_empty() && after.is_none() {
        return Ok(None);
    }
    let more = calls.len() > limit;
    calls.truncate(limit);
    let before = match after {
        Some(after) => requests_before(&mut transaction, id, after).await?,
        None => Vec::new(),
    };
    let shown: Vec<_> = calls.into_iter().map(shown).collect();
    let requests = || before.iter().chain(shown.iter().filter_map(|(_, request)| request.as_ref()));
    let mut telling = Telling::new(links(&mut transaction, histories(requests()).collect()).await?);
    before.iter().for_each(|request| drop(telling.next(request)));
    let mut turns = Vec::with_capacity(shown.len());
    for (mut turn, request) in shown {
        for said in request.iter().flat_map(|request| telling.next(request)) {
            turn.messages.extend(match said {
                Said::Kept(period, hash) => message(&mut transaction, period, hash).await?,
                Said::Inline(message) => Some(message),
            });
        }
        turns.push(turn);
    }
    transaction.rollback().await?;
    let next = turns
        .last()
        .filter(|_| more)
        .map(|Turn { call, .. }| Cursor { started_at_us: call.started_at_us, call_id: call.call_id });
    Ok(Some(Conversation { turns, next }))
}

/// Some calls of a session, their entries as they were written.
async fn page(
    connection: &mut SqliteConnection,
    id: &str,
    after: Option<Cursor>,
    limit: usize,
) -> Result<Vec<FullCall>, StoreError> {
    let mut select = QueryBuilder::<Sqlite>::new("SELECT * FROM calls WHERE session_id = ");
    select.push_bind(id);
    if let Some(Cursor { started_at_us, call_id }) = after {
        select.push(" AND (started_at_us, call_id) > (").push_bind(started_at_us);
        select.push(", ").push_bind(call_id.as_bytes().to_vec()).push(")");
    }
    select.push(" ORDER BY started_at_us, call_id LIMIT ").push_bind(i64::try_from(limit).unwrap_or(i64::MAX));
    let rows = select.build().fetch_all(&mut *connection).await?;
    let mut calls = Vec::with_capacity(rows.len());
    for row in &rows {
        let summary = summary(row)?;
        let entries = super::read::entries(connection, summary.call_id).await?;
        calls.push(FullCall { summary, entries });
    }
    Ok(calls)
}

/// The requests of the calls up to that one, in order.
async fn requests_before(connection: &mut SqliteConnection, id: &str, until: Cursor) -> Result<Vec<Entry>, StoreError> {
    let rows = sqlx::query(
        "SELECT entries.*, MAX(entries.epoch) FROM calls JOIN entries USING (call_id) \
         WHERE session_id = ? AND (started_at_us, call_id) <= (?, ?) AND type = 'request' \
         GROUP BY call_id ORDER BY started_at_us, call_id",
    )
    .bind(id)
    .bind(until.started_at_us)
    .bind(until.call_id.as_bytes().as_slice())
    .fetch_all(connection)
    .await?;
    rows.iter().map(super::read::entry).collect()
}

/// What histories consist of, all the way back.
async fn links(
    connection: &mut SqliteConnection,
    heads: BTreeSet<(Period, Hash)>,
) -> Result<HashMap<(Period, Hash), Link>, StoreError> {
    let heads: Vec<_> = heads.iter().map(|(period, hash)| (period.number(), hash.to_string())).collect();
    let rows = sqlx::query(
        "WITH RECURSIVE chain (period, hash, parent, message) AS ( \
             SELECT histories.period, histories.hash, histories.parent, histories.message FROM json_each(?) AS heads \
             JOIN histories ON histories.period = heads.value ->> 0 AND histories.hash = unhex(heads.value ->> 1) \
             UNION \
             SELECT before.period, before.hash, before.parent, before.message FROM chain \
             JOIN histories AS before ON before.period = chain.period AND before.hash = chain.parent) \
         SELECT * FROM chain",
    )
    .bind(serde_json::json!(heads).to_string())
    .fetch_all(connection)
    .await?;
    rows.iter().map(link).collect()
}

fn link(row: &SqliteRow) -> Result<((Period, Hash), Link), StoreError> {
    let hash = |column: &'static str| {
        let bytes: Option<&[u8]> = row.try_get(column)?;
        let hash = bytes.map(|bytes| Hash::from_bytes(bytes).ok_or_else(|| inconsistent("histories", column, row)));
        hash.transpose()
    };
    let present = |column| hash(column)?.ok_or_else(|| inconsistent("histories", column, row));
    Ok(((Period::from_number(row.try_get("period")?), present("hash")?), (hash("parent")?, present("message")?)))
}
