//! What is queued becomes a batch: what entries repeat is taken out of them.

use std::time::SystemTime;

use super::{
    Batch, Entry, EntryKey, Period, Summary, Text,
    messages::{Known, take_out},
    recorder::{NewBody, NewEntry, request_in, to_text},
    text::Said,
};

/// Knows what was written before.
pub(super) struct Sorter {
    period: Period,
    known: Known,
}

impl Sorter {
    pub(super) fn new() -> Self {
        Self { period: Period::default(), known: Known::new() }
    }

    /// Time has gone on.
    pub(super) fn at(&mut self, now: SystemTime) {
        let period = Period::of(now);
        // A clock that goes back makes no difference: what is new is written again.
        if period != self.period {
            self.period = period;
            self.known.forget();
        }
    }

    pub(super) fn summary(&self, summary: Summary) -> Summary {
        Summary { period: self.period, ..summary }
    }

    /// Adds entries of a call, and what they are found by.
    pub(super) fn entries(&mut self, first: EntryKey, entries: Vec<NewEntry>, mut said: Said, batch: &mut Batch) {
        let EntryKey { call_id, epoch, seq: first_seq } = first;
        for (seq, NewEntry { at_us, kind, body }) in (first_seq..).zip(entries) {
            let body = match body {
                NewBody::Text(body) => body,
                NewBody::Requesting { mut body, .. } => {
                    if let Some(request) = request_in(&mut body) {
                        let new = take_out(request, self.period, &mut self.known, batch);
                        new.iter().for_each(|message| said.json(message));
                    }
                    to_text(kind, &body)
                }
            };
            batch.entries.push(Entry { call_id, epoch, seq, at_us, kind: kind.into(), body });
        }
        let text = said.into_text().map(|text| Text { call_id, epoch, seq: first_seq, text });
        batch.texts.extend(text);
    }
}
