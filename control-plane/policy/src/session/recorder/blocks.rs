//! Blocks in the making: as the model gives them, and as they are settled.

use std::collections::{BTreeMap, VecDeque};

use luthien_proto::{
    Chunk, Event, Step,
    event::{BlockKey, BlockKind, BlockStarted},
    message::Block,
};

use crate::{BlockEntry, ContentEntry};

#[derive(Debug, Default)]
pub(super) struct Blocks {
    building: BTreeMap<BlockKey, Building>,
    /// The blocks that stopped, with the seq of their stop, until that is settled.
    stopped: VecDeque<(u64, BlockKey)>,
}

#[derive(Debug)]
struct Building {
    entry: BlockEntry,
}

impl Blocks {
    /// A chunk of a block came.
    pub fn received(&mut self, chunk: &Chunk) {
        let Event { step, extras } = &chunk.event;
        match step {
            Step::BlockStarted(started) => {
                let mut entry = begin(started, chunk.seq, chunk.arrived_us);
                entry.original = Some(ContentEntry::begin(&started.kind, extras));
                self.building.insert(started.block, Building { entry });
            }
            Step::BlockDelta(delta) => {
                self.with_original(delta.block, chunk.seq, |content| content.push(&delta.delta, extras))
            }
            Step::BlockStopped(key) => {
                self.with_original(*key, chunk.seq, |content| content.note(extras));
                if let Some(building) = self.building.get_mut(key) {
                    building.entry.stopped = true;
                    self.stopped.push_back((chunk.seq, *key));
                }
            }
            Step::Started(_) | Step::Usage(_) | Step::Finished(_) | Step::Opaque(_) | Step::Ended | Step::Failed(_) => {
            }
        }
    }

    /// An event of a block was settled.
    pub fn settled(&mut self, seq: u64, now_us: u64, event: &Event) {
        match &event.step {
            Step::BlockStarted(started) => {
                let building = self.building.entry(started.block);
                let building = building.or_insert_with(|| Building { entry: begin(started, seq, now_us) });
                building.entry.settled = Some(ContentEntry::begin(&started.kind, &event.extras));
            }
            Step::BlockDelta(delta) => {
                self.with_settled(delta.block, seq, |content| content.push(&delta.delta, &event.extras));
            }
            Step::BlockStopped(key) => {
                self.with_settled(*key, seq, |content| content.note(&event.extras));
                if let Some(building) = self.building.get_mut(key)
                    && building.entry.original.is_none()
                {
                    building.entry.stopped = true;
                    self.stopped.push_back((seq, *key));
                }
            }
            Step::Started(_) | Step::Usage(_) | Step::Finished(_) | Step::Opaque(_) | Step::Ended | Step::Failed(_) => {
            }
        }
    }

    /// The blocks whose stop is among the chunks up to `seq`.
    pub fn stopped_up_to(&mut self, seq: u64) -> Vec<BlockEntry> {
        let mut entries = Vec::new();
        // A policy's own block is stopped at the chunk that is being settled, and may stand behind later stops.
        self.stopped.retain(|(stop, key)| {
            let is_due = *stop <= seq;
            if is_due && let Some(building) = self.building.remove(key) {
                entries.push(finish(building));
            }
            !is_due
        });
        entries
    }

    /// The blocks that never stopped, in the order in which they began.
    pub fn rest(&mut self) -> Vec<BlockEntry> {
        let mut entries: Vec<BlockEntry> = std::mem::take(&mut self.building).into_values().map(finish).collect();
        entries.sort_by_key(|entry| (entry.first, entry.block));
        entries
    }

    fn with_original(&mut self, key: BlockKey, seq: u64, push: impl FnOnce(&mut ContentEntry)) {
        if let Some(building) = self.building.get_mut(&key) {
            building.entry.last = seq;
            building.entry.original.as_mut().map(push);
        }
    }

    fn with_settled(&mut self, key: BlockKey, seq: u64, push: impl FnOnce(&mut ContentEntry)) {
        if let Some(building) = self.building.get_mut(&key) {
            building.entry.last = building.entry.last.max(seq);
            building.entry.settled.as_mut().map(push);
        }
    }
}

/// The entry of a block that was only recorded.
pub(super) fn recorded(block: &Block) -> BlockEntry {
    let mut content = ContentEntry::begin(&block.started.kind, &block.extras);
    for (delta, extras) in &block.deltas {
        content.push(&delta.delta, extras);
    }
    BlockEntry {
        last: block.last,
        stopped: block.stopped,
        unchanged: true,
        original: Some(content.clone()),
        settled: Some(content),
        ..begin(&block.started, block.first, block.first_arrived_us)
    }
}

fn begin(started: &BlockStarted, seq: u64, arrived_us: u64) -> BlockEntry {
    let tool = match &started.kind {
        BlockKind::ToolCall(call) => Some(call.name.clone()),
        BlockKind::Text
        | BlockKind::Thinking { .. }
        | BlockKind::RedactedThinking { .. }
        | BlockKind::Refusal
        | BlockKind::Opaque(_) => None,
    };
    BlockEntry {
        choice: started.choice,
        block: started.block.0,
        kind: started.kind.kind().name(),
        tool,
        first: seq,
        last: seq,
        arrived_us,
        stopped: false,
        unchanged: false,
        original: None,
        settled: None,
    }
}

fn finish(building: Building) -> BlockEntry {
    let entry = building.entry;
    BlockEntry { unchanged: entry.original == entry.settled, ..entry }
}
