//! An item as it is written: what its steps tell, and what its events repeat of it.

use std::collections::BTreeMap;

use bytes::BytesMut;
use luthien_proto::{event::Delta, json::Extras};
use serde_json::{Value, json};

use super::{
    item::{Item, PartKind, Sort},
    place,
    rest::{add, object},
};
use crate::{
    dialect::fields::{Object, merge},
    sse,
};

/// Events that have their place among the others: what they say more is written with them.
pub(super) const STRUCTURAL: [&str; 12] = [
    "response.output_item.done",
    "response.content_part.added",
    "response.content_part.done",
    "response.output_text.done",
    "response.refusal.done",
    "response.function_call_arguments.done",
    "response.custom_tool_call_input.done",
    "response.reasoning_summary_part.added",
    "response.reasoning_summary_part.done",
    "response.reasoning_summary_text.done",
    "response.reasoning_text.done",
    "response.output_item.added",
];

/// An item as it is written.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) item: Item,
    /// How many of its parts are complete.
    parts_done: usize,
    pub(super) done: bool,
    /// What is written with events to come, by their types.
    more: BTreeMap<String, Object>,
}

/// Where events go: an observed one has left already, and only counts.
pub(super) struct Out<'a> {
    pub(super) bytes: Option<&'a mut BytesMut>,
    pub(super) sequence: &'a mut u64,
}

impl Out<'_> {
    pub(super) fn write(&mut self, type_: &str, fields: impl FnOnce() -> Object) {
        if let Some(bytes) = &mut self.bytes {
            let mut event = Object::new();
            event.insert("type".to_owned(), type_.into());
            event.insert("sequence_number".to_owned(), (*self.sequence).into());
            add(&mut event, &fields());
            sse::write_json(bytes, Some(type_), &(&event).into());
        }
        *self.sequence += 1;
    }
}

impl Outgoing {
    pub(super) fn new(item: Item) -> Self {
        Self { item, parts_done: 0, done: false, more: BTreeMap::new() }
    }

    pub(super) fn go_on(&mut self, at: usize, delta: &Delta, extras: &Extras, out: &mut Out<'_>) {
        match (self.item.sort, delta) {
            (Sort::Reasoning, Delta::Text(_)) if PartKind::marked(extras).is_some() => {
                self.end_part(at, out);
                self.item.add(delta, extras);
                self.announce_part(at, &Extras::NONE, out);
            }
            (Sort::Reasoning | Sort::Message, Delta::Text(text)) => {
                let is_first = self.item.parts.is_empty();
                self.item.add(delta, extras);
                if is_first {
                    self.announce_part(at, &Extras::NONE, out);
                }
                self.say(at, text, extras, out);
            }
            (Sort::Call(field), Delta::Arguments(text)) => {
                self.item.add(delta, extras);
                let [type_, _] = call_events(field);
                write((at, &self.item, &mut self.more), type_, None, out, || object(json!({"delta": text})), extras);
            }
            (_, Delta::Opaque(Value::Object(event))) => {
                let annotations = self.item.parts.last().map_or(0, |part| part.annotations.len());
                self.item.add(delta, extras);
                self.opaque(at, event, annotations, out);
            }
            (
                Sort::Reasoning | Sort::Message | Sort::Call(_) | Sort::Action | Sort::Other,
                Delta::Text(_) | Delta::Arguments(_) | Delta::Signature(_) | Delta::Opaque(_),
            ) => self.item.add(delta, extras),
        }
    }

    fn say(&mut self, at: usize, text: &str, extras: &Extras, out: &mut Out<'_>) {
        let Some(kind) = self.item.parts.last().map(|part| part.kind) else { return };
        let [stem, _, number] = kind.events();
        let fields = || match kind {
            PartKind::Text => object(json!({"delta": text, "logprobs": []})),
            PartKind::Refusal | PartKind::Summary | PartKind::Reasoning | PartKind::Other => {
                object(json!({"delta": text}))
            }
        };
        write((at, &self.item, &mut self.more), &format!("response.{stem}.delta"), Some(number), out, fields, extras);
    }

    fn opaque(&mut self, at: usize, event: &Object, annotations: usize, out: &mut Out<'_>) {
        let Some(type_) = event.get("type").and_then(Value::as_str) else { return };
        let is_others = matches!(self.item.sort, Sort::Other | Sort::Action) && type_ != "response.output_item.done";
        if STRUCTURAL.contains(&type_) && !is_others {
            add(self.more.entry(type_.to_owned()).or_default(), event);
            return;
        }
        let number = (self.item.sort == Sort::Message).then_some("content_index");
        let fields = || {
            let mut fields = Object::new();
            if type_ == "response.output_text.annotation.added" {
                fields.insert("annotation_index".to_owned(), annotations.into());
            }
            fields
        };
        write((at, &self.item, &mut self.more), type_, number, out, fields, &Extras::from(event.clone()));
    }

    /// Tells that its last part has begun.
    pub(super) fn announce_part(&mut self, at: usize, extras: &Extras, out: &mut Out<'_>) {
        let Some(part) = self.item.parts.last() else { return };
        let [_, stem, number] = part.kind.events();
        let type_ = format!("response.{stem}.added");
        let rest = extras.get(place::PART_ADDED).and_then(Value::as_object).cloned().unwrap_or_default();
        write(
            (at, &self.item, &mut self.more),
            &type_,
            Some(number),
            out,
            || object(json!({"part": part.begun()})),
            &rest.into(),
        );
    }

    /// Tells that its last part is complete.
    pub(super) fn end_part(&mut self, at: usize, out: &mut Out<'_>) {
        if self.item.parts.len() <= self.parts_done {
            return;
        }
        self.parts_done = self.item.parts.len();
        let Some(part) = self.item.parts.last() else { return };
        let kind = part.kind;
        let [stem, part_stem, number] = kind.events();
        if kind != PartKind::Other {
            let fields = || {
                let mut fields = Object::from_iter([(kind.field().to_owned(), Value::from(part.text.as_str()))]);
                if kind == PartKind::Text {
                    fields.insert("logprobs".to_owned(), part.logprobs.clone().into());
                }
                fields
            };
            write(
                (at, &self.item, &mut self.more),
                &format!("response.{stem}.done"),
                Some(number),
                out,
                fields,
                &Extras::NONE,
            );
        }
        let fields = || object(json!({"part": part.json()}));
        write(
            (at, &self.item, &mut self.more),
            &format!("response.{part_stem}.done"),
            Some(number),
            out,
            fields,
            &Extras::NONE,
        );
    }

    /// Tells that it is complete.
    pub(super) fn end(&mut self, at: usize, out: &mut Out<'_>) {
        if std::mem::replace(&mut self.done, true) {
            return;
        }
        if let Sort::Call(field) = self.item.sort {
            let [_, type_] = call_events(field);
            let fields = || Object::from_iter([(field.to_owned(), Value::from(self.item.arguments()))]);
            write((at, &self.item, &mut self.more), type_, None, out, fields, &Extras::NONE);
        }
        let more = self.more.remove("response.output_item.done").unwrap_or_default();
        out.write("response.output_item.done", || {
            let mut event = object(json!({"output_index": at, "item": self.item.done()}));
            add(&mut event, &more);
            event
        });
    }
}

/// Writes an event of an item, with what else it says.
fn write(
    (at, item, more): (usize, &Item, &mut BTreeMap<String, Object>),
    type_: &str,
    number: Option<&str>,
    out: &mut Out<'_>,
    fields: impl FnOnce() -> Object,
    extras: &Extras,
) {
    let more = more.remove(type_);
    out.write(type_, || {
        let mut event = object(json!({"item_id": item.id(), "output_index": at}));
        if let Some(number) = number {
            event.insert(number.to_owned(), item.part_index().into());
        }
        event.extend(fields());
        if !extras.is_empty() {
            merge(&mut event, &extras.clone().into_map());
        }
        add(&mut event, &more.unwrap_or_default());
        event.shift_remove("type");
        event
    });
}

fn call_events(field: &str) -> [&'static str; 2] {
    match field {
        "input" => ["response.custom_tool_call_input.delta", "response.custom_tool_call_input.done"],
        _ => ["response.function_call_arguments.delta", "response.function_call_arguments.done"],
    }
}
