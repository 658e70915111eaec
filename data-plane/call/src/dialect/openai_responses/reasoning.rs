//! The parts of reasoning as they come: they are one block, and are told apart by marks.

use luthien_proto::{
    Event,
    event::Delta,
    json::{Extras, Fields},
};
use serde_json::{Value, json};

use super::{
    incoming::{Incoming, Said},
    item::PartKind,
    message::put,
    place,
    rest::{beyond, object},
};
use crate::dialect::fields::{Object, take_array, take_object, take_string, take_u64};

/// What parts two parts.
const GAP: &str = "\n\n";

impl Incoming {
    pub(super) fn reasoning_part_added(&mut self, said: Said<'_>) -> Result<(), &'static str> {
        let mut event = said.event.into_map();
        let kind = kind_of(said.type_);
        let [_, _, number_field] = kind.events();
        let mut part = take_object(&mut event, "part").unwrap_or_default();
        part.retain(|key, value| key != "type" || value != kind.type_());
        let text = take_string(&mut part, "text").unwrap_or_default();
        let number = take_u64(&mut event, number_field);
        let next = self.parts_of(kind);
        let number = number.unwrap_or(next as u64);
        self.ambiguous |= number != next as u64 + u64::from(self.announced && kind == PartKind::Summary);
        self.number = number;
        let is_first = self.item.parts.is_empty() && !self.announced;
        if is_first && kind == PartKind::Summary && part.is_empty() && event.is_empty() {
            self.announced = true;
        } else {
            self.mark(kind, said.steps);
        }
        if !text.is_empty() {
            self.push_text(text, Extras::NONE, said.steps);
        }
        put(&mut event, place::PART, part);
        self.done_rest(said.type_, event, said.steps);
        Ok(())
    }

    pub(super) fn reasoning_goes_on(&mut self, mut said: Said<'_>) -> Result<(), &'static str> {
        let kind = kind_of(said.type_);
        let [_, _, number_field] = kind.events();
        let number = said.event.take_u64(number_field);
        let piece = said.event.take_str("delta").ok_or("its delta is no text")?;
        if !self.is_in(kind, number) {
            if number.is_some_and(|number| number < self.number) && self.parts_of(kind) > 0 {
                return Err("its part is not open");
            }
            self.number = number.unwrap_or(0);
            // Many servers do not announce these.
            self.ambiguous |= kind == PartKind::Summary;
            if !self.item.parts.is_empty() || self.announced || kind != PartKind::Summary {
                self.mark(kind, said.steps);
            }
        }
        // It would be a mark.
        if let Some(part) = said.event.remove(place::PART) {
            said.event.insert("delta", Fields::from_iter([(place::PART, part)]));
        }
        self.push_text(piece.into_owned(), said.event.into(), said.steps);
        Ok(())
    }

    pub(super) fn reasoning_text_done(&mut self, said: Said<'_>) -> Result<(), &'static str> {
        let mut event = said.event.into_map();
        let kind = kind_of(said.type_);
        if self.is_at_reasoning(kind, &mut event)
            && let Some(whole) = take_string(&mut event, "text")
        {
            self.whole_reasoning_text(kind, whole, &mut event, said.steps);
        }
        self.done_rest(said.type_, event, said.steps);
        Ok(())
    }

    pub(super) fn reasoning_part_done(&mut self, said: Said<'_>) -> Result<(), &'static str> {
        let mut event = said.event.into_map();
        let kind = kind_of(said.type_);
        if self.is_at_reasoning(kind, &mut event)
            && let Some(part) = take_object(&mut event, "part")
        {
            let rest = self.whole_reasoning_part(kind, part, said.steps);
            put(&mut event, place::PART, rest);
        }
        self.done_rest(said.type_, event, said.steps);
        Ok(())
    }

    /// The summary and the content of the item as a whole.
    pub(super) fn whole_reasoning(&mut self, content: &mut Object, steps: &mut Vec<Event>) {
        for (field, kind) in [("summary", PartKind::Summary), ("content", PartKind::Reasoning)] {
            let Some(parts) = take_array(content, field) else { continue };
            let mut unsaid = false;
            for (at, part) in parts.iter().enumerate() {
                let Value::Object(part) = part.clone() else {
                    unsaid = true;
                    continue;
                };
                unsaid |= !self.whole_reasoning_part_at(kind, at, part, steps);
            }
            if unsaid {
                self.ambiguous = true;
                content.insert(field.to_owned(), parts.into());
            }
        }
    }

    /// Whether all of it is said.
    fn whole_reasoning_part_at(&mut self, kind: PartKind, at: usize, part: Object, steps: &mut Vec<Event>) -> bool {
        let known = self.parts_of(kind);
        let is_last = self.item.parts.last().is_some_and(|part| part.kind == kind);
        if at < known && !(at + 1 == known && is_last) {
            let known = self.item.parts.iter().filter(|part| part.kind == kind).nth(at);
            return known.is_some_and(|known| beyond(part, &known.json()).is_empty());
        }
        if at >= known {
            let says = part.get("text").is_some_and(|text| text.as_str().is_some_and(|text| !text.is_empty()));
            if !(self.item.parts.is_empty() && at == 0 && kind == PartKind::Summary && says) {
                // The one that was announced is this one.
                self.announced &= at > 0;
                self.mark(kind, steps);
            }
        }
        let rest = self.whole_reasoning_part(kind, part, steps);
        let mut event = Object::new();
        put(&mut event, place::PART, rest);
        let [_, stem, _] = kind.events();
        self.done_rest(&format!("response.{stem}.done"), event, steps);
        true
    }

    /// What of the part that is open was not said before; given back is what can't be said any more.
    fn whole_reasoning_part(&mut self, kind: PartKind, mut part: Object, steps: &mut Vec<Event>) -> Object {
        if let Some(whole) = take_string(&mut part, "text") {
            self.whole_reasoning_text(kind, whole, &mut part, steps);
        }
        match self.item.parts.last() {
            Some(known) => beyond(part, &known.json()),
            None => beyond(part, &object(json!({"type": kind.type_()}))),
        }
    }

    fn whole_reasoning_text(&mut self, kind: PartKind, whole: String, rest: &mut Object, steps: &mut Vec<Event>) {
        if self.item.parts.is_empty() {
            if !whole.is_empty() {
                self.push_text(whole, Extras::NONE, steps);
            }
        } else {
            self.whole_text(kind, whole, rest, steps);
        }
    }

    fn push_text(&mut self, text: String, extras: Extras, steps: &mut Vec<Event>) {
        self.announced = false;
        self.push(Delta::Text(text), extras, steps);
    }

    /// Begins a part. One that was announced, and of which nothing came, is one too.
    fn mark(&mut self, kind: PartKind, steps: &mut Vec<Event>) {
        if std::mem::take(&mut self.announced) {
            self.push_mark(PartKind::Summary, steps);
        }
        self.push_mark(kind, steps);
    }

    fn push_mark(&mut self, kind: PartKind, steps: &mut Vec<Event>) {
        let gap = if self.item.parts.is_empty() { "" } else { GAP };
        let mark = object(json!({place::PART: kind.type_()}));
        self.push(Delta::Text(gap.to_owned()), mark.into(), steps);
    }

    fn parts_of(&self, kind: PartKind) -> usize {
        self.item.parts.iter().filter(|part| part.kind == kind).count()
    }

    /// Whether that part of that kind is open, or was announced.
    fn is_in(&self, kind: PartKind, number: Option<u64>) -> bool {
        let announced = self.announced && self.item.parts.is_empty() && kind == PartKind::Summary;
        let is_open = announced || self.item.parts.last().is_some_and(|part| part.kind == kind);
        is_open && number.is_none_or(|number| number == self.number)
    }

    fn is_at_reasoning(&self, kind: PartKind, event: &mut Object) -> bool {
        let [_, _, number_field] = kind.events();
        let is_at = match event.get(number_field) {
            None => self.is_in(kind, None),
            Some(number) => number.as_u64().is_some_and(|number| self.is_in(kind, Some(number))),
        };
        if is_at {
            event.shift_remove(number_field);
        }
        is_at
    }
}

fn kind_of(type_: &str) -> PartKind {
    if type_.starts_with("response.reasoning_summary") { PartKind::Summary } else { PartKind::Reasoning }
}
