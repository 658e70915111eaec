//! Steps that belong to no block, until they are settled.

use std::collections::VecDeque;

use luthien_proto::{Chunk, Event};
use serde_json::Value;

use crate::{
    StepEntry,
    entry::{step_json, step_name},
};

#[derive(Debug, Default)]
pub(super) struct Steps {
    /// Whether usage is on record each time, and not only as the outcome sums it up.
    every_usage: bool,
    unsettled: VecDeque<Received>,
}

#[derive(Debug)]
struct Received {
    seq: u64,
    step: &'static str,
    json: Value,
}

impl Steps {
    pub fn with_every_usage() -> Self {
        Self { every_usage: true, ..Self::default() }
    }

    /// A step came.
    pub fn received(&mut self, chunk: &Chunk, json: Value) {
        self.unsettled.push_back(Received { seq: chunk.seq, step: step_name(&chunk.event.step), json });
    }

    /// What was made of the chunk `seq`, whether it is a step or not.
    pub fn settled(&mut self, seq: u64, events: &[Event], is_changed: bool) -> Vec<StepEntry> {
        let received = self.unsettled.front().is_some_and(|received| received.seq <= seq);
        let mut original = received.then(|| self.unsettled.pop_front()).flatten();
        if !is_changed {
            let every_usage = self.every_usage;
            return original.and_then(|received| received.unchanged(every_usage)).into_iter().collect();
        }
        let mut entries = Vec::new();
        for event in events {
            if let Some(json) = step_json(event) {
                let step = step_name(&event.step);
                let original = original.take_if(|original| original.step == step);
                entries.extend(StepEntry::changed(
                    seq,
                    step,
                    original.map(|original| original.json),
                    json,
                    self.every_usage,
                ));
            }
        }
        entries.extend(original.map(Received::not_let_through));
        entries
    }

    /// The steps that were never settled.
    pub fn rest(&mut self) -> impl Iterator<Item = StepEntry> + use<> {
        std::mem::take(&mut self.unsettled)
            .into_iter()
            .filter(|received| !received.is_usage())
            .map(Received::not_let_through)
    }
}

impl Received {
    /// Usage is summed up in the outcome, and may come with every chunk.
    fn is_usage(&self) -> bool {
        self.step == "usage"
    }

    fn unchanged(self, every_usage: bool) -> Option<StepEntry> {
        let Self { seq, step, json } = &self;
        let entry = StepEntry { seq: *seq, step, unchanged: true, original: Some(json.clone()), settled: None };
        (every_usage || !self.is_usage()).then_some(entry)
    }

    fn not_let_through(self) -> StepEntry {
        let Self { seq, step, json } = self;
        StepEntry { seq, step, unchanged: false, original: Some(json), settled: Some(Value::Null) }
    }
}

impl StepEntry {
    fn changed(seq: u64, step: &'static str, original: Option<Value>, json: Value, every_usage: bool) -> Option<Self> {
        match original {
            Some(original) if original == json && step == "usage" && !every_usage => None,
            Some(original) if original == json => {
                Some(Self { seq, step, unchanged: true, original: Some(original), settled: None })
            }
            Some(_) | None => Some(Self { seq, step, unchanged: false, original, settled: Some(json) }),
        }
    }
}
