//! What a control plane keeps, and where: in an SQLite file, or in Postgres behind a journal.

use std::{path::PathBuf, sync::Arc, time::Duration};

use luthien_policy::Audit;
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{
    config::Database,
    policies::SetStore,
    record::{Activity, Journal, Journaled, Postgres, Recorder, Shipper, Sqlite, Store, StoreError, Trouble},
};

/// How long a journal is written to the database at the end. What is not written then is written after the next start.
const SHIP_MAX: Duration = Duration::from_secs(5);

/// Where calls and policy sets are kept.
pub(super) struct Kept {
    pub(super) store: Arc<dyn Store>,
    pub(super) sets: Arc<dyn SetStore>,
    pub(super) activity: Arc<dyn Activity>,
    /// Where the current policies are remembered, if the sets may be out of reach.
    pub(super) directory: Option<PathBuf>,
    pub(super) shipping: Option<Shipping>,
}

/// What writes the journal to the database.
pub(super) struct Shipping {
    pub(super) journal: Arc<Journal>,
    postgres: Arc<Postgres>,
    /// Why the database could not be reached.
    unreached: Option<String>,
}

/// The same, at work.
pub(super) struct Started {
    journal: Arc<Journal>,
    shipping: JoinHandle<()>,
    finish: CancellationToken,
    give_up: CancellationToken,
}

impl Kept {
    /// Opens it. A server that is not there is waited for later; one that can't be used as it is is an error.
    pub(super) async fn open(database: &Database, audit: Audit) -> Result<Self, StoreError> {
        match database {
            Database::Sqlite(path) => {
                let sqlite = Arc::new(Sqlite::open_for(audit, path).await?);
                Ok(Self {
                    store: sqlite.clone(),
                    sets: sqlite.clone(),
                    activity: sqlite,
                    directory: None,
                    shipping: None,
                })
            }
            Database::Postgres { options, journal: directory, journal_bytes_max } => {
                let journal = Arc::new(Journal::open(directory, audit, *journal_bytes_max).await?);
                let postgres = Arc::new(Postgres::new(options.as_ref().clone()));
                let unreached = match postgres.prepare().await {
                    Ok(()) => None,
                    Err(error) if Trouble::of(&error) == Trouble::Outage => {
                        warn!(%error, "the database can't be reached; what is put on record waits in the journal");
                        Some(error.to_string())
                    }
                    Err(error) => return Err(error),
                };
                let store = Arc::new(Journaled::new(Arc::clone(&journal), Arc::clone(&postgres)));
                let (sets, activity) = (Arc::clone(&postgres), Arc::clone(&postgres));
                let directory = Some(directory.clone());
                let shipping = Some(Shipping { journal, postgres, unreached });
                Ok(Self { store, sets, activity, directory, shipping })
            }
        }
    }
}

impl Shipping {
    /// Starts it. Under strict audit no call is taken before the database was reached once: who has not seen it can't know
    /// that the journal will ever get there.
    pub(super) fn start(&self, audit: Audit, recorder: &Recorder) -> Started {
        if let (Audit::Strict, Some(reason)) = (audit, &self.unreached) {
            let reason = format!("no call is taken before the database was reached: {reason}");
            recorder.health().is_not_ready(Some(reason));
        }
        let (finish, give_up) = (CancellationToken::new(), CancellationToken::new());
        let shipper = Shipper::new(Arc::clone(&self.journal), Arc::clone(&self.postgres), recorder.clone());
        let shipping = tokio::spawn(shipper.run(finish.clone(), give_up.clone()));
        Started { journal: Arc::clone(&self.journal), shipping, finish, give_up }
    }
}

impl Started {
    /// Ends it when all is written, or when that takes too long.
    pub(super) async fn finish(mut self) {
        self.finish.cancel();
        let wait = if self.journal.is_failing() { Duration::ZERO } else { SHIP_MAX };
        if timeout(wait, &mut self.shipping).await.is_err() {
            self.give_up.cancel();
            let _ = self.shipping.await;
        }
    }
}
