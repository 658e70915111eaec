//! Blocks in the making: as the model gives them, and as they are settled.

use std::collections::{BTreeMap, VecDeque};

use luthien_proto::{
    Chunk, Event, Step,
    event::{BlockKey, BlockKind, BlockStarted},
    message::Block,
};
use serde_json::json;

use super::settled::Settled;
use crate::{BlockEntry, ContentEntry, Deltas, Piece, StepEntry};

#[derive(Debug, Default)]
pub(super) struct Blocks {
    /// Boxed, as a map makes room for many at once.
    building: BTreeMap<BlockKey, Box<Building>>,
    /// The blocks that stopped, with the seq of their stop, until that is settled.
    stopped: VecDeque<(u64, BlockKey)>,
    /// Opaque pieces of blocks that are themselves only recorded, and come whole before or after them.
    strays: BTreeMap<BlockKey, Strays>,
}

#[derive(Debug)]
struct Building {
    entry: BlockEntry,
    settled: Settled,
}

#[derive(Debug, Default)]
struct Strays {
    /// The seq of the last one.
    seq: u64,
    received: ContentEntry,
    settled: ContentEntry,
}

impl Blocks {
    /// A chunk of a block came.
    pub fn received(&mut self, chunk: &Chunk) {
        let Event { step, extras } = &chunk.event;
        match step {
            Step::BlockStarted(started) => {
                let mut entry = begin(started, chunk.seq, chunk.arrived_us);
                entry.original = Some(ContentEntry::begin(&started.kind, extras));
                if !extras.is_empty() {
                    note_chunk(&mut entry, chunk, Piece::Start);
                }
                self.building.insert(started.block, Building { entry, settled: Settled::default() }.into());
            }
            Step::BlockDelta(delta) if self.building.contains_key(&delta.block) => {
                self.with_original(delta.block, chunk, Piece::of(&delta.delta), |content, settled| {
                    settled.before(&delta.delta, content);
                    content.push(&delta.delta, extras);
                });
            }
            Step::BlockDelta(delta) => {
                let strays = self.strays.entry(delta.block).or_default();
                strays.seq = chunk.seq;
                strays.received.push(&delta.delta, extras);
            }
            Step::BlockStopped(key) => {
                self.with_original(*key, chunk, Piece::Stop, |content, _| content.note(extras));
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
                let new = || Building { entry: begin(started, seq, now_us), settled: Settled::default() }.into();
                let Building { entry, settled } = &mut **building.or_insert_with(new);
                let begun = ContentEntry::begin(&started.kind, &event.extras);
                *settled = Settled::begin(begun, entry.original.as_ref());
            }
            Step::BlockDelta(delta) if self.building.contains_key(&delta.block) => {
                self.with_settled(delta.block, seq, |settled, original| {
                    settled.push(&delta.delta, &event.extras, original);
                });
            }
            Step::BlockDelta(delta) => {
                self.strays.entry(delta.block).or_default().settled.push(&delta.delta, &event.extras);
            }
            Step::BlockStopped(key) => {
                self.with_settled(*key, seq, |settled, original| settled.note(&event.extras, original));
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
                entries.push(building.finish());
            }
            !is_due
        });
        entries
    }

    /// The blocks that never stopped, in the order in which they began.
    pub fn rest(&mut self) -> Vec<BlockEntry> {
        let mut entries: Vec<BlockEntry> =
            std::mem::take(&mut self.building).into_values().map(|building| building.finish()).collect();
        entries.sort_by_key(|entry| (entry.first, entry.block));
        entries
    }

    /// The opaque pieces that came behind their block.
    pub fn rest_of_pieces(&mut self) -> Vec<StepEntry> {
        let entry = |(BlockKey(block), strays): (BlockKey, Strays)| {
            let original = json!({ "block": block, "pieces": strays.received });
            let settled = json!({ "block": block, "pieces": strays.settled });
            let unchanged = original == settled;
            let (step, settled) = ("block_delta", (!unchanged).then_some(settled));
            StepEntry { seq: strays.seq, step, unchanged, original: Some(original), settled }
        };
        std::mem::take(&mut self.strays).into_iter().map(entry).collect()
    }

    /// The entry of a block that was only recorded.
    pub fn recorded(&mut self, block: &Block) -> BlockEntry {
        let mut original = ContentEntry::begin(&block.started.kind, &block.extras);
        for (delta, extras) in &block.deltas {
            original.push(&delta.delta, extras);
        }
        let mut settled = None;
        if let Some(strays) = self.strays.remove(&block.started.block) {
            if strays.received != strays.settled {
                settled.insert(original.clone()).add(strays.settled);
            }
            original.add(strays.received);
        }
        let begun = begin(&block.started, block.first, block.first_arrived_us);
        let mut deltas = begun.deltas.clone();
        if block.stopped {
            deltas.push(block.last, block.last_arrived_us, Piece::Stop, None);
        }
        BlockEntry {
            last: block.last,
            stopped: block.stopped,
            unchanged: settled.is_none(),
            original: Some(original),
            settled,
            deltas,
            ..begun
        }
    }

    fn with_original(
        &mut self,
        key: BlockKey,
        chunk: &Chunk,
        piece: Piece,
        push: impl FnOnce(&mut ContentEntry, &mut Settled),
    ) {
        if let Some(building) = self.building.get_mut(&key) {
            let Building { entry, settled } = &mut **building;
            entry.last = chunk.seq;
            if let Some(original) = &mut entry.original {
                push(original, settled);
                note_chunk(entry, chunk, piece);
            }
        }
    }

    fn with_settled(&mut self, key: BlockKey, seq: u64, push: impl FnOnce(&mut Settled, Option<&ContentEntry>)) {
        if let Some(building) = self.building.get_mut(&key) {
            let Building { entry, settled } = &mut **building;
            entry.last = entry.last.max(seq);
            push(settled, entry.original.as_ref());
        }
    }
}

impl Building {
    fn finish(self) -> BlockEntry {
        let Self { entry, settled } = self;
        let (unchanged, settled) = settled.finish(entry.original.as_ref());
        BlockEntry { unchanged, settled, ..entry }
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
        deltas: Deltas::behind(seq, arrived_us),
    }
}

/// Notes how a chunk came that is in the content already.
fn note_chunk(entry: &mut BlockEntry, chunk: &Chunk, piece: Piece) {
    let extras = entry.original.as_ref().and_then(|content| content.extras.len().checked_sub(1));
    let extras = extras.filter(|_| !chunk.event.extras.is_empty());
    entry.deltas.push(chunk.seq, chunk.arrived_us, piece, extras);
}
