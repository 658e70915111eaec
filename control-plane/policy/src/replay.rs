//! Other policies over a call that is on record: what would they have decided?
//!
//! A [`Recorded`] is read from the JSON of a call, as the API and its exports show it. [`Replay`] runs a session over it, the
//! same that judges calls while they run; questions to models are answered from the record. [`differences`] says where
//! what was decided is not the same.

mod answers;
mod decided;
mod json;
mod read;
mod request;
mod response;

use std::{collections::BTreeSet, sync::Arc};

use luthien_proto::{
    Chunk, Event,
    message::{AdmissionDecision, CallEnded, CallStarted, Consult, Consultation, Reply, ToService},
};
use serde_json::Value;

use answers::Answers;
pub use decided::{Decided, Difference, Side, differences};
pub use json::Unreadable;

use crate::{Before, Output, Pipeline, PolicySet, Session};

/// A call that is on record.
#[derive(Clone, Debug)]
pub struct Recorded {
    started: CallStarted,
    chunks: Vec<Chunk>,
    ended: CallEnded,
    answers: Answers,
    /// What was decided.
    pub decided: Decided,
    /// Whether the model might have said more, had the policies let it.
    pub is_cut: bool,
}

/// A session over a recorded call.
pub struct Replay {
    session: Session,
    chunks: Vec<Chunk>,
    ended: Option<CallEnded>,
    answers: Answers,
    /// Questions that the record has no answer to, of which nobody has been told.
    unanswered: Vec<Consult>,
    /// The entries that the session made.
    entries: Vec<Value>,
    pipeline: Arc<Pipeline>,
    /// The policies that somebody else serves: they were not asked.
    remote: BTreeSet<String>,
}

/// What is to be done next.
#[derive(Debug)]
pub enum Next {
    /// A question that was not asked then: it is to be answered by [`Replay::answer`].
    Ask(Box<Consult>),
    /// All was decided.
    Done(Box<Decided>),
}

impl Recorded {
    /// Reads a call with its entries, as `GET /api/calls/{id}` and exports have it. None if no policy was asked about it:
    /// it was refused before that, or its policy service was lost.
    ///
    /// # Errors
    /// It has no request on record, or is not what luthien writes.
    pub fn read(call: &Value) -> Result<Option<Self>, Unreadable> {
        read::call(call)
    }
}

impl Replay {
    /// Begins to judge a call anew.
    pub fn begin(set: Arc<PolicySet>, recorded: &Recorded) -> Self {
        let Recorded { started, chunks, ended, answers, .. } = recorded.clone();
        Self {
            pipeline: set.pipeline_of(&started),
            session: Session::begin_with(set, started, Before::default()),
            chunks,
            ended: Some(ended),
            answers,
            unanswered: Vec::new(),
            entries: Vec::new(),
            remote: BTreeSet::new(),
        }
    }

    /// What is to be done next.
    ///
    /// # Errors
    /// The record tells of a response that can't be.
    pub fn poll(&mut self) -> Result<Next, crate::Fault> {
        loop {
            let is_over = self.drain()?;
            if is_over {
                return Ok(Next::Done(Box::new(Decided::of(&self.entries))));
            }
            if let Some(consult) = self.unanswered.pop() {
                return Ok(Next::Ask(Box::new(consult)));
            }
            if let Some(ended) = self.ended.take_if(|_| self.chunks.is_empty()) {
                self.session.handle(ToService::CallEnded(ended))?;
            } else {
                self.session.handle(ToService::Chunks(std::mem::take(&mut self.chunks)))?;
            }
        }
    }

    /// Answers a question: with what a model said, or with how it failed.
    ///
    /// # Errors
    /// The answer is none that can be.
    pub fn answer(&mut self, id: &str, events: Vec<Event>) -> Result<(), crate::Fault> {
        self.session.handle(ToService::Consultation(Consultation { id: id.to_owned(), events, reused: false }))
    }

    /// Answers a question: nobody could be asked.
    ///
    /// # Errors
    /// It was not asked.
    pub fn fail(&mut self, id: &str, why: &str) -> Result<(), crate::Fault> {
        self.answer(id, vec![answers::failed(why.to_owned())])
    }

    /// The policies that somebody else serves. They were not asked, and their failure modes decided.
    pub fn not_asked(&self) -> &BTreeSet<String> {
        &self.remote
    }

    /// Takes what the session says; whether the call is over.
    fn drain(&mut self) -> Result<bool, crate::Fault> {
        while let Some(output) = self.session.poll() {
            match output {
                Output::Ended => return Ok(true),
                Output::Record(entry) => self.entries.extend(serde_json::to_value(&entry.body)),
                Output::Say(said) => self.hear(said.message)?,
                Output::Tell { stage, message: ToService::CallStarted(_) } => {
                    let policy = self.pipeline.policies().get(stage);
                    self.remote.extend(policy.map(|policy| policy.name().to_owned()));
                    self.session.remote_lost(stage, "a replay asks no remote policy")?;
                }
                Output::Tell { .. } | Output::Leave { .. } => {}
            }
        }
        Ok(false)
    }

    fn hear(&mut self, reply: Reply) -> Result<(), crate::Fault> {
        match reply {
            Reply::Consult(consult) => match self.answers.of(&consult) {
                Some(events) => self.answer(&consult.id, events),
                None => {
                    self.unanswered.push(*consult);
                    Ok(())
                }
            },
            Reply::CancelConsult(id) => {
                self.unanswered.retain(|consult| consult.id != id);
                Ok(())
            }
            Reply::Admission(admission) => {
                match admission.decision {
                    AdmissionDecision::Forward(_) => {}
                    // The model was not asked.
                    AdmissionDecision::Reject(_) | AdmissionDecision::Answer(_) => self.chunks.clear(),
                }
                Ok(())
            }
            Reply::Verdict(_) | Reply::Working | Reply::Interest(_) => Ok(()),
        }
    }
}
