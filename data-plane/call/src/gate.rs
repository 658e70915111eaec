//! The gate: what was received and has no verdict is held; verdicts settle it in order; what is settled is released.
//!
//! A [`Frame`] is what arrived together: an SSE event, or a whole body. Its bytes may leave as they came only if every
//! chunk of it was passed, so a frame is released as a whole.

use std::collections::VecDeque;

use bytes::Bytes;
use luthien_proto::{
    event::{BlockKey, CallError, Chunk, Delta, Event, FinishReason, Kind, Step},
    message::{Decision, Interest, Level, Verdict},
    proxy::View,
};
use thiserror::Error;

use crate::{stats, stats::Stats};

/// A verdict that can't be: the policy service is at fault.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Error {
    /// It settles what was never sent.
    #[error("a verdict through chunk {through}, but only {sent} were sent")]
    NeverSent {
        /// What the verdict named.
        through: u64,
        /// The last chunk that was sent.
        sent: u64,
    },
    /// It goes back behind an earlier one.
    #[error("a verdict through chunk {through} after one through {settled}")]
    StepBack {
        /// What the verdict named.
        through: u64,
        /// What the earlier one named.
        settled: u64,
    },
    /// It completes what the upstream has not completed. Only a verdict that ends the response may do so.
    #[error("a verdict through chunk {through} that has an end where the upstream has none")]
    EarlyEnd {
        /// What the verdict named.
        through: u64,
    },
    /// It comes after one that ended the response.
    #[error("a verdict through chunk {through} after the end of the response")]
    AfterEnd {
        /// What the verdict named.
        through: u64,
    },
}

/// What leaves the gate together.
#[derive(Debug, Default)]
pub struct Released {
    /// The bytes as they came, if nothing in them was changed.
    pub original: Option<Bytes>,
    /// What they say, or what is to be said instead.
    pub events: Vec<Event>,
    /// The last chunk that this settles.
    pub through: u64,
    /// The bytes that it held.
    pub size: usize,
}

/// Holds what has no verdict.
#[derive(Debug)]
pub struct Gate {
    interest: Interest,
    frames: VecDeque<Frame>,
    /// The blocks that are open, for what their deltas are.
    blocks: Vec<OpenBlock>,
    view: View,
    next_seq: u64,
    /// The greatest `through` of all verdicts.
    settled: u64,
    held_bytes: usize,
    held_chunks: usize,
    end: End,
    /// Nothing is held any more, by what an operator wrote.
    open: bool,
    /// The first and the last chunk that so went without its verdict.
    opened: Option<(u64, u64)>,
    stats: Stats,
}

#[derive(Clone, Copy, Debug)]
struct OpenBlock {
    key: BlockKey,
    kind: Kind,
    /// What was wanted of it when it started.
    level: Level,
}

/// Whether a verdict has ended the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    No,
    /// It has: what is settled leaves, then the response finishes for that reason.
    Due(Option<FinishReason>),
    Taken,
}

#[derive(Debug)]
struct Frame {
    original: Option<Bytes>,
    size: usize,
    arrived_us: u64,
    slots: Vec<Slot>,
}

#[derive(Debug)]
struct Slot {
    seq: u64,
    /// `None`: it belongs to no block.
    kind: Option<Kind>,
    fate: Fate,
}

#[derive(Debug)]
enum Fate {
    /// It has no verdict.
    Held(Event),
    /// It was passed, or needed no verdict.
    Passed(Event),
    /// These stand in its place.
    Replaced(Vec<Event>),
}

impl Gate {
    /// A gate that holds what `interest` gates, for a policy service that knows these kinds of block.
    pub fn new(interest: Interest, known: &[Kind]) -> Self {
        Self {
            interest,
            view: View::new(known),
            frames: VecDeque::new(),
            blocks: Vec::new(),
            next_seq: 1,
            settled: 0,
            held_bytes: 0,
            held_chunks: 0,
            end: End::No,
            open: false,
            opened: None,
            stats: Stats::default(),
        }
    }

    /// The bytes that have arrived and were not released.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// The last chunk that a verdict named.
    pub fn settled(&self) -> u64 {
        self.settled
    }

    /// Whether everything that has arrived was released.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Whether a chunk waits for its verdict.
    pub fn is_holding(&self) -> bool {
        self.held_chunks > 0
    }

    /// Whether nothing that comes now goes anywhere.
    pub fn is_ending(&self) -> bool {
        self.end != End::No
    }

    /// What became of the chunks so far. Those that are held count as withheld.
    pub fn stats(&self) -> Stats {
        let mut stats = self.stats.clone();
        for slot in self.frames.iter().flat_map(|frame| &frame.slots).filter(|slot| slot.is_held()) {
            stats.count(slot.kind, stats::Fate::Withheld);
        }
        stats
    }

    /// Takes in what arrived together and says how each chunk of it is to be reported. `original` is what may leave as it
    /// came; `size` counts against the window.
    pub fn push(
        &mut self,
        original: Option<Bytes>,
        size: usize,
        events: Vec<Event>,
        arrived_us: u64,
    ) -> Vec<(Chunk, Level)> {
        let mut reports = Vec::with_capacity(events.len());
        let mut slots = Vec::with_capacity(events.len());
        for event in events {
            let (kind, level) = self.place(&event.step);
            let seq = self.next_seq;
            self.next_seq += 1;
            let fate = match level {
                Level::Gate if !self.open => Fate::Held(event.clone()),
                Level::Gate | Level::Observe | Level::Record => Fate::Passed(event.clone()),
            };
            match (&fate, self.end) {
                (Fate::Held(_), End::No) => {} // counted when it is settled
                (_, End::Due(_) | End::Taken) => self.stats.count(kind, stats::Fate::Withheld),
                (_, End::No) if level == Level::Gate => {
                    self.note_opened(seq);
                    self.stats.count(kind, stats::Fate::Opened);
                }
                (_, End::No) => self.stats.count(kind, stats::Fate::Unjudged),
            }
            slots.push(Slot { seq, kind, fate });
            reports.push((Chunk { seq, arrived_us, event: self.view.of(event) }, level));
        }
        if self.end == End::No {
            self.held_chunks += slots.iter().filter(|slot| slot.is_held()).count();
            self.held_bytes += size;
            self.frames.push_back(Frame { original, size, arrived_us, slots });
        }
        reports
    }

    /// Less is wanted from now on: what would be more counts for nothing. Of a block that is told chunk by chunk every
    /// chunk still is.
    pub fn lower(&mut self, interest: Interest) {
        self.interest = self.interest.meet(interest);
    }

    /// Settles what a verdict covers. `sent` is the last chunk that the policy service was sent; `now_us` is counted as
    /// the arrival of chunks is.
    ///
    /// # Errors
    /// The verdict breaks the protocol; nothing is settled by it.
    pub fn apply(&mut self, verdict: Verdict, sent: u64, now_us: u64) -> Result<(), Error> {
        let Verdict { through, decision, .. } = verdict;
        if self.end != End::No {
            return Err(Error::AfterEnd { through });
        }
        if through > sent {
            return Err(Error::NeverSent { through, sent });
        }
        if through < self.settled {
            return Err(Error::StepBack { through, settled: self.settled });
        }
        if let Decision::Replace(events) = &decision
            && events.iter().any(is_end)
            && !self.held_through(through).any(is_end)
        {
            return Err(Error::EarlyEnd { through });
        }
        self.settled = through;
        match decision {
            Decision::Pass => self.settle(through, now_us, stats::Fate::Passed, Fate::Passed),
            Decision::Replace(events) => self.replace(through, now_us, events),
            Decision::End { events, reason } => {
                self.put_instead(through, now_us, events, |_| None);
                self.cut_behind(through);
                self.end = End::Due(reason);
            }
        }
        Ok(())
    }

    /// Passes all that is held and all that will come: what an operator wrote for the loss of the policy service.
    pub fn open(&mut self) {
        self.open = true;
        let held = self.frames.iter().flat_map(|frame| &frame.slots).filter(|slot| slot.is_held());
        let seqs: Vec<u64> = held.map(|slot| slot.seq).collect();
        seqs.into_iter().for_each(|seq| self.note_opened(seq));
        self.settle(u64::MAX, 0, stats::Fate::Opened, Fate::Passed);
    }

    /// The first and the last chunk that passed without the verdict that it was owed, and how many did.
    pub fn opened(&self) -> Option<(u64, u64, u64)> {
        self.opened.map(|(first, last)| (first, last, self.stats.total(stats::Fate::Opened)))
    }

    /// The last chunk that came.
    pub fn last_seq(&self) -> u64 {
        self.next_seq - 1
    }

    fn note_opened(&mut self, seq: u64) {
        let (first, _) = self.opened.unwrap_or((seq, seq));
        self.opened = Some((first, seq));
    }

    /// Whether nothing is held any more, whatever was wanted.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Drops all that is held, and all that will come.
    pub fn shut(&mut self) {
        self.stats = self.stats();
        self.frames.clear();
        self.held_bytes = 0;
        self.held_chunks = 0;
        self.end = End::Taken;
    }

    /// What may go on its way next.
    pub fn release(&mut self) -> Option<Released> {
        if self.frames.front()?.slots.iter().any(Slot::is_held) {
            return None;
        }
        let frame = self.frames.pop_front()?;
        self.held_bytes -= frame.size;
        Some(frame.into())
    }

    /// Whether the response is to finish now: everything that was settled has been released.
    pub fn take_end(&mut self) -> Option<Option<FinishReason>> {
        match self.end {
            End::Due(reason) if self.frames.is_empty() => {
                self.end = End::Taken;
                Some(reason)
            }
            End::Due(_) | End::No | End::Taken => None,
        }
    }

    /// Of which kind a chunk is, and what a policy wants of it.
    fn place(&mut self, step: &Step) -> (Option<Kind>, Level) {
        match step {
            Step::BlockStarted(started) => {
                let kind = started.kind.kind();
                let level = self.interest.of(kind);
                self.blocks.push(OpenBlock { key: started.block, kind, level });
                (Some(kind), level)
            }
            Step::BlockDelta(delta) => match delta.delta {
                // A piece of a block that is told chunk by chunk has no other place on record.
                Delta::Opaque(_) => {
                    let (_, block) = self.place_in(delta.block);
                    (Some(Kind::Opaque), self.interest.of(Kind::Opaque).max(block.min(Level::Observe)))
                }
                Delta::Text(_) | Delta::Arguments(_) | Delta::Signature(_) => self.place_in(delta.block),
            },
            Step::BlockStopped(key) => {
                let place = self.place_in(*key);
                self.blocks.retain(|block| block.key != *key);
                place
            }
            Step::Started(_) | Step::Usage(_) | Step::Finished(_) | Step::Opaque(_) | Step::Ended | Step::Failed(_) => {
                (None, self.interest.strictest().max(Level::Observe))
            }
        }
    }

    fn place_in(&self, key: BlockKey) -> (Option<Kind>, Level) {
        let Some(block) = self.blocks.iter().find(|block| block.key == key) else {
            return (Some(Kind::Opaque), Level::Gate);
        };
        let level = match block.level {
            Level::Record => Level::Record,
            Level::Observe | Level::Gate => self.interest.of(block.kind).clamp(Level::Observe, block.level),
        };
        (Some(block.kind), level)
    }

    fn settle(&mut self, through: u64, now_us: u64, how: stats::Fate, mut fate: impl FnMut(Event) -> Fate) {
        for frame in &mut self.frames {
            for slot in frame.slots.iter_mut().filter(|slot| slot.is_held()) {
                if slot.seq > through {
                    return;
                }
                slot.settle(&mut fate);
                self.held_chunks -= 1;
                if how == stats::Fate::Opened {
                    self.stats.count(slot.kind, how);
                } else {
                    self.stats.judged(slot.kind, how, now_us.saturating_sub(frame.arrived_us));
                }
            }
        }
    }

    /// Nothing will come behind the last step: a response of which it was taken out is finished by that, and one that
    /// failed has failed whatever stands in its place.
    fn replace(&mut self, through: u64, now_us: u64, events: Vec<Event>) {
        let goes_on = !events.iter().any(|event| event.step.is_last());
        let mut is_finished = false;
        self.put_instead(through, now_us, events, |settled| match &settled.step {
            Step::Ended => {
                is_finished = goes_on;
                None
            }
            Step::Failed(error) if goes_on => Some(without_words(error)),
            Step::Failed(_)
            | Step::Started(_)
            | Step::BlockStarted(_)
            | Step::BlockDelta(_)
            | Step::BlockStopped(_)
            | Step::Usage(_)
            | Step::Finished(_)
            | Step::Opaque(_) => None,
        });
        if is_finished {
            self.end = End::Due(None);
        }
    }

    /// The events stand in the place of the first chunk that the verdict settles; settling none, they are injected.
    /// `rest`: what remains of a chunk, behind them.
    fn put_instead(
        &mut self,
        through: u64,
        now_us: u64,
        events: Vec<Event>,
        mut rest: impl FnMut(&Event) -> Option<Event>,
    ) {
        let how = if events.is_empty() { stats::Fate::Dropped } else { stats::Fate::Replaced };
        let mut events = Some(events);
        self.settle(through, now_us, how, |settled| {
            let mut made = events.take().unwrap_or_default();
            made.extend(rest(&settled));
            Fate::Replaced(made)
        });
        if let Some(events) = events.filter(|events| !events.is_empty()) {
            self.inject(through, events);
        }
    }

    fn held_through(&self, through: u64) -> impl Iterator<Item = &Event> {
        let slots = self.frames.iter().flat_map(|frame| &frame.slots).take_while(move |slot| slot.seq <= through);
        slots.filter_map(|slot| match &slot.fate {
            Fate::Held(event) => Some(event),
            Fate::Passed(_) | Fate::Replaced(_) => None,
        })
    }

    /// Puts events behind what is settled: before the first chunk that is held.
    fn inject(&mut self, seq: u64, events: Vec<Event>) {
        let slot = Slot { seq, kind: None, fate: Fate::Replaced(events) };
        let held = |frame: &Frame| frame.slots.iter().position(Slot::is_held);
        let place = self.frames.iter().enumerate().find_map(|(at, frame)| Some((at, held(frame)?)));
        match place {
            None => self.frames.push_back(Frame::injected(slot)),
            Some((at, 0)) => self.frames.insert(at, Frame::injected(slot)),
            // What stands before it in its frame was settled, and waits for the rest no longer.
            Some((at, within)) => {
                let rest = self.frames[at].split_off(within);
                self.frames.insert(at + 1, Frame::injected(slot));
                self.frames.insert(at + 2, rest);
            }
        }
    }

    /// Drops everything behind a chunk.
    fn cut_behind(&mut self, through: u64) {
        self.stats = self.stats();
        for frame in &mut self.frames {
            let before = frame.slots.len();
            frame.slots.retain(|slot| slot.seq <= through);
            if frame.slots.len() < before || before == 0 {
                frame.original = None;
            }
        }
        self.held_chunks = 0;
    }
}

fn is_end(event: &Event) -> bool {
    matches!(event.step, Step::Ended)
}

/// A failure of which a policy took out what the upstream said.
fn without_words(error: &CallError) -> Event {
    let message = "The upstream's response failed".to_owned();
    Step::Failed(CallError { status: error.status, message, ..CallError::default() }).into()
}

impl Frame {
    fn injected(slot: Slot) -> Self {
        Self { original: None, size: 0, arrived_us: 0, slots: vec![slot] }
    }

    /// Takes out what stands behind a position. Neither part leaves as it came.
    fn split_off(&mut self, at: usize) -> Self {
        self.original = None;
        let (size, slots) = (std::mem::take(&mut self.size), self.slots.split_off(at));
        Self { original: None, size, arrived_us: self.arrived_us, slots }
    }
}

impl Slot {
    fn is_held(&self) -> bool {
        matches!(self.fate, Fate::Held(_))
    }

    fn settle(&mut self, fate: &mut impl FnMut(Event) -> Fate) {
        let held = std::mem::replace(&mut self.fate, Fate::Replaced(Vec::new()));
        self.fate = match held {
            Fate::Held(event) => fate(event),
            settled @ (Fate::Passed(_) | Fate::Replaced(_)) => settled,
        };
    }
}

impl From<Frame> for Released {
    fn from(frame: Frame) -> Self {
        let through = frame.slots.last().map_or(0, |slot| slot.seq);
        let intact = frame.slots.iter().all(|slot| matches!(slot.fate, Fate::Passed(_)));
        let mut events = Vec::with_capacity(frame.slots.len());
        for slot in frame.slots {
            match slot.fate {
                Fate::Passed(event) => events.push(event),
                Fate::Replaced(made) => events.extend(made),
                Fate::Held(_) => {} // a frame is released only when nothing in it is held
            }
        }
        Self { original: frame.original.filter(|_| intact), events, through, size: frame.size }
    }
}
