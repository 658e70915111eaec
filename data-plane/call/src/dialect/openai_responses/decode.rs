//! From SSE events to steps.

use std::{borrow::Cow, collections::BTreeMap};

use bytes::Bytes;
use luthien_proto::{Event, Step, event::Started, json::Fields};
use serde_json::Value;

use super::{
    failure,
    incoming::{Incoming, Keys, Said, typed},
    item::{TOLD_OF_ACTIONS, is_action},
    place,
    rest::{beyond, says_nothing},
    snapshot::{self, Snapshot},
};
use crate::dialect::{
    DecodeError, broken_off,
    fields::{Object, drop_if, drop_null, read_object, take_object, take_string},
};

const DONE: &[u8] = b"[DONE]";
/// So many events in a row that are no steps are kept together. A few are usual.
const SILENT: u32 = 64;

#[derive(Debug, Default)]
pub(in crate::dialect) struct Decoder {
    pub(super) started: bool,
    pub(super) snapshot: Snapshot,
    /// By `output_index`.
    pub(super) items: BTreeMap<u64, Incoming>,
    /// The item that was begun last.
    last: Option<u64>,
    pub(super) keys: Keys,
    pub(super) over: bool,
    /// Whether what came last goes on in the next event.
    amid: bool,
    /// How many events in a row were of that sort.
    silent: u32,
    /// Whether a client may read something else in what came since this was asked last.
    pub(super) ambiguous: bool,
}

impl Decoder {
    pub(in crate::dialect) fn event(&mut self, name: Option<&str>, data: &Bytes) -> Result<Vec<Event>, DecodeError> {
        if data.trim_ascii() == DONE {
            return Ok(self.end());
        }
        let mut event = read_object("SSE event", data)?;
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
        event.drop_if("sequence_number", |number| number.as_u64().is_some());
        let mut steps = Vec::new();
        self.typed(&type_, event, &mut steps).map_err(error)?;
        if steps.is_empty() {
            self.silent += u32::from(self.amid);
            if self.silent > SILENT {
                return Err(error("too much before it says nothing"));
            }
        } else {
            self.silent = 0;
            self.amid = self.open().and_then(|open| self.items.get(&open)).is_some_and(Incoming::is_only_announced);
            // Written anew later, it would be announced twice.
            self.ambiguous |= self.amid;
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

    fn take_type<'a>(&mut self, name: Option<&'a str>, event: &mut Fields<'a>) -> Cow<'a, str> {
        match (event.take_str("type"), name) {
            (Some(type_), _) => type_,
            (None, _) if event.contains_key("type") => "".into(),
            (None, Some(name)) => {
                self.ambiguous = true;
                name.into()
            }
            // So do servers of the other dialect that fail.
            (None, None) if event.get("error").is_some_and(|error| !error.says_nothing()) => "error".into(),
            (None, None) => "".into(),
        }
    }

    fn typed(&mut self, type_: &str, event: Fields<'_>, steps: &mut Vec<Event>) -> Result<(), &'static str> {
        match type_ {
            "error" => {
                self.over = true;
                let mut event = event.into_map();
                let error = failure::take_event(&mut event);
                steps.push(Event { step: Step::Failed(error), extras: event.into() });
                return Ok(());
            }
            "response.created" if self.started => return Err("it comes twice"),
            "response.created" | "response.in_progress" | "response.queued" if !self.started => {
                return self.start(event.into_map(), steps);
            }
            "response.in_progress" | "response.queued" => {
                self.go_on(type_, event.into_map(), steps);
                return Ok(());
            }
            "response.failed" => {
                self.fail(event.into_map(), steps);
                return Ok(());
            }
            "response.completed" | "response.incomplete" | "response.cancelled" => {
                return self.finish(type_, event.into_map(), steps);
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

    pub(super) fn started(&mut self, event: Object, mut response: Object) -> Event {
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

    fn add(&mut self, mut event: Fields<'_>, steps: &mut Vec<Event>) -> Result<(), &'static str> {
        let next = self.items.len() as u64;
        let index = take_index(&mut event)?.unwrap_or(next);
        // An item may be announced before anything is known of it.
        let Some(item) = event.take_object("item") else {
            return self.of_item("response.output_item.added", event, steps);
        };
        if self.items.contains_key(&index) {
            return Err("its index was used before");
        }
        self.ambiguous |= index != next || self.open().is_some();
        let (mut incoming, mut content) = Incoming::begin(item.into_map(), event.into_map(), &mut self.keys, steps)?;
        incoming.content(&mut content, &mut self.keys, steps)?;
        incoming.keep(content, steps);
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

    fn complete(&mut self, mut event: Fields<'_>, steps: &mut Vec<Event>) -> Result<(), &'static str> {
        let item = event.take_object("item").ok_or("it has no item")?.into_map();
        let next = self.items.len() as u64;
        let open = self.open();
        let index = take_index(&mut event)?.or(open).unwrap_or(next);
        let event = event.into_map();
        match self.items.get_mut(&index) {
            None => {
                self.ambiguous |= index != next || open.is_some();
                self.whole_item(index, item, event, steps)
            }
            Some(known) if known.done => {
                known.check_type(&item)?;
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
    pub(super) fn whole_item(
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
        } else if is_action(&item) {
            begun.retain(|key, _| TOLD_OF_ACTIONS.contains(&key.as_str()));
            drop_if(&mut begun, "status", |status| status == "completed");
        }
        let (mut incoming, _) = Incoming::begin(begun, Object::new(), &mut self.keys, steps)?;
        incoming.complete(item, done, &mut self.keys, steps)?;
        self.ambiguous |= std::mem::take(&mut incoming.ambiguous);
        self.last = Some(index);
        self.items.insert(index, incoming);
        Ok(())
    }

    fn of_item(&mut self, type_: &str, mut event: Fields<'_>, steps: &mut Vec<Event>) -> Result<(), &'static str> {
        let index = take_index(&mut event)?;
        let id = event.text("item_id").unwrap_or_default();
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
            if let Some(index) = index {
                event.insert("output_index", index);
            }
            steps.push(Step::Opaque(Value::Object(typed(type_, event.into_map()))).into());
            return Ok(());
        };
        let Some(item) = self.items.get_mut(&index) else { return Ok(()) };
        event.drop_if("item_id", |id| id.as_str() == Some(&item.id));
        // A client may go by it.
        item.ambiguous |= event.get("item_id").is_some_and(|id| !id.says_nothing());
        event.retain(|_, value| !value.is_null());
        item.event(Said { type_, event, keys: &mut self.keys, steps })?;
        self.amid = steps.is_empty();
        self.ambiguous |= std::mem::take(&mut item.ambiguous);
        Ok(())
    }

    /// What is said of the response beyond what is known. Its id does not change.
    pub(super) fn beyond(&mut self, response: Object) -> Object {
        let rest = self.snapshot.beyond(response);
        self.ambiguous |= rest.contains_key("id");
        rest
    }
}

/// Takes out of a response what it begins with.
pub(super) fn take_head(response: &mut Object) -> Started {
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

fn take_index(event: &mut Fields<'_>) -> Result<Option<u64>, &'static str> {
    let index = event.take_u64("output_index");
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
