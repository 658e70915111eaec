//! The parts of a message as they come: each is a block. One stops where the next begins, or where the item is done.

use luthien_proto::{
    Event,
    event::{BlockKind, Delta},
    json::Extras,
};
use serde_json::{Value, json};

use super::{
    incoming::{Incoming, Keys, Said},
    item::PartKind,
    place,
    rest::{beyond, object},
};
use crate::dialect::fields::{Object, drop_if, take_array, take_object, take_string, take_u64};

const PART_DONE: &str = "response.content_part.done";
const ANNOTATION: &str = "response.output_text.annotation.added";

impl Incoming {
    pub(super) fn part_added(&mut self, said: Said<'_>) -> Result<(), &'static str> {
        let mut event = said.event.into_map();
        let number = take_u64(&mut event, "content_index");
        let part = take_object(&mut event, "part").ok_or("it has no part")?;
        let next = self.item.parts.len() as u64;
        let number = number.unwrap_or(next);
        if self.block.is_some() && number <= self.number {
            if number < self.number {
                return Err("its part was added before");
            }
            self.ambiguous = true;
            let rest = self.whole_part(part, said.steps);
            put(&mut event, place::PART, rest);
            self.done_rest(said.type_, event, said.steps);
            return Ok(());
        }
        self.ambiguous |= number != next;
        self.number = number;
        self.begin_part(part, event, said.keys, said.steps);
        Ok(())
    }

    pub(super) fn part_goes_on(&mut self, mut said: Said<'_>) -> Result<(), &'static str> {
        let kind = kind_of(said.type_);
        let number = said.event.take_u64("content_index");
        let piece = said.event.take_str("delta").ok_or("its delta is no text")?;
        said.event.drop_if("logprobs", |logprobs| logprobs.as_array().is_some_and(<[_]>::is_empty));
        if self.block.is_none() {
            self.ambiguous = true;
            self.number = number.unwrap_or(0);
            self.begin_part(object(json!({"type": kind.type_()})), Object::new(), said.keys, said.steps);
        }
        if number.is_some_and(|number| number != self.number) {
            return Err("its part is not open");
        }
        if self.item.parts.last().is_none_or(|part| part.kind != kind) {
            return Err("it is not of its part's type");
        }
        self.push(Delta::Text(piece.into_owned()), said.event.into(), said.steps);
        Ok(())
    }

    pub(super) fn text_done(&mut self, said: Said<'_>) -> Result<(), &'static str> {
        let mut event = said.event.into_map();
        let kind = kind_of(said.type_);
        if self.block.is_none() {
            self.ambiguous = true;
            self.number = event.get("content_index").and_then(Value::as_u64).unwrap_or(0);
            self.begin_part(object(json!({"type": kind.type_()})), Object::new(), said.keys, said.steps);
        }
        if self.is_at(&mut event, kind) {
            if let Some(whole) = take_string(&mut event, kind.field()) {
                self.whole_text(kind, whole, &mut event, said.steps);
            }
            self.drop_logprobs(&mut event);
        }
        self.done_rest(said.type_, event, said.steps);
        Ok(())
    }

    pub(super) fn part_done(&mut self, said: Said<'_>) -> Result<(), &'static str> {
        let mut event = said.event.into_map();
        let Some(part) = take_object(&mut event, "part") else {
            self.done_rest(said.type_, event, said.steps);
            return Ok(());
        };
        let number = take_u64(&mut event, "content_index");
        let rest = match self.block {
            None => {
                self.ambiguous = true;
                self.number = number.unwrap_or(0);
                self.begin_part(part, Object::new(), said.keys, said.steps);
                Object::new()
            }
            Some(_) if number.is_none_or(|number| number == self.number) => self.whole_part(part, said.steps),
            Some(_) => {
                self.ambiguous = true;
                part
            }
        };
        put(&mut event, place::PART, rest);
        self.done_rest(said.type_, event, said.steps);
        Ok(())
    }

    pub(super) fn annotation(&mut self, said: Said<'_>) -> Result<(), &'static str> {
        let mut event = said.event.into_map();
        if self.block.is_none() {
            return Err("its part is not open");
        }
        let known = self.item.parts.last().map_or(0, |part| part.annotations.len() as u64);
        drop_if(&mut event, "content_index", |number| number.as_u64() == Some(self.number));
        drop_if(&mut event, "annotation_index", |number| number.as_u64() == Some(known));
        self.push_rest(said.type_, event, said.steps);
        Ok(())
    }

    /// The parts of the item as a whole.
    pub(super) fn whole_parts(
        &mut self,
        content: &mut Object,
        keys: &mut Keys,
        steps: &mut Vec<Event>,
    ) -> Result<(), &'static str> {
        let Some(parts) = take_array(content, "content") else { return Ok(()) };
        let mut unsaid = false;
        for (at, part) in parts.iter().enumerate() {
            let Value::Object(part) = part.clone() else {
                unsaid = true;
                continue;
            };
            let known = self.item.parts.len();
            if at >= known {
                self.number = at as u64;
                self.begin_part(part, Object::new(), keys, steps);
            } else if at + 1 == known {
                let rest = self.whole_part(part, steps);
                let mut event = Object::new();
                put(&mut event, place::PART, rest);
                self.done_rest(PART_DONE, event, steps);
            } else {
                unsaid |= !beyond(part, &self.item.parts[at].json()).is_empty();
            }
        }
        if unsaid {
            self.ambiguous = true;
            content.insert("content".to_owned(), parts.into());
        }
        Ok(())
    }

    fn begin_part(&mut self, mut part: Object, added: Object, keys: &mut Keys, steps: &mut Vec<Event>) {
        if self.block.is_some() {
            let goes_on = object(json!({place::ITEM: {"status": "in_progress"}}));
            self.stop(goes_on.into(), steps);
        }
        let type_ = PartKind::of(part.get("type").and_then(Value::as_str).unwrap_or_default());
        let mut extras = std::mem::take(&mut self.begun);
        let (kind, text, annotations) = match type_ {
            PartKind::Text | PartKind::Refusal => {
                drop_if(&mut part, "type", |_| true);
                let text = take_string(&mut part, type_.field());
                let annotations = if type_ == PartKind::Text { take_array(&mut part, "annotations") } else { None };
                drop_if(&mut part, "logprobs", |logprobs| logprobs.as_array().is_some_and(Vec::is_empty));
                if !part.is_empty() {
                    extras.insert(place::PART, Value::Object(part));
                }
                (if type_ == PartKind::Text { BlockKind::Text } else { BlockKind::Refusal }, text, annotations)
            }
            PartKind::Summary | PartKind::Reasoning | PartKind::Other => {
                extras.insert(place::PART, Value::Object(Object::new()));
                (BlockKind::Opaque(Value::Object(part)), None, None)
            }
        };
        if !added.is_empty() {
            extras.insert(place::PART_ADDED, Value::Object(added));
        }
        self.item.begin_part(&kind, &extras);
        self.start(kind, extras, keys, steps);
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            self.push(Delta::Text(text), Extras::NONE, steps);
        }
        annotations.into_iter().flatten().for_each(|annotation| self.annotate(annotation, steps));
    }

    fn annotate(&mut self, annotation: Value, steps: &mut Vec<Event>) {
        self.push_rest(ANNOTATION, object(json!({"annotation": annotation})), steps);
    }

    /// What of the part that is open was not said before; given back is what can't be said any more.
    fn whole_part(&mut self, mut part: Object, steps: &mut Vec<Event>) -> Object {
        let Some(kind) = self.item.parts.last().map(|part| part.kind) else { return part };
        if matches!(kind, PartKind::Text | PartKind::Refusal)
            && part.get("type").is_none_or(|type_| type_ == kind.type_())
        {
            if let Some(whole) = take_string(&mut part, kind.field()) {
                self.whole_text(kind, whole, &mut part, steps);
            }
            if let Some(Value::Array(annotations)) = part.get("annotations") {
                let known = self.item.parts.last().map_or(&[][..], |part| &part.annotations);
                if let Some(more) = annotations.strip_prefix(known) {
                    let more = more.to_vec();
                    more.into_iter().for_each(|annotation| self.annotate(annotation, steps));
                }
            }
        }
        match self.item.parts.last() {
            Some(known) => beyond(part, &known.json()),
            None => part,
        }
    }

    pub(super) fn whole_text(&mut self, kind: PartKind, whole: String, rest: &mut Object, steps: &mut Vec<Event>) {
        let known = self.item.parts.last().map_or("", |part| &part.text);
        match whole.strip_prefix(known) {
            Some("") => {}
            Some(more) => self.push(Delta::Text(more.to_owned()), Extras::NONE, steps),
            None => {
                self.ambiguous = true;
                rest.insert(kind.field().to_owned(), whole.into());
            }
        }
    }

    /// Whether an event is of the part that is open.
    fn is_at(&self, event: &mut Object, kind: PartKind) -> bool {
        let is_at = self.block.is_some()
            && self.item.parts.last().is_some_and(|part| part.kind == kind)
            && event.get("content_index").is_none_or(|number| number.as_u64() == Some(self.number));
        if is_at {
            event.shift_remove("content_index");
        }
        is_at
    }

    fn drop_logprobs(&self, event: &mut Object) {
        let known = self.item.parts.last().map(|part| &part.logprobs);
        drop_if(event, "logprobs", |logprobs| logprobs.as_array() == known);
    }
}

fn kind_of(type_: &str) -> PartKind {
    if type_.starts_with("response.refusal") { PartKind::Refusal } else { PartKind::Text }
}

pub(super) fn put(event: &mut Object, place: &str, rest: Object) {
    if !rest.is_empty() {
        event.insert(place.to_owned(), Value::Object(rest));
    }
}
