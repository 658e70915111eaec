//! The record of a call in the making.

mod blocks;
mod consults;
mod parts;
mod settled;
mod steps;

use blocks::Blocks;
use consults::Consults;
use luthien_proto::{
    Chunk, Event, Step,
    event::{BlockKey, Usage},
    message::{Annotation, Block, Consult, Consultation},
};
use parts::Parts;
use serde_json::Value;
use steps::Steps;

use super::Audit;

use crate::{
    BlockEntry, Entry, EntryBody, VerdictEntry,
    entry::{merge_usage, step_json, usage_json},
};

/// Sees what was received and what was settled, and makes entries of it.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    entries: Vec<Entry>,
    now_us: u64,
    blocks: Blocks,
    steps: Steps,
    /// Under strict audit.
    parts: Option<Parts>,
    consults: Consults,
    /// Replacements that the next ones may still be added to.
    replaced: Option<VerdictEntry>,
    usage: Option<Usage>,
    /// Whether nothing more is let through.
    over: bool,
}

/// A decision that was more than to pass.
#[derive(Clone, Debug)]
pub(super) struct Decided {
    pub seq: u64,
    /// `replace`, `end`, `fail`.
    pub decision: &'static str,
    pub is_dropped: bool,
    pub policies: Vec<String>,
    pub annotations: Vec<Annotation>,
    pub cancel_upstream: bool,
}

impl Recorder {
    pub fn new(audit: Audit) -> Self {
        match audit {
            Audit::Relaxed => Self::default(),
            Audit::Strict => {
                Self { parts: Some(Parts::default()), steps: Steps::with_every_usage(), ..Self::default() }
            }
        }
    }

    /// The entries since the last time.
    pub fn take(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.entries)
    }

    /// Time has gone on; microseconds since the call began.
    pub fn at(&mut self, now_us: u64) {
        self.now_us = self.now_us.max(now_us);
    }

    /// Puts something on record, behind what was decided before it.
    pub fn push(&mut self, body: EntryBody) {
        let replaced = self.replaced.take().map(EntryBody::Verdict);
        let bodies = replaced.into_iter().chain([body]);
        self.entries.extend(bodies.map(|body| Entry { at_us: self.now_us, body }));
    }

    /// A chunk came.
    pub fn received(&mut self, chunk: &Chunk) {
        self.at(chunk.arrived_us);
        if let Step::Usage(usage) = &chunk.event.step {
            merge_usage(self.usage.get_or_insert_default(), usage);
        }
        match step_json(&chunk.event) {
            Some(json) => self.steps.received(chunk, json),
            None => self.blocks.received(chunk),
        }
        if self.over {
            self.flush_unsettled();
        } else if let Some(parts) = &mut self.parts {
            parts.received(chunk);
        }
    }

    /// The policies answer the call: all of the response is theirs.
    pub fn answered_call(&mut self, events: &[Event]) {
        events.iter().for_each(|event| self.settled(0, std::slice::from_ref(event), true));
        self.close();
    }

    /// What was made of the chunks up to `seq`, since the last time.
    pub fn settled(&mut self, seq: u64, events: &[Event], is_changed: bool) {
        for event in events {
            self.blocks.settled(seq, self.now_us, event);
            if let Some(parts) = &mut self.parts {
                parts.settled(seq, event);
            }
        }
        for entry in self.steps.settled(seq, events, is_changed) {
            self.push(EntryBody::Step(entry));
        }
        for entry in self.blocks.stopped_up_to(seq) {
            self.push_block(entry);
        }
    }

    /// Something is about to be said of what has come: all of it is put on record, also what is not over.
    pub fn catch_up(&mut self) {
        if let Some(entry) = self.replaced.take() {
            self.push(EntryBody::Verdict(entry));
        }
        let parts = self.parts.as_mut().map(Parts::take);
        parts.into_iter().flatten().for_each(|part| self.push(EntryBody::Part(part.into())));
    }

    /// A block that is only recorded came, whole.
    pub fn recorded(&mut self, block: &Block) {
        self.at(block.last_arrived_us);
        let entry = self.blocks.recorded(block);
        self.push_block(entry);
    }

    /// A policy asks a model.
    pub fn asked(&mut self, policy: &str, consult: &Consult) {
        self.consults.asked(policy, consult, self.now_us);
    }

    /// Its answer came.
    pub fn answered(&mut self, consultation: &Consultation) {
        let entry = self.consults.answered(consultation, self.now_us);
        entry.into_iter().for_each(|entry| self.push(EntryBody::Consult(entry.into())));
    }

    /// Its answer is not needed any more.
    pub fn cancelled(&mut self, id: &str) {
        let entry = self.consults.cancelled(id);
        entry.into_iter().for_each(|entry| self.push(EntryBody::Consult(entry.into())));
    }

    /// The policies decided something.
    pub fn decided(&mut self, decided: Decided) {
        let ends = decided.decision != "replace" || !decided.annotations.is_empty();
        match &mut self.replaced {
            Some(entry) if decided.decision == "replace" && entry.policies == decided.policies => {
                entry.through = decided.seq;
                entry.chunks += 1;
                entry.dropped += u64::from(decided.is_dropped);
                entry.decision = if entry.dropped == entry.chunks { "drop" } else { "replace" };
                entry.annotations = decided.annotations.into_iter().map(Into::into).collect();
            }
            Some(_) | None => self.begin_verdict(decided),
        }
        if ends && let Some(entry) = self.replaced.take() {
            self.push(EntryBody::Verdict(entry));
        }
    }

    fn begin_verdict(&mut self, decided: Decided) {
        if let Some(entry) = self.replaced.take() {
            self.push(EntryBody::Verdict(entry));
        }
        self.replaced = Some(VerdictEntry {
            first: decided.seq,
            through: decided.seq,
            chunks: 1,
            dropped: decided.is_dropped.into(),
            decision: if decided.is_dropped { "drop" } else { decided.decision },
            policies: decided.policies,
            annotations: decided.annotations.into_iter().map(Into::into).collect(),
            cancel_upstream: decided.cancel_upstream,
        });
    }

    /// Nothing more is let through, whatever still comes.
    pub fn over(&mut self) {
        self.over = true;
        self.flush_unsettled();
    }

    /// The call is over: what is not on record yet is put there.
    pub fn close(&mut self) {
        self.flush_unsettled();
        for entry in self.blocks.rest() {
            self.push_block(entry);
        }
        for entry in self.blocks.rest_of_pieces() {
            self.push(EntryBody::Step(entry));
        }
        for entry in self.consults.rest() {
            self.push(EntryBody::Consult(entry.into()));
        }
    }

    /// What the call has cost.
    pub fn usage(&self) -> Option<Value> {
        self.usage.as_ref().map(usage_json)
    }

    fn flush_unsettled(&mut self) {
        for entry in self.steps.rest() {
            self.push(EntryBody::Step(entry));
        }
        for entry in self.blocks.stopped_up_to(u64::MAX) {
            self.push_block(entry);
        }
    }

    fn push_block(&mut self, entry: BlockEntry) {
        if let Some(parts) = &mut self.parts {
            parts.whole(BlockKey(entry.block));
        }
        self.push(EntryBody::Block(entry.into()));
    }
}
