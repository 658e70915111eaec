//! How calls and entries become rows.

use std::{collections::BTreeMap, sync::LazyLock};

use sqlx::{QueryBuilder, Sqlite, SqliteConnection, query_builder::Separated};

use crate::{
    continuation::Withheld,
    record::{
        Entry, EntryKey, StoreError, Summary,
        packed::{pack, unpack},
    },
};

/// The most rows of one INSERT. With a power of two each, few statements are prepared and all stay in the cache.
const ROWS_MAX: usize = 256;
/// The same of summaries, which have many columns.
const SUMMARIES_MAX: usize = 64;

const SUMMARY_COLUMNS: &str = "call_id, epoch, session, started_at_us, ended_at_us, client, dialect, upstream_dialect, \
    upstream, route, model, upstream_model, stream, dropped, omitted, revision, pipeline, outcome, reason, status, upstream_status, \
    input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, thinking_tokens, severity, upstream_first_us, \
    client_first_us, response_id, conversation, changed, withheld, acted, session_id, period";

/// Adds entries; one that is there already is kept as it is. Tells which of those have another content.
pub(super) async fn add_entries(
    connection: &mut SqliteConnection,
    mut entries: &[Entry],
) -> Result<Vec<EntryKey>, StoreError> {
    let mut conflicts = Vec::new();
    while !entries.is_empty() {
        let (rows, rest) = entries.split_at(rows_at_once(entries.len()));
        let mut insert = QueryBuilder::<Sqlite>::new("INSERT INTO entries (call_id, epoch, seq, at_us, type, body) ");
        insert.push_values(rows, |mut row, entry| {
            row.push_bind(entry.call_id.as_bytes().as_slice())
                .push_bind(entry.epoch)
                .push_bind(integer(entry.seq))
                .push_bind(integer(entry.at_us))
                .push_bind(&*entry.kind)
                .push_bind(pack(&entry.body));
        });
        insert.push(" ON CONFLICT DO NOTHING");
        let added = insert.build().execute(&mut *connection).await?.rows_affected();
        if added != rows.len() as u64 {
            conflicts.extend(conflicting(connection, rows).await?);
        }
        entries = rest;
    }
    Ok(conflicts)
}

/// Those of which another content is there.
async fn conflicting(connection: &mut SqliteConnection, entries: &[Entry]) -> Result<Vec<EntryKey>, StoreError> {
    let mut conflicts = Vec::new();
    for entry in entries {
        let kept: Option<Vec<u8>> =
            sqlx::query_scalar("SELECT body FROM entries WHERE call_id = ? AND epoch = ? AND seq = ?")
                .bind(entry.call_id.as_bytes().as_slice())
                .bind(entry.epoch)
                .bind(integer(entry.seq))
                .fetch_optional(&mut *connection)
                .await?;
        if kept.is_some_and(|kept| unpack(&kept).is_ok_and(|kept| kept != entry.body)) {
            conflicts.push(entry.key());
        }
    }
    Ok(conflicts)
}

/// Puts on record what is known of calls at a glance, where it [supersedes](Summary::supersedes) what is there.
pub(super) async fn put_summaries(connection: &mut SqliteConnection, summaries: &[Summary]) -> Result<(), StoreError> {
    let latest = Summary::latest(summaries);
    let mut rest = latest.as_slice();
    while !rest.is_empty() {
        let (rows, behind) = rest.split_at(rows_at_once(rest.len().min(SUMMARIES_MAX)));
        let mut insert = QueryBuilder::<Sqlite>::new(format!("INSERT INTO calls ({SUMMARY_COLUMNS}) "));
        insert.push_values(rows, |row, summary| bind_summary(row, summary));
        insert.push(&*SUPERSEDE);
        insert.build().execute(&mut *connection).await?;
        rest = behind;
    }
    put_sessions(connection, summaries).await
}

/// Notes when the last call of each session began.
async fn put_sessions(connection: &mut SqliteConnection, summaries: &[Summary]) -> Result<(), StoreError> {
    let mut latest: BTreeMap<String, i64> = BTreeMap::new();
    for summary in summaries {
        let at = latest.entry(summary.session_id()).or_insert(summary.started_at_us);
        *at = summary.started_at_us.max(*at);
    }
    let sessions: Vec<(String, i64)> = latest.into_iter().collect();
    let mut rest = sessions.as_slice();
    while !rest.is_empty() {
        let (rows, behind) = rest.split_at(rows_at_once(rest.len()));
        let mut insert = QueryBuilder::<Sqlite>::new("INSERT INTO sessions (id, last_at_us) ");
        insert.push_values(rows, |mut row, (id, last_at_us)| {
            row.push_bind(id).push_bind(*last_at_us);
        });
        insert.push(
            " ON CONFLICT (id) \
             DO UPDATE SET last_at_us = excluded.last_at_us WHERE excluded.last_at_us > sessions.last_at_us",
        );
        insert.build().execute(&mut *connection).await?;
        rest = behind;
    }
    Ok(())
}

/// What becomes of a summary whose call has one.
static SUPERSEDE: LazyLock<String> = LazyLock::new(|| {
    format!(
        " ON CONFLICT (call_id) DO UPDATE SET {}, epoch = excluded.epoch \
         WHERE {new} > {kept} OR {new} = {kept} AND excluded.outcome IS NULL",
        assignments(),
        new = rank("excluded"),
        kept = rank("calls"),
    )
});

/// By what summaries supersede each other.
fn rank(row: &str) -> String {
    format!("(COALESCE({row}.outcome <> 'unknown', FALSE), {row}.epoch, {row}.outcome IS NOT NULL)")
}

/// In the order of [`SUMMARY_COLUMNS`].
fn bind_summary(mut row: Separated<'_, Sqlite, &'static str>, summary: &Summary) {
    row.push_bind(summary.call_id.as_bytes().as_slice())
        .push_bind(summary.epoch)
        .push_bind(summary.session.as_deref())
        .push_bind(summary.started_at_us)
        .push_bind(summary.ended_at_us)
        .push_bind(summary.client.as_deref())
        .push_bind(summary.dialect.as_str())
        .push_bind(summary.upstream_dialect.as_str())
        .push_bind(summary.upstream.as_str())
        .push_bind(summary.route.as_str())
        .push_bind(summary.model.as_str())
        .push_bind(summary.upstream_model.as_str())
        .push_bind(summary.stream)
        .push_bind(names(&summary.dropped))
        .push_bind(names(&summary.omitted))
        .push_bind(summary.revision.as_deref())
        .push_bind(summary.pipeline.as_deref().map(json))
        .push_bind(summary.outcome.map(|outcome| outcome.name()))
        .push_bind(summary.reason.as_deref())
        .push_bind(summary.status)
        .push_bind(summary.upstream_status)
        .push_bind(summary.tokens.input.map(integer))
        .push_bind(summary.tokens.cache_read.map(integer))
        .push_bind(summary.tokens.cache_write.map(integer))
        .push_bind(summary.tokens.output.map(integer))
        .push_bind(summary.tokens.thinking.map(integer))
        .push_bind(summary.severity.map(|severity| severity.name()))
        .push_bind(summary.upstream_first_us.map(integer))
        .push_bind(summary.client_first_us.map(integer))
        .push_bind(summary.answered.response_id.as_deref())
        .push_bind(summary.answered.conversation.as_deref())
        .push_bind(summary.answered.changed)
        .push_bind(withheld(&summary.answered.withheld))
        .push_bind(names(&summary.acted))
        .push_bind(summary.session_id())
        .push_bind(summary.period.number());
}

fn withheld(calls: &[Withheld]) -> Option<String> {
    (!calls.is_empty()).then(|| serde_json::json!(calls).to_string())
}

/// Names, if there are any.
fn names(names: &[String]) -> Option<String> {
    (!names.is_empty()).then(|| json(names))
}

fn json(names: &[String]) -> String {
    serde_json::Value::from(names).to_string()
}

/// Every column but the key and the epoch, from the row that could not be inserted. A call is kept for the first of its
/// periods.
fn assignments() -> String {
    let columns = SUMMARY_COLUMNS.split(", ").map(str::trim).skip(2);
    let assignments = columns.map(|column| match column {
        "period" => "period = MIN(calls.period, excluded.period)".to_owned(),
        _ => format!("{column} = excluded.{column}"),
    });
    assignments.collect::<Vec<_>>().join(", ")
}

/// SQLite's integers are signed; no count of ours comes near the end of them, but a proxy may say anything.
pub(super) fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The greatest power of two that is not above `rows` or [`ROWS_MAX`].
pub(super) fn rows_at_once(rows: usize) -> usize {
    match rows.min(ROWS_MAX).checked_ilog2() {
        Some(exponent) => 1 << exponent,
        None => 0,
    }
}
