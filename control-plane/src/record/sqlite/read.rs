//! How rows become calls and entries again.

use std::borrow::Cow;

use luthien_proto::message::Severity;
use sqlx::{AssertSqlSafe, QueryBuilder, Row as _, Sqlite, SqliteConnection, SqlitePool, sqlite::SqliteRow};
use uuid::Uuid;

use super::shared;
use crate::{
    continuation::{Answered, Asked},
    record::{
        CONTINUED_MAX, Cursor, Entry, FullCall, Page, Period, Query, Search, StoreError, Summary,
        packed::unpack,
        query::Ended,
        summary::{SEVERITIES, Tokens, outcome_from_name, severities_from, severity_from_name},
    },
};

/// A page of summaries, newest first.
pub(super) async fn calls(pool: &SqlitePool, query: &Query) -> Result<Page, StoreError> {
    let limit = query.limit.min(Query::LIMIT_MAX);
    let rows = select(query, limit + 1).build().fetch_all(pool).await?;
    let mut calls = rows.iter().map(summary).collect::<Result<Vec<_>, _>>()?;

    let more = calls.len() > limit as usize;
    calls.truncate(limit as usize);
    let next = match calls.last() {
        Some(last) if more => Some(Cursor { started_at_us: last.started_at_us, call_id: last.call_id }),
        Some(_) | None => None,
    };
    Ok(Page { calls, next })
}

/// All that is on record of a call, as of one moment.
pub(super) async fn call(pool: &SqlitePool, id: Uuid) -> Result<Option<FullCall>, StoreError> {
    let mut transaction = pool.begin().await?;
    let row = sqlx::query("SELECT * FROM calls WHERE call_id = ?")
        .bind(id.as_bytes().as_slice())
        .fetch_optional(&mut *transaction)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let summary = summary(&row)?;

    let mut entries = entries(&mut transaction, id).await?;
    shared::complete(&mut transaction, &mut entries).await?;
    transaction.rollback().await?;
    Ok(Some(FullCall { summary, entries }))
}

/// The entries of a call as they were written.
pub(super) async fn entries(connection: &mut SqliteConnection, id: Uuid) -> Result<Vec<Entry>, StoreError> {
    let rows = sqlx::query("SELECT * FROM entries WHERE call_id = ? ORDER BY epoch, seq")
        .bind(id.as_bytes().as_slice())
        .fetch_all(connection)
        .await?;
    rows.iter().map(entry).collect()
}

/// The calls by which it can be told what another one goes on from.
pub(super) async fn continued(pool: &SqlitePool, from: &Asked) -> Result<Vec<Summary>, StoreError> {
    let (filter, id) = match from {
        Asked::Response(id) => ("response_id = ?", id),
        Asked::Conversation(id) => ("conversation = ? AND (changed <> 0 OR outcome IS NULL)", id),
        Asked::Unreadable => return Ok(Vec::new()),
    };
    let newest = "ORDER BY started_at_us DESC, call_id DESC LIMIT";
    let select = AssertSqlSafe(format!("SELECT * FROM calls WHERE {filter} {newest} {CONTINUED_MAX}"));
    let rows = sqlx::query(select).bind(id).fetch_all(pool).await?;
    rows.iter().map(summary).collect()
}

fn select(query: &Query, limit: u32) -> QueryBuilder<Sqlite> {
    let mut select = QueryBuilder::new("SELECT * FROM calls WHERE TRUE");
    filter(&mut select, query);
    if let Some(Cursor { started_at_us, call_id }) = query.after {
        select.push(" AND (started_at_us, call_id) < (").push_bind(started_at_us);
        select.push(", ").push_bind(call_id.as_bytes().to_vec()).push(")");
    }
    select.push(" ORDER BY started_at_us DESC, call_id DESC LIMIT ").push_bind(limit);
    select
}

/// Adds what is asked of calls to a condition.
pub(super) fn filter(select: &mut QueryBuilder<Sqlite>, query: &Query) {
    for (column, value) in [
        ("model", &query.model),
        ("dialect", &query.dialect),
        ("client", &query.client),
        ("route", &query.route),
        ("upstream", &query.upstream),
        ("session_id", &query.session),
    ] {
        if let Some(value) = value {
            select.push(format_args!(" AND {column} = ")).push_bind(value.as_str());
        }
    }
    match query.outcome {
        None => {}
        Some(Ended::Not) => drop(select.push(" AND outcome IS NULL")),
        Some(Ended::As(outcome)) => drop(select.push(" AND outcome = ").push_bind(outcome.name())),
    }
    if let Some(since) = query.since_us {
        select.push(" AND started_at_us >= ").push_bind(since);
    }
    if let Some(until) = query.until_us {
        select.push(" AND started_at_us < ").push_bind(until);
    }
    if let Some(least) = query.severity {
        let grave = severities_from(least).into_iter().map(Severity::name);
        let mut list = select.push(" AND severity IN (").separated(", ");
        for name in grave {
            list.push_bind(name);
        }
        select.push(")");
    }
    if let Some(policy) = &query.policy {
        select
            .push(" AND acted IS NOT NULL AND EXISTS (SELECT 1 FROM json_each(calls.acted) WHERE value = ")
            .push_bind(policy.as_str());
        select.push(")");
    }
    for phrase in query.text.iter().flat_map(Search::phrases) {
        select
            .push(" AND call_id IN (SELECT call_id FROM texts WHERE id IN (SELECT rowid FROM words WHERE words MATCH ");
        // Words, without anything that would be syntax.
        select.push_bind(format!("\"{phrase}\"")).push("))");
    }
}

pub(super) fn summary(row: &SqliteRow) -> Result<Summary, StoreError> {
    Ok(Summary {
        call_id: call_id("calls", row)?,
        epoch: row.try_get("epoch")?,
        session: row.try_get("session")?,
        started_at_us: row.try_get("started_at_us")?,
        ended_at_us: row.try_get("ended_at_us")?,
        client: row.try_get("client")?,
        dialect: row.try_get("dialect")?,
        upstream_dialect: row.try_get("upstream_dialect")?,
        upstream: row.try_get("upstream")?,
        route: row.try_get("route")?,
        model: row.try_get("model")?,
        upstream_model: row.try_get("upstream_model")?,
        stream: row.try_get("stream")?,
        dropped: names(row, "dropped")?.unwrap_or_default(),
        omitted: names(row, "omitted")?.unwrap_or_default(),
        revision: row.try_get("revision")?,
        pipeline: names(row, "pipeline")?,
        outcome: named(row, "outcome", outcome_from_name)?,
        reason: row.try_get("reason")?,
        status: row.try_get("status")?,
        upstream_status: row.try_get("upstream_status")?,
        tokens: Tokens {
            input: count(row, "input_tokens")?,
            cache_read: count(row, "cache_read_tokens")?,
            cache_write: count(row, "cache_write_tokens")?,
            output: count(row, "output_tokens")?,
            thinking: count(row, "thinking_tokens")?,
        },
        severity: named(row, "severity", severity_from_name)?,
        upstream_first_us: count(row, "upstream_first_us")?,
        client_first_us: count(row, "client_first_us")?,
        acted: names(row, "acted")?.unwrap_or_default(),
        period: Period::from_number(row.try_get("period")?),
        answered: Answered::ended(
            row.try_get("response_id")?,
            row.try_get("conversation")?,
            row.try_get("changed")?,
            named(row, "withheld", |text| serde_json::from_str(text).ok())?.unwrap_or_default(),
        ),
    })
}

pub(super) fn entry(row: &SqliteRow) -> Result<Entry, StoreError> {
    let unsigned = |column| {
        let value: i64 = row.try_get(column)?;
        u64::try_from(value).map_err(|_| inconsistent("entries", column, row))
    };
    Ok(Entry {
        call_id: call_id("entries", row)?,
        epoch: row.try_get("epoch")?,
        seq: unsigned("seq")?,
        at_us: unsigned("at_us")?,
        kind: Cow::Owned(row.try_get("type")?),
        body: unpack(row.try_get("body")?).map_err(|_| inconsistent("entries", "body", row))?,
    })
}

pub(super) fn call_id(table: &'static str, row: &SqliteRow) -> Result<Uuid, StoreError> {
    Uuid::from_slice(row.try_get("call_id")?).map_err(|_| inconsistent(table, "call_id", row))
}

fn count(row: &SqliteRow, column: &'static str) -> Result<Option<u64>, StoreError> {
    unsigned("calls", column, row)
}

pub(super) fn unsigned(table: &'static str, column: &'static str, row: &SqliteRow) -> Result<Option<u64>, StoreError> {
    let value: Option<i64> = row.try_get(column)?;
    value.map(|value| u64::try_from(value).map_err(|_| inconsistent(table, column, row))).transpose()
}

/// The severity whose rank the row has.
pub(super) fn severity_of_rank(row: &SqliteRow) -> Result<Option<Severity>, StoreError> {
    let rank: Option<u8> = row.try_get("severity")?;
    Ok(rank.and_then(|rank| SEVERITIES.get(usize::from(rank)).copied()))
}

pub(super) fn names(row: &SqliteRow, column: &'static str) -> Result<Option<Vec<String>>, StoreError> {
    named(row, column, |text| serde_json::from_str(text).ok())
}

fn named<T>(row: &SqliteRow, column: &'static str, read: fn(&str) -> Option<T>) -> Result<Option<T>, StoreError> {
    let text: Option<&str> = row.try_get(column)?;
    text.map(|text| read(text).ok_or_else(|| inconsistent("calls", column, row))).transpose()
}

pub(super) fn inconsistent(table: &'static str, column: &'static str, row: &SqliteRow) -> StoreError {
    let id: Result<&[u8], _> = row.try_get("call_id");
    let call_id = id.map(|id| id.iter().map(|byte| format!("{byte:02x}")).collect()).unwrap_or_default();
    StoreError::Inconsistent { table, column, call_id }
}
