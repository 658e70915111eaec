//! What every chunk of a stream repeats.

use luthien_proto::{
    Step,
    event::Started,
    json::{Borrowed, Fields},
};
use serde_json::Value;

use super::place;

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
    pub(super) fn follow(&mut self, step: &Step, extras: &Fields<'_>) {
        if let Step::Started(started) = step {
            self.insert_started(started);
        }
        if let Step::Opaque(Value::Object(chunk)) = step {
            self.follow_chunk(&chunk.into());
        }
        if let Some(chunk) = extras.get(place::CHUNK).and_then(Borrowed::as_object) {
            self.follow_chunk(chunk);
        }
    }

    fn follow_chunk(&mut self, chunk: &Fields<'_>) {
        for (key, value) in chunk.iter() {
            if let Some(known) = self.get_mut(key) {
                *known = Some(value.clone().into());
            }
        }
    }

    /// A chunk (or body) that has only what is repeated.
    pub(super) fn fields<'a>(&'a self, kind: &'a str) -> Fields<'a> {
        let [id, created, model, others @ ..] = &self.0;
        let mut chunk = Fields::with_capacity(REPEATED.len() + 4);
        chunk.push("id", id.as_ref().map_or("".into(), Borrowed::from));
        chunk.push("object", kind);
        chunk.push("created", created.as_ref().map_or(0_u64.into(), Borrowed::from));
        chunk.push("model", model.as_ref().map_or("".into(), Borrowed::from));
        for (key, value) in REPEATED[3..].iter().zip(others) {
            if let Some(value) = value {
                chunk.push(*key, value);
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
