//! The write-ahead log goes back into the file beside the commits, and not by one of them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sqlx::{Row as _, SqliteConnection, SqlitePool};
use tokio::{sync::Notify, time::sleep};
use tokio_util::task::AbortOnDropHandle;

/// How long what was written may wait in the log.
const INTERVAL: Duration = Duration::from_millis(500);
/// A log of as many pages is begun anew. It is not as long as a commit comes between: then the writer makes the gap.
const PAGES_MAX: i64 = 2048;

/// A task that writes the log back for as long as this is kept.
pub(super) struct Checkpoints {
    shared: Arc<Shared>,
    pool: SqlitePool,
    _task: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct Shared {
    /// Told of each commit.
    committed: Notify,
    /// Whether the log is to be begun anew.
    is_long: AtomicBool,
}

impl Checkpoints {
    /// `pool`: with a connection of its own.
    pub(super) fn start(pool: SqlitePool) -> Self {
        let shared = Arc::new(Shared::default());
        let task = tokio::spawn(run(Arc::clone(&shared), pool.clone()));
        Self { shared, pool, _task: AbortOnDropHandle::new(task) }
    }

    /// Something was committed.
    pub(super) fn committed(&self) {
        self.shared.committed.notify_one();
    }

    /// Finishes what is under way; nothing is written back any more.
    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    /// Called between two commits: what little is left is written back, so that the next one begins the log anew.
    pub(super) async fn make_gap(&self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        if self.shared.is_long.swap(false, Ordering::Relaxed) {
            checkpoint(connection).await?;
        }
        Ok(())
    }
}

async fn run(shared: Arc<Shared>, pool: SqlitePool) {
    loop {
        shared.committed.notified().await;
        sleep(INTERVAL).await;
        // What fails is tried again behind the next commit; commits write the log back too when it is very long.
        let pages = match pool.acquire().await {
            Ok(mut connection) => checkpoint(&mut connection).await.unwrap_or_default(),
            Err(sqlx::Error::PoolClosed) => return,
            Err(_) => continue,
        };
        shared.is_long.store(pages > PAGES_MAX, Ordering::Relaxed);
    }
}

/// Writes back what no reader and no writer is kept from by it. Tells how many pages the log has.
async fn checkpoint(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").fetch_one(connection).await?.try_get(1)
}
