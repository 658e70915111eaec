//! What a stage has taken in and not let out yet, in order.

use std::collections::VecDeque;

use luthien_proto::{Event, Step, event::BlockKey};

use super::{
    flow::{End, Flow, Moving, Stages},
    tally::Tallies,
};
use crate::policy::{Held, Place, Ruling};

/// A queue that gives up its decided prefix.
#[derive(Debug)]
pub(crate) struct Slots {
    queue: VecDeque<Slot>,
    /// The ticket of the front.
    front: u64,
    undecided: usize,
    /// The position of the stage.
    index: usize,
    /// Whether the stage changed anything since the last mark.
    changed: bool,
    /// The blocks of which something was changed, if somebody asks for them.
    changed_blocks: Option<Vec<(BlockKey, Change)>>,
}

/// What was done to a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It is not let through.
    Refused,
    /// It is, with other content.
    Rewritten,
}

/// One place in the queue.
#[derive(Debug)]
pub(crate) enum Slot {
    Event(EventSlot),
    Mark { seq: u64, gated: bool, by: Stages },
    End(End),
}

/// An event, and what becomes of it.
#[derive(Debug)]
pub(crate) struct EventSlot {
    pub seq: u64,
    pub arrived_us: u64,
    /// `None`: a stop that never came; to pass it is to let out nothing.
    pub event: Option<Event>,
    pub place: Place,
    /// Whether the policy has a hook that saw it.
    pub seen: bool,
    /// Put before it, whatever becomes of it.
    pub before: Vec<Event>,
    pub ruling: Ruling,
    /// Put behind it.
    pub injected: Vec<Event>,
}

impl Slots {
    pub fn new(index: usize) -> Self {
        Self { queue: VecDeque::new(), front: 0, undecided: 0, index, changed: false, changed_blocks: None }
    }

    /// The ticket of the slot that is pushed next.
    pub fn next(&self) -> Held {
        Held(self.front + self.queue.len() as u64)
    }

    pub fn push(&mut self, slot: Slot) {
        if let Slot::Event(slot) = &slot {
            self.undecided += usize::from(slot.is_held());
            slot.tell_change(&mut self.changed_blocks);
        }
        self.queue.push_back(slot);
    }

    /// How many events wait for their ruling.
    pub fn undecided(&self) -> usize {
        self.undecided
    }

    /// Whether an event is still held.
    pub fn is_held(&self, held: Held) -> bool {
        let slot = held.0.checked_sub(self.front).and_then(|at| self.queue.get(usize::try_from(at).ok()?));
        slot.is_some_and(|slot| !slot.is_decided())
    }

    /// Decides about a held event; `false`: it is not held.
    pub fn settle(&mut self, held: Held, ruling: Ruling) -> bool {
        let slot = held.0.checked_sub(self.front).and_then(|at| self.queue.get_mut(usize::try_from(at).ok()?));
        match slot {
            Some(Slot::Event(slot)) if slot.is_held() => {
                slot.ruling = ruling;
                slot.tell_change(&mut self.changed_blocks);
                self.undecided -= 1;
                true
            }
            Some(Slot::Event(_) | Slot::Mark { .. } | Slot::End(_)) | None => false,
        }
    }

    /// The response ends at a held event: what else is held is dropped, and so is all behind it. `false`: it is not held.
    pub fn end(&mut self, held: Held, ruling: Ruling) -> bool {
        if !self.settle(held, ruling) {
            return false;
        }
        self.drop_held();
        self.queue.truncate(usize::try_from(held.0 - self.front).unwrap_or(usize::MAX).saturating_add(1));
        true
    }

    /// Passes everything that is held.
    pub fn pass_held(&mut self) {
        self.settle_held(|| Ruling::Pass);
    }

    /// Drops everything that is held.
    pub fn drop_held(&mut self) {
        self.settle_held(|| Ruling::Replace(Vec::new()));
    }

    fn settle_held(&mut self, ruling: impl Fn() -> Ruling) {
        for slot in &mut self.queue {
            match slot {
                Slot::Event(slot) if slot.is_held() => slot.ruling = ruling(),
                Slot::Event(_) | Slot::Mark { .. } | Slot::End(_) => {}
            }
        }
        self.undecided = 0;
    }

    /// Lets out the decided prefix.
    pub fn drain(&mut self, tallies: &mut Tallies, out: &mut Vec<Flow>) {
        while let Some(slot) = self.pop_decided(tallies) {
            self.let_out(slot, out);
        }
    }

    /// Takes out the first slot, if it is decided.
    pub fn pop_decided(&mut self, tallies: &mut Tallies) -> Option<Slot> {
        let slot = self.queue.pop_front_if(|slot| slot.is_decided())?;
        self.front += 1;
        if let Slot::Event(slot) = &slot
            && slot.seen
            && slot.event.is_some()
        {
            tallies.ruled(slot.place, &slot.ruling);
        }
        Some(slot)
    }

    /// Puts events before one that is held.
    pub fn put_before(&mut self, held: Held, events: Vec<Event>) {
        let slot = held.0.checked_sub(self.front).and_then(|at| self.queue.get_mut(usize::try_from(at).ok()?));
        if let Some(Slot::Event(slot)) = slot {
            slot.before.extend(events);
        }
    }

    /// From now on it is known of which blocks something was changed.
    pub fn watch_changes(&mut self) {
        self.changed_blocks = Some(Vec::new());
    }

    /// The blocks of which something was changed since the last time.
    pub(super) fn take_changed_blocks(&mut self) -> Vec<(BlockKey, Change)> {
        self.changed_blocks.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// What is held of a block is let go of, undecided: nobody waits for it.
    pub fn let_go_of(&mut self, block: BlockKey, tallies: &mut Tallies) {
        for slot in &mut self.queue {
            if let Slot::Event(slot) = slot
                && slot.is_held()
                && slot.block() == Some(block)
            {
                (slot.ruling, slot.seen) = (Ruling::Pass, false);
                tallies.at(slot.place).undecided += 1;
                self.undecided -= 1;
            }
        }
    }

    /// Lets out what was taken out.
    pub fn let_out(&mut self, slot: Slot, out: &mut Vec<Flow>) {
        match slot {
            Slot::Event(slot) => self.let_event_out(slot, out),
            Slot::Mark { seq, gated, by } => {
                let by = if self.changed { by.with(self.index) } else { by };
                self.changed = false;
                out.push(Flow::Mark { seq, gated, by });
            }
            Slot::End(end) => {
                let by = if self.changed { end.by.with(self.index) } else { end.by };
                out.push(Flow::End(End { by, ..end }));
            }
        }
    }

    fn let_event_out(&mut self, slot: EventSlot, out: &mut Vec<Flow>) {
        let EventSlot { seq, arrived_us, event, before, ruling, injected, .. } = slot;
        let mut push = |event| out.push(Flow::Event(Moving { seq, arrived_us, event }));
        self.changed |= !before.is_empty() || !injected.is_empty();
        before.into_iter().for_each(&mut push);
        match ruling {
            Ruling::Pass => event.into_iter().chain(injected).for_each(push),
            Ruling::Replace(events) => {
                self.changed |= event.is_some() || !events.is_empty();
                events.into_iter().chain(injected).for_each(push);
            }
            Ruling::End { events, reason, cancel_upstream } => {
                events.into_iter().chain(injected).for_each(&mut push);
                let by = Stages::default().with(self.index);
                out.push(Flow::End(End { seq, arrived_us, reason, cancel_upstream, by }));
            }
            Ruling::Hold => {}
        }
    }

    /// Counts what was never decided.
    pub fn tally_undecided(&self, tallies: &mut Tallies) {
        for slot in &self.queue {
            match slot {
                Slot::Event(slot) if slot.is_held() => tallies.at(slot.place).undecided += 1,
                Slot::Event(_) | Slot::Mark { .. } | Slot::End(_) => {}
            }
        }
    }
}

impl Slot {
    fn is_decided(&self) -> bool {
        match self {
            Self::Event(slot) => !slot.is_held(),
            Self::Mark { .. } | Self::End(_) => true,
        }
    }
}

impl EventSlot {
    /// The block that it belongs to, if any.
    fn block(&self) -> Option<BlockKey> {
        self.event.as_ref().and_then(block_of)
    }

    fn tell_change(&self, to: &mut Option<Vec<(BlockKey, Change)>>) {
        if let (Some(to), Some(event)) = (to, &self.event) {
            to.extend(self.change(event));
        }
    }

    fn change(&self, event: &Event) -> Option<(BlockKey, Change)> {
        let block = block_of(event)?;
        let starts = |event: &Event| matches!(event.step, Step::BlockStarted(_)) && block_of(event) == Some(block);
        let change = match &self.ruling {
            Ruling::Pass | Ruling::Hold => return None,
            Ruling::Replace(events) if starts(event) && !events.iter().any(starts) => Change::Refused,
            Ruling::Replace(_) => Change::Rewritten,
            Ruling::End { .. } => Change::Refused,
        };
        Some((block, change))
    }

    fn is_held(&self) -> bool {
        matches!(self.ruling, Ruling::Hold)
    }
}

/// The block that an event belongs to, if any.
pub(super) fn block_of(event: &Event) -> Option<BlockKey> {
    match &event.step {
        Step::BlockStarted(started) => Some(started.block),
        Step::BlockDelta(delta) => Some(delta.block),
        Step::BlockStopped(key) => Some(*key),
        Step::Started(_) | Step::Usage(_) | Step::Finished(_) | Step::Opaque(_) | Step::Ended | Step::Failed(_) => None,
    }
}
