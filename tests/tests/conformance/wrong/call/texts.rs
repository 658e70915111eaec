//! Holds a text until it is whole, and everything behind it; then the text comes in one piece.

use std::sync::atomic::Ordering;

use luthien_proto::wire::{
    BlockDelta, Event, Pass, Replace, block_delta::Delta, event::Event as Step, verdict::Decision,
};
use luthien_tests::conformance::Rule;

use crate::wrong::Shared;

pub type Verdicts = Vec<(u64, Decision)>;

/// So many calls are a crowd.
const CROWD: usize = 20;

pub struct Texts {
    shared: Shared,
    held: Option<Held>,
}

struct Held {
    block: u32,
    text: String,
    /// What came behind the first piece, but for the others of this text.
    behind: Vec<Event>,
}

impl Texts {
    pub fn new(shared: Shared) -> Self {
        Self { shared, held: None }
    }

    /// What is decided when this comes.
    pub fn take(&mut self, seq: u64, event: Event, is_alone: bool) -> Verdicts {
        match (&mut self.held, &event.event) {
            (Some(held), Some(Step::BlockDelta(BlockDelta { block, delta: Some(Delta::Text(text)) })))
                if held.block == *block =>
            {
                held.text.push_str(text);
                Vec::new()
            }
            (Some(held), Some(step)) => {
                let is_over = matches!(step, Step::Ended(_) | Step::Failed(_));
                let stops = matches!(step, Step::BlockStopped(stopped) if stopped.block == held.block);
                held.behind.push(event);
                if is_over || stops { self.let_go(seq, is_alone) } else { Vec::new() }
            }
            (None, Some(Step::BlockDelta(BlockDelta { block, delta: Some(Delta::Text(text)) }))) => {
                self.held = Some(Held { block: *block, text: text.clone(), behind: Vec::new() });
                Vec::new()
            }
            (None, Some(Step::Ended(_))) if self.shared.breaks(Rule::L2) => Vec::new(),
            (Some(_) | None, _) => vec![(seq, Decision::Pass(Pass {}))],
        }
    }

    fn let_go(&mut self, seq: u64, is_alone: bool) -> Verdicts {
        let Some(Held { block, mut text, behind }) = self.held.take() else { return Vec::new() };
        let is_spoilt = match self.shared.breaks {
            Some(Rule::D1) => !is_alone,
            Some(Rule::D2) => self.shared.open.load(Ordering::Relaxed) > CROWD,
            Some(Rule::D3) => self.shared.cut.load(Ordering::Relaxed),
            _ => false,
        };
        if is_spoilt {
            text.push('!');
        }
        let block = if self.shared.breaks(Rule::V3) { block + 1000 } else { block };
        let whole = Step::BlockDelta(BlockDelta { block, delta: Some(Delta::Text(text)) });
        let mut events = vec![Event { event: Some(whole), extras_json: String::new() }];
        events.extend(behind);
        vec![(seq, Decision::Replace(Replace { events }))]
    }
}
