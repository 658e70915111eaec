//! What a policy service sees that does not know every kind of block: the others as opaque ones.

use serde_json::{Value, json};

use crate::event::{BlockDelta, BlockKey, BlockKind, BlockStarted, Delta, Event, Kind, Step, ToolCall};

/// Shows events in the kinds that are known.
#[derive(Debug)]
pub struct View {
    unknown: Vec<Kind>,
    /// Open blocks that are shown as opaque ones.
    opaque: Vec<BlockKey>,
}

impl View {
    /// For a policy service that knows these kinds. It always knows opaque blocks.
    pub fn new(known: &[Kind]) -> Self {
        let unknown = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Opaque && !known.contains(kind));
        Self { unknown: unknown.collect(), opaque: Vec::new() }
    }

    /// An event as the policy service sees it.
    pub fn of(&mut self, event: Event) -> Event {
        if self.unknown.is_empty() {
            return event;
        }
        let Event { step, extras } = event;
        Event { step: self.of_step(step), extras }
    }

    fn of_step(&mut self, step: Step) -> Step {
        match step {
            Step::BlockStarted(BlockStarted { block, choice, kind }) if self.unknown.contains(&kind.kind()) => {
                self.opaque.push(block);
                Step::BlockStarted(BlockStarted { block, choice, kind: BlockKind::Opaque(as_json(kind)) })
            }
            Step::BlockDelta(BlockDelta { block, delta }) if self.opaque.contains(&block) => {
                Step::BlockDelta(BlockDelta { block, delta: Delta::Opaque(delta_as_json(delta)) })
            }
            Step::BlockStopped(key) => {
                self.opaque.retain(|block| *block != key);
                Step::BlockStopped(key)
            }
            step @ (Step::BlockStarted(_)
            | Step::BlockDelta(_)
            | Step::Started(_)
            | Step::Usage(_)
            | Step::Finished(_)
            | Step::Opaque(_)
            | Step::Ended
            | Step::Failed(_)) => step,
        }
    }
}

fn as_json(kind: BlockKind) -> Value {
    let name = kind.kind().name();
    match kind {
        BlockKind::Text | BlockKind::Thinking { .. } | BlockKind::Refusal => json!({ "type": name }),
        BlockKind::RedactedThinking { data } => json!({ "type": name, "data": data }),
        BlockKind::ToolCall(ToolCall { id, name: tool, .. }) => json!({ "type": name, "id": id, "name": tool }),
        BlockKind::Opaque(value) => value,
    }
}

fn delta_as_json(delta: Delta) -> Value {
    match delta {
        Delta::Text(text) => json!({ "text": text }),
        Delta::Arguments(arguments) => json!({ "arguments": arguments }),
        Delta::Signature(signature) => json!({ "signature": signature }),
        Delta::Opaque(value) => value,
    }
}
