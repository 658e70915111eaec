//! What the strings of an event become that are of no kind of their own: opaque content, unknown fields.

use std::sync::Arc;

use luthien_proto::{
    Event, Step,
    event::{BlockDelta, BlockKind, BlockStarted, CallError, Delta, Finished, Usage},
    json::Extras,
};

use super::{finder::Finder, logprobs};

/// Searches events.
pub(super) struct Searcher {
    pub(super) finder: Arc<Finder>,
    /// Whether opaque content is searched, and with it the unknown fields of every event.
    pub(super) searches_opaque: bool,
}

impl Searcher {
    /// The event, with the strings of its unknown fields replaced.
    pub(super) fn searched(&self, event: &Event) -> Event {
        self.changed_extras(event).unwrap_or_else(|| event.clone())
    }

    /// The event with its opaque strings and those of its unknown fields replaced, if there is anything to replace.
    pub(super) fn changed(&self, event: &Event) -> Option<Event> {
        let step = if self.searches_opaque { self.changed_step(&event.step) } else { None };
        match (step, self.changed_extras(event)) {
            (None, changed) => changed,
            (Some(step), changed) => Some(Event { step, ..changed.unwrap_or_else(|| event.clone()) }),
        }
    }

    /// The step with those of its strings replaced that are of no kind of their own.
    fn changed_step(&self, step: &Step) -> Option<Step> {
        let finder = &self.finder;
        match step {
            Step::Opaque(json) => finder.replace_json(json).map(Step::Opaque),
            Step::BlockStarted(BlockStarted { block, choice, kind: BlockKind::Opaque(json) }) => {
                let kind = BlockKind::Opaque(finder.replace_json(json)?);
                Some(Step::BlockStarted(BlockStarted { block: *block, choice: *choice, kind }))
            }
            Step::BlockDelta(BlockDelta { block, delta: Delta::Opaque(json) }) => {
                let delta = Delta::Opaque(finder.replace_json(json)?);
                Some(Step::BlockDelta(BlockDelta { block: *block, delta }))
            }
            Step::Usage(usage) => {
                let raw = self.replaced_in(&usage.raw)?;
                Some(Step::Usage(Usage { raw, ..usage.clone() }))
            }
            Step::Finished(finished) => {
                let word = finder.replace(&finished.word);
                let stop_sequence = finished.stop_sequence.as_ref().and_then(|text| finder.replace(text));
                let is_changed = word.is_some() || stop_sequence.is_some();
                is_changed.then(|| {
                    Step::Finished(Finished {
                        word: word.unwrap_or_else(|| finished.word.clone()),
                        stop_sequence: stop_sequence.or_else(|| finished.stop_sequence.clone()),
                        ..finished.clone()
                    })
                })
            }
            Step::Failed(error) => {
                let message = finder.replace(&error.message)?;
                Some(Step::Failed(CallError { message, ..error.clone() }))
            }
            Step::BlockStarted(_) | Step::BlockDelta(_) | Step::BlockStopped(_) | Step::Started(_) | Step::Ended => {
                None
            }
        }
    }

    /// Whether anything in unknown fields may have to be replaced, by their text.
    fn may_change(&self, text: &str) -> bool {
        logprobs::may_be_in(text) || (self.searches_opaque && self.finder.is_in(text))
    }

    fn replaced_in(&self, fields: &Extras) -> Option<Extras> {
        let replaced = fields.iter().filter_map(|(name, value)| Some((name.clone(), self.finder.replace_json(value)?)));
        let mut changed = None;
        for (name, value) in replaced {
            changed.get_or_insert_with(|| fields.clone()).insert(name, value);
        }
        changed
    }

    pub(super) fn changed_extras(&self, event: &Event) -> Option<Event> {
        if event.extras.is_empty() || event.extras.plain_text().is_some_and(|text| !self.may_change(text)) {
            return None;
        }
        let mut changed: Option<Extras> = None;
        for (name, value) in logprobs::hide(&event.extras.fields(), &self.finder) {
            changed.get_or_insert_with(|| event.extras.clone()).insert(name, value);
        }
        if self.searches_opaque {
            changed = self.replaced_in(changed.as_ref().unwrap_or(&event.extras)).or(changed);
        }
        changed.map(|extras| Event { step: event.step.clone(), extras })
    }
}
