//! What calls are found by: what was said in them, without what says nothing.

use luthien_policy::{ContentEntry, EntryBody, NoteEntry};
use serde_json::Value;

/// The longest text that is made of what is handed over at once; what is beyond is not found.
const BYTES_MAX: usize = 256 << 10;
/// A word that is longer is no word: an image, a key, a proof.
const WORD_MAX: usize = 128;
/// Fields whose texts are for machines.
const SILENT: [&str; 9] =
    ["id", "type", "role", "form", "data", "media_type", "signature", "redacted", "redacted_thinking"];

/// The words of a text, in small letters: what every store's index takes for words, whatever its locale.
pub(super) fn words(text: &str) -> impl Iterator<Item = String> {
    cut(text).map(str::to_lowercase)
}

fn cut(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

/// A text in the making: words, with a space between them.
#[derive(Debug, Default)]
pub(super) struct Said(String);

impl Said {
    /// Adds what an entry says, but for the request, of which only what is new counts.
    pub(super) fn entry(&mut self, entry: &EntryBody) {
        match entry {
            EntryBody::Resumed(_)
            | EntryBody::Request(_)
            | EntryBody::Part(_)
            | EntryBody::Interest(_)
            | EntryBody::Coverage(_) => {}
            EntryBody::Admission(admission) => {
                self.add(admission.message.as_deref().unwrap_or_default());
                self.notes(&admission.annotations);
            }
            EntryBody::Block(block) => {
                let settled = block.settled.as_ref().filter(|_| !block.unchanged);
                block.original.iter().chain(settled).for_each(|content| self.content(content));
            }
            EntryBody::Step(step) => {
                step.original.iter().chain(&step.settled).for_each(|json| self.json(json));
            }
            EntryBody::Verdict(verdict) => self.notes(&verdict.annotations),
            EntryBody::Note(note) => self.notes(std::slice::from_ref(note)),
            EntryBody::Consult(consult) => {
                consult.answer.iter().for_each(|block| self.content(&block.content));
                self.add(consult.error.as_deref().unwrap_or_default());
            }
            EntryBody::Outcome(outcome) => {
                self.add(&outcome.reason);
                self.notes(&outcome.annotations);
            }
            EntryBody::Report(report) => {
                self.add(&report.why);
                self.add(&report.reason);
            }
        }
    }

    /// Adds what the body of an entry says, but for the request.
    pub(super) fn body(&mut self, body: &Value) {
        if body["type"] == "part" {
            return;
        }
        const SPOKEN: [&str; 8] =
            ["message", "summary", "details", "answer", "error", "reason", "annotations", "original"];
        SPOKEN.iter().for_each(|field| self.json(&body[*field]));
        if body["unchanged"] != true {
            self.json(&body["final"]);
        }
    }

    /// Adds the texts in a JSON value.
    pub(super) fn json(&mut self, json: &Value) {
        match json {
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
            Value::String(text) => self.add(text),
            Value::Array(items) => items.iter().for_each(|item| self.json(item)),
            Value::Object(fields) => {
                let spoken = fields.iter().filter(|(name, _)| !SILENT.contains(&name.as_str()));
                spoken.for_each(|(_, value)| self.json(value));
            }
        }
    }

    /// The text; `None`: nothing was said.
    pub(super) fn into_text(self) -> Option<String> {
        (!self.0.is_empty()).then_some(self.0)
    }

    /// Adds what another text says.
    pub(super) fn add(&mut self, text: &str) {
        let room = BYTES_MAX.saturating_sub(self.0.len());
        if text.is_empty() || room == 0 {
            return;
        }
        let text = &text[..text.floor_char_boundary(room)];
        for word in cut(text).filter(|word| word.len() <= WORD_MAX) {
            if !self.0.is_empty() {
                self.0.push(' ');
            }
            let start = self.0.len();
            match word.is_ascii() {
                true => {
                    self.0.push_str(word);
                    self.0[start..].make_ascii_lowercase();
                }
                false => self.0.push_str(&word.to_lowercase()),
            }
        }
    }

    fn content(&mut self, content: &ContentEntry) {
        let texts = [&content.text, &content.name, &content.arguments];
        texts.into_iter().flatten().for_each(|text| self.add(text));
        content.json.iter().chain(&content.opaque).for_each(|json| self.json(json));
    }

    fn notes(&mut self, notes: &[NoteEntry]) {
        for note in notes {
            self.add(&note.summary);
            note.details.iter().for_each(|details| self.json(details));
        }
    }
}
