//! Tool calls last: where tool calls are gated, the first one and all behind it wait until every choice is finished.
//!
//! Agents act then anyway; and only then is it known which calls remain, so that the text which tells of a refused call
//! stands before those that do. Providers reject a turn with text behind a tool call.

use luthien_proto::event::{BlockKey, Event, Step};

use crate::{gate::Released, turn::is_clients_tool_call};

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
        let mut open: Vec<BlockKey> = Vec::new();
        for event in self.kept.iter().flat_map(|released| &released.events) {
            match &event.step {
                Step::BlockStarted(started) if starts_tool_call(event) => open.push(started.block),
                Step::BlockStopped(key) => open.retain(|block| block != key),
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
    let mut first_calls: Vec<u32> = Vec::new();
    let mut moving: Vec<(u32, BlockKey)> = Vec::new();
    for event in &events {
        if let Step::BlockStarted(started) = &event.step {
            let behind_call = first_calls.contains(&started.choice);
            if starts_tool_call(event) {
                if !behind_call {
                    first_calls.push(started.choice);
                }
            } else if behind_call && started.block.is_policys() {
                moving.push((started.choice, started.block));
            }
        }
    }
    if moving.is_empty() {
        return events;
    }
    let (moved, rest): (Vec<Event>, Vec<Event>) =
        events.into_iter().partition(|event| block_of(event).is_some_and(|key| moving.iter().any(|m| m.1 == key)));
    place(moved, rest, &moving)
}

fn place(moved: Vec<Event>, rest: Vec<Event>, moving: &[(u32, BlockKey)]) -> Vec<Event> {
    let choice_of = |event: &Event| moving.iter().find(|m| block_of(event) == Some(m.1)).map(|m| m.0);
    let mut by_choice: Vec<(u32, Event)> = moved.into_iter().filter_map(|e| Some((choice_of(&e)?, e))).collect();
    let mut placed = Vec::with_capacity(rest.len() + by_choice.len());
    for event in rest {
        if let Step::BlockStarted(started) = &event.step
            && starts_tool_call(&event)
        {
            let choice = started.choice;
            let here;
            (here, by_choice) = by_choice.into_iter().partition(|(number, _)| *number == choice);
            placed.extend(here.into_iter().map(|(_, event)| event));
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
