//! Chunks as they are written, and what goes on from one to the next.

use std::collections::BTreeMap;

use bytes::BytesMut;
use luthien_proto::{
    Event,
    json::{Borrowed, Extras, Fields},
};
use serde_json::Value;

use super::{
    envelope::{CHUNK, Envelope},
    place,
};
use crate::{
    dialect::fields::{Object, merge_fields},
    sse,
};

#[derive(Debug, Default)]
pub(super) struct Chunks {
    envelope: Envelope,
    /// The choices that the client has been told of, and whether of their finish too.
    choices: BTreeMap<u32, bool>,
}

impl Chunks {
    /// Follows a step that is or was written.
    pub(super) fn follow(&mut self, event: &Event) {
        self.envelope.follow(event);
    }

    /// Notes that the client is told of a choice; whether that is news.
    pub(super) fn begin(&mut self, choice: u32) -> bool {
        let is_new = !self.choices.contains_key(&choice);
        self.choices.entry(choice).or_default();
        is_new
    }

    /// Notes that the client is told of a choice's finish.
    pub(super) fn finish(&mut self, choice: u32) {
        self.choices.insert(choice, true);
    }

    pub(super) fn unfinished(&self) -> Vec<u32> {
        self.choices.iter().filter(|(_, finished)| !**finished).map(|(at, _)| *at).collect()
    }

    /// Writes a delta of a choice, and the word that finishes it.
    pub(super) fn write(
        &mut self,
        choice: u32,
        delta: Fields<'_>,
        word: Option<&str>,
        extras: &Extras,
        out: &mut BytesMut,
    ) {
        let mut rest = extras.fields();
        let mut message = delta;
        if self.begin(choice) {
            let mut begun = Fields::from_iter([("role", "assistant".into())]);
            message.into_iter().for_each(|(key, value)| begun.insert(key, value));
            message = begun;
        }
        let word = word.map_or(Borrowed::Null, Borrowed::from);
        merge_place(&mut message, &mut rest, place::DELTA);
        let mut entry =
            Fields::from_iter([("index", choice.into()), ("delta", message.into()), ("finish_reason", word)]);
        merge_place(&mut entry, &mut rest, place::CHOICE);
        let mut chunk = self.envelope.fields(CHUNK);
        chunk.insert("choices", vec![entry.into()]);
        merge_place(&mut chunk, &mut rest, place::CHUNK);
        sse::write_json(out, None, &chunk);
    }

    pub(super) fn write_usage(&self, usage: &Value, extras: &Extras, out: &mut BytesMut) {
        let mut chunk = self.envelope.fields(CHUNK);
        chunk.insert("choices", Vec::new());
        chunk.insert("usage", usage);
        merge_place(&mut chunk, &mut extras.fields(), place::CHUNK);
        sse::write_json(out, None, &chunk);
    }

    /// The envelope stays the response's own, whatever stands in it here.
    pub(super) fn write_opaque(&self, fields: &Object, out: &mut BytesMut) {
        let mut chunk = self.envelope.fields(CHUNK);
        chunk.insert("choices", fields.get("choices").map_or_else(|| Vec::new().into(), Borrowed::from));
        for (key, value) in fields {
            if !chunk.contains_key(key) {
                chunk.insert(key.as_str(), value);
            }
        }
        sse::write_json(out, None, &chunk);
    }
}

/// Writes back the extras of one place.
fn merge_place<'a>(into: &mut Fields<'a>, extras: &mut Fields<'a>, place: &str) {
    if let Some(rest) = extras.take_object(place) {
        merge_fields(into, rest);
    }
}
