//! A link in the chain that a response goes through: a stage, a group of them, or one that somebody else serves.

use std::sync::Arc;

use luthien_proto::message::{Block, CallEnded, CallStarted, Consultation, Interest, Level};

use super::{
    Remote, Stage,
    consults::Standing,
    flow::{Common, Failure, Flow},
    group::Group,
};
use crate::{
    draft::Draft,
    entry::PolicyCoverage,
    policy::{ConsultId, Policy, Stop},
};

/// A stage, a group of them, or one that somebody else serves.
pub(crate) enum Link {
    Stage(Stage),
    Group(Group),
    Remote(Box<Remote>),
}

/// What is said to a request.
pub(crate) enum Word {
    /// It may go on, edited or not.
    Goes,
    /// The call does not go upstream: by the policy at that position.
    Stops(usize, Stop),
    /// Nothing yet: ask again when more was heard.
    Waits,
}

impl Link {
    /// Begins the policy's state for the call. `index`: the position of the first of its stages.
    pub fn begin(
        index: usize,
        policy: &Arc<dyn Policy>,
        started: &CallStarted,
        common: &mut Common,
    ) -> (Self, Result<(), Failure>) {
        if let Some(remote) = policy.remote() {
            let remote = Remote::begin(index, policy, Arc::clone(remote), started);
            return (Self::Remote(Box::new(remote)), Ok(()));
        }
        match policy.members() {
            [] => {
                let (stage, begun) = Stage::begin(index, policy, started, common);
                (Self::Stage(stage), begun)
            }
            members => {
                let (group, begun) = Group::begin(index, members, started, common);
                (Self::Group(group), begun)
            }
        }
    }

    /// How many positions it takes.
    pub fn len(&self) -> usize {
        match self {
            Self::Stage(_) | Self::Remote(_) => 1,
            Self::Group(group) => group.members().len(),
        }
    }

    /// The stage that somebody else serves, if it is one.
    pub fn remote(&self) -> Option<&Remote> {
        match self {
            Self::Stage(_) | Self::Group(_) => None,
            Self::Remote(remote) => Some(remote),
        }
    }

    /// The same, to be told and heard.
    pub fn remote_mut(&mut self) -> Option<&mut Remote> {
        match self {
            Self::Stage(_) | Self::Group(_) => None,
            Self::Remote(remote) => Some(remote),
        }
    }

    /// The stages of which the hooks are run here.
    fn stages(&self) -> &[Stage] {
        match self {
            Self::Stage(stage) => std::slice::from_ref(stage),
            Self::Group(group) => group.members(),
            Self::Remote(_) => &[],
        }
    }

    fn stages_mut(&mut self) -> &mut [Stage] {
        match self {
            Self::Stage(stage) => std::slice::from_mut(stage),
            Self::Group(group) => group.members_mut(),
            Self::Remote(_) => &mut [],
        }
    }

    /// What its policies want.
    pub fn interest(&self) -> Interest {
        let remote = self.remote().map(Remote::interest);
        let interests = self.stages().iter().map(Stage::interest).chain(remote);
        interests.fold(Interest::all(Level::Record), Interest::join)
    }

    /// From here on they want no more than that.
    pub fn lower(&mut self, interest: Interest) {
        self.stages_mut().iter_mut().for_each(|stage| stage.lower(interest));
        if let Some(remote) = self.remote_mut() {
            remote.lower(interest);
        }
    }

    /// Shows its policies the request, up to one that stops the call.
    pub fn request(
        &mut self,
        started: &mut CallStarted,
        draft: &mut Draft,
        common: &mut Common,
    ) -> Result<Word, Failure> {
        if let Some(remote) = self.remote_mut() {
            return remote.request(started, draft, common);
        }
        for stage in self.stages_mut() {
            if let Some(stop) = stage.request(started, draft, common)? {
                return Ok(Word::Stops(stage.index, stop));
            }
        }
        Ok(Word::Goes)
    }

    /// Takes in what the link before lets out, and lets out what is decided.
    pub fn take(&mut self, flow: Flow, common: &mut Common, out: &mut Vec<Flow>) -> Result<(), Failure> {
        match self {
            Self::Stage(stage) => stage.take(flow, common, out),
            Self::Group(group) => group.take(flow, common, out),
            Self::Remote(remote) => remote.take(flow, common, out),
        }
    }

    /// A block that is only recorded came, whole.
    pub fn recorded(&mut self, block: &Block, common: &mut Common, out: &mut Vec<Flow>) -> Result<(), Failure> {
        match self {
            Self::Stage(stage) => stage.recorded(block, common, out),
            Self::Group(group) => group.recorded(block, common, out),
            Self::Remote(remote) => {
                remote.recorded(block);
                Ok(())
            }
        }
    }

    /// How a consult of one of its policies stands.
    pub fn standing(&self, policy: &str, id: ConsultId) -> Option<Standing> {
        match self.remote() {
            Some(remote) => remote.standing(id).filter(|_| remote.name() == policy),
            None => self.stages().iter().find(|stage| stage.name() == policy)?.standing(id),
        }
    }

    /// How many consults one of its policies has asked; `None`: it is none of them.
    pub fn asked(&self, policy: &str) -> Option<u64> {
        match self.remote() {
            Some(remote) => (remote.name() == policy).then(|| remote.asked()),
            None => self.stages().iter().find(|stage| stage.name() == policy).map(Stage::asked),
        }
    }

    /// The answer to a consult of one of its policies came.
    pub fn consulted(
        &mut self,
        policy: &str,
        id: ConsultId,
        consultation: &Consultation,
        common: &mut Common,
        out: &mut Vec<Flow>,
    ) -> Result<(), Failure> {
        match self {
            Self::Stage(stage) => stage.consulted(id, &consultation.events, common, out),
            Self::Group(group) => group.consulted(policy, id, &consultation.events, common, out),
            Self::Remote(remote) => {
                remote.consulted(id, consultation);
                Ok(())
            }
        }
    }

    /// Nothing of the response depends on its policies any more.
    pub fn quiet(&mut self, common: &mut Common) {
        self.stages_mut().iter_mut().for_each(|stage| stage.quiet(common));
        if let Some(remote) = self.remote_mut() {
            remote.quiet(common);
        }
    }

    /// The call is over: the last hooks run.
    pub fn completed(&mut self, ended: &CallEnded, common: &mut Common) {
        self.stages_mut().iter_mut().for_each(|stage| stage.completed(ended.outcome, common));
        if let Some(remote) = self.remote_mut() {
            remote.completed(ended);
        }
    }

    /// What each of its policies saw.
    pub fn coverage(&mut self) -> Vec<PolicyCoverage> {
        match self.remote_mut() {
            Some(remote) => vec![remote.coverage()],
            None => self.stages_mut().iter_mut().map(Stage::coverage).collect(),
        }
    }
}
