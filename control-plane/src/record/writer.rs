//! The one task of a process that writes the record: whatever is queued, in one transaction.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};
use uuid::Uuid;

use super::{
    Batch, Entry, Health, Recorder, Store, StoreError, Summary,
    recorder::{Item, NewEntry, Progress, Shared, What},
};

/// How long the first item of a batch waits for company: commits cost the same for one row and for a hundred.
const LINGER: Duration = Duration::from_millis(5);
const BATCH_BYTES_MAX: usize = 1 << 20;
const BATCH_ITEMS_MAX: usize = 4096;
const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// Writes what the recorders queue.
pub struct Writer {
    store: Arc<dyn Store>,
    shared: Arc<Shared>,
    queue: mpsc::UnboundedReceiver<Item>,
    /// The open streams: their call, and the epoch that the store gave them.
    streams: HashMap<u64, (Uuid, u32)>,
    linger: Duration,
}

/// What was queued, to be written at once.
#[derive(Default)]
struct Group {
    opened: Vec<(u64, Summary)>,
    entries: Vec<(u64, u64, NewEntry)>,
    closed: Vec<(u64, Option<Summary>)>,
    waiting: Vec<oneshot::Sender<()>>,
    /// How many entries of a stream are durable when all of the group is.
    progress: Vec<(Progress, u64)>,
    items: usize,
    bytes: usize,
    /// When its first item was handed over.
    oldest: Option<std::time::Instant>,
}

impl Writer {
    /// A writer and the way to it.
    pub fn new(store: Arc<dyn Store>) -> (Self, Recorder) {
        let (recorder, queue, shared) = Recorder::new();
        (Self { store, shared, queue, streams: HashMap::new(), linger: LINGER }, recorder)
    }

    /// For calls that wait for what they put on record: no group waits for company. While one is written, the next gathers.
    #[must_use]
    pub fn at_once(self) -> Self {
        Self { linger: Duration::ZERO, ..self }
    }

    /// Writes until `finish`, then what is still queued. A store that fails is tried again and again, until `give_up`;
    /// what is not written by then is counted as lost.
    pub async fn run(mut self, finish: CancellationToken, give_up: CancellationToken) {
        while let Some(mut group) = self.next_group(&finish).await {
            let (bytes, entries, oldest) = (group.bytes, group.entries.len(), group.oldest);
            let (waiting, progress) = (std::mem::take(&mut group.waiting), std::mem::take(&mut group.progress));
            tokio::select! {
                () = self.write(group) => {
                    let lag = oldest.map(|at| at.elapsed()).unwrap_or_default();
                    self.shared.health.written(entries, lag);
                    progress.into_iter().for_each(|(progress, entries)| progress.reach(entries));
                    waiting.into_iter().for_each(tell);
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
        let mut group = Group::default();
        group.add(first);
        while group.bytes < BATCH_BYTES_MAX && group.items < BATCH_ITEMS_MAX {
            let Ok(item) = self.queue.try_recv() else { break };
            group.add(item);
        }
        Some(group)
    }

    async fn write(&mut self, group: Group) {
        let Group { opened, entries, closed, .. } = group;
        self.open(opened).await;
        let batch = self.batch(entries, &closed);
        let mut attempts = Attempts::new(&self.shared.health);
        while let Err(reason) = self.store.write(&batch).await {
            attempts.failed(reason).await;
        }
        attempts.succeeded();
        for (stream, _) in closed {
            self.streams.remove(&stream);
        }
    }

    async fn open(&mut self, opened: Vec<(u64, Summary)>) {
        let (streams, summaries): (Vec<_>, Vec<_>) = opened.into_iter().unzip();
        if summaries.is_empty() {
            return;
        }
        let mut attempts = Attempts::new(&self.shared.health);
        let epochs = loop {
            match self.store.open(&summaries).await {
                Ok(epochs) => break epochs,
                Err(reason) => attempts.failed(reason).await,
            }
        };
        attempts.succeeded();
        for ((stream, summary), epoch) in streams.into_iter().zip(summaries).zip(epochs) {
            self.streams.insert(stream, (summary.call_id, epoch));
        }
    }

    fn batch(&self, entries: Vec<(u64, u64, NewEntry)>, closed: &[(u64, Option<Summary>)]) -> Batch {
        let entries = entries.into_iter().filter_map(|(stream, seq, entry)| {
            let &(call_id, epoch) = self.streams.get(&stream)?;
            let NewEntry { at_us, kind, body } = entry;
            Some(Entry { call_id, epoch, seq, at_us, kind: kind.into(), body })
        });
        let summaries = closed.iter().filter_map(|(stream, summary)| {
            let &(_, epoch) = self.streams.get(stream)?;
            Some(Summary { epoch, ..summary.clone()? })
        });
        Batch { entries: entries.collect(), summaries: summaries.collect() }
    }
}

impl Group {
    fn add(&mut self, Item { stream, at, what }: Item) {
        self.oldest.get_or_insert(at);
        self.items += 1;
        match what {
            What::Opened(summary) => self.opened.push((stream, *summary)),
            What::Entries { first_seq, entries, cost, progress } => {
                self.progress.push((progress, first_seq + entries.len() as u64));
                self.bytes += cost;
                self.entries.extend((first_seq..).zip(entries).map(|(seq, entry)| (stream, seq, entry)));
            }
            What::Closed { summary, durable } => {
                self.closed.push((stream, summary.map(|summary| *summary)));
                self.waiting.extend(durable);
            }
        }
    }
}

/// Nobody may be waiting any more.
fn tell(durable: oneshot::Sender<()>) {
    let _ = durable.send(());
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
