//! What `on_request` speaks through.

use luthien_proto::{
    Event,
    event::Step,
    message::{Answer, Edit, Reject, Severity},
    request::{Content, Message, Sampling, Tool},
};
use serde_json::Value;

use super::Notes;
use crate::policy::HookError;

/// What `on_request` speaks through. Positions of messages are those of the request as the hook is shown it, from 0: edits
/// do not move each other.
pub struct RequestOutput<'a> {
    pub(crate) notes: Notes<'a>,
    pub(crate) stop: Option<Stop>,
    pub(crate) edits: Vec<Edit>,
    /// What the policy did that it may not.
    pub(crate) misuse: Option<HookError>,
}

/// What keeps a call from going upstream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Stop {
    /// It is refused.
    Reject(Reject),
    /// A policy made its response.
    Answer(Answer),
}

impl RequestOutput<'_> {
    /// Refuses the call: nothing goes upstream, and the client is told so.
    pub fn reject(&mut self, reject: Reject) {
        self.stop = Some(Stop::Reject(reject));
    }

    /// Answers the call: nothing goes upstream, and the client gets this response. Events are those of any response, their
    /// blocks of whatever keys; Started and Ended may be left out, and choices that are not finished. The policies behind
    /// this one do not see it. A policy that refuses the call as well has refused it.
    pub fn answer(&mut self, mut events: Vec<Event>) {
        if !events.iter().any(|event| event.step.is_last()) {
            events.push(Step::Ended.into());
        }
        match Answer::new(events) {
            Ok(answer) if !matches!(self.stop, Some(Stop::Reject(_))) => self.stop = Some(Stop::Answer(answer)),
            Ok(_) => {}
            Err(error) => self.misuse = Some(HookError(format!("the policy gave an answer that is none: {error}"))),
        }
    }

    /// Puts a message before the one at that position; at the number of messages, behind the last.
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
