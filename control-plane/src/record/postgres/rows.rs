//! How batches become rows: a statement per table, whatever their size, in an order of the tables and of the rows that is
//! the same for all who write. So two who write the same rows wait for one another, and not in a circle.

use std::{borrow::Cow, sync::LazyLock};

use sqlx::{AssertSqlSafe, PgConnection, Row as _, postgres::PgArguments, query::Query};

use crate::record::{
    Entry, EntryKey, StoreError, Summary,
    packed::{pack, unpack},
};

/// The columns of a summary, the key and the epoch first, each with its type.
const SUMMARY_COLUMNS: [(&str, &str); 36] = [
    ("call_id", "uuid"),
    ("epoch", "bigint"),
    ("session", "text"),
    ("started_at_us", "bigint"),
    ("ended_at_us", "bigint"),
    ("client", "text"),
    ("dialect", "text"),
    ("upstream_dialect", "text"),
    ("upstream", "text"),
    ("route", "text"),
    ("model", "text"),
    ("upstream_model", "text"),
    ("stream", "boolean"),
    ("dropped", "text"),
    ("omitted", "text"),
    ("revision", "text"),
    ("pipeline", "text"),
    ("outcome", "text"),
    ("reason", "text"),
    ("status", "integer"),
    ("upstream_status", "integer"),
    ("input_tokens", "bigint"),
    ("cache_read_tokens", "bigint"),
    ("cache_write_tokens", "bigint"),
    ("output_tokens", "bigint"),
    ("thinking_tokens", "bigint"),
    ("severity", "text"),
    ("upstream_first_us", "bigint"),
    ("client_first_us", "bigint"),
    ("response_id", "text"),
    ("conversation", "text"),
    ("changed", "boolean"),
    ("withheld", "text"),
    ("acted", "text"),
    ("session_id", "text"),
    ("period", "bigint"),
];

static PUT_SUMMARIES: LazyLock<String> = LazyLock::new(|| {
    let names = SUMMARY_COLUMNS.map(|(name, _)| name);
    let arrays: Vec<_> = (1..).zip(SUMMARY_COLUMNS).map(|(n, (_, type_))| format!("${n}::{type_}[]")).collect();
    let assignments: Vec<_> = names[1..].iter().map(|name| assignment(name)).collect();
    format!(
        "INSERT INTO calls ({}) SELECT * FROM UNNEST({}) ON CONFLICT (call_id) DO UPDATE SET {} \
         WHERE {new} > {kept} OR {new} = {kept} AND excluded.outcome IS NULL",
        names.join(", "),
        arrays.join(", "),
        assignments.join(", "),
        new = rank("excluded"),
        kept = rank("calls"),
    )
});

/// From the row that could not be inserted. A call is kept for the first of its periods.
fn assignment(name: &str) -> String {
    match name {
        "period" => "period = LEAST(calls.period, excluded.period)".to_owned(),
        _ => format!("{name} = excluded.{name}"),
    }
}

/// By what summaries supersede each other.
fn rank(row: &str) -> String {
    format!("(COALESCE({row}.outcome <> 'unknown', FALSE), {row}.epoch, {row}.outcome IS NOT NULL)")
}

/// What a row takes beside its content, its part of the indexes included.
pub(super) const ROW_BYTES: usize = 160;

/// Adds entries; one that is there already is kept as it is. Tells which of those have another content, and about how many
/// bytes were added.
pub(super) async fn add_entries(
    connection: &mut PgConnection,
    entries: &[Entry],
) -> Result<(Vec<EntryKey>, usize), StoreError> {
    if entries.is_empty() {
        return Ok((Vec::new(), 0));
    }
    let mut rows: Vec<&Entry> = entries.iter().collect();
    rows.sort_by_key(|entry| entry.key());
    let bodies = column(&rows, |entry| pack(&entry.body));
    let bytes = bodies.iter().map(|body| body.len() + ROW_BYTES).sum();
    let added = sqlx::query(
        "INSERT INTO entries (call_id, epoch, seq, at_us, type, body) \
         SELECT * FROM UNNEST($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::bytea[]) \
         ON CONFLICT DO NOTHING",
    )
    .bind(column(&rows, |entry| entry.call_id))
    .bind(column(&rows, |entry| i64::from(entry.epoch)))
    .bind(column(&rows, |entry| integer(entry.seq)))
    .bind(column(&rows, |entry| integer(entry.at_us)))
    .bind(column(&rows, |entry| text(&entry.kind)))
    .bind(bodies)
    .execute(&mut *connection)
    .await?;
    match added.rows_affected() {
        added if added == rows.len() as u64 => Ok((Vec::new(), bytes)),
        _ => Ok((conflicting(connection, &rows).await?, bytes)),
    }
}

/// Those of which another content is there.
async fn conflicting(connection: &mut PgConnection, rows: &[&Entry]) -> Result<Vec<EntryKey>, StoreError> {
    let found = sqlx::query(
        "SELECT at::bigint AS at, body FROM UNNEST($1::uuid[], $2::bigint[], $3::bigint[]) WITH ORDINALITY \
         AS wanted (call_id, epoch, seq, at) JOIN entries USING (call_id, epoch, seq)",
    )
    .bind(column(rows, |entry| entry.call_id))
    .bind(column(rows, |entry| i64::from(entry.epoch)))
    .bind(column(rows, |entry| integer(entry.seq)))
    .fetch_all(connection)
    .await?;
    let mut conflicts = Vec::new();
    for row in found {
        let (at, body): (i64, &[u8]) = (row.try_get("at")?, row.try_get("body")?);
        let entry = usize::try_from(at - 1).ok().and_then(|at| rows.get(at));
        conflicts
            .extend(entry.filter(|entry| unpack(body).is_ok_and(|body| body != entry.body)).map(|entry| entry.key()));
    }
    Ok(conflicts)
}

/// Puts on record what is known of calls at a glance, where it [supersedes](Summary::supersedes) what is there.
pub(super) async fn put_summaries(connection: &mut PgConnection, summaries: &[Summary]) -> Result<(), StoreError> {
    // One statement changes a row once.
    let rows = Summary::latest(summaries);
    if !rows.is_empty() {
        bind_summaries(sqlx::query(AssertSqlSafe(PUT_SUMMARIES.as_str())), &rows).execute(connection).await?;
    }
    Ok(())
}

type Insert<'q> = Query<'q, sqlx::Postgres, PgArguments>;

/// In the order of [`SUMMARY_COLUMNS`].
fn bind_summaries<'q>(insert: Insert<'q>, rows: &[&Summary]) -> Insert<'q> {
    let count = |count: fn(&Summary) -> Option<u64>| column(rows, |summary| count(summary).map(integer));
    insert
        .bind(column(rows, |summary| summary.call_id))
        .bind(column(rows, |summary| i64::from(summary.epoch)))
        .bind(column(rows, |summary| summary.session.as_deref().map(owned)))
        .bind(column(rows, |summary| summary.started_at_us))
        .bind(column(rows, |summary| summary.ended_at_us))
        .bind(column(rows, |summary| summary.client.as_deref().map(owned)))
        .bind(column(rows, |summary| owned(&summary.dialect)))
        .bind(column(rows, |summary| owned(&summary.upstream_dialect)))
        .bind(column(rows, |summary| owned(&summary.upstream)))
        .bind(column(rows, |summary| owned(&summary.route)))
        .bind(column(rows, |summary| owned(&summary.model)))
        .bind(column(rows, |summary| owned(&summary.upstream_model)))
        .bind(column(rows, |summary| summary.stream))
        .bind(column(rows, |summary| names(&summary.dropped)))
        .bind(column(rows, |summary| names(&summary.omitted)))
        .bind(column(rows, |summary| summary.revision.as_deref().map(owned)))
        .bind(column(rows, |summary| summary.pipeline.as_deref().map(json)))
        .bind(column(rows, |summary| summary.outcome.map(|outcome| outcome.name())))
        .bind(column(rows, |summary| summary.reason.as_deref().map(owned)))
        .bind(column(rows, |summary| summary.status.map(i32::from)))
        .bind(column(rows, |summary| summary.upstream_status.map(i32::from)))
        .bind(count(|summary| summary.tokens.input))
        .bind(count(|summary| summary.tokens.cache_read))
        .bind(count(|summary| summary.tokens.cache_write))
        .bind(count(|summary| summary.tokens.output))
        .bind(count(|summary| summary.tokens.thinking))
        .bind(column(rows, |summary| summary.severity.map(|severity| severity.name())))
        .bind(count(|summary| summary.upstream_first_us))
        .bind(count(|summary| summary.client_first_us))
        .bind(column(rows, |summary| summary.answered.response_id.as_deref().map(owned)))
        .bind(column(rows, |summary| summary.answered.conversation.as_deref().map(owned)))
        .bind(column(rows, |summary| summary.answered.changed))
        .bind(column(rows, |summary| {
            let withheld = &summary.answered.withheld;
            (!withheld.is_empty()).then(|| serde_json::json!(withheld).to_string())
        }))
        .bind(column(rows, |summary| names(&summary.acted)))
        .bind(column(rows, |summary| owned(&summary.session_id())))
        .bind(column(rows, |summary| i64::from(summary.period.number())))
}

pub(super) fn column<'r, T: 'r, C>(rows: &[&'r T], column: impl Fn(&'r T) -> C) -> Vec<C> {
    rows.iter().map(|row| column(row)).collect()
}

/// Names, if there are any.
fn names(names: &[String]) -> Option<String> {
    (!names.is_empty()).then(|| json(names))
}

fn json(names: &[String]) -> String {
    serde_json::Value::from(names).to_string()
}

/// Postgres's texts can hold every character but one, which anybody may write into the name of a model.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    match text.contains('\0') {
        true => Cow::Owned(text.replace('\0', "\u{fffd}")),
        false => Cow::Borrowed(text),
    }
}

fn owned(value: &str) -> String {
    text(value).into_owned()
}

/// Postgres's integers are signed; no count of ours comes near the end of them, but a proxy may say anything.
pub(super) fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
