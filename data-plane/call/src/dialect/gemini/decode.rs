//! From chunks, or a whole body, to steps.

use std::collections::BTreeMap;

use bytes::Bytes;
use luthien_proto::{Event, Step, event::Started};
use serde_json::Value;

use super::{
    calls::Counter,
    candidate::{Candidate, Out},
    failure, place,
    spelling::camel,
    usage,
    words::{self, Finish},
};
use crate::dialect::{
    DecodeError, broken_off,
    fields::{Object, drop_if, parse, take_array, take_object, take_u32},
};

#[derive(Debug, Default)]
pub(in crate::dialect) struct Decoder {
    counter: Counter,
    /// The ids that all chunks repeat.
    envelope: Option<Started>,
    candidates: BTreeMap<u32, Candidate>,
    /// Why the prompt did not pass.
    refused: Option<String>,
    usage: Object,
    over: bool,
}

impl Decoder {
    pub(in crate::dialect) fn event(&mut self, _name: Option<&str>, data: &Bytes) -> Result<Vec<Event>, DecodeError> {
        if self.over {
            return Err(DecodeError::new("SSE event", "it comes after the end of the response"));
        }
        // Servers that speak OpenAI's dialects too may end a stream as those do.
        if data.trim_ascii() == b"[DONE]" {
            return Ok(Vec::new());
        }
        self.chunks("SSE event", data)
    }

    pub(in crate::dialect) fn end(&mut self) -> Vec<Event> {
        if self.cut() {
            return Vec::new();
        }
        let is_complete = !self.candidates.is_empty() && self.candidates.values().all(Candidate::is_finished);
        if is_complete || (self.candidates.is_empty() && self.refused.is_some()) {
            self.finish()
        } else {
            let failed = broken_off("the upstream's stream ended before the response was complete");
            self.take_spent().into_iter().chain([failed]).collect()
        }
    }

    pub(in crate::dialect) fn cut(&mut self) -> bool {
        std::mem::replace(&mut self.over, true)
    }

    /// One chunk, or a list of them.
    fn chunks(&mut self, place: &str, text: &Bytes) -> Result<Vec<Event>, DecodeError> {
        let mut events = Vec::with_capacity(4);
        let expected = || DecodeError::new(place, "expected a JSON object, or a list of such");
        match parse(place, text)? {
            Value::Object(chunk) => self.chunk(chunk, text, &mut events)?,
            Value::Array(chunks) => {
                for chunk in chunks {
                    let Value::Object(chunk) = chunk else { return Err(expected()) };
                    self.chunk(chunk, text, &mut events)?;
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return Err(expected()),
        }
        Ok(events)
    }

    fn chunk(&mut self, mut chunk: Object, text: &[u8], events: &mut Vec<Event>) -> Result<(), DecodeError> {
        if self.over {
            return Err(DecodeError::new("response", "more comes after its end"));
        }
        camel(&mut chunk);
        let first = events.len();
        if let Some(error) = failure::take(&mut chunk) {
            self.over = true;
            events.push(Event { step: Step::Failed(error), extras: chunk.into() });
            return Ok(());
        }
        self.begin(&mut chunk, text, events);
        self.take_usage(&mut chunk);
        self.refused = self.refused.take().or_else(|| block_reason(&chunk));
        let candidates = take_array(&mut chunk, "candidates").unwrap_or_default();
        if chunk.contains_key("candidates") {
            return Err(DecodeError::new("candidates", "they are no list"));
        }
        let mut homeless = Vec::new();
        let mut failed = None;
        for (index, entry) in numbered(candidates)? {
            failed = failed.or(self.candidate(index, entry, &mut homeless, events)?);
        }
        if !homeless.is_empty() {
            chunk.insert("candidates".to_owned(), homeless.into());
        }
        place_rest(events, first, place::CHUNK, chunk);
        if let Some(failed) = failed {
            self.over = true;
            events.extend(self.take_spent());
            events.push(failed);
        }
        Ok(())
    }

    /// The steps of an entry in `candidates`; what is left of it, if none of them can have it; the end, if it is one.
    fn candidate(
        &mut self,
        index: u32,
        mut entry: Object,
        homeless: &mut Vec<Value>,
        events: &mut Vec<Event>,
    ) -> Result<Option<Event>, DecodeError> {
        let first = events.len();
        let candidate = self.candidates.entry(index).or_insert_with(|| Candidate::new(index));
        candidate.take(&mut entry, &mut Out { counter: &mut self.counter, events })?;
        let message = entry.get("finishMessage").and_then(Value::as_str);
        let failed = candidate.failure().map(|word| words::finish(index, word, false, message));
        if events.len() > first {
            place_rest(events, first, place::CANDIDATE, entry);
        } else if !entry.is_empty() {
            entry.insert("index".to_owned(), index.into());
            homeless.push(Value::Object(entry));
        }
        Ok(failed.map(step_of))
    }

    /// The first chunk begins the response; what it says of itself counts no more where others repeat it.
    fn begin(&mut self, chunk: &mut Object, text: &[u8], events: &mut Vec<Event>) {
        if self.envelope.is_none() {
            let at = |key: &str| chunk.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            let started = Started { id: at("responseId"), model: at("modelVersion"), created: None };
            self.counter.begin(&started.id, text);
            events.push(Step::Started(started.clone()).into());
            self.envelope = Some(started);
        }
        let Some(known) = &self.envelope else { return };
        drop_if(chunk, "responseId", |id| id.is_null() || *id == known.id);
        drop_if(chunk, "modelVersion", |model| model.is_null() || *model == known.model);
    }

    /// What a chunk tells of the tokens is what there were so far.
    fn take_usage(&mut self, chunk: &mut Object) {
        if let Some(mut usage) = take_object(chunk, "usageMetadata") {
            camel(&mut usage);
            self.usage.extend(usage);
        }
    }

    /// Nothing more comes.
    fn finish(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        for candidate in self.candidates.values_mut() {
            let finish = candidate.finish(&mut Out { counter: &mut self.counter, events: &mut events });
            events.push(step_of(finish));
        }
        if let (Some(reason), true) = (&self.refused, self.candidates.is_empty()) {
            events.push(Step::Finished(words::refused(reason)).into());
        }
        events.extend(self.take_spent());
        events.push(Step::Ended.into());
        events
    }

    /// The tokens, as they were told last.
    fn take_spent(&mut self) -> Option<Event> {
        let usage = std::mem::take(&mut self.usage);
        (!usage.is_empty()).then(|| Step::Usage(usage::usage(usage)).into())
    }
}

/// A whole body is a stream of one chunk.
pub(in crate::dialect) fn decode_whole(body: &Bytes) -> Result<Vec<Event>, DecodeError> {
    let mut decoder = Decoder::default();
    let events = decoder.chunks("response body", body)?;
    if decoder.over {
        return Ok(events.into_iter().filter(|event| matches!(event.step, Step::Failed(_))).collect());
    }
    if decoder.candidates.is_empty() && decoder.refused.is_none() {
        return Err(DecodeError::new("response body", "it has no candidates"));
    }
    Ok(events.into_iter().chain(decoder.finish()).collect())
}

/// The entries of `candidates` with their indexes. Google's JSON may leave out what is 0; other servers leave out more.
fn numbered(candidates: Vec<Value>) -> Result<Vec<(u32, Object)>, DecodeError> {
    let mut numbered: Vec<(u32, Object)> = Vec::with_capacity(candidates.len());
    for (at, entry) in (0..).zip(candidates) {
        let error = |reason: &str| DecodeError::new(format!("candidates[{at}]"), reason);
        let Value::Object(mut entry) = entry else { return Err(error("it is no object")) };
        camel(&mut entry);
        let told = take_u32(&mut entry, "index");
        if entry.contains_key("index") {
            return Err(error("its index is no number"));
        }
        let unsaid = if numbered.iter().any(|(index, _)| *index == 0) { at } else { 0 };
        numbered.push((told.unwrap_or(unsaid), entry));
    }
    Ok(numbered)
}

fn step_of(finish: Finish) -> Event {
    match finish {
        Finish::Finished(finished) => Step::Finished(finished).into(),
        Finish::Failed(error) => Step::Failed(error).into(),
    }
}

fn block_reason(chunk: &Object) -> Option<String> {
    let feedback = chunk.get("promptFeedback")?;
    let reason = feedback.get("blockReason").or_else(|| feedback.get("block_reason"))?.as_str()?;
    (!words::is_unspecified(reason)).then(|| reason.to_owned())
}

/// What is left goes to the first step from `from` on, and becomes a step itself where there is none.
fn place_rest(events: &mut Vec<Event>, from: usize, place: &str, rest: Object) {
    if rest.is_empty() {
        return;
    }
    match events.get_mut(from) {
        Some(event) => event.extras.insert(place, Value::Object(rest)),
        None => events.push(Step::Opaque(Value::Object(rest)).into()),
    }
}
