//! What every chunk of a stream repeats.

use luthien_proto::{Event, Step, event::Started};
use serde_json::Value;

use super::place;
use crate::dialect::fields::{Object, drop_if, drop_null};

/// What `object` says.
pub(super) const CHUNK: &str = "chat.completion.chunk";
pub(super) const WHOLE: &str = "chat.completion";

const REPEATED: [&str; 6] = ["id", "created", "model", "system_fingerprint", "service_tier", "provider"];

/// The repeated fields as they were last seen, or written.
#[derive(Debug, Default)]
pub(super) struct Envelope(Object);

impl Envelope {
    /// Begins with the first chunk; what Started tells of it, [`Self::strip`] then drops.
    pub(super) fn start(&mut self, chunk: &Object) -> Started {
        let started = Started {
            id: chunk.get("id").and_then(Value::as_str).unwrap_or_default().to_owned(),
            model: chunk.get("model").and_then(Value::as_str).unwrap_or_default().to_owned(),
            created: chunk.get("created").and_then(Value::as_i64),
        };
        self.insert_started(&started);
        started
    }

    /// Drops from a chunk what it repeats, and remembers what it changes.
    pub(super) fn strip(&mut self, chunk: &mut Object) {
        drop_if(chunk, "object", |value| matches!(value.as_str(), Some(CHUNK | WHOLE)));
        for key in REPEATED {
            drop_null(chunk, key);
            drop_if(chunk, key, |value| self.0.get(key) == Some(value));
            if let Some(changed) = chunk.get(key) {
                self.0.insert(key.to_owned(), changed.clone());
            }
        }
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
        for key in REPEATED {
            if let Some(changed) = chunk.get(key) {
                self.0.insert(key.to_owned(), changed.clone());
            }
        }
    }

    /// A chunk (or body) that has only what is repeated.
    pub(super) fn object(&self, kind: &str) -> Object {
        let mut chunk = Object::with_capacity(self.0.len() + 3);
        chunk.insert("id".to_owned(), self.0.get("id").cloned().unwrap_or_else(|| Value::from("")));
        chunk.insert("object".to_owned(), Value::from(kind));
        chunk.insert("created".to_owned(), self.0.get("created").cloned().unwrap_or_else(|| Value::from(0)));
        chunk.insert("model".to_owned(), self.0.get("model").cloned().unwrap_or_else(|| Value::from("")));
        for key in &REPEATED[3..] {
            if let Some(value) = self.0.get(*key) {
                chunk.insert((*key).to_owned(), value.clone());
            }
        }
        chunk
    }

    fn insert_started(&mut self, started: &Started) {
        self.0.insert("id".to_owned(), Value::from(started.id.as_str()));
        self.0.insert("model".to_owned(), Value::from(started.model.as_str()));
        if let Some(created) = started.created {
            self.0.insert("created".to_owned(), Value::from(created));
        }
    }
}
