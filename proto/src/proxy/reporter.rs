//! What the policy service is told, and when: one message under way, so that batches form by themselves.

use std::collections::VecDeque;

use crate::{
    event::{BlockDelta, BlockKey, Chunk, Delta, Event, Step},
    json::Extras,
    message::{Block, CallEnded, Consultation, Level, ToService},
};

/// The seq of a part of a block that has no chunk yet.
const UNSET: u64 = 0;

/// The last message.
#[derive(Debug)]
enum Ended {
    No,
    Due(CallEnded),
    Told,
}

/// Gathers what is to be told.
#[derive(Debug)]
pub struct Reporter {
    /// Chunks that were not sent, oldest first, and about how many bytes they are.
    chunks: VecDeque<(Chunk, usize)>,
    /// Recorded blocks that are still growing.
    growing: Vec<(Block, usize)>,
    /// About how many bytes those are.
    growing_bytes: usize,
    /// Recorded blocks, ready to be sent.
    blocks: VecDeque<(Block, usize)>,
    /// Answers to consults: they wait for nothing.
    consultations: VecDeque<Consultation>,
    ended: Ended,
    batch_bytes: usize,
    unsent_bytes: usize,
    /// The last chunk that was sent as such. What a block tells of says nothing of the chunks before it.
    sent_seq: u64,
    told: u64,
    seen: u64,
}

impl Reporter {
    /// Batches hold `batch_bytes`; a single larger chunk goes alone.
    pub fn new(batch_bytes: usize) -> Self {
        Self {
            chunks: VecDeque::new(),
            growing: Vec::new(),
            growing_bytes: 0,
            blocks: VecDeque::new(),
            consultations: VecDeque::new(),
            ended: Ended::No,
            batch_bytes,
            unsent_bytes: 0,
            sent_seq: 0,
            told: 0,
            seen: 0,
        }
    }

    /// The last chunk that a verdict may be on: the last that the policy service was sent as such.
    pub fn sent_seq(&self) -> u64 {
        self.sent_seq
    }

    /// About how many bytes wait to be sent.
    pub fn unsent_bytes(&self) -> usize {
        self.unsent_bytes
    }

    /// Whether a message is under way that the policy service has not taken.
    pub fn is_waiting(&self) -> bool {
        self.seen < self.told
    }

    /// Whether everything was sent and taken.
    pub fn is_idle(&self) -> bool {
        self.chunks.is_empty() && self.blocks.is_empty() && self.consultations.is_empty() && !self.is_waiting()
    }

    /// Takes the answer to a consult.
    pub fn consulted(&mut self, consultation: Consultation) {
        self.consultations.push_back(consultation);
    }

    /// All that was told is told again: how many messages are to be taken anew.
    pub fn reopen(&mut self) -> u64 {
        self.seen = 0;
        self.told
    }

    /// Whether the last message was told.
    pub fn has_told_end(&self) -> bool {
        matches!(self.ended, Ended::Told)
    }

    /// Takes a chunk that is to be reported at that level, and about how many bytes it is.
    pub fn add(&mut self, chunk: Chunk, level: Level, size: usize) {
        self.unsent_bytes += size;
        match level {
            Level::Gate | Level::Observe => self.chunks.push_back((chunk, size)),
            Level::Record => self.grow(chunk, size),
        }
        if self.growing_bytes > self.batch_bytes {
            self.send_parts();
        }
    }

    /// Takes a block that came whole, and about how many bytes it is.
    pub fn add_block(&mut self, block: Block, size: usize) {
        self.unsent_bytes += size;
        self.blocks.push_back((block, size));
    }

    /// The response is over: recorded blocks that never stopped are told as far as they came.
    pub fn cut_off(&mut self) {
        self.growing_bytes = 0;
        self.blocks.extend(self.growing.drain(..).filter(|(block, _)| block.first != UNSET));
    }

    /// The policy service has taken so many messages.
    ///
    /// # Errors
    /// It claims more than it was sent, or fewer than before.
    pub fn seen(&mut self, seen: u64) -> Result<(), &'static str> {
        if seen > self.told {
            return Err("it has seen more messages than were sent");
        }
        if seen < self.seen {
            return Err("it has seen fewer messages than before");
        }
        self.seen = seen;
        Ok(())
    }

    /// The call is over: what is gathered goes, then this.
    pub fn end(&mut self, ended: CallEnded) {
        self.cut_off();
        self.ended = Ended::Due(ended);
    }

    /// What to tell next.
    pub fn next_told(&mut self) -> Option<ToService> {
        if let Some(consultation) = self.consultations.pop_front() {
            self.told += 1;
            return Some(ToService::Consultation(consultation));
        }
        if self.is_waiting() {
            return None;
        }
        let message = self.next_block().or_else(|| self.next_batch());
        if message.is_some() {
            self.told += 1;
            return message;
        }
        match std::mem::replace(&mut self.ended, Ended::Told) {
            Ended::Due(ended) => Some(ToService::CallEnded(ended)),
            other @ (Ended::No | Ended::Told) => {
                self.ended = other;
                None
            }
        }
    }

    fn next_block(&mut self) -> Option<ToService> {
        let (block, size) = self.blocks.pop_front()?;
        self.unsent_bytes -= size;
        Some(ToService::Block(block))
    }

    fn next_batch(&mut self) -> Option<ToService> {
        let mut bytes = 0;
        let mut batch = Vec::new();
        while let Some((_, size)) = self.chunks.front() {
            if !batch.is_empty() && bytes + size > self.batch_bytes {
                break;
            }
            bytes += size;
            batch.extend(self.chunks.pop_front().map(|(chunk, _)| chunk));
        }
        self.unsent_bytes -= bytes;
        self.sent_seq = batch.last()?.seq;
        Some(ToService::Chunks(batch))
    }

    fn grow(&mut self, chunk: Chunk, size: usize) {
        let Chunk { seq, arrived_us, event: Event { step, extras } } = chunk;
        match step {
            Step::BlockStarted(started) => {
                let block = Block {
                    first: seq,
                    last: seq,
                    first_arrived_us: arrived_us,
                    last_arrived_us: arrived_us,
                    started,
                    extras,
                    deltas: Vec::new(),
                    stopped: false,
                };
                self.growing.push((block, size));
                self.growing_bytes += size;
            }
            Step::BlockDelta(delta) => {
                let key = delta.block;
                self.extend(key, seq, arrived_us, size, |block| append(block, delta, extras));
            }
            Step::BlockStopped(key) => self.extend(key, seq, arrived_us, size, |block| {
                block.stopped = true;
                block.deltas.extend(stop_extras(key, extras));
            }),
            // What belongs to no block is never merely recorded.
            step @ (Step::Started(_)
            | Step::Usage(_)
            | Step::Finished(_)
            | Step::Opaque(_)
            | Step::Ended
            | Step::Failed(_)) => {
                self.chunks.push_back((Chunk { seq, arrived_us, event: Event { step, extras } }, size));
            }
        }
    }

    fn extend(&mut self, key: BlockKey, seq: u64, arrived_us: u64, size: usize, change: impl FnOnce(&mut Block)) {
        let Some(at) = self.growing.iter().position(|(block, _)| block.started.block == key) else {
            self.unsent_bytes -= size; // its start was reported otherwise
            return;
        };
        let (block, bytes) = &mut self.growing[at];
        change(block);
        if block.first == UNSET {
            (block.first, block.first_arrived_us) = (seq, arrived_us);
        }
        (block.last, block.last_arrived_us) = (seq, arrived_us);
        *bytes += size;
        self.growing_bytes += size;
        if block.stopped {
            let whole = self.growing.remove(at);
            self.growing_bytes -= whole.1;
            self.blocks.push_back(whole);
        }
    }

    /// Blocks that outgrow a message or the window, together, are told in parts: none waits for a stop.
    pub fn send_parts(&mut self) {
        self.growing_bytes = 0;
        for (block, bytes) in self.growing.iter_mut().filter(|(block, _)| block.first != UNSET) {
            let rest = rest_of(block);
            self.blocks.push_back((std::mem::replace(block, rest), std::mem::take(bytes)));
        }
    }
}

/// What the next part of a block begins with.
fn rest_of(block: &Block) -> Block {
    Block {
        first: UNSET,
        last: UNSET,
        first_arrived_us: 0,
        last_arrived_us: 0,
        started: block.started.clone(),
        extras: Extras::NONE,
        deltas: Vec::new(),
        stopped: false,
    }
}

/// Joins neighbouring pieces of one sort.
fn append(block: &mut Block, delta: BlockDelta, extras: Extras) {
    if let (Some((last, last_extras)), true) = (block.deltas.last_mut(), extras.is_empty())
        && last_extras.is_empty()
    {
        match (&mut last.delta, &delta.delta) {
            (Delta::Text(text), Delta::Text(more)) | (Delta::Arguments(text), Delta::Arguments(more)) => {
                text.push_str(more);
                return;
            }
            (Delta::Text(_) | Delta::Arguments(_) | Delta::Signature(_) | Delta::Opaque(_), _) => {}
        }
    }
    block.deltas.push((delta, extras));
}

/// The unknown fields of a stop, as a piece of its own.
fn stop_extras(block: BlockKey, extras: Extras) -> Option<(BlockDelta, Extras)> {
    if extras.is_empty() {
        return None;
    }
    Some((BlockDelta { block, delta: Delta::Opaque(serde_json::Value::Object(extras.into_map())) }, Extras::NONE))
}
