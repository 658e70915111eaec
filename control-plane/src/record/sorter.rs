//! What is queued becomes a batch: what entries repeat is taken out of them.

use std::time::SystemTime;

use luthien_policy::EntryBody;
use serde_json::Value;
use uuid::Uuid;

use super::{
    Batch, Entry, EntryKey, Period, Redaction, Retention, Summary, Text,
    messages::{Known, take_out},
    recorder::{NewBody, NewEntry, request_in, to_text},
    redact::Redactor,
    text::Said,
};

/// Knows what was written before.
pub(super) struct Sorter {
    period: Period,
    /// How many bytes went into it.
    bytes: u64,
    /// How many may, before the next part of the day begins.
    part_bytes: Option<u64>,
    known: Known,
    /// How often it turned out that something was not on record that is known.
    missed: u64,
    redactor: Option<Redactor>,
}

impl Sorter {
    pub(super) fn new() -> Self {
        Self { period: Period::default(), bytes: 0, part_bytes: None, known: Known::new(), missed: 0, redactor: None }
    }

    /// What matches is masked.
    pub(super) fn redact(&mut self, redaction: &Redaction) {
        self.redactor = Redactor::new(redaction);
    }

    /// Days have parts of about that size.
    pub(super) fn keep(&mut self, retention: &Retention) {
        self.part_bytes = retention.part_bytes();
    }

    /// Time has gone on, and others may be further than this one: the newest period that is known of.
    pub(super) fn at(&mut self, now: SystemTime, newest: Period, missed: u64) {
        let day = Period::of(now);
        let mut period = if self.period.is_of_the_day_of(day) { self.period } else { day };
        if self.part_bytes.is_some_and(|part| self.bytes > part) {
            period = period.next_part();
        }
        if newest.is_of_the_day_of(period) {
            period = period.max(newest);
        }
        // A clock that goes back makes no difference: what is new is written again.
        if period != self.period || missed != self.missed {
            self.known.forget();
        }
        if period != self.period {
            self.bytes = 0;
        }
        (self.period, self.missed) = (period, missed);
    }

    /// A batch of the present period, with nothing in it.
    pub(super) fn batch(&self) -> Batch {
        Batch { period: self.period, ..Batch::default() }
    }

    pub(super) fn summary(&self, mut summary: Summary) -> Summary {
        if let Some(redactor) = &self.redactor {
            redactor.summary(&mut summary);
        }
        Summary { period: self.period, ..summary }
    }

    /// Nothing more comes of a stream.
    pub(super) fn closed(&mut self, call_id: Uuid, epoch: u32) {
        if let Some(redactor) = &mut self.redactor {
            redactor.closed(call_id, epoch);
        }
    }

    /// Adds entries of a call, and what they are found by.
    pub(super) fn entries(&mut self, first: EntryKey, entries: Vec<NewEntry>, mut said: Said, batch: &mut Batch) {
        let EntryKey { call_id, epoch, seq: first_seq } = first;
        if self.redactor.is_some() {
            // What is found must not be more than what is on record.
            said = Said::default();
        }
        for (seq, NewEntry { at_us, kind, body }) in (first_seq..).zip(entries) {
            let body = match (body, &mut self.redactor) {
                (NewBody::Text(body), None) => body,
                (NewBody::Requesting { mut body, .. }, None) => {
                    let request = request_in(&mut body);
                    request.into_iter().for_each(|request| self.request(request, &mut said, batch));
                    to_text(kind, &body)
                }
                (NewBody::Text(body), Some(redactor)) => {
                    let mut body = serde_json::from_str(&body).unwrap_or_default();
                    redactor.entry(call_id, epoch, &mut body);
                    said.body(&body);
                    body.to_string()
                }
                (NewBody::Requesting { body, .. }, Some(redactor)) => {
                    let mut body = to_value(kind, &body);
                    redactor.entry(call_id, epoch, &mut body);
                    said.body(&body);
                    let requests = ["request", "sent"].map(|field| body.get_mut(field).map(Value::take));
                    for (field, request) in ["request", "sent"].into_iter().zip(requests) {
                        if let Some(mut request @ Value::Object(_)) = request {
                            self.request(&mut request, &mut said, batch);
                            body[field] = request;
                        }
                    }
                    body.to_string()
                }
            };
            self.bytes += body.len() as u64;
            batch.entries.push(Entry { call_id, epoch, seq, at_us, kind: kind.into(), body });
        }
        let text = said.into_text().map(|text| Text { call_id, epoch, seq: first_seq, text });
        batch.texts.extend(text);
    }

    fn request(&mut self, request: &mut Value, said: &mut Said, batch: &mut Batch) {
        let before = batch.messages.len();
        let new = take_out(request, self.period, &mut self.known, batch);
        self.bytes += batch.messages[before..].iter().map(|message| message.body.len() as u64).sum::<u64>();
        new.iter().for_each(|message| said.json(message));
    }
}

fn to_value(kind: &str, body: &EntryBody) -> Value {
    serde_json::from_str(&to_text(kind, body)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use serde_json::json;

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    const KEPT: Retention = Retention { age: None, size: Some(64 << 10) };

    /// How many messages of a request are written at that moment, and in which period.
    fn write(sorter: &mut Sorter, now: SystemTime, newest: u32, missed: u64, bytes: usize) -> (usize, u32) {
        sorter.at(now, Period::from_number(newest), missed);
        let mut batch = sorter.batch();
        let mut request = json!({"system": ["s"], "messages": ["a", "b"]});
        sorter.request(&mut request, &mut Said::default(), &mut batch);
        let body = NewBody::Text("x".repeat(bytes));
        let first = EntryKey { call_id: Uuid::nil(), epoch: 0, seq: 0 };
        sorter.entries(first, vec![NewEntry { at_us: 0, kind: "note", body }], Said::default(), &mut batch);
        assert!(batch.messages.iter().all(|message| message.period == batch.period));
        (batch.messages.len(), batch.period.number())
    }

    #[test]
    fn what_is_known_is_written_again_in_another_period() {
        let (mut sorter, noon) = (Sorter::new(), UNIX_EPOCH + 20 * DAY + DAY / 2);
        assert_eq!(write(&mut sorter, noon, 0, 0, 9), (3, 20_000));
        assert_eq!(write(&mut sorter, noon + DAY / 3, 0, 0, 9), (0, 20_000));
        assert_eq!(write(&mut sorter, noon + DAY, 0, 0, 9), (3, 21_000));
        // A clock that goes back.
        assert_eq!(write(&mut sorter, noon, 21_000, 0, 9), (3, 20_000));
        assert_eq!(write(&mut sorter, noon, 21_000, 0, 9), (0, 20_000));
    }

    #[test]
    fn days_have_parts_where_only_so_much_is_kept_and_all_who_write_are_in_the_same() {
        let (mut sorter, noon) = (Sorter::new(), UNIX_EPOCH + 20 * DAY + DAY / 2);
        sorter.keep(&KEPT);
        assert_eq!(write(&mut sorter, noon, 0, 0, 2_000), (3, 20_000));
        assert_eq!(write(&mut sorter, noon, 20_000, 0, 9), (3, 20_001));
        assert_eq!(write(&mut sorter, noon, 20_001, 0, 9), (0, 20_001));
        // Another control plane is further.
        assert_eq!(write(&mut sorter, noon, 20_007, 0, 9), (3, 20_007));
        assert_eq!(write(&mut sorter, noon, 20_003, 0, 9), (0, 20_007));
        // One with a clock that is wrong counts for nothing.
        assert_eq!(write(&mut sorter, noon, 99_000, 0, 9), (0, 20_007));
        assert_eq!(write(&mut sorter, noon + DAY, 20_007, 0, 9), (3, 21_000));
    }

    #[test]
    fn what_turned_out_not_to_be_on_record_is_written_again() {
        let (mut sorter, noon) = (Sorter::new(), UNIX_EPOCH + 20 * DAY);
        assert_eq!(write(&mut sorter, noon, 0, 0, 9).0, 3);
        assert_eq!(write(&mut sorter, noon, 0, 1, 9).0, 3);
        assert_eq!(write(&mut sorter, noon, 0, 1, 9).0, 0);
    }
}
