//! The one task of a process that writes the record: whatever is queued, in one transaction.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};
use uuid::Uuid;

use super::{
    Batch, EntryKey, Health, Recorder, Redaction, Retention, Store, StoreError, Written,
    recorder::{Item, Progress, Shared, What},
    sorter::Sorter,
};

/// How long the first item of a batch waits for company: a commit writes whole pages, for one row as for a hundred. With
/// the commit itself it has to stay below 50 ms.
const LINGER: Duration = Duration::from_millis(20);
const BATCH_BYTES_MAX: usize = 1 << 20;
const BATCH_ITEMS_MAX: usize = 4096;
const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// Writes what the recorders queue.
pub struct Writer {
    store: Arc<dyn Store>,
    shared: Arc<Shared>,
    queue: mpsc::UnboundedReceiver<Item>,
    sorter: Sorter,
    linger: Duration,
}

/// What was queued, to be written at once.
#[derive(Default)]
struct Group {
    batch: Batch,
    waiting: Vec<oneshot::Sender<()>>,
    progress: Vec<Reached>,
    items: usize,
    bytes: usize,
    /// When its first item was handed over.
    oldest: Option<std::time::Instant>,
}

/// How many entries of a stream are durable when all of a group is.
struct Reached {
    call_id: Uuid,
    epoch: u32,
    entries: u64,
    progress: Progress,
}

impl Writer {
    /// A writer and the way to it.
    pub fn new(store: Arc<dyn Store>) -> (Self, Recorder) {
        let (recorder, queue, shared) = Recorder::new();
        (Self { store, shared, queue, sorter: Sorter::new(), linger: LINGER }, recorder)
    }

    /// For calls that wait for what they put on record: no group waits for company. While one is written, the next gathers.
    #[must_use]
    pub fn at_once(self) -> Self {
        Self { linger: Duration::ZERO, ..self }
    }

    /// What matches is masked before it is written.
    #[must_use]
    pub fn redacting(mut self, redaction: &Redaction) -> Self {
        self.sorter.redact(redaction);
        self
    }

    /// Makes parts of days, so that as much can be kept as is to be.
    #[must_use]
    pub fn keeping(mut self, retention: &Retention) -> Self {
        self.sorter.keep(retention);
        self
    }

    /// Writes until `finish`, then what is still queued. A store that fails is tried again and again, until `give_up`;
    /// what is not written by then is counted as lost.
    pub async fn run(mut self, finish: CancellationToken, give_up: CancellationToken) {
        while let Some(group) = self.next_group(&finish).await {
            let (entries, bytes) = (group.batch.entries.len(), group.bytes);
            tokio::select! {
                written = self.write(&group.batch) => {
                    let lag = group.oldest.map(|at| at.elapsed()).unwrap_or_default();
                    self.shared.health.written(entries, lag);
                    group.tell(&written);
                }
                () = give_up.cancelled() => self.shared.health.lose(entries),
            }
            self.shared.room.add_permits(bytes);
        }
        let lost = self.shared.health.entries_lost();
        if lost > 0 {
            error!(entries = lost, "entries of the record were lost");
        }
    }

    /// What is queued, as soon as something is; `None` when nothing more can come.
    async fn next_group(&mut self, finish: &CancellationToken) -> Option<Group> {
        let first = tokio::select! {
            item = self.queue.recv() => item?,
            () = finish.cancelled(), if !self.queue.is_closed() => {
                self.queue.close();
                self.queue.recv().await?
            }
        };
        if !self.linger.is_zero() {
            tokio::select! {
                () = sleep(self.linger) => {}
                () = finish.cancelled() => {}
            }
        }
        let (newest, missed) = self.shared.place();
        self.sorter.at(SystemTime::now(), newest, missed);
        let mut group = Group { batch: self.sorter.batch(), ..Group::default() };
        group.add(first, &mut self.sorter);
        while group.bytes < BATCH_BYTES_MAX && group.items < BATCH_ITEMS_MAX {
            let Ok(item) = self.queue.try_recv() else { break };
            group.add(item, &mut self.sorter);
        }
        Some(group)
    }

    async fn write(&self, batch: &Batch) -> Written {
        let mut attempts = Attempts::new(&self.shared.health);
        let written = loop {
            match self.store.write(batch).await {
                Ok(written) => break written,
                Err(reason) => attempts.failed(reason).await,
            }
        };
        attempts.succeeded();
        self.shared.health.conflict(&written.conflicts);
        written
    }
}

impl Group {
    fn add(&mut self, Item { call_id, epoch, at, what }: Item, sorter: &mut Sorter) {
        self.oldest.get_or_insert(at);
        self.items += 1;
        match what {
            What::Opened(summary) => self.batch.summaries.push(sorter.summary(*summary)),
            What::Entries { first_seq, entries, said, cost, progress } => {
                let reached = first_seq + entries.len() as u64;
                self.progress.push(Reached { call_id, epoch, entries: reached, progress });
                self.bytes += cost;
                let first = EntryKey { call_id, epoch, seq: first_seq };
                sorter.entries(first, entries, said, &mut self.batch);
            }
            What::Closed { summary, durable } => {
                self.batch.summaries.extend(summary.map(|summary| sorter.summary(*summary)));
                sorter.closed(call_id, epoch);
                self.waiting.push(durable);
            }
        }
    }

    /// It is durable.
    fn tell(self, written: &Written) {
        for Reached { call_id, epoch, entries, progress } in self.progress {
            match written.conflicts.iter().any(|conflict| (conflict.call_id, conflict.epoch) == (call_id, epoch)) {
                true => progress.give_up(),
                false => progress.reach(entries),
            }
        }
        for durable in self.waiting {
            // Nobody may be waiting any more.
            let _ = durable.send(());
        }
    }
}

/// Attempts that go on until one works.
struct Attempts<'a> {
    health: &'a Health,
    failing_since: Option<Instant>,
    wait: Duration,
}

impl<'a> Attempts<'a> {
    fn new(health: &'a Health) -> Self {
        Self { health, failing_since: None, wait: RETRY_FIRST }
    }

    /// Tells that one failed, and waits before the next.
    async fn failed(&mut self, reason: StoreError) {
        let since = *self.failing_since.get_or_insert_with(|| {
            error!(error = %reason, "the record can't be written; trying again");
            Instant::now()
        });
        let seconds = since.elapsed().as_secs();
        self.health.fail(Some(format!("the record can't be written since {seconds} s: {reason}")));
        sleep(self.wait).await;
        self.wait = (self.wait * 2).min(RETRY_MAX);
    }

    fn succeeded(self) {
        if let Some(since) = self.failing_since {
            self.health.fail(None);
            info!(seconds = since.elapsed().as_secs(), "the record is written again");
        }
    }
}
