//! What a policy service says, with sense and without.

use luthien_proto::{
    Event, Step,
    event::{
        BlockDelta, BlockKey, BlockKind, BlockStarted, CallError, Delta, FinishReason, Finished, Started, ToolCall,
        ToolForm, Usage,
    },
    message::Decision,
};
use serde_json::json;

use super::rig::Rig;
use crate::input::Input;

fn next_through(rig: &Rig, input: &mut Input<'_>) -> u64 {
    let wanted = rig.settled + u64::from(input.below(4));
    rig.told.range(..=wanted).next_back().map_or(0, |(seq, _)| *seq).max(rig.settled)
}

pub fn pass(rig: &mut Rig, input: &mut Input<'_>) {
    let through = next_through(rig, input);
    rig.verdict(through, Decision::Pass, false);
}

pub fn pass_all(rig: &mut Rig) {
    for _ in 0..64 {
        match rig.told.keys().next_back() {
            Some(last) if *last > rig.settled => rig.verdict(*last, Decision::Pass, false),
            _ => return rig.say(luthien_proto::message::Reply::Working),
        }
    }
}

pub fn replace(rig: &mut Rig, input: &mut Input<'_>) {
    let through = next_through(rig, input);
    let events = events(rig, input);
    let cancel = input.below(8) == 7;
    rig.verdict(through, Decision::Replace(events), cancel);
}

pub fn end(rig: &mut Rig, input: &mut Input<'_>) {
    let through = next_through(rig, input);
    let events = events(rig, input);
    let reason = [None, Some(FinishReason::EndTurn), Some(FinishReason::ToolUse), Some(FinishReason::Refusal)];
    let reason = reason[usize::from(input.below(4))];
    rig.verdict(through, Decision::End { events, reason }, input.flag());
}

/// A `through` that may be anywhere.
pub fn nonsense(rig: &mut Rig, input: &mut Input<'_>) {
    let through = u64::from(input.byte());
    let how = input.byte();
    let decision = if how & 1 == 1 { Decision::Pass } else { Decision::Replace(events(rig, input)) };
    rig.verdict(through, decision, how & 2 == 2);
}

fn events(rig: &Rig, input: &mut Input<'_>) -> Vec<Event> {
    match input.below(6) {
        0 => Vec::new(),
        1 => made_text(input),
        2 => same_sort(rig),
        _ => (0..input.below(5)).map(|_| any(input).into()).collect(),
    }
}

fn made_text(input: &mut Input<'_>) -> Vec<Event> {
    let block = BlockKey(BlockKey::POLICY_FIRST.0 + u32::from(input.byte()));
    let steps = [
        Step::BlockStarted(BlockStarted { block, choice: 0, kind: BlockKind::Text }),
        Step::BlockDelta(BlockDelta { block, delta: Delta::Text("made".to_owned()) }),
        Step::BlockStopped(block),
    ];
    steps.map(Event::from).into()
}

/// The next chunk that is not settled, with another text.
fn same_sort(rig: &Rig) -> Vec<Event> {
    let Some((_, chunk)) = rig.told.range(rig.settled + 1..).next() else { return Vec::new() };
    let step = match &chunk.event.step {
        Step::BlockDelta(BlockDelta { block, delta }) => {
            let text = "other".to_owned();
            let delta = match delta {
                Delta::Text(_) => Delta::Text(text),
                Delta::Arguments(_) => Delta::Arguments(text),
                Delta::Signature(_) => Delta::Signature(text),
                Delta::Opaque(_) => Delta::Opaque(json!({"type": "other"})),
            };
            Step::BlockDelta(BlockDelta { block: *block, delta })
        }
        Step::Started(_) => Step::Started(Started { id: "other".to_owned(), ..Started::default() }),
        Step::Finished(finished) => Step::Finished(Finished::new(finished.choice, FinishReason::MaxTokens)),
        Step::BlockStarted(started) => Step::BlockStarted(BlockStarted { kind: BlockKind::Text, ..started.clone() }),
        Step::BlockStopped(key) => Step::BlockStopped(*key),
        Step::Usage(_) => Step::Usage(Usage { output: Some(1), ..Usage::default() }),
        Step::Opaque(_) => Step::Opaque(json!({"type": "other"})),
        Step::Ended => Step::Ended,
        Step::Failed(_) => failed(),
    };
    vec![step.into()]
}

fn failed() -> Step {
    Step::Failed(CallError { status: 500, message: "failed".to_owned(), ..CallError::default() })
}

fn any(input: &mut Input<'_>) -> Step {
    let key = input.below(8);
    let block = BlockKey(u32::from(key & 3) + if key > 3 { BlockKey::POLICY_FIRST.0 } else { 0 });
    let choice = u32::from(input.below(4) / 3);
    let text = || "any".to_owned();
    match input.below(16) {
        0 => Step::Started(Started::default()),
        1..=4 => Step::BlockStarted(BlockStarted { block, choice, kind: kind(input) }),
        5 | 6 => Step::BlockDelta(BlockDelta { block, delta: Delta::Text(text()) }),
        7 => Step::BlockDelta(BlockDelta { block, delta: Delta::Arguments("{}".to_owned()) }),
        8 => Step::BlockDelta(BlockDelta { block, delta: Delta::Signature(text()) }),
        9 => Step::BlockDelta(BlockDelta { block, delta: Delta::Opaque(json!({"type": "any"})) }),
        10 | 11 => Step::BlockStopped(block),
        12 => Step::Usage(Usage { output: Some(7), ..Usage::default() }),
        13 => {
            let reasons = [FinishReason::EndTurn, FinishReason::ToolUse, FinishReason::Other, FinishReason::Pause];
            Step::Finished(Finished::new(choice, reasons[usize::from(input.below(4))]))
        }
        14 => Step::Opaque(json!({"type": "any"})),
        _ if input.flag() => Step::Ended,
        _ => failed(),
    }
}

fn kind(input: &mut Input<'_>) -> BlockKind {
    let form = [ToolForm::Function, ToolForm::Custom, ToolForm::Legacy, ToolForm::Server];
    let type_ = || "any".to_owned();
    match input.below(8) {
        0 | 1 => BlockKind::Text,
        2 => BlockKind::Thinking { field: String::new(), id: String::new() },
        3 => BlockKind::RedactedThinking { data: type_() },
        4 => BlockKind::Refusal,
        5 => BlockKind::Opaque(json!({"type": "any"})),
        _ => BlockKind::ToolCall(ToolCall {
            namespace: String::new(),
            id: type_(),
            name: type_(),
            form: form[usize::from(input.below(4))],
            type_: String::new(),
        }),
    }
}
