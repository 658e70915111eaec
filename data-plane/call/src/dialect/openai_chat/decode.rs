//! From chunks, or a whole body, to steps.

use std::collections::BTreeMap;

use bytes::Bytes;
use luthien_proto::{
    Event, Step,
    event::{BlockKind, CallError},
    json::{Borrowed, Fields},
};
use serde_json::Value;

use super::{
    choice::{Choice, Keys},
    envelope::Envelope,
    failure, place, usage,
};
use crate::dialect::{DecodeError, broken_off, fields::read_object};

const DONE: &[u8] = b"[DONE]";

#[derive(Debug, Default)]
pub(in crate::dialect) struct Decoder {
    envelope: Envelope,
    keys: Keys,
    choices: BTreeMap<u32, Choice>,
    started: bool,
    over: bool,
    /// Whether a client may read something else in what came since this was asked last.
    ambiguous: bool,
}

impl Decoder {
    pub(in crate::dialect) fn event(&mut self, name: Option<&str>, data: &Bytes) -> Result<Vec<Event>, DecodeError> {
        if self.over {
            return Err(DecodeError::new("SSE event", "it comes after the end of the response"));
        }
        if data.trim_ascii() == DONE {
            return Ok(self.end());
        }
        self.chunk(name, read_object("SSE event", data)?)
    }

    pub(in crate::dialect) fn end(&mut self) -> Vec<Event> {
        if self.cut() {
            return Vec::new();
        }
        if !self.choices.is_empty() && self.choices.values().all(Choice::is_finished) {
            vec![Step::Ended.into()]
        } else {
            vec![broken_off("the upstream's stream ended before the response was complete")]
        }
    }

    pub(in crate::dialect) fn take_ambiguous(&mut self) -> bool {
        std::mem::take(&mut self.ambiguous)
    }

    pub(in crate::dialect) fn cut(&mut self) -> bool {
        std::mem::replace(&mut self.over, true)
    }

    fn chunk(&mut self, name: Option<&str>, mut chunk: Fields<'_>) -> Result<Vec<Event>, DecodeError> {
        if let Some(error) = failure::take(&mut chunk) {
            return Ok(vec![self.fail(error, chunk)]);
        }
        let mut events = Vec::with_capacity(4);
        if !self.started {
            self.started = true;
            events.push(Step::Started(self.envelope.start(&chunk)).into());
        }
        let usage = usage::take(&mut chunk);
        let mut homeless = Vec::new();
        let choices = chunk.take_array("choices");
        if chunk.contains_key("choices") {
            return Err(DecodeError::new("choices", "they are no list"));
        }
        for (at, entry) in choices.into_iter().flatten().enumerate() {
            let at = u32::try_from(at).unwrap_or(u32::MAX);
            homeless.extend(self.choice(at, entry, &mut events)?);
        }
        events.extend(usage.map(|usage| Event::from(Step::Usage(usage))));
        self.envelope.strip(&mut chunk);
        place_rest(&mut events, chunk, homeless);
        place_name(&mut events, name);
        Ok(events)
    }

    /// The steps of an entry in `choices`; and what is left of it if none of them can have it.
    fn choice(&mut self, at: u32, entry: Borrowed<'_>, events: &mut Vec<Event>) -> Result<Option<Value>, DecodeError> {
        let Borrowed::Object(mut entry) = entry else {
            return Err(DecodeError::new(format!("choices[{at}]"), "it is no object"));
        };
        let first = events.len();
        let index = entry.take_u32("index");
        if entry.contains_key("index") {
            return Err(DecodeError::new(format!("choices[{at}]"), "its index is no number"));
        }
        let index = index.unwrap_or(at);
        let word = entry.take_str("finish_reason").filter(|word| !word.is_empty());
        let mut delta = entry.take_object("delta").unwrap_or_default();
        entry.drop_null("logprobs");
        let choice = self.choices.entry(index).or_insert_with(|| Choice::new(index));
        choice.delta(&mut delta, &mut self.keys, events)?;
        let begins = choice.begins();
        self.ambiguous |= choice.take_misnumbered();
        if let Some(word) = word {
            choice.finish(word.into_owned(), events)?;
        }
        // Started is written as the first chunk of choice 0.
        let started = || (index == 0).then(|| home(&events[..first.min(1)], 0)).flatten();
        let home = home(events, first).or_else(started);
        match home.and_then(|home| events.get_mut(home)) {
            Some(event) => {
                event.extras.insert_fields(place::CHOICE, entry);
                event.extras.insert_fields(place::DELTA, delta);
                Ok(None)
            }
            // All that the first chunk of another choice said may be that it begins: then that is a step.
            None if begins && delta.is_empty() && !entry.contains_key("delta") => {
                delta.insert("role", "assistant");
                Ok(homeless(index, entry, delta))
            }
            None => Ok(homeless(index, entry, delta)),
        }
    }

    fn fail(&mut self, error: CallError, mut rest: Fields<'_>) -> Event {
        self.over = true;
        self.envelope.strip(&mut rest);
        rest.drop_null("usage");
        Event { step: Step::Failed(error), extras: rest.into() }
    }

    /// Finishes what a whole body gave no `finish_reason`.
    fn finish_all(&mut self, events: &mut Vec<Event>) -> Result<(), DecodeError> {
        let unfinished = self.choices.values_mut().filter(|choice| !choice.is_finished());
        for choice in unfinished {
            choice.finish(String::new(), events)?;
        }
        Ok(())
    }
}

/// A whole body is a stream of one chunk, of which the deltas are called messages.
pub(in crate::dialect) fn decode_whole(body: &Bytes) -> Result<Vec<Event>, DecodeError> {
    let mut body = read_object("response body", body)?;
    let mut decoder = Decoder::default();
    if let Some(error) = failure::take(&mut body) {
        return Ok(vec![decoder.fail(error, body)]);
    }
    match body.get_mut("choices") {
        Some(Borrowed::Array(choices)) => choices.iter_mut().try_for_each(message_to_delta)?,
        Some(Borrowed::Null | Borrowed::Bool(_) | Borrowed::Number(_) | Borrowed::String(_) | Borrowed::Object(_))
        | None => {
            return Err(DecodeError::new("response body", "it has no list of choices"));
        }
    }
    let mut events = decoder.chunk(None, body)?;
    decoder.finish_all(&mut events)?;
    events.push(Step::Ended.into());
    Ok(events)
}

fn message_to_delta(choice: &mut Borrowed<'_>) -> Result<(), DecodeError> {
    let Borrowed::Object(choice) = choice else { return Ok(()) };
    choice.drop_null("delta");
    if choice.contains_key("delta") {
        return Err(DecodeError::new("response body", "a choice has a delta"));
    }
    let Some(mut message) = choice.take_object("message") else { return Ok(()) };
    if let Some(Borrowed::Array(calls)) = message.get_mut("tool_calls") {
        for (at, call) in (0_u64..).zip(calls) {
            if let Borrowed::Object(call) = call
                && call.get("index").is_none_or(|index| matches!(index, Borrowed::Number(_)))
            {
                call.insert("index", at);
            }
        }
    }
    choice.insert("delta", message);
    Ok(())
}

/// The first step from `from` on that is written as a chunk of its own.
fn home(events: &[Event], from: usize) -> Option<usize> {
    (from..events.len()).find(|at| match &events[*at].step {
        Step::Started(_) | Step::BlockDelta(_) | Step::Usage(_) | Step::Finished(_) => true,
        Step::BlockStarted(started) => match started.kind {
            BlockKind::ToolCall(_) | BlockKind::Opaque(_) | BlockKind::RedactedThinking { .. } => true,
            BlockKind::Text | BlockKind::Thinking { .. } | BlockKind::Refusal => false,
        },
        Step::BlockStopped(_) | Step::Opaque(_) | Step::Ended | Step::Failed(_) => false,
    })
}

fn homeless<'a>(index: u32, mut entry: Fields<'a>, delta: Fields<'a>) -> Option<Value> {
    if !delta.is_empty() {
        entry.insert("delta", Borrowed::from(delta));
    }
    if entry.is_empty() {
        return None;
    }
    if !entry.contains_key("index") {
        entry.insert("index", index);
    }
    Some(entry.into())
}

/// What is left of the chunk goes to its first step, and becomes a step itself where there is none.
fn place_rest(events: &mut Vec<Event>, rest: Fields<'_>, homeless: Vec<Value>) {
    let home = home(events, 0);
    if let Some(home) = home
        && homeless.is_empty()
    {
        return events[home].extras.insert_fields(place::CHUNK, rest);
    }
    let mut rest = rest.into_map();
    if !homeless.is_empty() {
        rest.insert("choices".to_owned(), homeless.into());
    }
    if !rest.is_empty() {
        events.push(Step::Opaque(Value::Object(rest)).into());
    }
}

fn place_name(events: &mut Vec<Event>, name: Option<&str>) {
    let Some(name) = name.filter(|name| !matches!(*name, "" | "message" | "error")) else { return };
    if events.is_empty() {
        events.push(Step::Opaque(Fields::new().into()).into());
    }
    events[0].extras.insert(place::EVENT, Value::from(name));
}
