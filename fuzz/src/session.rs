//! A session, whatever the proxy says: what it is owed comes, in order, once; and what is to be replaced is.

mod rig;
mod steps;

use luthien_proto::{
    Chunk, Event, Step, ToService,
    event::{BlockDelta, BlockKey, BlockKind, BlockStarted, CallError, Delta},
    message::{Block, CallEnded, Consultation, Outcome, Waited},
};
use rig::Rig;
use steps::Steps;

use crate::input::Input;

/// A case: the policies, then what the proxy says, one message after the other.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let Some(mut rig) = Rig::begin(&mut input) else { return };
    let mut steps = Steps::default();
    while !input.is_empty() && !rig.is_over() {
        let message = match input.below(24) {
            0..=12 => ToService::Chunks(batch(&rig, &mut steps, &mut input)),
            13..=17 => ToService::Block(block(&rig, &mut steps, &mut input)),
            18 if input.below(4) == 3 => ToService::CallStarted(Box::new(rig.started())),
            19 if input.below(4) == 3 => ToService::CallEnded(ended(rig.last())),
            20..=23 if rig.running(0).is_some() || input.below(16) == 15 => {
                ToService::Consultation(consultation(&rig, &mut input))
            }
            _ => ToService::Chunks(steps.rest(rig.last(), input.flag())),
        };
        match input.below(8) {
            7 => rig.lose(message, usize::from(input.below(4))),
            _ => rig.handle(message),
        }
        rig.check_text();
    }
    rig.end(input.flag().then(|| ToService::CallEnded(ended(rig.last()))));
}

fn batch(rig: &Rig, steps: &mut Steps, input: &mut Input<'_>) -> Vec<Chunk> {
    let mut seq = rig.last();
    let mut chunk = |seq: &mut u64, input: &mut Input<'_>| {
        let event = steps.next(input);
        // A kind that is only recorded leaves gaps; and a proxy may be wrong.
        *seq = match input.below(32) {
            31 => u64::from(input.byte()),
            30 => *seq + 2,
            _ => *seq + 1,
        };
        Chunk { seq: *seq, arrived_us: *seq, event }
    };
    let count = match input.below(12) {
        11 => 0,
        count => 1 + count / 2,
    };
    (0..count).map(|_| chunk(&mut seq, input)).collect()
}

fn block(rig: &Rig, steps: &mut Steps, input: &mut Input<'_>) -> Block {
    let first = rig.last() + 1;
    let (started, deltas) = steps.block(rig.interest(), input);
    let last = match input.below(16) {
        15 => u64::from(input.byte()),
        _ => first + 2,
    };
    Block {
        first,
        last,
        first_arrived_us: first,
        last_arrived_us: last,
        started,
        extras: Default::default(),
        deltas,
        stopped: input.below(4) < 3,
    }
}

fn consultation(rig: &Rig, input: &mut Input<'_>) -> Consultation {
    let id =
        rig.running(input.byte()).unwrap_or(["judge/1", "nobody/1", "judge/"][usize::from(input.below(3))]).to_owned();
    let block = BlockKey(0);
    let said = ["{\"probability\":0.1,\"explanation\":\"\"}", "{\"probability\":0.9,\"explanation\":\"abcab\"}", "?"];
    let text = said[usize::from(input.below(3))].to_owned();
    let steps = [
        Step::BlockStarted(BlockStarted { block, choice: 0, kind: BlockKind::Text }),
        Step::BlockDelta(BlockDelta { block, delta: Delta::Text(text) }),
        Step::BlockStopped(block),
        if input.below(4) == 3 { Step::Failed(CallError::default()) } else { Step::Ended },
    ];
    Consultation { id, events: steps.map(Event::from).to_vec(), reused: false }
}

fn ended(written: u64) -> CallEnded {
    CallEnded {
        outcome: Outcome::Delivered,
        written,
        reason: String::new(),
        status: 200,
        upstream_status: 200,
        upstream_first_us: 1,
        client_first_us: 2,
        ended_us: 3,
        opened: None,
        waited: Waited::default(),
    }
}
