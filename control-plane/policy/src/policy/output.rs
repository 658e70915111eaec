//! What hooks speak through.

mod consulted;
mod moot;
mod request;
mod voice;

use luthien_proto::{
    Event,
    event::{BlockKey, FinishReason},
    message::{Interest, Severity},
};
use serde_json::Value;

pub use consulted::ConsultedOutput;
use consulted::NOT_HELD;
pub use moot::MootOutput;
pub use request::RequestOutput;
pub(crate) use request::Stop;
pub(crate) use voice::{Notes, Voice};

use super::{ConsultId, Question};

/// What becomes of a chunk.
#[derive(Debug)]
pub(crate) enum Ruling {
    /// It goes on as it is.
    Pass,
    /// Not decided yet.
    Hold,
    /// These instead.
    Replace(Vec<Event>),
    /// These instead, and the response is over.
    End { events: Vec<Event>, reason: Option<FinishReason>, cancel_upstream: bool },
}

/// A chunk that a policy holds: what is needed to decide about it later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held(pub(crate) u64);

/// What the hooks of a response's chunks speak through.
pub struct HookOutput<'a> {
    pub(crate) voice: Voice<'a>,
    /// The slot that the chunk will have.
    pub(crate) ticket: Held,
    /// Whether the chunk may be changed.
    pub(crate) gated: bool,
    pub(crate) ruling: Ruling,
    pub(crate) injected: Vec<Event>,
}

impl HookOutput<'_> {
    /// Lets the chunk by as it is: the default.
    pub fn pass(&mut self) {
        self.ruling = Ruling::Pass;
    }

    /// Leaves the chunk undecided. What comes behind it waits.
    pub fn hold(&mut self) -> Held {
        self.rule(Ruling::Hold);
        self.ticket
    }

    /// Puts events in place of the chunk; none: it is dropped.
    pub fn replace(&mut self, events: Vec<Event>) {
        self.rule(Ruling::Replace(events));
    }

    /// Puts nothing in place of the chunk.
    pub fn drop_chunk(&mut self) {
        self.replace(Vec::new());
    }

    /// Puts events behind the chunk, or behind what stands in its place.
    pub fn inject(&mut self, events: Vec<Event>) {
        match self.gated {
            true => self.injected.extend(events),
            false => self.voice.fault("put events behind a chunk that it does not gate"),
        }
    }

    /// Puts events in place of the chunk and of all that the policy holds, and ends the response. `reason`: why each
    /// unfinished choice finishes; `None`: what fits what is left.
    pub fn end(&mut self, events: Vec<Event>, reason: Option<FinishReason>, cancel_upstream: bool) {
        self.rule(Ruling::End { events, reason, cancel_upstream });
    }

    /// Lets a held chunk by as it is.
    pub fn pass_held(&mut self, held: Held) {
        self.settle(held, Ruling::Pass);
    }

    /// Puts events in place of a held chunk; none: it is dropped.
    pub fn replace_held(&mut self, held: Held, events: Vec<Event>) {
        self.settle(held, Ruling::Replace(events));
    }

    /// A note about the chunk.
    pub fn annotate(&mut self, severity: Severity, summary: impl Into<String>, details: Option<Value>) {
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

    /// Asks a model. The answer comes to `on_consulted`; until then the policy may hold what depends on it, the last chunk
    /// of the response included.
    pub fn consult(&mut self, question: Question) -> ConsultId {
        self.voice.consult(question)
    }

    /// The answer to a consult is not needed any more: none will come.
    pub fn cancel_consult(&mut self, id: ConsultId) {
        self.voice.cancel_consult(id);
    }

    /// From the next chunk on, the policy wants no more than that of each kind. What it no longer gates it can't change any
    /// more, except for what it already holds. Interest that is asked for again is not given.
    pub fn lower_interest(&mut self, interest: Interest) {
        self.voice.lower_interest(interest);
    }

    /// The next of a row of numbers that look random, the same for the same policy in the same call.
    pub fn random(&mut self) -> u64 {
        self.voice.random.draw()
    }

    fn rule(&mut self, ruling: Ruling) {
        match self.gated {
            true => self.ruling = ruling,
            false => self.voice.fault("decided about a chunk that it does not gate"),
        }
    }

    fn settle(&mut self, held: Held, ruling: Ruling) {
        let settled = match held == self.ticket && matches!(self.ruling, Ruling::Hold) {
            true => {
                self.ruling = ruling;
                true
            }
            false => self.voice.slots.settle(held, ruling),
        };
        if !settled {
            self.voice.fault(NOT_HELD);
        }
    }
}

/// What `on_response_completed` speaks through.
pub struct SummaryOutput<'a> {
    pub(crate) notes: Notes<'a>,
}

impl SummaryOutput<'_> {
    /// A note about the call.
    pub fn annotate(&mut self, severity: Severity, summary: impl Into<String>, details: Option<Value>) {
        self.notes.add(severity, summary.into(), details);
    }
}
