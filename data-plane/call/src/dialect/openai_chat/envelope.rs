//! What every chunk of a stream repeats.

use luthien_proto::{
    Event, Step,
    event::Started,
    json::{Borrowed, Fields},
};
use serde_json::Value;

use super::place;
use crate::dialect::fields::Object;

/// What `object` says.
pub(super) const CHUNK: &str = "chat.completion.chunk";
pub(super) const WHOLE: &str = "chat.completion";

const REPEATED: [&str; 6] = ["id", "created", "model", "system_fingerprint", "service_tier", "provider"];

/// The repeated fields as they were last seen, or written.
#[derive(Debug, Default)]
pub(super) struct Envelope([Option<Value>; REPEATED.len()]);

impl Envelope {
    /// Begins with the first chunk; what Started tells of it, [`Self::strip`] then drops.
    pub(super) fn start(&mut self, chunk: &Fields<'_>) -> Started {
        let started = Started {
            id: chunk.text("id").unwrap_or_default().to_owned(),
            model: chunk.text("model").unwrap_or_default().to_owned(),
            created: chunk.get("created").and_then(Borrowed::as_i64),
        };
        self.insert_started(&started);
        started
    }

    /// Drops from a chunk what it repeats, and remembers what it changes.
    pub(super) fn strip(&mut self, chunk: &mut Fields<'_>) {
        chunk.retain(|key, value| {
            if key == "object" {
                return !matches!(value.as_str(), Some(CHUNK | WHOLE));
            }
            let Some(known) = self.get_mut(key) else { return true };
            if value.is_null() || known.as_ref().is_some_and(|known| value == known) {
                return false;
            }
            *known = Some(value.clone().into());
            true
        });
    }

    /// Follows a step that is or was written.
    pub(super) fn follow(&mut self, event: &Event) {
        if let Step::Started(started) = &event.step {
            self.insert_started(started);
        }
        if let Step::Opaque(Value::Object(chunk)) = &event.step {
            self.follow_chunk(chunk);
        }
        if let Some(Value::Object(chunk)) = event.extras.get(place::CHUNK) {
            self.follow_chunk(chunk);
        }
    }

    fn follow_chunk(&mut self, chunk: &Object) {
        for (key, known) in REPEATED.iter().zip(&mut self.0) {
            if let Some(changed) = chunk.get(*key) {
                *known = Some(changed.clone());
            }
        }
    }

    /// A chunk (or body) that has only what is repeated.
    pub(super) fn fields<'a>(&'a self, kind: &'a str) -> Fields<'a> {
        let [id, created, model, others @ ..] = &self.0;
        let mut chunk = Fields::with_capacity(REPEATED.len() + 4);
        chunk.insert("id", id.as_ref().map_or("".into(), Borrowed::from));
        chunk.insert("object", kind);
        chunk.insert("created", created.as_ref().map_or(0_u64.into(), Borrowed::from));
        chunk.insert("model", model.as_ref().map_or("".into(), Borrowed::from));
        for (key, value) in REPEATED[3..].iter().zip(others) {
            if let Some(value) = value {
                chunk.insert(*key, value);
            }
        }
        chunk
    }

    fn insert_started(&mut self, started: &Started) {
        let [id, created, model, ..] = &mut self.0;
        *id = Some(started.id.as_str().into());
        *model = Some(started.model.as_str().into());
        if let Some(told) = started.created {
            *created = Some(told.into());
        }
    }

    fn get_mut(&mut self, key: &str) -> Option<&mut Option<Value>> {
        REPEATED.iter().position(|repeated| *repeated == key).map(|at| &mut self.0[at])
    }
}
