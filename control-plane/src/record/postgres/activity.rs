//! What was written, in the order of the transactions, as far as none of them can come any more that is before.

use futures_util::{TryStreamExt as _, future::BoxFuture};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _, postgres::PgRow};

use super::{Postgres, line::in_time, rows::column};
use crate::record::{
    Batch, StoreError,
    activity::{Activities, Activity, Call, Happening, Outcome, Place, Request, Run, What, runs, told_in_sql},
    packed::unpack,
};

/// Notes what a batch tells. It has to be the first that a transaction writes: see [`horizon`].
pub(super) async fn add(connection: &mut PgConnection, batch: &Batch) -> Result<(), StoreError> {
    let runs = runs(batch);
    if runs.is_empty() {
        return Ok(());
    }
    // In an order that is the same for all who write.
    let mut rows: Vec<&Run> = runs.iter().collect();
    rows.sort_by_key(|run| (run.first < 0, run.call_id, run.epoch, run.first));
    sqlx::query(
        "INSERT INTO activity (call_id, epoch, first, last) \
         SELECT * FROM UNNEST($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[]) ON CONFLICT DO NOTHING",
    )
    .bind(column(&rows, |run| run.call_id))
    .bind(column(&rows, |run| i64::from(run.epoch)))
    .bind(column(&rows, |run| run.first))
    .bind(column(&rows, |run| run.last))
    .execute(connection)
    .await?;
    Ok(())
}

impl Activity for Postgres {
    fn end(&self) -> BoxFuture<'_, Result<Place, StoreError>> {
        Box::pin(async {
            let mut line = self.line().await?;
            let answer = in_time(horizon(&mut line)).await;
            line.hand_back(answer)
        })
    }

    fn after(&self, place: Place, limit: u32) -> BoxFuture<'_, Result<Activities, StoreError>> {
        Box::pin(async move {
            let mut line = self.line().await?;
            let answer = after(&mut line, place, limit).await;
            line.hand_back(answer)
        })
    }

    fn forget(&self, keep: u32) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let mut line = self.line().await?;
            let answer = in_time(async {
                let forget = "DELETE FROM activity WHERE (transaction, number) <= (SELECT transaction, number \
                              FROM activity ORDER BY transaction DESC, number DESC OFFSET $1 LIMIT 1)";
                sqlx::query(forget).bind(i64::from(keep)).execute(&mut *line).await?;
                Ok(())
            });
            let answer = answer.await;
            line.hand_back(answer)
        })
    }
}

/// Every transaction before this place that writes activity has ended, and whoever looks from now on sees what it wrote. All
/// of them lock the table before they are given a number: one that does not hold it now gets a number that is not given yet. (Locks tell the lower half of numbers; some are given while this runs.)
async fn horizon(connection: &mut PgConnection) -> Result<Place, StoreError> {
    let horizon: i64 = sqlx::query_scalar(
        "WITH now AS (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next), \
         locks AS MATERIALIZED (SELECT * FROM pg_locks WHERE granted), \
         writers AS (SELECT (next - given.transactionid::text::bigint) & 4294967295 AS ago FROM now, locks AS given JOIN locks AS held \
             USING (virtualtransaction) WHERE given.locktype = 'transactionid' AND given.mode = 'ExclusiveLock' \
             AND held.locktype = 'relation' AND held.mode = 'RowExclusiveLock' AND held.relation = 'activity'::regclass \
             AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())) \
         SELECT next - COALESCE((SELECT MAX(ago) FROM writers WHERE ago < 2147483648), 0) FROM now",
    )
    .fetch_one(connection)
    .await?;
    Ok(Place::behind(horizon - 1, i64::MAX))
}

/// However much that is, the first row and every next one come in time.
async fn after(line: &mut PgConnection, place: Place, limit: u32) -> Result<Activities, StoreError> {
    let end = in_time(horizon(line)).await?;
    let begin = line.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    let mut transaction = in_time(async { Ok(begin.await?) }).await?;
    if place > end {
        // Another database is in the place of the one that it is from.
        return Ok(Activities { happenings: Vec::new(), through: end, is_more: false, is_gap: true });
    }
    let is_gap = in_time(is_gap(&mut transaction, place)).await?;
    let rows = in_time(rows(&mut transaction, place, end, limit)).await?;
    let mut happenings = Vec::new();
    let (Some(&first), Some(&last)) = (rows.first(), rows.last()) else {
        return Ok(Activities { happenings, through: end, is_more: false, is_gap });
    };
    {
        let select = AssertSqlSafe(select());
        let query = sqlx::query(select).bind(first.0).bind(first.1).bind(last.0).bind(last.1);
        let mut found = query.fetch(&mut *transaction);
        while let Some(row) = in_time(async { Ok(found.try_next().await?) }).await? {
            happenings.extend(happening(&row)?.filter(|happening| happening.place > place));
        }
    }
    transaction.rollback().await?;
    let is_more = rows.len() == limit as usize;
    let through = if is_more { Place::behind(last.0, last.1) } else { end };
    Ok(Activities { happenings, through, is_more, is_gap })
}

/// Whether something behind that place may have been forgotten: nothing before it is left, and it is not the beginning.
async fn is_gap(connection: &mut PgConnection, place: Place) -> Result<bool, StoreError> {
    let oldest = "SELECT transaction, number FROM activity ORDER BY transaction, number LIMIT 1";
    let oldest: Option<(i64, i64)> = sqlx::query_as(oldest).fetch_optional(connection).await?;
    Ok(oldest
        .is_some_and(|(transaction, number)| number > 1 && (place.transaction, place.number) < (transaction, number)))
}

async fn rows(
    connection: &mut PgConnection,
    place: Place,
    end: Place,
    limit: u32,
) -> Result<Vec<(i64, i64)>, StoreError> {
    let rows = "SELECT transaction, number FROM activity WHERE (transaction, number) >= ($1, $2) AND transaction <= $3 \
                ORDER BY transaction, number LIMIT $4";
    let number = if place.seq == i64::MAX { place.number.saturating_add(1) } else { place.number };
    let query = sqlx::query_as(rows).bind(place.transaction).bind(number).bind(end.transaction);
    Ok(query.bind(i64::from(limit)).fetch_all(connection).await?)
}

fn select() -> String {
    format!(
        "SELECT a.transaction, a.number, a.call_id, a.epoch, e.seq, e.at_us, e.type, \
             CASE e.type WHEN 'request' THEN NULL ELSE e.body END AS body, \
             c.started_at_us, c.ended_at_us, c.session_id, c.model, c.client, c.dialect, c.upstream_dialect, c.upstream, \
             c.route, c.upstream_model, c.stream, c.outcome, c.reason, a.first < 0 AS is_end, \
             a.first < 0 AND (c.epoch <> a.epoch OR c.outcome IS NULL OR EXISTS (SELECT 1 FROM entries AS told \
                 WHERE told.call_id = a.call_id AND told.epoch = a.epoch AND told.type IN ('outcome', 'report'))) AS is_told \
         FROM activity AS a JOIN calls AS c ON c.call_id = a.call_id \
         LEFT JOIN entries AS e ON e.call_id = a.call_id AND e.epoch = a.epoch \
             AND e.seq BETWEEN a.first AND a.last AND e.type IN {} \
         WHERE (a.transaction, a.number) BETWEEN ROW($1, $2) AND ROW($3, $4) ORDER BY a.transaction, a.number, e.seq",
        told_in_sql()
    )
}

/// `None`: it was told already, or is no more on record.
fn happening(row: &PgRow) -> Result<Option<Happening>, StoreError> {
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
        call_id: row.try_get("call_id")?,
        session: row.try_get("session_id")?,
        model: row.try_get("model")?,
        client: row.try_get("client")?,
    };
    Ok(Some(Happening {
        place: Place { transaction: row.try_get("transaction")?, number, seq: seq.unwrap_or(0) },
        call,
        epoch: epoch(row)?,
        seq: seq.and_then(|seq| u64::try_from(seq).ok()),
        at_us,
        what,
    }))
}

fn entry(row: &PgRow) -> Result<What, StoreError> {
    Ok(unpack(row.try_get("body")?).map_or(What::Unreadable, |body| What::of(&body)))
}

fn request(row: &PgRow) -> Result<Request, StoreError> {
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
fn end(row: &PgRow) -> Result<Outcome, StoreError> {
    let reason: Option<String> = row.try_get("reason")?;
    Ok(Outcome { outcome: row.try_get("outcome")?, reason: reason.unwrap_or_default(), ..Outcome::default() })
}

fn epoch(row: &PgRow) -> Result<u32, StoreError> {
    let epoch: i64 = row.try_get("epoch")?;
    let inconsistent = |_| StoreError::Inconsistent { table: "activity", column: "epoch", call_id: epoch.to_string() };
    u32::try_from(epoch).map_err(inconsistent)
}
