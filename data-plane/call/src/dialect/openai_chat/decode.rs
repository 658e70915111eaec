//! From chunks, or a whole body, to steps.

use std::collections::BTreeMap;

use bytes::Bytes;
use luthien_proto::{
    Event, Step,
    event::{BlockKind, CallError},
    json::Extras,
};
use serde_json::Value;

use super::{
    choice::{Choice, Keys},
    envelope::Envelope,
    failure, place, usage,
};
use crate::dialect::{
    DecodeError, broken_off,
    fields::{Object, drop_null, parse_object, take_array, take_object, take_string, take_u32},
};

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
        self.chunk(name, parse_object("SSE event", data)?)
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

    fn chunk(&mut self, name: Option<&str>, mut chunk: Object) -> Result<Vec<Event>, DecodeError> {
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
        let choices = take_array(&mut chunk, "choices");
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
    fn choice(&mut self, at: u32, entry: Value, events: &mut Vec<Event>) -> Result<Option<Value>, DecodeError> {
        let Value::Object(mut entry) = entry else {
            return Err(DecodeError::new(format!("choices[{at}]"), "it is no object"));
        };
        let first = events.len();
        let index = take_u32(&mut entry, "index");
        if entry.contains_key("index") {
            return Err(DecodeError::new(format!("choices[{at}]"), "its index is no number"));
        }
        let index = index.unwrap_or(at);
        let word = take_string(&mut entry, "finish_reason").filter(|word| !word.is_empty());
        let mut delta = take_object(&mut entry, "delta").unwrap_or_default();
        drop_null(&mut entry, "logprobs");
        let choice = self.choices.entry(index).or_insert_with(|| Choice::new(index));
        choice.delta(&mut delta, &mut self.keys, events)?;
        let begins = choice.begins();
        self.ambiguous |= choice.take_misnumbered();
        if let Some(word) = word {
            choice.finish(word, events)?;
        }
        // Started is written as the first chunk of choice 0.
        let started = || (index == 0).then(|| home(&events[..first.min(1)], 0)).flatten();
        let home = home(events, first).or_else(started);
        match home.and_then(|home| events.get_mut(home)) {
            Some(event) => {
                insert(&mut event.extras, place::CHOICE, entry);
                insert(&mut event.extras, place::DELTA, delta);
                Ok(None)
            }
            // All that the first chunk of another choice said may be that it begins: then that is a step.
            None if begins && delta.is_empty() && !entry.contains_key("delta") => {
                delta.insert("role".to_owned(), Value::from("assistant"));
                Ok(homeless(index, entry, delta))
            }
            None => Ok(homeless(index, entry, delta)),
        }
    }

    fn fail(&mut self, error: CallError, mut rest: Object) -> Event {
        self.over = true;
        self.envelope.strip(&mut rest);
        drop_null(&mut rest, "usage");
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
    let mut body = parse_object("response body", body)?;
    let mut decoder = Decoder::default();
    if let Some(error) = failure::take(&mut body) {
        return Ok(vec![decoder.fail(error, body)]);
    }
    match body.get_mut("choices") {
        Some(Value::Array(choices)) => choices.iter_mut().try_for_each(message_to_delta)?,
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) | None => {
            return Err(DecodeError::new("response body", "it has no list of choices"));
        }
    }
    let mut events = decoder.chunk(None, body)?;
    decoder.finish_all(&mut events)?;
    events.push(Step::Ended.into());
    Ok(events)
}

fn message_to_delta(choice: &mut Value) -> Result<(), DecodeError> {
    let Value::Object(choice) = choice else { return Ok(()) };
    drop_null(choice, "delta");
    if choice.contains_key("delta") {
        return Err(DecodeError::new("response body", "a choice has a delta"));
    }
    let Some(mut message) = take_object(choice, "message") else { return Ok(()) };
    if let Some(Value::Array(calls)) = message.get_mut("tool_calls") {
        for (at, call) in calls.iter_mut().enumerate() {
            if let Value::Object(call) = call
                && call.get("index").is_none_or(Value::is_number)
            {
                call.insert("index".to_owned(), at.into());
            }
        }
    }
    choice.insert("delta".to_owned(), Value::Object(message));
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

fn homeless(index: u32, mut entry: Object, delta: Object) -> Option<Value> {
    if !delta.is_empty() {
        entry.insert("delta".to_owned(), Value::Object(delta));
    }
    if entry.is_empty() {
        return None;
    }
    entry.entry("index").or_insert_with(|| index.into());
    Some(Value::Object(entry))
}

/// What is left of the chunk goes to its first step, and becomes a step itself where there is none.
fn place_rest(events: &mut Vec<Event>, mut rest: Object, homeless: Vec<Value>) {
    let home = home(events, 0);
    if let Some(home) = home
        && homeless.is_empty()
    {
        return insert(&mut events[home].extras, place::CHUNK, rest);
    }
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
        events.push(Step::Opaque(Value::Object(Object::new())).into());
    }
    events[0].extras.insert(place::EVENT, Value::from(name));
}

fn insert(extras: &mut Extras, place: &str, rest: Object) {
    if !rest.is_empty() {
        extras.insert(place, Value::Object(rest));
    }
}
