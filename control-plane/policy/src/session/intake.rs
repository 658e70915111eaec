//! What the proxy may say, and when.

use std::collections::{BTreeMap, BTreeSet};

use luthien_proto::{
    Chunk, Step,
    event::{BlockDelta, BlockKey, BlockStarted, Delta, Kind},
    message::{Block, Interest, Level},
};

/// The proxy broke the protocol: the call ends closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A second CallStarted.
    #[error("CallStarted came twice")]
    StartedTwice,
    /// The answer to a consult that nobody asked, or a call that is resumed where it has begun.
    #[error("a message came that nothing asked for")]
    Unasked,
    /// A message behind CallEnded.
    #[error("a message came after CallEnded")]
    AfterEnd,
    /// Chunks or a Block of a call that does not go upstream.
    #[error("a part of a response came, although the call was not forwarded")]
    Stopped,
    /// Chunks without a chunk.
    #[error("Chunks came without any chunk")]
    Empty,
    /// A seq that does not rise.
    #[error("chunk {seq} came after chunk {last}")]
    StepBack {
        /// The chunk.
        seq: u64,
        /// The last one before it.
        last: u64,
    },
    /// A seq is missing, although no kind is only recorded.
    #[error("chunk {seq} came after chunk {last}, and those between them are missing")]
    Gap {
        /// The chunk.
        seq: u64,
        /// The last one before it.
        last: u64,
    },
    /// A chunk behind Ended or Failed.
    #[error("chunk {seq} came after the end of the response")]
    AfterLast {
        /// The chunk.
        seq: u64,
    },
    /// A second Started.
    #[error("chunk {seq} starts the response for a second time")]
    ResponseStartedTwice {
        /// The chunk.
        seq: u64,
    },
    /// A block was started twice.
    #[error("chunk {seq} starts block {block} for a second time")]
    BlockStartedTwice {
        /// The chunk.
        seq: u64,
        /// The block.
        block: u32,
    },
    /// A piece or the stop of a block that is not open.
    #[error("chunk {seq} belongs to block {block}, which is not open")]
    NotOpen {
        /// The chunk.
        seq: u64,
        /// The block.
        block: u32,
    },
    /// A key that belongs to the policies.
    #[error("chunk {seq} starts block {block}: such keys belong to the policies")]
    PolicysKey {
        /// The chunk.
        seq: u64,
        /// The block.
        block: u32,
    },
    /// A Block of a kind that is more than recorded.
    #[error("block {block} came whole, although its kind is to be sent chunk by chunk")]
    NotRecorded {
        /// The block.
        block: u32,
    },
    /// A Block whose last chunk comes before its first, or that has no first.
    #[error("block {block} came with chunks {first} to {last}")]
    Range {
        /// The block.
        block: u32,
        /// Its first chunk.
        first: u64,
        /// Its last chunk.
        last: u64,
    },
}

/// What has been received, as far as the order of what follows depends on it.
#[derive(Debug)]
pub(super) struct Intake {
    /// As it was admitted.
    admitted: Interest,
    /// As it is now. From when on the proxy keeps to it is not known.
    interest: Interest,
    last: u64,
    started: bool,
    over: bool,
    known: BTreeSet<BlockKey>,
    open: BTreeMap<BlockKey, Kind>,
    /// Recorded blocks of which parts have come, and not the last one.
    in_parts: BTreeSet<BlockKey>,
}

impl Intake {
    pub fn new(interest: Interest) -> Self {
        Self {
            admitted: interest,
            interest,
            last: 0,
            started: false,
            over: false,
            known: BTreeSet::new(),
            open: BTreeMap::new(),
            in_parts: BTreeSet::new(),
        }
    }

    /// What is wanted now.
    pub fn interest(&self) -> Interest {
        self.interest
    }

    /// Less is wanted from here on.
    pub fn lower(&mut self, interest: Interest) {
        self.interest = interest;
    }

    /// Checks a batch, before any of it has an effect. Says of each chunk whether it may need a verdict.
    pub fn chunks(&mut self, chunks: &[Chunk]) -> Result<Vec<bool>, Fault> {
        if chunks.is_empty() {
            return Err(Fault::Empty);
        }
        chunks.iter().map(|chunk| self.chunk(chunk)).collect()
    }

    /// Checks a recorded block.
    pub fn block(&mut self, block: &Block) -> Result<(), Fault> {
        let Block { first, last, started, .. } = block;
        if self.interest.of(started.kind.kind()) != Level::Record {
            return Err(Fault::NotRecorded { block: started.block.0 });
        }
        if *first == 0 || last < first {
            return Err(Fault::Range { block: started.block.0, first: *first, last: *last });
        }
        let key = started.block;
        if !self.in_parts.contains(&key) {
            self.start(*first, started)?;
        }
        if block.stopped {
            self.in_parts.remove(&key)
        } else {
            self.in_parts.insert(key)
        };
        Ok(())
    }

    fn chunk(&mut self, chunk: &Chunk) -> Result<bool, Fault> {
        let (seq, last) = (chunk.seq, self.last);
        if seq <= last {
            return Err(Fault::StepBack { seq, last });
        }
        if seq != last + 1 && Kind::ALL.iter().all(|kind| self.interest.of(*kind) != Level::Record) {
            return Err(Fault::Gap { seq, last });
        }
        if self.over {
            return Err(Fault::AfterLast { seq });
        }
        self.last = seq;
        self.over = chunk.event.step.is_last();
        let kind = self.step(seq, &chunk.event.step)?;
        Ok(kind.map_or_else(|| self.admitted.gates(), |kind| self.admitted.of(kind) == Level::Gate))
    }

    /// The kind of content that a step belongs to, if any.
    fn step(&mut self, seq: u64, step: &Step) -> Result<Option<Kind>, Fault> {
        match step {
            Step::Started(_) if self.started => Err(Fault::ResponseStartedTwice { seq }),
            Step::Started(_) => {
                self.started = true;
                Ok(None)
            }
            Step::BlockStarted(started) => {
                self.open.insert(started.block, started.kind.kind());
                self.start(seq, started).map(|()| Some(started.kind.kind()))
            }
            Step::BlockDelta(delta) => self.delta(seq, delta).map(Some),
            Step::BlockStopped(key) => match self.open.remove(key) {
                Some(kind) => Ok(Some(kind)),
                None => Err(Fault::NotOpen { seq, block: key.0 }),
            },
            Step::Usage(_) | Step::Finished(_) | Step::Opaque(_) | Step::Ended | Step::Failed(_) => Ok(None),
        }
    }

    fn start(&mut self, seq: u64, started: &BlockStarted) -> Result<(), Fault> {
        let (key, block) = (started.block, started.block.0);
        if key.is_policys() {
            return Err(Fault::PolicysKey { seq, block });
        }
        if !self.known.insert(key) {
            return Err(Fault::BlockStartedTwice { seq, block });
        }
        Ok(())
    }

    /// An opaque piece may belong to a block that is itself only recorded, and so not known here yet.
    fn delta(&self, seq: u64, delta: &BlockDelta) -> Result<Kind, Fault> {
        match delta.delta {
            Delta::Opaque(_) => Ok(Kind::Opaque),
            Delta::Text(_) | Delta::Arguments(_) | Delta::Signature(_) => {
                let block = delta.block.0;
                self.open.get(&delta.block).copied().ok_or(Fault::NotOpen { seq, block })
            }
        }
    }
}
