//! From SSE events, or a whole body, to steps.

use std::collections::BTreeMap;

use bytes::Bytes;
use luthien_proto::{
    Event, Step,
    event::{FinishReason, Started},
};
use serde_json::Value;

use super::{
    failure,
    incoming::{Incoming, Keys, Said, typed},
    item::{PartKind, Sort},
    place,
    rest::{beyond, says_nothing},
    snapshot::{self, Snapshot},
    usage, words,
};
use crate::dialect::{
    DecodeError, broken_off,
    fields::{Object, drop_if, drop_null, parse_object, take_array, take_object, take_string, take_u64},
};

const DONE: &[u8] = b"[DONE]";

#[derive(Debug, Default)]
pub(in crate::dialect) struct Decoder {
    started: bool,
    snapshot: Snapshot,
    /// By `output_index`.
    items: BTreeMap<u64, Incoming>,
    /// The item that was begun last.
    last: Option<u64>,
    keys: Keys,
    over: bool,
    /// Whether what came last goes on in the next event.
    amid: bool,
    /// Whether a client may read something else in what came since this was asked last.
    ambiguous: bool,
}

impl Decoder {
    pub(in crate::dialect) fn event(&mut self, name: Option<&str>, data: &Bytes) -> Result<Vec<Event>, DecodeError> {
        if data.trim_ascii() == DONE {
            return Ok(self.end());
        }
        let mut event = parse_object("SSE event", data)?;
        let type_ = self.take_type(name, &mut event);
        let error = |reason: &str| DecodeError::new(format!("SSE event {}", shown(&type_)), reason);
        if type_.is_empty() {
            return Err(error("it has no type"));
        }
        if name.is_some_and(|name| name != type_) {
            return Err(error("its name is not its type"));
        }
        if self.over {
            return Err(error("it comes after the end of the response"));
        }
        drop_if(&mut event, "sequence_number", Value::is_u64);
        let mut steps = Vec::new();
        self.typed(&type_, event, &mut steps).map_err(error)?;
        if !steps.is_empty() {
            self.amid = false;
        }
        Ok(steps)
    }

    pub(in crate::dialect) fn take_ambiguous(&mut self) -> bool {
        std::mem::take(&mut self.ambiguous)
    }

    pub(in crate::dialect) fn is_amid(&self) -> bool {
        self.amid
    }

    pub(in crate::dialect) fn end(&mut self) -> Vec<Event> {
        if self.cut() {
            return Vec::new();
        }
        vec![broken_off("the upstream's stream ended before the response was complete")]
    }

    pub(in crate::dialect) fn cut(&mut self) -> bool {
        std::mem::replace(&mut self.over, true)
    }

    fn take_type(&mut self, name: Option<&str>, event: &mut Object) -> String {
        match (take_string(event, "type"), name) {
            (Some(type_), _) => type_,
            (None, _) if event.contains_key("type") => String::new(),
            (None, Some(name)) => {
                self.ambiguous = true;
                name.to_owned()
            }
            // So do servers of the other dialect that fail.
            (None, None) if event.get("error").is_some_and(|error| !says_nothing(error)) => "error".to_owned(),
            (None, None) => String::new(),
        }
    }

    fn typed(&mut self, type_: &str, mut event: Object, steps: &mut Vec<Event>) -> Result<(), &'static str> {
        match type_ {
            "error" => {
                self.over = true;
                let error = failure::take_event(&mut event);
                steps.push(Event { step: Step::Failed(error), extras: event.into() });
                return Ok(());
            }
            "response.created" if self.started => return Err("it comes twice"),
            "response.created" | "response.in_progress" | "response.queued" if !self.started => {
                return self.start(event, steps);
            }
            "response.in_progress" | "response.queued" => {
                self.go_on(type_, event, steps);
                return Ok(());
            }
            "response.failed" => {
                self.fail(event, steps);
                return Ok(());
            }
            "response.completed" | "response.incomplete" | "response.cancelled" => {
                return self.finish(type_, event, steps);
            }
            _ if !self.started => return Err("it comes before response.created"),
            _ => {}
        }
        match type_ {
            "response.output_item.added" => self.add(event, steps),
            "response.output_item.done" => self.complete(event, steps),
            _ => self.of_item(type_, event, steps),
        }
    }

    fn start(&mut self, mut event: Object, steps: &mut Vec<Event>) -> Result<(), &'static str> {
        let response = take_object(&mut event, "response").ok_or("it has no response")?;
        let started = self.started(event, response);
        steps.push(started);
        Ok(())
    }

    fn started(&mut self, event: Object, mut response: Object) -> Event {
        let started = take_head(&mut response);
        drop_if(&mut response, "status", |status| status == "in_progress" || status == "queued");
        drop_if(&mut response, "output", says_nothing);
        for key in ["error", "incomplete_details", "usage"] {
            drop_null(&mut response, key);
        }
        let event = Event { step: Step::Started(started), extras: snapshot::extras(event, response) };
        self.started = true;
        self.snapshot.follow(&event);
        event
    }

    /// The response once more: mostly as it was.
    fn go_on(&mut self, type_: &str, mut event: Object, steps: &mut Vec<Event>) {
        let mut response = take_object(&mut event, "response").unwrap_or_default();
        drop_if(&mut response, "status", |status| status == "in_progress" || status == "queued");
        let rest = self.beyond(response);
        if rest.is_empty() && event.is_empty() {
            return;
        }
        let event = typed(type_, snapshot::extras(event, rest).into_map());
        let event = Event::from(Step::Opaque(Value::Object(event)));
        self.snapshot.follow(&event);
        steps.push(event);
    }

    fn fail(&mut self, mut event: Object, steps: &mut Vec<Event>) {
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

    fn finish(&mut self, type_: &str, mut event: Object, steps: &mut Vec<Event>) -> Result<(), &'static str> {
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
        if has(|item| matches!(item.item.sort, Sort::Call(_))) {
            FinishReason::ToolUse
        } else if has(|item| item.item.parts.iter().any(|part| part.kind == PartKind::Refusal)) {
            FinishReason::Refusal
        } else {
            FinishReason::EndTurn
        }
    }

    fn add(&mut self, mut event: Object, steps: &mut Vec<Event>) -> Result<(), &'static str> {
        let next = self.items.len() as u64;
        let index = take_index(&mut event)?.unwrap_or(next);
        // An item may be announced before anything is known of it.
        let Some(item) = take_object(&mut event, "item") else {
            return self.of_item("response.output_item.added", event, steps);
        };
        if self.items.contains_key(&index) {
            return Err("its index was used before");
        }
        self.ambiguous |= index != next || self.open().is_some();
        let (mut incoming, mut content) = Incoming::begin(item, event, &mut self.keys, steps)?;
        incoming.content(&mut content, &mut self.keys, steps)?;
        if !content.is_empty() {
            incoming.done_rest("response.output_item.added", content, steps);
        }
        self.amid = steps.is_empty();
        self.ambiguous |= std::mem::take(&mut incoming.ambiguous);
        self.last = Some(index);
        self.items.insert(index, incoming);
        Ok(())
    }

    /// The item that was begun last, unless it is done.
    fn open(&self) -> Option<u64> {
        self.last.filter(|last| self.items.get(last).is_some_and(|item| !item.done))
    }

    fn complete(&mut self, mut event: Object, steps: &mut Vec<Event>) -> Result<(), &'static str> {
        let item = take_object(&mut event, "item").ok_or("it has no item")?;
        let next = self.items.len() as u64;
        let open = self.open();
        let index = take_index(&mut event)?.or(open).unwrap_or(next);
        match self.items.get_mut(&index) {
            None => {
                self.ambiguous |= index != next || open.is_some();
                self.whole_item(index, item, event, steps)
            }
            Some(known) if known.done => {
                let mut rest = event;
                let item = beyond(item, &known.item.done());
                super::message::put(&mut rest, place::ITEM, item);
                if !rest.is_empty() {
                    self.ambiguous = true;
                    steps.push(Step::Opaque(Value::Object(typed("response.output_item.done", rest))).into());
                }
                Ok(())
            }
            Some(known) => {
                known.complete(item, event, &mut self.keys, steps)?;
                self.ambiguous |= std::mem::take(&mut known.ambiguous);
                Ok(())
            }
        }
    }

    /// An item of which nothing came before.
    fn whole_item(
        &mut self,
        index: u64,
        item: Object,
        done: Object,
        steps: &mut Vec<Event>,
    ) -> Result<(), &'static str> {
        let mut begun = item.clone();
        if matches!(
            item.get("type").and_then(Value::as_str),
            Some("message" | "function_call" | "custom_tool_call" | "reasoning")
        ) {
            if item.get("status").is_some_and(|status| status == "completed") {
                begun.insert("status".to_owned(), "in_progress".into());
            }
            begun.shift_remove("encrypted_content");
        }
        let (mut incoming, _) = Incoming::begin(begun, Object::new(), &mut self.keys, steps)?;
        incoming.complete(item, done, &mut self.keys, steps)?;
        self.ambiguous |= std::mem::take(&mut incoming.ambiguous);
        self.last = Some(index);
        self.items.insert(index, incoming);
        Ok(())
    }

    fn of_item(&mut self, type_: &str, mut event: Object, steps: &mut Vec<Event>) -> Result<(), &'static str> {
        let index = take_index(&mut event)?;
        let id = event.get("item_id").and_then(Value::as_str).unwrap_or_default();
        let found = match index {
            Some(index) => self.items.get_key_value(&index),
            None if !id.is_empty() => self.items.iter().rev().find(|(_, item)| item.id == id),
            None => self.open().and_then(|last| self.items.get_key_value(&last)),
        };
        let found = found.map(|(index, item)| (*index, item.done));
        let Some((index, false)) = found else {
            if is_of_item(type_) {
                return Err(if found.is_some() { "its item is done" } else { "its item is not known" });
            }
            event.extend(index.map(|index| ("output_index".to_owned(), index.into())));
            steps.push(Step::Opaque(Value::Object(typed(type_, event))).into());
            return Ok(());
        };
        let Some(item) = self.items.get_mut(&index) else { return Ok(()) };
        drop_if(&mut event, "item_id", |id| id == item.id.as_str());
        // A client may go by it.
        item.ambiguous |= event.get("item_id").is_some_and(|id| !says_nothing(id));
        event.retain(|_, value| !value.is_null());
        item.event(Said { type_, event, keys: &mut self.keys, steps })?;
        self.amid = steps.is_empty();
        self.ambiguous |= std::mem::take(&mut item.ambiguous);
        Ok(())
    }

    /// What is said of the response beyond what is known. Its id does not change.
    fn beyond(&mut self, response: Object) -> Object {
        let rest = self.snapshot.beyond(response);
        self.ambiguous |= rest.contains_key("id");
        rest
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

/// Takes out of a response what it begins with.
fn take_head(response: &mut Object) -> Started {
    drop_if(response, "object", |object| object == "response");
    let created = response.get("created_at").and_then(Value::as_i64);
    if created.is_some() {
        response.shift_remove("created_at");
    }
    Started {
        id: take_string(response, "id").unwrap_or_default(),
        model: take_string(response, "model").unwrap_or_default(),
        created,
    }
}

fn take_index(event: &mut Object) -> Result<Option<u64>, &'static str> {
    let index = take_u64(event, "output_index");
    if event.contains_key("output_index") { Err("its output_index is no number") } else { Ok(index) }
}

/// Events that are nothing without their item.
pub(super) fn is_of_item(type_: &str) -> bool {
    const STEMS: [&str; 8] = [
        "response.content_part.",
        "response.output_text.",
        "response.refusal.",
        "response.function_call_arguments.",
        "response.custom_tool_call_input.",
        "response.reasoning_summary_part.",
        "response.reasoning_summary_text.",
        "response.reasoning_text.",
    ];
    STEMS.iter().any(|stem| type_.starts_with(stem))
}

/// A type is shown in errors only if it is one of the dialect's words.
fn shown(type_: &str) -> &str {
    const KNOWN: [&str; 20] = [
        "error",
        "response.created",
        "response.in_progress",
        "response.queued",
        "response.completed",
        "response.incomplete",
        "response.failed",
        "response.output_item.added",
        "response.output_item.done",
        "response.content_part.added",
        "response.content_part.done",
        "response.output_text.delta",
        "response.output_text.done",
        "response.output_text.annotation.added",
        "response.refusal.delta",
        "response.function_call_arguments.delta",
        "response.custom_tool_call_input.delta",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_text.delta",
        "response.reasoning_text.delta",
    ];
    KNOWN.into_iter().find(|known| *known == type_).unwrap_or("of an unknown type")
}
