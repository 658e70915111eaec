//! The sessions' side of the record: they hand over entries and wait only when too much is queued.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use thiserror::Error;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::Summary;

/// What may wait to be written, all calls together. When it is full, sessions stop reading their calls.
const QUEUED_BYTES_MAX: usize = 64 << 20;
/// What an entry costs in memory beside its text.
const ENTRY_OVERHEAD: usize = 128;

/// An entry as a session makes it; its number is given when it is handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEntry {
    /// When: microseconds since the call began.
    pub at_us: u64,
    /// What it is: the `type` of its body.
    pub kind: String,
    /// The entry as a JSON object.
    pub body: String,
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
    streams: AtomicU64,
    pub(super) health: Health,
}

/// One thing to write.
pub(super) struct Item {
    /// Which stream it comes from; no two of a process have the same.
    pub(super) stream: u64,
    pub(super) what: What,
}

pub(super) enum What {
    Opened(Box<Summary>),
    Entries {
        first_seq: u64,
        entries: Vec<NewEntry>,
        cost: usize,
    },
    /// The last of a stream; whoever waits is told when it is durable.
    Closed {
        summary: Option<Box<Summary>>,
        durable: Option<oneshot::Sender<()>>,
    },
}

impl Recorder {
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Item>, Arc<Shared>) {
        let (queue, items) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            room: Semaphore::new(QUEUED_BYTES_MAX),
            streams: AtomicU64::new(0),
            health: Health::default(),
        });
        (Self { shared: Arc::clone(&shared), queue }, items, shared)
    }

    /// Begins the record of a call's stream.
    pub fn open(&self, summary: Summary) -> CallRecord {
        let stream = self.shared.streams.fetch_add(1, Ordering::Relaxed);
        let record = CallRecord { recorder: self.clone(), stream, next_seq: 0, closed: false };
        record.send(What::Opened(Box::new(summary)));
        record
    }

    /// How the writing goes.
    pub fn health(&self) -> &Health {
        &self.shared.health
    }
}

/// The record of one stream of a call. Dropped before it is closed, the call stays on record as running.
pub struct CallRecord {
    recorder: Recorder,
    stream: u64,
    next_seq: u64,
    closed: bool,
}

impl CallRecord {
    /// Hands entries over. Waits while too much is queued, so that a slow disk slows the calls down and loses nothing.
    /// Safe to drop while it waits: then nothing was handed over.
    pub async fn add(&mut self, entries: &mut Vec<NewEntry>) {
        if entries.is_empty() {
            return;
        }
        let cost = cost(entries);
        if let Ok(permit) = self.recorder.shared.room.acquire_many(permits(cost)).await {
            permit.forget();
        }
        let (first_seq, entries) = (self.next_seq, std::mem::take(entries));
        self.next_seq += entries.len() as u64;
        self.send(What::Entries { first_seq, entries, cost });
    }

    /// Ends the record, and waits until all of it is durable.
    ///
    /// # Errors
    /// The writer gave up.
    pub async fn close(mut self, summary: Summary) -> Result<(), NotDurable> {
        let (durable, done) = oneshot::channel();
        self.closed = true;
        self.send(What::Closed { summary: Some(Box::new(summary)), durable: Some(durable) });
        done.await.map_err(|_| NotDurable)
    }

    fn send(&self, what: What) {
        if let Err(unsent) = self.recorder.queue.send(Item { stream: self.stream, what })
            && let What::Entries { entries, .. } = unsent.0.what
        {
            self.recorder.shared.health.lose(entries.len());
        }
    }
}

impl Drop for CallRecord {
    fn drop(&mut self) {
        if !self.closed {
            self.send(What::Closed { summary: None, durable: None });
        }
    }
}

/// The writer ended before it could write this.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the record could not be written before the control plane ended")]
pub struct NotDurable;

/// How the writing goes.
#[derive(Default)]
pub struct Health {
    failing: Mutex<Option<String>>,
    entries_lost: AtomicU64,
}

impl Health {
    /// Why nothing can be written at present.
    pub fn failing(&self) -> Option<String> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many entries will never be written.
    pub fn entries_lost(&self) -> u64 {
        self.entries_lost.load(Ordering::Relaxed)
    }

    pub(super) fn fail(&self, reason: Option<String>) {
        *self.failing.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    pub(super) fn lose(&self, entries: usize) {
        self.entries_lost.fetch_add(entries as u64, Ordering::Relaxed);
    }
}

/// Never more than all there is: the greatest entry must find room when it is alone.
fn cost(entries: &[NewEntry]) -> usize {
    let bytes = entries.iter().map(|entry| entry.body.len() + ENTRY_OVERHEAD).sum::<usize>();
    bytes.min(QUEUED_BYTES_MAX)
}

fn permits(cost: usize) -> u32 {
    u32::try_from(cost).unwrap_or(u32::MAX)
}
