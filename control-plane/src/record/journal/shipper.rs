//! What writes the journal to Postgres: in order, again and again until it is there.

use std::{sync::Arc, time::Duration};

use sha2::{Digest as _, Sha256};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{Journal, Row, damage, packed};
use crate::record::{
    Batch, Health, Postgres, Recorder, StoreError,
    postgres::{Mark, Trouble},
};

const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);
/// When nothing was added for so long, what is in Postgres is forgotten.
const IDLE: Duration = Duration::from_millis(200);

/// Writes a journal to Postgres.
pub struct Shipper {
    journal: Arc<Journal>,
    postgres: Arc<Postgres>,
    recorder: Recorder,
}

/// A batch of the journal, as it is to be written.
struct Read {
    row: Row,
    batch: Batch,
}

impl Shipper {
    /// From a journal to a database; what there is to tell of entries goes to where the recorder tells it.
    pub fn new(journal: Arc<Journal>, postgres: Arc<Postgres>, recorder: Recorder) -> Self {
        Self { journal, postgres, recorder }
    }

    /// Works until everything is written after `finish`, or until `give_up`: what is not written then stays in the journal.
    pub async fn run(self, finish: CancellationToken, give_up: CancellationToken) {
        tokio::select! {
            () = self.ship_all(&finish) => {}
            () = give_up.cancelled() => {
                let entries = self.journal.waiting().entries;
                warn!(entries, "entries of the record are not in the database yet; they stay in the journal");
            }
        }
    }

    async fn ship_all(&self, finish: &CancellationToken) {
        self.prepare().await;
        loop {
            let mut attempts = Attempts::new(&self.journal);
            let rows = loop {
                match self.journal.next().await {
                    Ok(rows) => break rows,
                    Err(error) => attempts.failed(&error, "the journal can't be read").await,
                }
            };
            attempts.succeeded();
            if rows.is_empty() {
                if finish.is_cancelled() {
                    return self.forget().await;
                }
                tokio::select! {
                    added = timeout(IDLE, self.journal.added.notified()) => if added.is_err() { self.forget().await },
                    () = finish.cancelled() => {}
                }
            } else {
                let mut group = Vec::with_capacity(rows.len());
                for row in rows {
                    match packed::unpack(&row.packed) {
                        Ok(batch) => group.push(Read { row, batch }),
                        Err(reason) => {
                            // In order: what comes before it first.
                            self.ship(std::mem::take(&mut group)).await;
                            self.set_aside(&row, &reason).await;
                        }
                    }
                }
                self.ship(group).await;
            }
        }
    }

    /// Reaches the database for the first time.
    async fn prepare(&self) {
        let mut attempts = Attempts::new(&self.journal);
        while let Err(error) = self.postgres.prepare().await {
            attempts.failed(&error, "the database can't be reached; the journal keeps the record").await;
        }
        attempts.succeeded();
        self.health().is_not_ready(None);
    }

    /// Writes batches at once; when the database will not have them for what they are, one by one.
    async fn ship(&self, group: Vec<Read>) {
        let (rows, batches): (Vec<Row>, Vec<Batch>) = group.into_iter().map(|Read { row, batch }| (row, batch)).unzip();
        if rows.is_empty() {
            return;
        }
        let merged = batches.iter().cloned().fold(Batch::default(), Batch::and);
        if self.write(&rows, &merged).await.is_ok() {
            return self.journal.done(&rows);
        }
        for (row, batch) in rows.into_iter().zip(batches) {
            match self.write(std::slice::from_ref(&row), &batch).await {
                Ok(()) => self.journal.done(std::slice::from_ref(&row)),
                Err(reason) => self.set_aside(&row, &reason).await,
            }
        }
    }

    /// Writes a batch, however often that takes; fails if the database says that it will never have it.
    async fn write(&self, rows: &[Row], batch: &Batch) -> Result<(), String> {
        let Some(last) = rows.last() else { return Ok(()) };
        let mut digest = Sha256::new();
        rows.iter().for_each(|row| digest.update(&row.packed));
        let mark = Mark { journal: self.journal.id, shipped: last.id, digest: digest.finalize().into() };
        let mut attempts = Attempts::new(&self.journal);
        loop {
            match self.postgres.put(batch, Some(&mark)).await {
                Ok(written) => {
                    attempts.succeeded();
                    self.health().conflict(&written.conflicts);
                    self.health().tell_news();
                    return Ok(());
                }
                Err(error) if Trouble::of(&error) == Trouble::Data => {
                    attempts.succeeded();
                    return Err(error.to_string());
                }
                Err(error) => attempts.failed(&error, "the record can't be written to the database").await,
            }
        }
    }

    /// Keeps a batch that nobody can read, or that the database will not have, in a file beside the journal.
    async fn set_aside(&self, row: &Row, reason: &str) {
        let mut attempts = Attempts::new(&self.journal);
        loop {
            match damage::set_batch_aside(&self.journal.directory, row.id, &row.packed) {
                Ok(file) => {
                    error!(
                        file = %file.display(),
                        entries = row.entries,
                        reason,
                        "a batch of the journal is set aside: its entries are missing from the record"
                    );
                    break;
                }
                Err(source) => {
                    let path = self.journal.directory.display().to_string();
                    attempts.failed(&StoreError::File { path, source }, "a damaged batch can't be set aside").await;
                }
            }
        }
        attempts.succeeded();
        self.recorder.miss();
        self.journal.done(std::slice::from_ref(row));
    }

    async fn forget(&self) {
        if let Err(error) = self.journal.forget().await {
            warn!(%error, "what is in the database can't be taken out of the journal");
        }
    }

    fn health(&self) -> &Health {
        self.recorder.health()
    }
}

/// Attempts that go on until one works.
struct Attempts<'a> {
    journal: &'a Journal,
    has_failed: bool,
    wait: Duration,
}

impl<'a> Attempts<'a> {
    fn new(journal: &'a Journal) -> Self {
        Self { journal, has_failed: false, wait: RETRY_FIRST }
    }

    /// Tells that one failed, and waits before the next.
    async fn failed(&mut self, reason: &StoreError, what: &'static str) {
        match Trouble::of(reason) {
            _ if self.has_failed => {}
            Trouble::Outage => warn!(%reason, "{what}; trying again"),
            // Nobody but an operator can help.
            Trouble::Data | Trouble::Setup => error!(%reason, "{what}; trying again"),
        }
        self.has_failed = true;
        self.journal.fail(Some(reason.to_string()));
        sleep(self.wait).await;
        self.wait = (self.wait * 2).min(RETRY_MAX);
    }

    fn succeeded(self) {
        if self.has_failed {
            self.journal.fail(None);
            info!(entries = self.journal.waiting().entries, "the journal is written to the database again");
        }
    }
}
