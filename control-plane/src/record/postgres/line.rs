//! Connections, and how long is waited for what comes over them.

use std::{
    ops::{Deref, DerefMut},
    time::Duration,
};

use sqlx::{
    Connection as _, Executor as _, PgConnection, Postgres, Row as _,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPool, PgPoolOptions},
};
use tokio::time::{sleep, timeout};

use crate::record::StoreError;

/// How long a connection may take to be there, the waiting for a free one included.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long an answer may take.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(5);
/// After a silence of this length it is asked whether the server is still at work on what it was told.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// Between two looks at a session that seems idle: it may only wait for what is on its way.
const SECOND_LOOK: Duration = Duration::from_millis(500);
const READERS: u32 = 8;

/// What every session begins with. What a commit promises is not for a server's configuration to decide; a session whose
/// client is gone without a word must not keep its locks.
const SESSION: &str = "SET synchronous_commit = 'on'; SET idle_in_transaction_session_timeout = '60s'; \
    SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; \
    SET client_min_messages = 'warning'; SET timezone = 'UTC'";
/// What one begins with that reads: the server's own limit, for when nobody waits for the answer any more.
const READING: &str = "SET statement_timeout = '30s'; SET lock_timeout = '5s'";

/// Connections for reads and for what is small.
pub(super) fn pool(options: &PgConnectOptions) -> PgPool {
    PgPoolOptions::new()
        .max_connections(READERS)
        .acquire_timeout(CONNECT_MAX)
        .after_connect(|connection, _| {
            Box::pin(async move {
                connection.execute(SESSION).await?;
                connection.execute(READING).await?;
                Ok(())
            })
        })
        .connect_lazy_with(options.clone())
}

/// A connection of its own, for writing.
pub(super) async fn connect(options: &PgConnectOptions) -> Result<PgConnection, StoreError> {
    let connect = async {
        let mut connection = PgConnection::connect_with(options).await?;
        connection.execute(SESSION).await?;
        Ok(connection)
    };
    timeout(CONNECT_MAX, connect).await.map_err(|_| StoreError::Slow(CONNECT_MAX))?
}

/// A connection of the pool, for one question.
pub(super) struct Line(PoolConnection<Postgres>);

impl Line {
    pub(super) async fn of(pool: &PgPool) -> Result<Self, StoreError> {
        Ok(Self(pool.acquire().await?))
    }

    /// Gives the connection back, unless there was no answer: that may still come.
    pub(super) fn hand_back<T>(self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(StoreError::Slow(_)) = &answer {
            drop(self.0.detach());
        }
        answer
    }
}

impl Deref for Line {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.0
    }
}

impl DerefMut for Line {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.0
    }
}

/// The answer, if it comes in time.
pub(super) async fn in_time<T>(answer: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    timeout(ANSWER_MAX, answer).await.unwrap_or(Err(StoreError::Slow(ANSWER_MAX)))
}

/// The process of the server that serves this connection.
pub(super) async fn backend(connection: &mut PgConnection) -> Result<i32, StoreError> {
    in_time(async { Ok(sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(connection).await?) }).await
}

/// Ends when the server is not at work on what a connection told it: then nothing will come over that any more, however
/// long it is waited for. A server that is slow, or waits for a lock, is at work.
pub(super) async fn until_deaf(options: &PgConnectOptions, backend: i32) {
    loop {
        sleep(SILENCE_MAX).await;
        let Ok(first) = look(options, backend).await else { return };
        if first.is_at_work {
            continue;
        }
        sleep(SECOND_LOOK).await;
        match look(options, backend).await {
            Ok(second) if second.is_at_work || second.since != first.since => {}
            Ok(_) | Err(_) => return,
        }
    }
}

#[derive(Default)]
struct Session {
    is_at_work: bool,
    /// Since when it is in its state.
    since: Option<String>,
}

async fn look(options: &PgConnectOptions, backend: i32) -> Result<Session, StoreError> {
    let mut connection = connect(options).await?;
    let query = "SELECT state IS NOT DISTINCT FROM 'active', state_change::text FROM pg_stat_activity WHERE pid = $1";
    let look = async { Ok(sqlx::query(query).bind(backend).fetch_optional(&mut connection).await?) };
    let row = in_time(look).await?;
    let Some(row) = row else { return Ok(Session::default()) };
    Ok(Session { is_at_work: row.try_get(0)?, since: row.try_get(1)? })
}
