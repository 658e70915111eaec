//! What `on_consulted` speaks through.

use luthien_proto::{
    Event,
    event::{BlockKey, FinishReason},
    message::{Interest, Severity},
};
use serde_json::Value;

use super::{Held, Ruling, Voice};
use crate::policy::{ConsultId, Question};

/// What `on_consulted` speaks through. There is no chunk to decide about but those that the policy holds.
pub struct ConsultedOutput<'a> {
    pub(crate) voice: Voice<'a>,
    /// Whether the policy has ended the response.
    pub(crate) ended: bool,
}

impl ConsultedOutput<'_> {
    /// Lets a held chunk by as it is.
    pub fn pass_held(&mut self, held: Held) {
        self.settle(held, Ruling::Pass);
    }

    /// Puts events in place of a held chunk; none: it is dropped.
    pub fn replace_held(&mut self, held: Held, events: Vec<Event>) {
        self.settle(held, Ruling::Replace(events));
    }

    /// Puts events in place of a held chunk, drops all else that the policy holds and all that comes behind it, and ends
    /// the response. `reason`: why each unfinished choice finishes; `None`: what fits what is left.
    pub fn end_held(&mut self, held: Held, events: Vec<Event>, reason: Option<FinishReason>, cancel_upstream: bool) {
        match self.voice.slots.end(held, Ruling::End { events, reason, cancel_upstream }) {
            true => self.ended = true,
            false => self.voice.fault(NOT_HELD),
        }
    }

    /// A note; `seq`: the chunk that it is about; 0: the call.
    pub fn annotate(&mut self, seq: u64, severity: Severity, summary: impl Into<String>, details: Option<Value>) {
        self.voice.notes.seq = seq;
        self.voice.notes.add(severity, summary.into(), details);
    }

    /// The policy's name.
    pub fn policy(&self) -> &str {
        self.voice.notes.policy
    }

    /// A key for a block of the policy's own, new within the call.
    pub fn new_block(&mut self) -> BlockKey {
        self.voice.new_block()
    }

    /// As [`super::HookOutput::consult`].
    pub fn consult(&mut self, question: Question) -> ConsultId {
        self.voice.consult(question)
    }

    /// As [`super::HookOutput::cancel_consult`].
    pub fn cancel_consult(&mut self, id: ConsultId) {
        self.voice.cancel_consult(id);
    }

    /// As [`super::HookOutput::lower_interest`].
    pub fn lower_interest(&mut self, interest: Interest) {
        self.voice.lower_interest(interest);
    }

    /// As [`super::HookOutput::random`].
    pub fn random(&mut self) -> u64 {
        self.voice.random.draw()
    }

    fn settle(&mut self, held: Held, ruling: Ruling) {
        if !self.voice.slots.settle(held, ruling) {
            self.voice.fault(NOT_HELD);
        }
    }
}

pub(super) const NOT_HELD: &str = "decided about a chunk that it does not hold";
