//! What was written, in the order of the commits: SQLite has one writer at a time.

use futures_util::{TryStreamExt as _, future::BoxFuture};
use sqlx::{AssertSqlSafe, QueryBuilder, Row as _, SqliteConnection, SqlitePool, sqlite::SqliteRow};

use super::{Sqlite, read::call_id, rows::rows_at_once};
use crate::record::{
    Batch, StoreError,
    activity::{Activities, Activity, Call, Happening, Outcome, Place, Request, What, runs, told_in_sql},
    packed::unpack,
};

/// Notes what a batch tells.
pub(super) async fn add(connection: &mut SqliteConnection, batch: &Batch) -> Result<(), StoreError> {
    let runs = runs(batch);
    let mut runs = runs.as_slice();
    while !runs.is_empty() {
        let (rows, rest) = runs.split_at(rows_at_once(runs.len()));
        let mut insert = QueryBuilder::<sqlx::Sqlite>::new("INSERT INTO activity (call_id, epoch, first, last) ");
        insert.push_values(rows, |mut row, run| {
            row.push_bind(run.call_id.as_bytes().as_slice())
                .push_bind(run.epoch)
                .push_bind(run.first)
                .push_bind(run.last);
        });
        insert.push(" ON CONFLICT DO NOTHING");
        insert.build().execute(&mut *connection).await?;
        runs = rest;
    }
    Ok(())
}

impl Activity for Sqlite {
    fn end(&self) -> BoxFuture<'_, Result<Place, StoreError>> {
        Box::pin(async {
            let last = "SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'activity'), 0)";
            Ok(Place::behind(0, sqlx::query_scalar(last).fetch_one(&self.readers).await?))
        })
    }

    fn after(&self, place: Place, limit: u32) -> BoxFuture<'_, Result<Activities, StoreError>> {
        Box::pin(after(&self.readers, place, limit))
    }

    fn forget(&self, keep: u32) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let forget = "DELETE FROM activity WHERE number <= (SELECT MAX(number) FROM activity) - ?";
            sqlx::query(forget).bind(keep).execute(&mut *self.to_write().await?).await?;
            Ok(())
        })
    }
}

async fn after(pool: &SqlitePool, place: Place, limit: u32) -> Result<Activities, StoreError> {
    let mut transaction = pool.begin().await?;
    let row =
        sqlx::query("SELECT MIN(number), (SELECT seq FROM sqlite_sequence WHERE name = 'activity') FROM activity")
            .fetch_one(&mut *transaction)
            .await?;
    let (oldest, last): (Option<i64>, Option<i64>) = (row.try_get(0)?, row.try_get(1)?);
    let last = last.unwrap_or(0);
    if place.number > last {
        // Another file is in the place of the one that it is from.
        let through = Place::behind(0, last);
        return Ok(Activities { happenings: Vec::new(), through, is_more: false, is_gap: true });
    }
    let next = if place.seq == i64::MAX { place.number + 1 } else { place.number };
    let is_gap = next < oldest.unwrap_or(last + 1);

    let rows: Vec<i64> = sqlx::query_scalar("SELECT number FROM activity WHERE number >= ? ORDER BY number LIMIT ?")
        .bind(next)
        .bind(limit)
        .fetch_all(&mut *transaction)
        .await?;
    let mut happenings = Vec::new();
    let (Some(&first), Some(&through)) = (rows.first(), rows.last()) else {
        return Ok(Activities { happenings, through: Place::behind(0, last), is_more: false, is_gap });
    };
    let select = AssertSqlSafe(select());
    let mut found = sqlx::query(select).bind(first).bind(through).fetch(&mut *transaction);
    while let Some(row) = found.try_next().await? {
        happenings.extend(happening(&row)?.filter(|happening| happening.place > place));
    }
    let is_more = rows.len() == limit as usize;
    Ok(Activities { happenings, through: Place::behind(0, through), is_more, is_gap })
}

fn select() -> String {
    format!(
        "SELECT a.number, a.call_id, a.epoch, e.seq, e.at_us, e.type, \
             CASE e.type WHEN 'request' THEN NULL ELSE e.body END AS body, \
             c.started_at_us, c.ended_at_us, c.session_id, c.model, c.client, c.dialect, c.upstream_dialect, c.upstream, \
             c.route, c.upstream_model, c.stream, c.outcome, c.reason, a.first < 0 AS is_end, \
             a.first < 0 AND (c.epoch <> a.epoch OR c.outcome IS NULL OR EXISTS (SELECT 1 FROM entries AS told \
                 WHERE told.call_id = a.call_id AND told.epoch = a.epoch AND told.type IN ('outcome', 'report'))) AS is_told \
         FROM activity AS a JOIN calls AS c ON c.call_id = a.call_id \
         LEFT JOIN entries AS e ON e.call_id = a.call_id AND e.epoch = a.epoch \
             AND e.seq BETWEEN a.first AND a.last AND e.type IN {} \
         WHERE a.number BETWEEN ? AND ? ORDER BY a.number, e.seq",
        told_in_sql()
    )
}

/// `None`: it was told already, or is no more on record.
fn happening(row: &SqliteRow) -> Result<Option<Happening>, StoreError> {
    let started_at_us: i64 = row.try_get("started_at_us")?;
    let (number, seq): (i64, Option<i64>) = (row.try_get("number")?, row.try_get("seq")?);
    let (what, at_us) = match (seq, row.try_get("is_end")?, row.try_get("is_told")?) {
        (Some(_), _, _) => {
            let kind: &str = row.try_get("type")?;
            let what = if kind == "request" { What::Request(request(row)?) } else { entry(row)? };
            (what, started_at_us.saturating_add(row.try_get("at_us")?))
        }
        (None, true, false) => {
            let ended: Option<i64> = row.try_get("ended_at_us")?;
            (What::Outcome(Box::new(end(row)?)), ended.unwrap_or(started_at_us))
        }
        (None, _, _) => return Ok(None),
    };
    let call = Call {
        call_id: call_id("activity", row)?,
        session: row.try_get("session_id")?,
        model: row.try_get("model")?,
        client: row.try_get("client")?,
    };
    Ok(Some(Happening {
        place: Place { transaction: 0, number, seq: seq.unwrap_or(0) },
        call,
        epoch: row.try_get("epoch")?,
        seq: seq.and_then(|seq| u64::try_from(seq).ok()),
        at_us,
        what,
    }))
}

fn entry(row: &SqliteRow) -> Result<What, StoreError> {
    Ok(unpack(row.try_get("body")?).map_or(What::Unreadable, |body| What::of(&body)))
}

fn request(row: &SqliteRow) -> Result<Request, StoreError> {
    Ok(Request {
        dialect: row.try_get("dialect")?,
        upstream_dialect: row.try_get("upstream_dialect")?,
        upstream: row.try_get("upstream")?,
        route: row.try_get("route")?,
        upstream_model: row.try_get("upstream_model")?,
        stream: row.try_get("stream")?,
    })
}

/// Of a call of which nobody told how it ended.
fn end(row: &SqliteRow) -> Result<Outcome, StoreError> {
    let reason: Option<String> = row.try_get("reason")?;
    Ok(Outcome { outcome: row.try_get("outcome")?, reason: reason.unwrap_or_default(), ..Outcome::default() })
}
