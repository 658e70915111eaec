//! A policy's place in the pipeline of a call: its hooks are run here, or somebody else serves it.

use std::sync::Arc;

use luthien_proto::message::{Block, CallEnded, CallStarted, Consultation, Interest, Reject};

use super::{
    Stage,
    consults::Standing,
    flow::{Common, Failure, Flow},
    remote::Remote,
};
use crate::{
    draft::Draft,
    entry::PolicyCoverage,
    policy::{ConsultId, Policy},
};

/// One policy in one call.
pub(crate) enum Seat {
    /// Its hooks are run.
    Here(Box<Stage>),
    /// It is told, and heard.
    Remote(Box<Remote>),
}

/// What a policy says to a request.
#[derive(Debug)]
pub(crate) enum Answer {
    /// It may go on, edited or not.
    Goes,
    /// The call does not go upstream.
    Rejects(Reject),
    /// Nothing yet: ask again when it was heard.
    Waits,
}

impl Seat {
    /// Begins the policy's state for the call.
    pub fn begin(
        index: usize,
        policy: &Arc<dyn Policy>,
        started: &CallStarted,
        common: &mut Common,
    ) -> (Self, Result<(), Failure>) {
        match policy.remote() {
            Some(remote) => {
                let stage = Remote::begin(index, policy, Arc::clone(remote), started);
                (Self::Remote(Box::new(stage)), Ok(()))
            }
            None => {
                let (stage, begun) = Stage::begin(index, policy, started, common);
                (Self::Here(Box::new(stage)), begun)
            }
        }
    }

    /// The stage, if somebody else serves the policy.
    pub fn remote(&mut self) -> Option<&mut Remote> {
        match self {
            Self::Here(_) => None,
            Self::Remote(stage) => Some(stage),
        }
    }

    /// What the policy wants.
    pub fn interest(&self) -> Interest {
        match self {
            Self::Here(stage) => stage.interest(),
            Self::Remote(stage) => stage.interest(),
        }
    }

    /// From here on it wants no more than that.
    pub fn lower(&mut self, interest: Interest) {
        match self {
            Self::Here(stage) => stage.lower(interest),
            Self::Remote(stage) => stage.lower(interest),
        }
    }

    /// Shows the policy the request. What it edits is edited.
    pub fn request(
        &mut self,
        started: &mut CallStarted,
        draft: &mut Draft,
        common: &mut Common,
    ) -> Result<Answer, Failure> {
        match self {
            Self::Here(stage) => {
                let reject = stage.request(started, draft, common)?;
                Ok(reject.map_or(Answer::Goes, Answer::Rejects))
            }
            Self::Remote(stage) => stage.request(started, draft, common),
        }
    }

    /// Takes in what the stage before lets out, and lets out what is decided.
    pub fn take(&mut self, flow: Flow, common: &mut Common, out: &mut Vec<Flow>) -> Result<(), Failure> {
        match self {
            Self::Here(stage) => stage.take(flow, common, out),
            Self::Remote(stage) => stage.take(flow, common, out),
        }
    }

    /// A block that is only recorded came, whole.
    pub fn recorded(&mut self, block: &Block, common: &mut Common, out: &mut Vec<Flow>) -> Result<(), Failure> {
        match self {
            Self::Here(stage) => stage.recorded(block, common, out),
            Self::Remote(stage) => {
                stage.recorded(block);
                Ok(())
            }
        }
    }

    /// How many consults of the policy there were.
    pub fn asked(&self) -> u64 {
        match self {
            Self::Here(stage) => stage.asked(),
            Self::Remote(stage) => stage.asked(),
        }
    }

    /// How a consult of the policy stands.
    pub fn standing(&self, id: ConsultId) -> Option<Standing> {
        match self {
            Self::Here(stage) => stage.standing(id),
            Self::Remote(stage) => stage.standing(id),
        }
    }

    /// The answer to a consult came.
    pub fn consulted(
        &mut self,
        id: ConsultId,
        consultation: &Consultation,
        common: &mut Common,
        out: &mut Vec<Flow>,
    ) -> Result<(), Failure> {
        match self {
            Self::Here(stage) => stage.consulted(id, &consultation.events, common, out),
            Self::Remote(stage) => {
                stage.consulted(id, consultation);
                Ok(())
            }
        }
    }

    /// Nothing of the response depends on the policy any more.
    pub fn quiet(&mut self, common: &mut Common) {
        match self {
            Self::Here(stage) => stage.quiet(common),
            Self::Remote(stage) => stage.quiet(common),
        }
    }

    /// The call is over.
    pub fn completed(&mut self, ended: &CallEnded, common: &mut Common) {
        match self {
            Self::Here(stage) => stage.completed(ended.outcome, common),
            Self::Remote(stage) => stage.completed(ended),
        }
    }

    /// What the policy saw.
    pub fn coverage(&mut self) -> PolicyCoverage {
        match self {
            Self::Here(stage) => stage.coverage(),
            Self::Remote(stage) => stage.coverage(),
        }
    }
}
