//! The end of a response, which tells all of it once more; and a whole body, which is no more than that.

use bytes::Bytes;
use luthien_proto::{Event, Step, event::FinishReason};
use serde_json::Value;

use super::{
    decode::{Decoder, take_head},
    failure,
    incoming::Incoming,
    item::{PartKind, Sort},
    place,
    rest::beyond,
    snapshot, usage, words,
};
use crate::dialect::{
    DecodeError,
    fields::{Object, drop_if, drop_null, parse_object, take_array, take_object, take_string},
};

impl Decoder {
    pub(super) fn fail(&mut self, mut event: Object, steps: &mut Vec<Event>) {
        self.over = true;
        let mut response = take_object(&mut event, "response").unwrap_or_default();
        let error = failure::take(&mut response).unwrap_or_default();
        drop_if(&mut response, "status", |status| status == "failed");
        drop_null(&mut response, "incomplete_details");
        steps.extend(usage::take(&mut response).filter(|_| self.started).map(|usage| Step::Usage(usage).into()));
        if response.get("output").is_some_and(|output| self.has_said(output)) {
            response.shift_remove("output");
        }
        let extras = snapshot::extras(event, self.snapshot.beyond(response));
        steps.push(Event { step: Step::Failed(error), extras });
    }

    /// Whether an output is no more than the items that were told.
    fn has_said(&self, output: &Value) -> bool {
        let Some(output) = output.as_array() else { return false };
        let known = self.items.values().filter(|item| item.done).map(|item| item.item.done());
        let is_known = |(said, known): (&Value, Object)| {
            said.as_object().is_some_and(|said| beyond(said.clone(), &known).is_empty())
        };
        output.len() <= self.items.len() && output.iter().zip(known).all(is_known)
    }

    pub(super) fn finish(
        &mut self,
        type_: &str,
        mut event: Object,
        steps: &mut Vec<Event>,
    ) -> Result<(), &'static str> {
        let mut response = take_object(&mut event, "response").ok_or("it has no response")?;
        if !self.started {
            let head = take_head(&mut response);
            self.started = true;
            let started = Event::from(Step::Started(head));
            self.snapshot.follow(&started);
            steps.push(started);
        }
        let status = take_string(&mut response, "status");
        let status = status.as_deref().or_else(|| type_.strip_prefix("response.")).unwrap_or_default();
        self.end_output(&mut response, steps)?;
        self.end_response(status, &mut response, steps);
        self.over = true;
        let extras = snapshot::extras(event, self.beyond(response));
        steps.push(Event { step: Step::Ended, extras });
        Ok(())
    }

    /// Tells what was not told of the output, and stops what is open.
    fn end_output(&mut self, response: &mut Object, steps: &mut Vec<Event>) -> Result<(), &'static str> {
        let output = take_array(response, "output").unwrap_or_default();
        let indexes: Vec<u64> = self.items.keys().copied().collect();
        let mut unsaid = false;
        for (at, item) in output.iter().enumerate() {
            let Value::Object(item) = item.clone() else {
                unsaid = true;
                continue;
            };
            let index = indexes.get(at).copied();
            match index.and_then(|index| self.items.get_mut(&index)) {
                Some(known) if known.done => unsaid |= !beyond(item, &known.item.done()).is_empty(),
                Some(known) => known.complete(item, Object::new(), &mut self.keys, steps)?,
                None => {
                    let next = self.items.keys().next_back().map_or(0, |last| last.saturating_add(1));
                    self.whole_item(next, item, Object::new(), steps)?;
                }
            }
        }
        for item in self.items.values_mut() {
            item.end(&mut self.keys, steps);
            self.ambiguous |= std::mem::take(&mut item.ambiguous);
        }
        if unsaid {
            self.ambiguous = true;
            response.insert("output".to_owned(), output.into());
        }
        Ok(())
    }

    fn end_response(&mut self, status: &str, response: &mut Object, steps: &mut Vec<Event>) {
        let mut details = take_object(response, "incomplete_details").unwrap_or_default();
        let reason = take_string(&mut details, "reason").unwrap_or_default();
        if !details.is_empty() {
            response.insert("incomplete_details".to_owned(), Value::Object(details));
        }
        failure::drop_empty(response);
        steps.extend(usage::take(response).map(|usage| Event::from(Step::Usage(usage))));
        steps.push(Step::Finished(words::finished(status, &reason, self.complete_reason())).into());
    }

    /// What it means that the response is complete.
    fn complete_reason(&self) -> FinishReason {
        let has = |is: fn(&Incoming) -> bool| self.items.values().any(is);
        if has(|item| matches!(item.item.sort, Sort::Call(_) | Sort::Action)) {
            FinishReason::ToolUse
        } else if has(|item| item.item.parts.iter().any(|part| part.kind == PartKind::Refusal)) {
            FinishReason::Refusal
        } else {
            FinishReason::EndTurn
        }
    }
}

/// A whole body has the steps of its stream.
pub(in crate::dialect) fn decode_whole(body: &Bytes) -> Result<Vec<Event>, DecodeError> {
    let error = |reason: &str| DecodeError::new("response body", reason);
    let mut response = parse_object("response body", body)?;
    let is_failed = response.get("error").is_some_and(|error| error.as_object().is_some_and(|error| !error.is_empty()));
    if is_failed || response.get("status").is_some_and(|status| status == "failed") {
        let failed = failure::take(&mut response).unwrap_or_default();
        return Ok(vec![Event { step: Step::Failed(failed), extras: response.into() }]);
    }
    let output = match response.shift_remove("output") {
        Some(Value::Array(output)) => output,
        Some(Value::Null) => Vec::new(),
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) | None => {
            return Err(error("it has no list of output"));
        }
    };
    let mut decoder = Decoder::default();
    let mut steps = Vec::new();
    let mut ended = Object::new();
    for key in ["status", "incomplete_details", "usage"] {
        ended.extend(response.shift_remove(key).map(|value| (key.to_owned(), value)));
    }
    let mut finish = Object::from_iter([("output".to_owned(), Value::Array(output))]);
    let started = decoder.started(Object::new(), response);
    steps.push(started);
    decoder.end_output(&mut finish, &mut steps).map_err(error)?;
    let status = take_string(&mut ended, "status").unwrap_or_default();
    decoder.end_response(&status, &mut ended, &mut steps);
    ended.extend(finish);
    if let (Some(Event { extras, .. }), false) = (steps.first_mut(), ended.is_empty()) {
        let mut fields = std::mem::take(extras).into_map();
        if let Value::Object(rest) = fields.entry(place::RESPONSE).or_insert_with(|| Object::new().into()) {
            rest.extend(ended);
        }
        *extras = fields.into();
    }
    steps.push(Step::Ended.into());
    Ok(steps)
}
