//! How rows become sessions.

use std::collections::{BTreeSet, HashMap};

use sqlx::{Connection as _, PgConnection, Postgres, QueryBuilder, Row as _, postgres::PgRow};

use super::{
    line::in_time,
    read::{count, entry, filter, inconsistent, names, number, severity_of_rank, summary},
    rows::text,
    shared::message,
};
use crate::record::{
    Conversation, Cursor, Entry, FullCall, Hash, Period, Query, Session, SessionCursor, SessionPage, SessionQuery,
    StoreError, Tokens, Turn,
    conversation::{Link, Said, Telling, histories, shown},
};

/// A page of sessions, that with the latest call first.
pub(super) async fn sessions(line: &mut PgConnection, query: &SessionQuery) -> Result<SessionPage, StoreError> {
    let mut transaction = line.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let limit = query.calls.limit.min(Query::LIMIT_MAX);
    let mut select = QueryBuilder::<Postgres>::new(
        "SELECT id, last_at_us FROM sessions WHERE EXISTS (SELECT 1 FROM calls WHERE calls.session_id = sessions.id",
    );
    filter(&mut select, &query.calls);
    select.push(")");
    if let Some(SessionCursor { last_at_us, id }) = &query.after {
        select.push(" AND (last_at_us, id) < (").push_bind(*last_at_us).push(", ").push_bind(text(id)).push(")");
    }
    select.push(" ORDER BY last_at_us DESC, id DESC LIMIT ").push_bind(i64::from(limit) + 1);
    let rows = select.build().fetch_all(&mut *transaction).await?;
    let mut places = Vec::new();
    for row in &rows {
        places.push(SessionCursor { last_at_us: row.try_get("last_at_us")?, id: row.try_get("id")? });
    }
    let more = places.len() > limit as usize;
    places.truncate(limit as usize);

    let ids: Vec<&str> = places.iter().map(|place| place.id.as_str()).collect();
    let rows = sqlx::query(
        "SELECT session_id, MIN(started_at_us) AS first_at_us, MAX(started_at_us) AS last_at_us, COUNT(*) AS calls, \
         COUNT(*) FILTER (WHERE outcome IS NULL) AS running, SUM(input_tokens)::bigint AS input, \
         SUM(cache_read_tokens)::bigint AS cache_read, SUM(cache_write_tokens)::bigint AS cache_write, \
         SUM(output_tokens)::bigint AS output, SUM(thinking_tokens)::bigint AS thinking, \
         json_agg(DISTINCT model)::text AS models, \
         (json_agg(DISTINCT client) FILTER (WHERE client IS NOT NULL))::text AS clients, \
         MAX(CASE severity WHEN 'debug' THEN 0 WHEN 'info' THEN 1 WHEN 'warning' THEN 2 WHEN 'error' THEN 3 END) \
            AS severity \
         FROM calls WHERE session_id = ANY ($1) GROUP BY session_id",
    )
    .bind(&ids)
    .fetch_all(&mut *transaction)
    .await?;
    transaction.rollback().await?;
    let mut found: HashMap<String, Session> = HashMap::new();
    for row in &rows {
        let session = session(row)?;
        found.insert(session.id.clone(), session);
    }
    let sessions = ids.iter().filter_map(|id| found.remove(*id)).collect();
    Ok(SessionPage { sessions, next: places.pop().filter(|_| more) })
}

fn session(row: &PgRow) -> Result<Session, StoreError> {
    Ok(Session {
        id: row.try_get("session_id")?,
        first_at_us: row.try_get("first_at_us")?,
        last_at_us: row.try_get("last_at_us")?,
        calls: number("calls", "calls", row)?,
        running: number("calls", "running", row)?,
        tokens: Tokens {
            input: count(row, "input")?,
            cache_read: count(row, "cache_read")?,
            cache_write: count(row, "cache_write")?,
            output: count(row, "output")?,
            thinking: count(row, "thinking")?,
        },
        models: names(row, "models")?.unwrap_or_default(),
        clients: names(row, "clients")?.unwrap_or_default(),
        severity: severity_of_rank(row)?,
    })
}

/// The calls of a session, each with what is new in it.
pub(super) async fn conversation(
    line: &mut PgConnection,
    id: &str,
    after: Option<Cursor>,
    limit: u32,
) -> Result<Option<Conversation>, StoreError> {
    let begin = line.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    let mut transaction = in_time(async { Ok(begin.await?) }).await?;
    let limit = limit.clamp(1, Query::LIMIT_MAX) as usize;
    let mut calls = page(&mut transaction, id, after, limit + 1).await?;
    if calls.is_empty() && after.is_none() {
        return Ok(None);
    }
    let more = calls.len() > limit;
    calls.truncate(limit);
    let before = match after {
        Some(after) => in_time(requests_before(&mut transaction, id, after)).await?,
        None => Vec::new(),
    };
    let shown: Vec<_> = calls.into_iter().map(shown).collect();
    let requests = || before.iter().chain(shown.iter().filter_map(|(_, request)| request.as_ref()));
    let heads = histories(requests()).collect();
    let mut telling = Telling::new(in_time(links(&mut transaction, heads)).await?);
    before.iter().for_each(|request| drop(telling.next(request)));
    let mut turns = Vec::with_capacity(shown.len());
    for (mut turn, request) in shown {
        for said in request.iter().flat_map(|request| telling.next(request)) {
            turn.messages.extend(match said {
                Said::Kept(period, hash) => in_time(message(&mut transaction, period, hash)).await?,
                Said::Inline(message) => vec![message],
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
    connection: &mut PgConnection,
    id: &str,
    after: Option<Cursor>,
    limit: usize,
) -> Result<Vec<FullCall>, StoreError> {
    let mut select = QueryBuilder::<Postgres>::new("SELECT * FROM calls WHERE session_id = ");
    select.push_bind(text(id));
    if let Some(Cursor { started_at_us, call_id }) = after {
        select.push(" AND (started_at_us, call_id) > (").push_bind(started_at_us);
        select.push(", ").push_bind(call_id).push(")");
    }
    select.push(" ORDER BY started_at_us, call_id LIMIT ").push_bind(i64::try_from(limit).unwrap_or(i64::MAX));
    let rows = in_time(async { Ok(select.build().fetch_all(&mut *connection).await?) }).await?;
    let mut calls = Vec::with_capacity(rows.len());
    for row in &rows {
        let summary = summary(row)?;
        let entries = super::read::entries(connection, summary.call_id).await?;
        calls.push(FullCall { summary, entries });
    }
    Ok(calls)
}

/// The requests of the calls up to that one, in order.
async fn requests_before(connection: &mut PgConnection, id: &str, until: Cursor) -> Result<Vec<Entry>, StoreError> {
    let rows = sqlx::query(
        "SELECT DISTINCT ON (started_at_us, call_id) entries.* FROM calls JOIN entries USING (call_id) \
         WHERE session_id = $1 AND (started_at_us, call_id) <= ($2, $3) AND type = 'request' \
         ORDER BY started_at_us, call_id, entries.epoch DESC",
    )
    .bind(text(id))
    .bind(until.started_at_us)
    .bind(until.call_id)
    .fetch_all(connection)
    .await?;
    rows.iter().map(entry).collect()
}

/// What histories consist of, all the way back.
async fn links(
    connection: &mut PgConnection,
    heads: BTreeSet<(Period, Hash)>,
) -> Result<HashMap<(Period, Hash), Link>, StoreError> {
    let periods: Vec<_> = heads.iter().map(|(period, _)| i64::from(period.number())).collect();
    let hashes: Vec<_> = heads.iter().map(|(_, hash)| hash.as_bytes()).collect();
    let rows = sqlx::query(
        "WITH RECURSIVE chain (period, hash, parent, message) AS ( \
             SELECT period, hash, parent, message FROM UNNEST($1::bigint[], $2::bytea[]) AS heads (period, hash) \
             JOIN histories USING (period, hash) \
             UNION \
             SELECT before.period, before.hash, before.parent, before.message FROM chain \
             JOIN histories AS before ON before.period = chain.period AND before.hash = chain.parent) \
         SELECT * FROM chain",
    )
    .bind(periods)
    .bind(hashes)
    .fetch_all(connection)
    .await?;
    rows.iter().map(link).collect()
}

fn link(row: &PgRow) -> Result<((Period, Hash), Link), StoreError> {
    let hash = |column: &'static str| {
        let bytes: Option<&[u8]> = row.try_get(column)?;
        let hash = bytes.map(|bytes| Hash::from_bytes(bytes).ok_or_else(|| inconsistent("histories", column, row)));
        hash.transpose()
    };
    let present = |column| hash(column)?.ok_or_else(|| inconsistent("histories", column, row));
    let period = Period::from_number(number("histories", "period", row)?);
    Ok(((period, present("hash")?), (hash("parent")?, present("message")?)))
}
