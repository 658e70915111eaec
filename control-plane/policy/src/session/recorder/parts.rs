//! Under strict audit: what has come and was settled of blocks that are not over, until it is put on record.

use std::collections::BTreeMap;

use luthien_proto::{
    Chunk, Event, Step,
    event::{BlockKey, BlockStarted},
};

use crate::{ContentEntry, PartEntry};

/// The parts of blocks since the last time, and the blocks that they belong to.
#[derive(Debug, Default)]
pub(super) struct Parts {
    open: BTreeMap<BlockKey, Of>,
    parts: BTreeMap<BlockKey, PartEntry>,
}

/// What a block is.
#[derive(Debug)]
struct Of {
    choice: u32,
    kind: &'static str,
}

impl Parts {
    /// A chunk of a block came.
    pub fn received(&mut self, chunk: &Chunk) {
        self.add(chunk.seq, &chunk.event, |part| &mut part.original);
    }

    /// An event of a block was settled.
    pub fn settled(&mut self, seq: u64, event: &Event) {
        self.add(seq, event, |part| &mut part.settled);
    }

    /// The block is on record, whole.
    pub fn whole(&mut self, key: BlockKey) {
        self.open.remove(&key);
        self.parts.remove(&key);
    }

    /// Those since the last time.
    pub fn take(&mut self) -> impl Iterator<Item = PartEntry> + use<> {
        std::mem::take(&mut self.parts).into_values().map(finish)
    }

    fn add(&mut self, seq: u64, event: &Event, side: fn(&mut PartEntry) -> &mut Option<ContentEntry>) {
        let Event { step, extras } = event;
        match step {
            Step::BlockStarted(started) => {
                let content = ContentEntry::begin(&started.kind, extras);
                *side(self.part(started.block, seq, Some(started))) = Some(content);
            }
            Step::BlockDelta(delta) => {
                side(self.part(delta.block, seq, None)).get_or_insert_default().push(&delta.delta, extras);
            }
            Step::BlockStopped(key) if !extras.is_empty() => {
                side(self.part(*key, seq, None)).get_or_insert_default().note(extras);
            }
            Step::BlockStopped(_)
            | Step::Started(_)
            | Step::Usage(_)
            | Step::Finished(_)
            | Step::Opaque(_)
            | Step::Ended
            | Step::Failed(_) => {}
        }
    }

    fn part(&mut self, key: BlockKey, seq: u64, started: Option<&BlockStarted>) -> &mut PartEntry {
        if let Some(started) = started {
            self.open.insert(key, Of { choice: started.choice, kind: started.kind.kind().name() });
        }
        let (choice, kind) = self.open.get(&key).map_or((0, "opaque"), |of| (of.choice, of.kind));
        let (first, block) = (seq, key.0);
        let new = PartEntry { choice, block, kind, first, last: seq, unchanged: false, original: None, settled: None };
        let part = self.parts.entry(key).or_insert(new);
        part.last = part.last.max(seq);
        part
    }
}

fn finish(mut part: PartEntry) -> PartEntry {
    part.unchanged = part.original == part.settled;
    if part.unchanged {
        part.settled = None;
    }
    part
}
