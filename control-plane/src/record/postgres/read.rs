//! How rows become calls and entries again.

use std::borrow::Cow;

use futures_util::TryStreamExt as _;
use luthien_proto::message::Severity;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Postgres, QueryBuilder, Row as _, postgres::PgRow};
use uuid::Uuid;

use super::{line::in_time, rows::text, shared};
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
pub(super) async fn calls(line: &mut PgConnection, query: &Query) -> Result<Page, StoreError> {
    let limit = query.limit.min(Query::LIMIT_MAX);
    let rows = select(query, limit + 1).build().fetch_all(line).await?;
    let mut calls = rows.iter().map(summary).collect::<Result<Vec<_>, _>>()?;

    let more = calls.len() > limit as usize;
    calls.truncate(limit as usize);
    let next = match calls.last() {
        Some(last) if more => Some(Cursor { started_at_us: last.started_at_us, call_id: last.call_id }),
        Some(_) | None => None,
    };
    Ok(Page { calls, next })
}

/// All that is on record of a call, as of one moment. However much that is, the first row and every next one come in time.
pub(super) async fn call(line: &mut PgConnection, id: Uuid) -> Result<Option<FullCall>, StoreError> {
    let begin = line.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    let mut transaction = in_time(async { Ok(begin.await?) }).await?;
    let row = sqlx::query("SELECT * FROM calls WHERE call_id = $1").bind(id).fetch_optional(&mut *transaction);
    let Some(row) = in_time(async { Ok(row.await?) }).await? else { return Ok(None) };
    let summary = summary(&row)?;

    let mut entries = entries(&mut transaction, id).await?;
    shared::complete(&mut transaction, &mut entries).await?;
    transaction.rollback().await?;
    Ok(Some(FullCall { summary, entries }))
}

/// The entries of a call as they were written. The first and every next one come in time.
pub(super) async fn entries(connection: &mut PgConnection, id: Uuid) -> Result<Vec<Entry>, StoreError> {
    let mut entries = Vec::new();
    let query = sqlx::query("SELECT * FROM entries WHERE call_id = $1 ORDER BY epoch, seq").bind(id);
    let mut rows = query.fetch(connection);
    while let Some(row) = in_time(async { Ok(rows.try_next().await?) }).await? {
        entries.push(entry(&row)?);
    }
    Ok(entries)
}

/// The calls by which it can be told what another one goes on from.
pub(super) async fn continued(line: &mut PgConnection, from: &Asked) -> Result<Vec<Summary>, StoreError> {
    let (filter, id) = match from {
        Asked::Response(id) => ("response_id = $1", id),
        Asked::Conversation(id) => ("conversation = $1 AND (changed OR outcome IS NULL)", id),
        Asked::Unreadable => return Ok(Vec::new()),
    };
    let newest = "ORDER BY started_at_us DESC, call_id DESC LIMIT";
    let select = AssertSqlSafe(format!("SELECT * FROM calls WHERE {filter} {newest} {CONTINUED_MAX}"));
    let rows = sqlx::query(select).bind(id).fetch_all(line).await?;
    rows.iter().map(summary).collect()
}

fn select(query: &Query, limit: u32) -> QueryBuilder<Postgres> {
    let mut select = QueryBuilder::new("SELECT * FROM calls WHERE TRUE");
    filter(&mut select, query);
    if let Some(Cursor { started_at_us, call_id }) = query.after {
        select.push(" AND (started_at_us, call_id) < (").push_bind(started_at_us);
        select.push(", ").push_bind(call_id).push(")");
    }
    select.push(" ORDER BY started_at_us DESC, call_id DESC LIMIT ").push_bind(i64::from(limit));
    select
}

/// Adds what is asked of calls to a condition.
pub(super) fn filter(select: &mut QueryBuilder<Postgres>, query: &Query) {
    for (column, value) in [
        ("model", &query.model),
        ("dialect", &query.dialect),
        ("client", &query.client),
        ("route", &query.route),
        ("upstream", &query.upstream),
        ("session_id", &query.session),
    ] {
        if let Some(value) = value {
            select.push(format_args!(" AND {column} = ")).push_bind(text(value));
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
        let grave: Vec<_> = severities_from(least).into_iter().map(Severity::name).collect();
        select.push(" AND severity = ANY (").push_bind(grave).push(")");
    }
    if let Some(policy) = &query.policy {
        select.push(" AND acted IS NOT NULL AND acted::jsonb ? ").push_bind(text(policy).into_owned());
    }
    for phrase in query.text.iter().flat_map(Search::phrases) {
        select.push(" AND call_id IN (SELECT call_id FROM texts WHERE words @@ phraseto_tsquery('simple', ");
        select.push_bind(phrase.to_owned()).push("))");
    }
}

pub(super) fn summary(row: &PgRow) -> Result<Summary, StoreError> {
    Ok(Summary {
        call_id: row.try_get("call_id")?,
        epoch: number("calls", "epoch", row)?,
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
        status: status(row, "status")?,
        upstream_status: status(row, "upstream_status")?,
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
        period: Period::from_number(number("calls", "period", row)?),
        answered: Answered::ended(
            row.try_get("response_id")?,
            row.try_get("conversation")?,
            row.try_get("changed")?,
            named(row, "withheld", |text| serde_json::from_str(text).ok())?.unwrap_or_default(),
        ),
    })
}

pub(super) fn entry(row: &PgRow) -> Result<Entry, StoreError> {
    Ok(Entry {
        call_id: row.try_get("call_id")?,
        epoch: number("entries", "epoch", row)?,
        seq: number("entries", "seq", row)?,
        at_us: number("entries", "at_us", row)?,
        kind: Cow::Owned(row.try_get("type")?),
        body: unpack(row.try_get("body")?).map_err(|_| inconsistent("entries", "body", row))?,
    })
}

/// A number of ours that has no sign.
pub(super) fn number<T: TryFrom<i64>>(table: &'static str, column: &'static str, row: &PgRow) -> Result<T, StoreError> {
    let value: i64 = row.try_get(column)?;
    T::try_from(value).map_err(|_| inconsistent(table, column, row))
}

fn status(row: &PgRow, column: &'static str) -> Result<Option<u16>, StoreError> {
    let value: Option<i32> = row.try_get(column)?;
    value.map(|value| u16::try_from(value).map_err(|_| inconsistent("calls", column, row))).transpose()
}

pub(super) fn count(row: &PgRow, column: &'static str) -> Result<Option<u64>, StoreError> {
    let value: Option<i64> = row.try_get(column)?;
    value.map(|value| u64::try_from(value).map_err(|_| inconsistent("calls", column, row))).transpose()
}

/// The severity whose rank the row has.
pub(super) fn severity_of_rank(row: &PgRow) -> Result<Option<Severity>, StoreError> {
    let rank: Option<i32> = row.try_get("severity")?;
    Ok(rank.and_then(|rank| SEVERITIES.get(usize::try_from(rank).ok()?).copied()))
}

pub(super) fn names(row: &PgRow, column: &'static str) -> Result<Option<Vec<String>>, StoreError> {
    named(row, column, |text| serde_json::from_str(text).ok())
}

fn named<T>(row: &PgRow, column: &'static str, read: fn(&str) -> Option<T>) -> Result<Option<T>, StoreError> {
    let text: Option<&str> = row.try_get(column)?;
    text.map(|text| read(text).ok_or_else(|| inconsistent("calls", column, row))).transpose()
}

pub(super) fn inconsistent(table: &'static str, column: &'static str, row: &PgRow) -> StoreError {
    let id: Result<Uuid, _> = row.try_get("call_id");
    StoreError::Inconsistent { table, column, call_id: id.map(|id| id.to_string()).unwrap_or_default() }
}
