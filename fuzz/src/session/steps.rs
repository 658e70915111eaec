//! Steps of a response, mostly in order.

use luthien_proto::{
    Chunk, Event, Step,
    event::{
        BlockDelta, BlockKey, BlockKind, BlockStarted, CallError, Delta, FinishReason, Finished, Kind, Started,
        ToolCall, ToolForm, Usage,
    },
    json::Extras,
    message::{Interest, Level},
};
use serde_json::json;

use crate::input::Input;

/// What is to be replaced.
pub const WORD: &str = "abcab";

/// What has been said, to go on from.
#[derive(Default)]
pub struct Steps {
    started: bool,
    next_key: u32,
    open: Vec<(BlockKey, Kind)>,
}

impl Steps {
    pub fn next(&mut self, input: &mut Input<'_>) -> Event {
        if input.below(32) == 31 {
            return nonsense(input);
        }
        if !std::mem::replace(&mut self.started, true) {
            return Step::Started(Started { id: text(input), ..Started::default() }).into();
        }
        let step = match (input.below(16), self.open.last().copied()) {
            (0..=2, _) | (3..=11, None) => Step::BlockStarted(self.start(kind(input), input)),
            (3..=9, Some(_)) => {
                let (block, kind) = self.open[usize::from(input.byte()) % self.open.len()];
                Step::BlockDelta(BlockDelta { block, delta: delta(kind, input) })
            }
            (10 | 11, Some(_)) => {
                let at = usize::from(input.byte()) % self.open.len();
                Step::BlockStopped(self.open.remove(at).0)
            }
            (12, _) => Step::Usage(Usage { output: Some(1), ..Usage::default() }),
            (13, _) => Step::Finished(Finished::new(u32::from(input.below(2)), FinishReason::ToolUse)),
            (14, _) => Step::Opaque(json!({"type": text(input)})),
            (_, _) if input.below(8) == 7 => Step::Ended,
            (_, _) if input.below(8) == 7 => failed(),
            (_, _) => Step::Opaque(json!({"text": text(input), "name": text(input)})),
        };
        Event { step, extras: extras(input) }
    }

    /// What is missing, so that the response is complete; or that it failed.
    pub fn rest(&mut self, last: u64, fails: bool) -> Vec<Chunk> {
        let mut steps: Vec<Step> = Vec::new();
        if !std::mem::replace(&mut self.started, true) {
            steps.push(Step::Started(Started::default()));
        }
        if fails {
            steps.push(failed());
        } else {
            steps.extend(self.open.drain(..).map(|(key, _)| Step::BlockStopped(key)));
            steps.push(Step::Finished(Finished::new(0, FinishReason::ToolUse)));
            steps.push(Step::Ended);
        }
        let chunk = |(seq, step): (u64, Step)| Chunk { seq, arrived_us: seq, event: step.into() };
        (last + 1..).zip(steps).map(chunk).collect()
    }

    /// A block of a kind that is only recorded, mostly.
    pub fn block(&mut self, interest: Interest, input: &mut Input<'_>) -> (BlockStarted, Vec<(BlockDelta, Extras)>) {
        let first = kind(input);
        let recorded =
            [BlockKind::Text, BlockKind::Refusal, BlockKind::Thinking { field: String::new(), id: String::new() }];
        let kind = match interest.of(first.kind()) {
            Level::Record => first,
            _ => recorded.into_iter().find(|kind| interest.of(kind.kind()) == Level::Record).unwrap_or(first),
        };
        let started = self.start(kind, input);
        let (key, kind) = (started.block, started.kind.kind());
        self.open.retain(|(open, _)| *open != key);
        let piece = |input: &mut Input<'_>| (BlockDelta { block: key, delta: delta(kind, input) }, extras(input));
        let deltas = (0..input.below(4)).map(|_| piece(input)).collect();
        (started, deltas)
    }

    fn start(&mut self, kind: BlockKind, input: &mut Input<'_>) -> BlockStarted {
        let block = BlockKey(self.next_key);
        self.next_key += 1;
        self.open.push((block, kind.kind()));
        BlockStarted { block, choice: u32::from(input.below(8) / 7), kind }
    }
}

fn nonsense(input: &mut Input<'_>) -> Event {
    let key = input.below(8);
    let block = BlockKey(u32::from(key & 3) + if key > 3 { BlockKey::POLICY_FIRST.0 } else { 0 });
    let step = match input.below(6) {
        0 => Step::Started(Started::default()),
        1 => Step::BlockStarted(BlockStarted { block, choice: 9, kind: kind(input) }),
        2 => Step::BlockDelta(BlockDelta { block, delta: delta(Kind::ALL[usize::from(input.below(5))], input) }),
        3 => Step::BlockStopped(block),
        4 => Step::Ended,
        _ => failed(),
    };
    step.into()
}

fn failed() -> Step {
    Step::Failed(CallError { message: "abcab failed".to_owned(), ..CallError::default() })
}

fn kind(input: &mut Input<'_>) -> BlockKind {
    let form = [ToolForm::Function, ToolForm::Custom, ToolForm::Legacy, ToolForm::Server];
    match input.below(10) {
        0..=3 => BlockKind::Text,
        4 => BlockKind::Thinking { field: String::new(), id: String::new() },
        5 => BlockKind::RedactedThinking { data: text(input) },
        6 => BlockKind::Refusal,
        7 => BlockKind::Opaque(json!({"name": text(input), "text": text(input)})),
        _ => BlockKind::ToolCall(ToolCall {
            namespace: String::new(),
            id: text(input),
            name: text(input),
            form: form[usize::from(input.below(4))],
            type_: String::new(),
        }),
    }
}

/// A piece of such a block, mostly.
fn delta(kind: Kind, input: &mut Input<'_>) -> Delta {
    match (input.below(16), kind) {
        (15, _) => Delta::Opaque(json!({"type": text(input)})),
        (14, Kind::Thinking) => Delta::Signature(text(input)),
        (13, _) => Delta::Arguments(text(input)),
        (12, Kind::ToolCall) => Delta::Arguments("{\"a\":\"\\u0061bcab\"}".to_owned()),
        (11, Kind::ToolCall) => Delta::Text(text(input)),
        (_, Kind::ToolCall) => Delta::Arguments(text(input)),
        (_, Kind::Opaque) => Delta::Opaque(json!({"text": text(input)})),
        (_, Kind::Text | Kind::Thinking | Kind::Refusal) => Delta::Text(text(input)),
    }
}

fn extras(input: &mut Input<'_>) -> Extras {
    let mut extras = Extras::NONE;
    if input.below(8) == 7 {
        extras.insert("choice", json!({"logprobs": {"content": [{"token": text(input)}]}, "odd": text(input)}));
    }
    extras
}

/// A text of few letters, so that the word and its beginnings are common.
fn text(input: &mut Input<'_>) -> String {
    let mut letters = input.byte();
    let mut text = String::new();
    for _ in 0..letters >> 5 {
        let piece = ["a", "b", "c", "ab", "abc", "é", "\"", "cab"][usize::from(letters & 7)];
        text.push_str(piece);
        letters = letters.rotate_left(3) ^ input.byte();
    }
    text
}
