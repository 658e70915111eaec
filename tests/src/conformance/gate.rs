//! A proxy's gate, in the simplest way there is: what is told of a response, what verdicts do, what the client gets.

mod levels;

use std::collections::VecDeque;

use luthien_proto::wire::{
    self, Block, Chunk, Delta, Event, Forward, Interest, Verdict, event::Event as Step, verdict::Decision,
};

use super::{grammar::Grammar, rule::Rule};
use levels::{Level, Levels};

/// A rule that a service broke, and how.
pub(super) type Fault = (Rule, String);

/// The way of a response through a proxy.
#[derive(Debug)]
pub(super) struct Gate {
    levels: Levels,
    /// Whether anything was gated when the call was admitted.
    gates: bool,
    slots: VecDeque<Slot>,
    /// The blocks that are only recorded, in the making.
    growing: Vec<Growing>,
    last: u64,
    /// The last chunk of the Chunks messages.
    sent: u64,
    pub applied: Applied,
    /// What the client gets.
    pub released: Vec<Event>,
    grammar: Grammar,
    /// Whether the upstream's last event has come.
    pub is_complete: bool,
}

/// What verdicts have done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Applied {
    pub settled: u64,
    pub injected: u64,
    pub ended: bool,
    /// How many verdicts that were.
    pub verdicts: usize,
}

/// How something that came is told.
#[derive(Debug)]
pub(super) enum Telling {
    Chunk(Chunk),
    Block(Block),
    /// As a part of what comes later.
    Later,
}

#[derive(Debug)]
struct Slot {
    seq: u64,
    event: Event,
    fate: Fate,
}

#[derive(Debug, PartialEq)]
enum Fate {
    Held,
    Passed,
    Replaced(Vec<Event>),
}

#[derive(Debug)]
struct Growing {
    key: u32,
    block: Block,
}

/// Between two chunks, in microseconds.
const PACE_US: u64 = 1000;

impl Gate {
    /// For a call that was admitted so.
    pub fn new(forward: &Forward) -> Self {
        let levels = Levels::new(forward);
        Self {
            gates: levels.gates(),
            levels,
            slots: VecDeque::new(),
            growing: Vec::new(),
            last: 0,
            sent: 0,
            applied: Applied::default(),
            released: Vec::new(),
            grammar: Grammar::default(),
            is_complete: false,
        }
    }

    /// Something came from the upstream.
    pub fn arrive(&mut self, event: &Event) -> Result<Telling, Fault> {
        self.last += 1;
        let seq = self.last;
        let level = self.levels.place(event);
        let fate = if level == Level::Gate { Fate::Held } else { Fate::Passed };
        self.is_complete |= is_last(event);
        if !self.is_over() {
            self.slots.push_back(Slot { seq, event: event.clone(), fate });
        }
        let telling = match level {
            Level::Gate | Level::Observe => {
                self.sent = seq;
                Telling::Chunk(Chunk { seq, arrived_us: seq * PACE_US, event: Some(self.levels.view(event)) })
            }
            Level::Record => self.grow(seq, event),
        };
        self.release()?;
        Ok(telling)
    }

    /// Whether the client has the last of it.
    pub fn is_over(&self) -> bool {
        self.applied.ended || self.released.last().is_some_and(is_last)
    }

    /// Whether a chunk waits for its verdict.
    pub fn is_holding(&self) -> bool {
        !self.is_over() && self.slots.iter().any(|slot| slot.fate == Fate::Held)
    }

    /// Less is wanted from now on.
    pub fn lower(&mut self, interest: &Interest) {
        self.levels.lower(interest);
    }

    /// Does what a verdict says.
    pub fn apply(&mut self, verdict: &Verdict) -> Result<(), Fault> {
        let through = verdict.through;
        let settled = self.applied.settled;
        let Some(decision) = &verdict.decision else {
            return Err((Rule::M1, format!("a Verdict through {through} decides nothing")));
        };
        if self.applied.ended {
            return Err((Rule::V4, format!("a Verdict through {through} behind the end")));
        }
        if through > self.sent {
            return Err((Rule::V1, format!("a Verdict through {through}, and {} were sent", self.sent)));
        }
        if through < settled {
            return Err((Rule::V2, format!("a Verdict through {through} after one through {settled}")));
        }
        let only_passes = matches!(decision, Decision::Pass(_)) && !verdict.cancel_upstream;
        if !self.gates && !only_passes {
            return Err((Rule::V5, format!("a Verdict through {through} that is more than to pass")));
        }
        self.applied.verdicts += 1;
        self.note(through, decision);
        match decision {
            Decision::Pass(_) => self.settle(through, |_| Fate::Passed),
            Decision::Replace(replace) => self.replace(through, replace.events.clone())?,
            Decision::End(end) => {
                self.put(through, end.events.clone());
                self.slots.retain(|slot| slot.fate != Fate::Held);
            }
        }
        self.release()
    }

    /// Whether the response has failed.
    pub fn has_failed(&self) -> bool {
        self.released.last().is_some_and(|event| matches!(event.event, Some(Step::Failed(_))))
    }

    /// The last chunk that came.
    pub fn last(&self) -> u64 {
        self.last
    }

    fn note(&mut self, through: u64, decision: &Decision) {
        let (events, ends) = match decision {
            Decision::Pass(_) => (0, false),
            Decision::Replace(replace) => (replace.events.len(), false),
            Decision::End(end) => (end.events.len(), true),
        };
        let applied = &mut self.applied;
        if through > applied.settled {
            (applied.settled, applied.injected) = (through, 0);
        } else {
            applied.injected += events as u64;
        }
        applied.ended |= ends;
    }

    fn replace(&mut self, through: u64, events: Vec<Event>) -> Result<(), Fault> {
        let held = || self.slots.iter().filter(|slot| slot.seq <= through && slot.fate == Fate::Held);
        let settles_end = held().any(|slot| matches!(slot.event.event, Some(Step::Ended(_))));
        let failed =
            held().find(|slot| matches!(slot.event.event, Some(Step::Failed(_)))).map(|slot| slot.event.clone());
        let ends = |event: &Event| matches!(event.event, Some(Step::Ended(_)));
        if events.iter().any(ends) && !settles_end {
            return Err((Rule::V3, format!("a Verdict through {through} has an Ended where the upstream has none")));
        }
        let mut events = events;
        // What failed has failed; a response of which the end was taken out is finished by the proxy.
        if !events.iter().any(is_last) {
            events.extend(failed);
            if settles_end {
                events.push(super::events::step(Step::Ended(wire::Ended {})));
            }
        }
        self.put(through, events);
        Ok(())
    }

    /// Events stand in the place of the first chunk that is settled; settling none, before the first that is held.
    fn put(&mut self, through: u64, events: Vec<Event>) {
        let mut events = Some(events);
        self.settle(through, |_| Fate::Replaced(events.take().unwrap_or_default()));
        if let Some(events) = events {
            let event = Event::default();
            let slot = Slot { seq: through, event, fate: Fate::Replaced(events) };
            let at = self.slots.iter().position(|slot| slot.fate == Fate::Held).unwrap_or(self.slots.len());
            self.slots.insert(at, slot);
        }
    }

    fn settle(&mut self, through: u64, mut fate: impl FnMut(&Event) -> Fate) {
        for slot in self.slots.iter_mut().filter(|slot| slot.seq <= through && slot.fate == Fate::Held) {
            slot.fate = fate(&slot.event);
        }
    }

    /// What is settled, and behind nothing that is held, is written.
    fn release(&mut self) -> Result<(), Fault> {
        while self.slots.front().is_some_and(|slot| slot.fate != Fate::Held) {
            let Some(slot) = self.slots.pop_front() else { return Ok(()) };
            let events = match slot.fate {
                Fate::Held => Vec::new(),
                Fate::Passed => vec![slot.event],
                Fate::Replaced(events) => events,
            };
            for event in events {
                let wrote = self.grammar.write(&event);
                wrote.map_err(|error| (Rule::V3, format!("at chunk {}: {error}", slot.seq)))?;
                self.released.push(event);
            }
        }
        Ok(())
    }

    fn grow(&mut self, seq: u64, event: &Event) -> Telling {
        let at_us = seq * PACE_US;
        match &event.event {
            Some(Step::BlockStarted(started)) => {
                let block = Block {
                    first: seq,
                    first_arrived_us: at_us,
                    started: Some(started.clone()),
                    extras_json: event.extras_json.clone(),
                    ..Block::default()
                };
                self.growing.push(Growing { key: started.block, block });
                Telling::Later
            }
            Some(Step::BlockDelta(delta)) => {
                if let Some(growing) = self.growing.iter_mut().find(|growing| growing.key == delta.block) {
                    let extras_json = event.extras_json.clone();
                    growing.block.deltas.push(Delta { delta: Some(delta.clone()), extras_json });
                }
                Telling::Later
            }
            Some(Step::BlockStopped(stop)) => {
                let at = self.growing.iter().position(|growing| growing.key == stop.block);
                at.map_or(Telling::Later, |at| {
                    let block = self.growing.remove(at).block;
                    Telling::Block(Block { last: seq, last_arrived_us: at_us, stopped: true, ..block })
                })
            }
            Some(
                Step::Started(_)
                | Step::Usage(_)
                | Step::Finished(_)
                | Step::Opaque(_)
                | Step::Ended(_)
                | Step::Failed(_),
            )
            | None => Telling::Later,
        }
    }
}

pub(super) fn is_last(event: &Event) -> bool {
    matches!(event.event, Some(Step::Ended(_) | Step::Failed(_)))
}
