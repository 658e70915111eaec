//! One choice of a stream, or of a whole body: text, thinking and refusals are blocks as long as they are not
//! interrupted; calls stay open until the choice is finished.

use std::borrow::Cow;

use luthien_proto::{
    Event, Step,
    event::{BlockDelta, BlockKey, BlockKind, BlockStarted, Delta},
    json::{Borrowed, Fields},
};
use serde_json::Value;

use super::{
    calls::Calls,
    details::{self, Detail},
    words,
};
use crate::dialect::{DecodeError, fields::Object};

/// The keys of blocks, none twice.
#[derive(Debug, Default)]
pub(super) struct Keys(u32);

impl Keys {
    pub(super) fn next(&mut self) -> BlockKey {
        let key = BlockKey(self.0);
        self.0 += 1;
        key
    }
}

#[derive(Debug)]
pub(super) struct Choice {
    index: u32,
    prose: Option<(BlockKey, Prose)>,
    calls: Calls,
    finished: Option<String>,
    /// Whether it has begun: its first chunk came.
    begun: bool,
}

/// What runs on until something else comes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Prose {
    Text,
    Thinking(&'static str),
    Refusal,
}

impl Prose {
    fn kind(self) -> BlockKind {
        match self {
            Self::Text => BlockKind::Text,
            Self::Thinking(field) => BlockKind::Thinking { field: field.to_owned(), id: String::new() },
            Self::Refusal => BlockKind::Refusal,
        }
    }
}

impl Choice {
    pub(super) fn new(index: u32) -> Self {
        Self { index, prose: None, calls: Calls::default(), finished: None, begun: index == 0 }
    }

    /// Whether this is the first chunk of it, and it is not said by Started.
    pub(super) fn begins(&mut self) -> bool {
        !std::mem::replace(&mut self.begun, true)
    }

    /// See [`Calls::take_misnumbered`].
    pub(super) fn take_misnumbered(&mut self) -> bool {
        self.calls.take_misnumbered()
    }

    pub(super) fn is_finished(&self) -> bool {
        self.finished.is_some()
    }

    /// Takes what is known out of a delta.
    pub(super) fn delta(
        &mut self,
        delta: &mut Fields<'_>,
        keys: &mut Keys,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        let before = events.len();
        delta.drop_if("role", |role| role.is_null() || role.as_str() == Some("assistant"));
        self.reason(delta, keys, events);
        if let Some(text) = delta.take_str("content") {
            self.say(Prose::Text, text, keys, events);
        }
        if delta.get("content").is_some_and(|content| content.as_array().is_none()) {
            return Err(self.error("its content is no text"));
        }
        if let Some(text) = delta.take_str("refusal") {
            self.say(Prose::Refusal, text, keys, events);
        }
        self.call(delta, keys, events)?;
        if self.is_finished() && events.len() > before {
            return Err(self.error("content after its finish_reason"));
        }
        Ok(())
    }

    /// What a provider wants to see again comes with the text that it belongs to, or behind it.
    fn reason(&mut self, delta: &mut Fields<'_>, keys: &mut Keys, events: &mut Vec<Event>) {
        let (field, text) = take_reasoning(delta).unwrap_or(("reasoning_content", Cow::Borrowed("")));
        let details = self.take_details(delta, &text);
        if details.iter().all(|detail| detail.text().is_none_or(str::is_empty)) {
            self.say(Prose::Thinking(field), text, keys, events);
        }
        for (at, detail) in details.into_iter().enumerate() {
            match detail {
                Detail::Text { text, signature, id, mut rest } => {
                    if at > 0 {
                        self.stop_prose(events);
                    }
                    self.say(Prose::Thinking(field), text.into(), keys, events);
                    if !id.is_empty() {
                        rest.insert("id".to_owned(), id.into());
                    }
                    self.sign(field, signature, rest, keys, events);
                }
                Detail::Encrypted { data, rest } => {
                    self.stop_prose(events);
                    let block = keys.next();
                    let kind = BlockKind::RedactedThinking { data };
                    let started = Step::BlockStarted(BlockStarted { block, choice: self.index, kind });
                    events.push(Event { step: started, extras: details::rest(rest) });
                    events.push(Step::BlockStopped(block).into());
                }
            }
        }
    }

    /// Takes `reasoning_details` if it is clear what they belong to: all texts in them are the reasoning of this delta.
    fn take_details(&self, delta: &mut Fields<'_>, reasoning: &str) -> Vec<Detail> {
        let Some(Borrowed::Array(entries)) = delta.get("reasoning_details") else { return Vec::new() };
        let entries: Vec<Value> = entries.iter().cloned().map(Value::from).collect();
        let details = details::read(&entries).unwrap_or_default();
        let texts: String = details.iter().filter_map(Detail::text).collect();
        let is_open = match &self.prose {
            Some((_, Prose::Thinking(_))) => true,
            Some((_, Prose::Text | Prose::Refusal)) => false,
            None => self.calls.is_empty(),
        };
        let has_place = !reasoning.is_empty() || is_open || details.iter().all(|detail| detail.text().is_none());
        let is_clear = has_place && details.iter().all(Detail::has_place) && (texts.is_empty() || texts == reasoning);
        if self.is_finished() || !is_clear || !details.iter().any(Detail::is_proof) {
            return Vec::new();
        }
        delta.remove("reasoning_details");
        details
    }

    /// A signature is the last of its block.
    fn sign(&mut self, field: &'static str, signature: String, rest: Object, keys: &mut Keys, events: &mut Vec<Event>) {
        if signature.is_empty() {
            return;
        }
        let block = match self.prose {
            Some((block, Prose::Thinking(_))) => block,
            Some((_, Prose::Text | Prose::Refusal)) | None => self.open(Prose::Thinking(field), keys, events),
        };
        let delta = Step::BlockDelta(BlockDelta { block, delta: Delta::Signature(signature) });
        events.push(Event { step: delta, extras: details::rest(rest) });
        self.stop_prose(events);
    }

    /// Finishes the choice; a repetition says nothing.
    pub(super) fn finish(&mut self, word: String, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        match &self.finished {
            Some(known) if *known == word => Ok(()),
            Some(_) => Err(self.error("a second finish_reason")),
            None => {
                self.stop_prose(events);
                self.calls.stop(events);
                events.push(Step::Finished(words::finished(self.index, word.clone())).into());
                self.finished = Some(word);
                Ok(())
            }
        }
    }

    fn call(&mut self, delta: &mut Fields<'_>, keys: &mut Keys, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let mut steps = Vec::new();
        for entry in delta.take_array("tool_calls").into_iter().flatten() {
            let Borrowed::Object(entry) = entry else {
                return Err(self.error("an entry of its tool_calls is no object"));
            };
            self.calls.fragment(self.index, entry, keys, &mut steps)?;
        }
        if delta.contains_key("tool_calls") {
            return Err(self.error("its tool_calls are no list"));
        }
        if let Some(entry) = delta.take_object("function_call") {
            self.calls.legacy(self.index, entry, keys, &mut steps)?;
        }
        if delta.contains_key("function_call") {
            return Err(self.error("its function_call is no object"));
        }
        if !steps.is_empty() {
            self.stop_prose(events);
            events.append(&mut steps);
        }
        Ok(())
    }

    fn say(&mut self, prose: Prose, text: Cow<'_, str>, keys: &mut Keys, events: &mut Vec<Event>) {
        if text.is_empty() {
            return;
        }
        let block = self.open(prose, keys, events);
        events.push(Step::BlockDelta(BlockDelta { block, delta: Delta::Text(text.into_owned()) }).into());
    }

    /// The block of the prose that runs on, or a new one.
    fn open(&mut self, prose: Prose, keys: &mut Keys, events: &mut Vec<Event>) -> BlockKey {
        match self.prose {
            Some((block, running)) if running == prose => block,
            Some(_) | None => {
                self.stop_prose(events);
                let block = keys.next();
                let started = BlockStarted { block, choice: self.index, kind: prose.kind() };
                events.push(Step::BlockStarted(started).into());
                self.prose = Some((block, prose));
                block
            }
        }
    }

    fn stop_prose(&mut self, events: &mut Vec<Event>) {
        if let Some((block, _)) = self.prose.take() {
            events.push(Step::BlockStopped(block).into());
        }
    }

    fn error(&self, reason: &str) -> DecodeError {
        DecodeError::new(format!("choice {}", self.index), reason)
    }
}

/// Servers differ in the field that carries reasoning; those that fill both say the same twice.
fn take_reasoning<'a>(delta: &mut Fields<'a>) -> Option<(&'static str, Cow<'a, str>)> {
    const FIELDS: [&str; 2] = ["reasoning_content", "reasoning"];
    let mut taken = None;
    for field in FIELDS {
        match (delta.take_str(field), &taken) {
            (Some(text), None) if !text.is_empty() => taken = Some((field, text)),
            (Some(text), Some((_, known))) if !text.is_empty() && text != *known => {
                delta.insert(field, text);
            }
            (Some(_) | None, _) => {}
        }
    }
    taken
}
