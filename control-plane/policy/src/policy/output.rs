//! What hooks speak through.

use luthien_proto::{
    Event,
    event::{BlockKey, FinishReason},
    message::{Annotation, Edit, Reject, Severity},
    request::{Content, Message, Sampling, Tool},
};
use serde_json::Value;

use super::HookError;
use crate::stage::Slots;

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
    pub(crate) slots: &'a mut Slots,
    pub(crate) notes: Notes<'a>,
    /// The slot that the chunk will have.
    pub(crate) ticket: Held,
    /// Whether the chunk may be changed.
    pub(crate) gated: bool,
    pub(crate) ruling: Ruling,
    pub(crate) injected: Vec<Event>,
    pub(crate) misuse: Option<HookError>,
    pub(crate) next_block: &'a mut u32,
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
            false => self.fault("put events behind a chunk that it does not gate"),
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
        self.notes.add(severity, summary.into(), details);
    }

    /// The policy's name.
    pub fn policy(&self) -> &str {
        self.notes.policy
    }

    /// A key for a block of the policy's own, new within the call.
    pub fn new_block(&mut self) -> BlockKey {
        let key = BlockKey(*self.next_block);
        *self.next_block = self.next_block.wrapping_add(1).max(BlockKey::POLICY_FIRST.0);
        key
    }

    fn rule(&mut self, ruling: Ruling) {
        match self.gated {
            true => self.ruling = ruling,
            false => self.fault("decided about a chunk that it does not gate"),
        }
    }

    fn settle(&mut self, held: Held, ruling: Ruling) {
        let settled = match held == self.ticket && matches!(self.ruling, Ruling::Hold) {
            true => {
                self.ruling = ruling;
                true
            }
            false => self.slots.settle(held, ruling),
        };
        if !settled {
            self.fault("decided about a chunk that it does not hold");
        }
    }

    fn fault(&mut self, what: &str) {
        self.misuse.get_or_insert_with(|| HookError(format!("the policy {what}")));
    }
}

/// What `on_request` speaks through.
pub struct RequestOutput<'a> {
    pub(crate) notes: Notes<'a>,
    pub(crate) reject: Option<Reject>,
    pub(crate) edits: Vec<Edit>,
}

impl RequestOutput<'_> {
    /// Refuses the call: nothing goes upstream, and the client is told so.
    pub fn reject(&mut self, reject: Reject) {
        self.reject = Some(reject);
    }

    /// Puts a message before the one at that position; at the number of messages, behind the last. Positions are those of
    /// the request as the hook is shown it, from 0: edits do not move each other.
    pub fn insert_message(&mut self, position: u32, message: Message) {
        self.edits.push(Edit::InsertMessage(position, message));
    }

    /// Puts another message in place of the one at that position.
    pub fn replace_message(&mut self, position: u32, message: Message) {
        self.edits.push(Edit::ReplaceMessage(position, message));
    }

    /// Takes out the message at that position.
    pub fn drop_message(&mut self, position: u32) {
        self.edits.push(Edit::DropMessage(position));
    }

    /// Puts that in place of all system content.
    pub fn set_system(&mut self, content: Vec<Content>) {
        self.edits.push(Edit::System(content));
    }

    /// Puts these in place of all tools.
    pub fn set_tools(&mut self, tools: Vec<Tool>) {
        self.edits.push(Edit::Tools(tools));
    }

    /// Puts that in place of all that was said of how to pick tokens.
    pub fn set_sampling(&mut self, sampling: Sampling) {
        self.edits.push(Edit::Sampling(sampling));
    }

    /// Sets a top-level field of the client's dialect that the request model does not name; `None`: takes it out.
    pub fn set_field(&mut self, name: impl Into<String>, json: Option<Value>) {
        self.edits.push(Edit::Field(name.into(), json));
    }

    /// A note about the call.
    pub fn annotate(&mut self, severity: Severity, summary: impl Into<String>, details: Option<Value>) {
        self.notes.add(severity, summary.into(), details);
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

/// Where a policy's notes go.
pub(crate) struct Notes<'a> {
    pub(crate) to: &'a mut Vec<Annotation>,
    pub(crate) policy: &'a str,
    pub(crate) seq: u64,
}

impl Notes<'_> {
    pub(crate) fn add(&mut self, severity: Severity, summary: String, details: Option<Value>) {
        self.to.push(Annotation { policy: self.policy.to_owned(), seq: self.seq, severity, summary, details });
    }
}
