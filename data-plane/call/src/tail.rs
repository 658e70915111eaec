//! Tool calls last: where tool calls are gated, the first one and all behind it wait until every choice is finished.
//!
//! Agents act then anyway; and only then is it known which calls remain, so that the text which tells of a refused call
//! stands before those that do. Providers reject a turn with text behind a tool call.

use std::collections::{BTreeMap, BTreeSet};

use luthien_proto::{
    event::{BlockKey, Event, Step},
    proxy::turn::is_clients_tool_call,
};

use crate::gate::Released;

/// Keeps back what stands behind a tool call.
#[derive(Debug)]
pub struct Tail {
    state: State,
    kept: Vec<Released>,
    bytes: usize,
    /// Choices that are not finished yet.
    unfinished: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No tool call yet, or tool calls are not gated.
    Flowing,
    Keeping,
    /// Every choice is finished.
    Flushed,
}

impl Tail {
    /// For a response of so many choices; `gated`: whether tool calls are.
    pub fn new(choices: u32, gated: bool) -> Self {
        let state = if gated { State::Flowing } else { State::Flushed };
        Self { state, kept: Vec::new(), bytes: 0, unfinished: choices.max(1) }
    }

    /// The bytes that are kept back.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes what the gate released, and gives back what may be written now.
    pub fn push(&mut self, released: Released) -> Vec<Released> {
        let has_tool_call = released.events.iter().any(starts_tool_call);
        let finishes = released.events.iter().filter(|event| matches!(event.step, Step::Finished(_))).count();
        let is_last = released.events.iter().any(|event| event.step.is_last());
        self.unfinished = self.unfinished.saturating_sub(u32::try_from(finishes).unwrap_or(u32::MAX));
        if self.state == State::Flowing && has_tool_call {
            self.state = State::Keeping;
        }
        match self.state {
            State::Flowing | State::Flushed => vec![released],
            State::Keeping => {
                self.bytes += released.size;
                self.kept.push(released);
                if self.unfinished == 0 || is_last { self.flush() } else { Vec::new() }
            }
        }
    }

    /// Gives back all that is kept: as it came if nothing in it was changed, otherwise in the order that fits.
    pub fn flush(&mut self) -> Vec<Released> {
        self.state = State::Flushed;
        self.bytes = 0;
        let kept = std::mem::take(&mut self.kept);
        if kept.iter().all(|released| released.original.is_some()) {
            return kept;
        }
        let through = kept.last().map_or(0, |released| released.through);
        let events = kept.into_iter().flat_map(|released| released.events).collect();
        vec![Released { original: None, events: policys_text_first(events), through, size: 0 }]
    }

    /// As [`Self::flush`], where the response ends here: a tool call that has not stopped is dropped, for no byte of it
    /// was written.
    pub fn flush_for_end(&mut self) -> Vec<Released> {
        let mut open: BTreeSet<BlockKey> = BTreeSet::new();
        for event in self.kept.iter().flat_map(|released| &released.events) {
            match &event.step {
                Step::BlockStarted(started) if starts_tool_call(event) => {
                    open.insert(started.block);
                }
                Step::BlockStopped(key) => {
                    open.remove(key);
                }
                Step::BlockStarted(_)
                | Step::Started(_)
                | Step::BlockDelta(_)
                | Step::Usage(_)
                | Step::Finished(_)
                | Step::Opaque(_)
                | Step::Ended
                | Step::Failed(_) => {}
            }
        }
        for released in &mut self.kept {
            let before = released.events.len();
            released.events.retain(|event| block_of(event).is_none_or(|key| !open.contains(&key)));
            if released.events.len() < before {
                released.original = None;
            }
        }
        self.flush()
    }

    /// Drops all that is kept.
    pub fn discard(&mut self) {
        self.kept.clear();
        self.bytes = 0;
    }
}

/// Moves the blocks that policies made before the first tool call of their choice; all else keeps its order.
fn policys_text_first(events: Vec<Event>) -> Vec<Event> {
    let mut first_calls: BTreeSet<u32> = BTreeSet::new();
    let mut moving: BTreeMap<BlockKey, u32> = BTreeMap::new();
    for event in &events {
        if let Step::BlockStarted(started) = &event.step {
            if starts_tool_call(event) {
                first_calls.insert(started.choice);
            } else if first_calls.contains(&started.choice) && started.block.is_policys() {
                moving.insert(started.block, started.choice);
            }
        }
    }
    let mut moved: BTreeMap<u32, Vec<Event>> = BTreeMap::new();
    let mut rest = Vec::with_capacity(events.len());
    for event in events {
        match block_of(&event).and_then(|key| moving.get(&key)) {
            Some(choice) => moved.entry(*choice).or_default().push(event),
            None => rest.push(event),
        }
    }
    place(moved, rest)
}

/// Puts what was moved out of each choice before the first tool call of it.
fn place(mut moved: BTreeMap<u32, Vec<Event>>, rest: Vec<Event>) -> Vec<Event> {
    let mut placed = Vec::with_capacity(rest.len());
    for event in rest {
        if let Step::BlockStarted(started) = &event.step
            && starts_tool_call(&event)
        {
            placed.extend(moved.remove(&started.choice).into_iter().flatten());
        }
        placed.push(event);
    }
    placed
}

fn starts_tool_call(event: &Event) -> bool {
    matches!(&event.step, Step::BlockStarted(started) if is_clients_tool_call(&started.kind))
}

fn block_of(event: &Event) -> Option<BlockKey> {
    match &event.step {
        Step::BlockStarted(started) => Some(started.block),
        Step::BlockDelta(delta) => Some(delta.block),
        Step::BlockStopped(key) => Some(*key),
        Step::Started(_) | Step::Usage(_) | Step::Finished(_) | Step::Opaque(_) | Step::Ended | Step::Failed(_) => None,
    }
}
