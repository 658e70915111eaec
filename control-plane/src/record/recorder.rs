//! The sessions' side of the record: they hand over entries and wait only when too much is queued.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use luthien_policy::{AdmissionEntry, EntryBody, RequestEntry};
use luthien_service::metrics::{Counter, Histogram, LATENCIES_US, Page};
use serde_json::{Value, json};
use thiserror::Error;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot, watch};
use tracing::warn;
use uuid::Uuid;

use super::{EntryKey, Extent, Period, Summary, text::Said};

/// What may wait to be written, all calls together. When it is full, sessions stop reading their calls.
const QUEUED_BYTES_MAX: usize = 64 << 20;
/// What an entry costs in memory beside its text.
const ENTRY_OVERHEAD: usize = 128;

/// An entry as the store gets it, but for what only the writer knows.
pub(super) struct NewEntry {
    pub(super) at_us: u64,
    pub(super) kind: &'static str,
    pub(super) body: NewBody,
}

pub(super) enum NewBody {
    Text(String),
    /// It has a request in it, of which the writer knows what is new.
    Requesting {
        body: Box<EntryBody>,
        weight: usize,
    },
}

/// The way to the record; cheap to clone, for any thread.
#[derive(Clone)]
pub struct Recorder {
    shared: Arc<Shared>,
    queue: mpsc::UnboundedSender<Item>,
}

/// What recorders and the writer share.
pub(super) struct Shared {
    /// How many bytes may still be queued.
    pub(super) room: Semaphore,
    pub(super) health: Health,
    /// The newest period that is on record.
    newest: AtomicU32,
    /// How often something that was written turned out not to be on record.
    missed: AtomicU64,
    /// What all that is on record takes.
    bytes: AtomicU64,
    calls_purged: Counter,
}

impl Shared {
    /// The newest period that is known of, and how often anything was missed.
    pub(super) fn place(&self) -> (Period, u64) {
        (Period::from_number(self.newest.load(Ordering::Relaxed)), self.missed.load(Ordering::Relaxed))
    }
}

/// One thing to write.
pub(super) struct Item {
    pub(super) call_id: Uuid,
    pub(super) epoch: u32,
    pub(super) at: Instant,
    pub(super) what: What,
}

pub(super) enum What {
    Opened(Box<Summary>),
    Entries {
        first_seq: u64,
        entries: Vec<NewEntry>,
        /// What is said in them, but for the requests.
        said: Said,
        cost: usize,
        progress: Progress,
    },
    /// The last of a stream; who waits is told when it is durable.
    Closed {
        summary: Option<Box<Summary>>,
        durable: oneshot::Sender<()>,
    },
}

/// How many of a stream's entries are durable; `None`: not all that were written are on record.
#[derive(Clone)]
pub(super) struct Progress(watch::Sender<Option<u64>>);

impl Progress {
    /// So many are.
    pub(super) fn reach(&self, entries: u64) {
        self.0.send_modify(|durable| *durable = durable.map(|before| before.max(entries)));
    }

    /// Another stream has claimed their place.
    pub(super) fn give_up(&self) {
        self.0.send_replace(None);
    }
}

impl Recorder {
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Item>, Arc<Shared>) {
        let (queue, items) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            room: Semaphore::new(QUEUED_BYTES_MAX),
            health: Health::default(),
            newest: AtomicU32::new(0),
            missed: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            calls_purged: Counter::default(),
        });
        (Self { shared: Arc::clone(&shared), queue }, items, shared)
    }

    /// Begins the record of a call's stream. Nothing is written before the first flush.
    pub fn call(&self, summary: Summary) -> CallRecord {
        let (made, ready, said) = (Vec::new(), Vec::new(), Said::default());
        let progress = Progress(watch::Sender::new(Some(0)));
        CallRecord {
            recorder: self.clone(),
            epoch: summary.epoch,
            summary,
            made,
            ready,
            said,
            next_seq: 0,
            progress,
            stage: Stage::New,
        }
    }

    /// So much is on record.
    pub(super) fn note_extent(&self, extent: &Extent) {
        self.shared.bytes.store(extent.bytes, Ordering::Relaxed);
        self.shared.newest.store(extent.newest.map_or(0, Period::number), Ordering::Relaxed);
    }

    /// So many calls were forgotten.
    pub(super) fn note_purged(&self, calls: u64) {
        self.shared.calls_purged.add(calls);
    }

    /// Something that was written is not on record after all: what is repeated of it is written again.
    pub(super) fn miss(&self) {
        self.shared.missed.fetch_add(1, Ordering::Relaxed);
    }

    /// What there is to count about the record.
    pub(crate) fn write_metrics(&self, page: &mut Page) {
        let Shared { room, health, bytes, calls_purged, .. } = &*self.shared;
        page.counter("luthien_control_plane_record_calls_purged_total", "Calls that were forgotten to keep the rest.")
            .value(&[], calls_purged.get());
        page.gauge(
            "luthien_control_plane_record_bytes",
            "What the record took at the last look; without retention, 0.",
        )
        .value(&[], bytes.load(Ordering::Relaxed));
        page.counter("luthien_control_plane_record_entries_total", "Entries of the record that are durable.")
            .value(&[], health.entries_written.get());
        page.counter("luthien_control_plane_record_entries_lost_total", "Entries that will never be written.")
            .value(&[], health.entries_lost());
        page.counter(
            "luthien_control_plane_record_conflicts_total",
            "Entries that were on record already, with another content. The first is kept.",
        )
        .value(&[], health.conflicts.get());
        page.histogram(
            "luthien_control_plane_record_lag_seconds",
            "From the oldest entry of a transaction to its commit.",
        )
        .times(&[], &health.lag);
        page.gauge("luthien_control_plane_record_queue_bytes", "Bytes that wait to be written.")
            .value(&[], QUEUED_BYTES_MAX.saturating_sub(room.available_permits()));
        page.gauge("luthien_control_plane_record_failing", "Whether nothing can be written at present.")
            .value(&[], u8::from(health.failing().is_some()));
    }

    /// How the writing goes.
    pub fn health(&self) -> &Health {
        &self.shared.health
    }
}

/// The record of one stream of a call. Dropped before it is closed, the call stays on record as running.
pub struct CallRecord {
    recorder: Recorder,
    /// That of the entries.
    epoch: u32,
    summary: Summary,
    /// Made and not turned into text yet: that can wait until the proxy has its answer.
    made: Vec<luthien_policy::Entry>,
    ready: Vec<NewEntry>,
    said: Said,
    next_seq: u64,
    progress: Progress,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq)]
enum Stage {
    New,
    Open,
}

impl CallRecord {
    /// Adds an entry. It is kept here until the next flush.
    pub fn push(&mut self, entry: luthien_policy::Entry) {
        self.summary.note(&entry.body);
        self.made.push(entry);
    }

    /// How many entries were added.
    pub fn added(&self) -> u64 {
        self.next_seq + (self.ready.len() + self.made.len()) as u64
    }

    /// How many of them are durable, from now on; `None`: there is no telling, for another stream has the same epoch.
    pub fn durable(&self) -> watch::Receiver<Option<u64>> {
        self.progress.0.subscribe()
    }

    /// What is known of the call at a glance.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Nobody will say how the call ended.
    pub fn lose(&mut self, reason: &str) {
        self.summary.lose(reason);
    }

    /// Whether everything was handed over.
    pub fn is_flushed(&self) -> bool {
        self.made.is_empty() && self.ready.is_empty() && self.stage != Stage::New
    }

    /// Hands the entries over. Waits while too much is queued, so that a slow disk slows the calls down and loses nothing.
    /// May be dropped while it waits, and called again.
    pub async fn flush(&mut self) {
        if self.stage == Stage::New {
            self.stage = Stage::Open;
            self.send(What::Opened(Box::new(self.summary.clone())));
        }
        self.made.iter().for_each(|entry| self.said.entry(&entry.body));
        self.ready.extend(std::mem::take(&mut self.made).into_iter().map(NewEntry::new));
        if self.ready.is_empty() {
            return;
        }
        let cost = cost(&self.ready);
        if let Ok(permit) = self.recorder.shared.room.acquire_many(permits(cost)).await {
            permit.forget();
        }
        let (first_seq, entries) = (self.next_seq, std::mem::take(&mut self.ready));
        let said = std::mem::take(&mut self.said);
        self.next_seq += entries.len() as u64;
        let progress = self.progress.clone();
        self.send(What::Entries { first_seq, entries, said, cost, progress });
    }

    /// Ends the record, and waits until all of it is durable.
    ///
    /// # Errors
    /// The writer gave up.
    pub async fn close(mut self) -> Result<(), NotDurable> {
        self.flush().await;
        let summary = Box::new(self.summary.clone());
        self.finish(Some(summary)).await
    }

    /// Ends the record of a stream whose call goes on with another: nothing is said of how it ended. Waits until what there
    /// is is durable.
    ///
    /// # Errors
    /// The writer gave up.
    pub async fn leave(mut self) -> Result<(), NotDurable> {
        self.flush().await;
        self.finish(None).await
    }

    async fn finish(self, summary: Option<Box<Summary>>) -> Result<(), NotDurable> {
        let (durable, done) = oneshot::channel();
        self.send(What::Closed { summary, durable });
        done.await.map_err(|_| NotDurable)
    }

    fn send(&self, what: What) {
        let (call_id, epoch) = (self.summary.call_id, self.epoch);
        if let Err(unsent) = self.recorder.queue.send(Item { call_id, epoch, at: Instant::now(), what })
            && let What::Entries { entries, .. } = unsent.0.what
        {
            self.recorder.shared.health.lose(entries.len());
        }
    }
}

impl Drop for CallRecord {
    fn drop(&mut self) {
        self.recorder.shared.health.lose(self.made.len() + self.ready.len());
    }
}

impl NewEntry {
    fn new(mut entry: luthien_policy::Entry) -> Self {
        let kind = match entry.body {
            EntryBody::Resumed(_) => "resumed",
            EntryBody::Request(_) => "request",
            EntryBody::Admission(_) => "admission",
            EntryBody::Block(_) => "block",
            EntryBody::Part(_) => "part",
            EntryBody::Step(_) => "step",
            EntryBody::Verdict(_) => "verdict",
            EntryBody::Note(_) => "note",
            EntryBody::Consult(_) => "consult",
            EntryBody::Interest(_) => "interest",
            EntryBody::Coverage(_) => "coverage",
            EntryBody::Outcome(_) => "outcome",
            EntryBody::Report(_) => "report",
        };
        let body = match request_in(&mut entry.body) {
            Some(request) => NewBody::Requesting { weight: weight(request), body: Box::new(entry.body) },
            None => NewBody::Text(to_text(kind, &entry.body)),
        };
        Self { at_us: entry.at_us, kind, body }
    }

    /// About how many bytes it takes.
    fn weight(&self) -> usize {
        let text = match &self.body {
            NewBody::Text(text) => text.len(),
            NewBody::Requesting { weight, .. } => *weight,
        };
        text + ENTRY_OVERHEAD
    }
}

/// An entry's body as JSON text.
pub(super) fn to_text(kind: &str, body: &EntryBody) -> String {
    let unwritable = |error: serde_json::Error| json!({ "type": kind, "unwritable": error.to_string() }).to_string();
    serde_json::to_string(body).unwrap_or_else(unwritable)
}

/// The request in an entry.
pub(super) fn request_in(body: &mut EntryBody) -> Option<&mut Value> {
    match body {
        EntryBody::Request(RequestEntry { request, .. }) => Some(request),
        EntryBody::Consult(consult) => Some(&mut consult.request),
        EntryBody::Admission(AdmissionEntry { sent, .. }) => sent.as_mut(),
        EntryBody::Resumed(_)
        | EntryBody::Block(_)
        | EntryBody::Part(_)
        | EntryBody::Step(_)
        | EntryBody::Verdict(_)
        | EntryBody::Note(_)
        | EntryBody::Interest(_)
        | EntryBody::Coverage(_)
        | EntryBody::Outcome(_)
        | EntryBody::Report(_) => None,
    }
}

/// About how long a value is as JSON text.
fn weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => items.iter().map(weight).sum::<usize>() + 2,
        Value::Object(fields) => fields.iter().map(|(name, value)| name.len() + 4 + weight(value)).sum::<usize>() + 2,
    }
}

/// The writer ended before it could write this.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the record could not be written before the control plane ended")]
pub struct NotDurable;

/// How the writing goes.
pub struct Health {
    failing: Mutex<Option<String>>,
    not_ready: Mutex<Option<String>>,
    entries_lost: AtomicU64,
    entries_written: Counter,
    conflicts: Counter,
    /// From the handing over of the oldest item of a transaction to its being durable.
    lag: Histogram,
    /// Told when there may be something new to read.
    news: Notify,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            failing: Mutex::default(),
            not_ready: Mutex::default(),
            entries_lost: AtomicU64::new(0),
            entries_written: Counter::default(),
            conflicts: Counter::default(),
            lag: Histogram::new(LATENCIES_US),
            news: Notify::new(),
        }
    }
}

impl Health {
    /// Why nothing can be written at present.
    pub fn failing(&self) -> Option<String> {
        let failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner).clone();
        failing.or_else(|| self.not_ready.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Why nothing is to be put on record at first.
    pub(crate) fn is_not_ready(&self, reason: Option<String>) {
        *self.not_ready.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    /// How many entries will never be written.
    pub fn entries_lost(&self) -> u64 {
        self.entries_lost.load(Ordering::Relaxed)
    }

    /// How many entries were on record already with another content.
    pub fn conflicts(&self) -> u64 {
        self.conflicts.get()
    }

    /// Counts entries that were on record already with another content, and says so.
    pub(super) fn conflict(&self, conflicts: &[EntryKey]) {
        let Some(EntryKey { call_id, epoch, seq }) = conflicts.first() else { return };
        self.conflicts.add(conflicts.len() as u64);
        let entries = conflicts.len();
        warn!(%call_id, epoch, seq, entries, "entries are on record already with another content: that is kept");
    }

    pub(super) fn fail(&self, reason: Option<String>) {
        *self.failing.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    /// So many entries are durable, of which the oldest waited so long.
    pub(super) fn written(&self, entries: usize, lag: Duration) {
        self.entries_written.add(entries as u64);
        self.lag.observe(lag);
        self.tell_news();
    }

    /// Something new can be read.
    pub(super) fn tell_news(&self) {
        self.news.notify_one();
    }

    /// Waits for something new to read, since this was last waited for. One may wait.
    pub(crate) async fn news(&self) {
        self.news.notified().await;
    }

    pub(super) fn lose(&self, entries: usize) {
        self.entries_lost.fetch_add(entries as u64, Ordering::Relaxed);
    }
}

/// Never more than all there is: the greatest entry must find room when it is alone.
fn cost(entries: &[NewEntry]) -> usize {
    let bytes = entries.iter().map(NewEntry::weight).sum::<usize>();
    bytes.min(QUEUED_BYTES_MAX)
}

fn permits(cost: usize) -> u32 {
    u32::try_from(cost).unwrap_or(u32::MAX)
}
