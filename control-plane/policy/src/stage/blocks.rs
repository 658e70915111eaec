//! The blocks that are open where a stage takes in, and where an event belongs.

use std::collections::BTreeMap;

use luthien_proto::{
    Event, Step,
    event::{BlockKey, BlockKind, BlockStarted, Delta, Kind, ToolCall},
    message::Block,
};

use crate::policy::{Held, Hook, Hooks, Place, SeenBlock};

/// The open blocks, with their content as far as a hook of the policy wants it whole.
#[derive(Debug)]
pub(super) struct OpenBlocks {
    hooks: Hooks,
    /// Boxed, as a map makes room for many at once.
    open: BTreeMap<BlockKey, Box<Open>>,
}

#[derive(Debug)]
struct Open {
    choice: u32,
    kind: Kind,
    tool: Option<ToolCall>,
    whole: String,
    /// Its stop, if the policy held it.
    stop: Option<Held>,
}

/// Where an event belongs, and which hook is its own.
pub(super) struct Placed<'a> {
    pub place: Place,
    pub hook: Option<Hook>,
    pub block: Option<SeenBlock<'a>>,
    /// The block's content up to now, if a hook wants it.
    pub whole: &'a str,
}

impl OpenBlocks {
    pub fn new(hooks: Hooks) -> Self {
        Self { hooks, open: BTreeMap::new() }
    }

    /// The keys of the open blocks, and of those of which the stop was held.
    pub fn keys(&self) -> Vec<(BlockKey, Option<Held>)> {
        self.open.iter().map(|(key, open)| (*key, open.stop)).collect()
    }

    /// Takes in an event, before its hooks run.
    pub fn enter(&mut self, event: &Event) {
        match &event.step {
            Step::BlockStarted(started) => self.start(started),
            Step::BlockDelta(delta) => self.append(delta.block, &delta.delta),
            Step::BlockStopped(_)
            | Step::Started(_)
            | Step::Usage(_)
            | Step::Finished(_)
            | Step::Opaque(_)
            | Step::Ended
            | Step::Failed(_) => {}
        }
    }

    /// Takes in a block that is only recorded.
    pub fn enter_recorded(&mut self, block: &Block) {
        self.start(&block.started);
        for (delta, _) in &block.deltas {
            self.append(delta.block, &delta.delta);
        }
    }

    /// The stop of a block is held: while it is, the block may still be cut off.
    pub fn stop_held(&mut self, key: BlockKey, held: Held) {
        if let Some(open) = self.open.get_mut(&key) {
            (open.stop, open.whole) = (Some(held), String::new());
        }
    }

    /// Lets go of a block, after its last hook ran.
    pub fn leave(&mut self, key: BlockKey) {
        self.open.remove(&key);
    }

    /// Where an event belongs.
    pub fn place(&self, event: &Event) -> Placed<'_> {
        match &event.step {
            Step::Started(_) => Placed::of_call(Some(Hook::ResponseStarted)),
            Step::Usage(_) => Placed::of_call(Some(Hook::Usage)),
            Step::Finished(_) => Placed::of_call(Some(Hook::Finished)),
            Step::Opaque(_) => Placed::of_call(Some(Hook::OpaqueChunk)),
            Step::Failed(_) => Placed::of_call(Some(Hook::Failed)),
            Step::Ended => Placed::of_call(None),
            Step::BlockStarted(started) => self.of_block(started.block, chunk_hook),
            Step::BlockStopped(key) => self.of_block(*key, stop_hook),
            Step::BlockDelta(delta) => match delta.delta {
                Delta::Opaque(_) => {
                    Placed { place: Place::Kind(Kind::Opaque), ..self.of_block(delta.block, opaque_hook) }
                }
                Delta::Text(_) | Delta::Arguments(_) | Delta::Signature(_) => self.of_block(delta.block, chunk_hook),
            },
        }
    }

    fn start(&mut self, started: &BlockStarted) {
        let tool = match &started.kind {
            BlockKind::ToolCall(tool) => Some(tool.clone()),
            BlockKind::Text
            | BlockKind::Thinking { .. }
            | BlockKind::RedactedThinking { .. }
            | BlockKind::Refusal
            | BlockKind::Opaque(_) => None,
        };
        let open = Open { choice: started.choice, kind: started.kind.kind(), tool, whole: String::new(), stop: None };
        self.open.insert(started.block, open.into());
    }

    fn append(&mut self, key: BlockKey, delta: &Delta) {
        let Some(open) = self.open.get_mut(&key) else { return };
        if !stop_hook(open.kind).is_some_and(|hook| is_completed(hook) && self.hooks.has(hook)) {
            return;
        }
        match delta {
            Delta::Text(text) | Delta::Arguments(text) => open.whole.push_str(text),
            Delta::Signature(_) | Delta::Opaque(_) => {}
        }
    }

    /// Of a block that was never started, nothing is known: it is as strict as can be.
    fn of_block(&self, key: BlockKey, hook: fn(Kind) -> Option<Hook>) -> Placed<'_> {
        let open = self.open.get(&key);
        let kind = open.map_or(Kind::Opaque, |open| open.kind);
        let block = open.map(|open| SeenBlock { key, choice: open.choice, kind, tool: open.tool.as_ref() });
        Placed { place: Place::Kind(kind), hook: hook(kind), block, whole: open.map_or("", |open| &open.whole) }
    }
}

impl Placed<'_> {
    fn of_call(hook: Option<Hook>) -> Self {
        Self { place: Place::Call, hook, block: None, whole: "" }
    }
}

/// Whether the hook sees a block whole.
pub(super) fn is_completed(hook: Hook) -> bool {
    matches!(hook, Hook::ContentCompleted | Hook::ToolCallCompleted)
}

/// The hook of a block's stop.
pub(super) fn stop_hook(kind: Kind) -> Option<Hook> {
    match kind {
        Kind::Text => Some(Hook::ContentCompleted),
        Kind::ToolCall => Some(Hook::ToolCallCompleted),
        Kind::Thinking | Kind::Refusal | Kind::Opaque => chunk_hook(kind),
    }
}

fn chunk_hook(kind: Kind) -> Option<Hook> {
    Some(match kind {
        Kind::Text => Hook::ContentChunk,
        Kind::Thinking => Hook::ThinkingChunk,
        Kind::Refusal => Hook::RefusalChunk,
        Kind::ToolCall => Hook::ToolCallChunk,
        Kind::Opaque => Hook::OpaqueChunk,
    })
}

fn opaque_hook(_: Kind) -> Option<Hook> {
    Some(Hook::OpaqueChunk)
}
