//! What a judging policy needs of an output, whether a chunk came or an answer.

use luthien_proto::{Event, event::BlockKey, message::Severity};
use serde_json::Value;

use crate::{ConsultId, ConsultedOutput, Held, HookOutput, Question};

pub(super) trait Bench {
    fn ask(&mut self, question: Question) -> ConsultId;
    fn pass(&mut self, held: Held);
    fn replace(&mut self, held: Held, events: Vec<Event>);
    fn block(&mut self) -> BlockKey;
    fn note(&mut self, seq: u64, severity: Severity, summary: String, details: Value);
}

impl Bench for HookOutput<'_> {
    fn ask(&mut self, question: Question) -> ConsultId {
        self.consult(question)
    }

    fn pass(&mut self, held: Held) {
        self.pass_held(held);
    }

    fn replace(&mut self, held: Held, events: Vec<Event>) {
        self.replace_held(held, events);
    }

    fn block(&mut self) -> BlockKey {
        self.new_block()
    }

    fn note(&mut self, _: u64, severity: Severity, summary: String, details: Value) {
        self.annotate(severity, summary, Some(details));
    }
}

impl Bench for ConsultedOutput<'_> {
    fn ask(&mut self, question: Question) -> ConsultId {
        self.consult(question)
    }

    fn pass(&mut self, held: Held) {
        self.pass_held(held);
    }

    fn replace(&mut self, held: Held, events: Vec<Event>) {
        self.replace_held(held, events);
    }

    fn block(&mut self) -> BlockKey {
        self.new_block()
    }

    fn note(&mut self, seq: u64, severity: Severity, summary: String, details: Value) {
        self.annotate(seq, severity, summary, Some(details));
    }
}
