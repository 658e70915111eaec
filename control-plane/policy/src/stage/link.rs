//! A link in the chain that a response goes through: a stage, or a group of them.

use std::sync::Arc;

use luthien_proto::{
    Event,
    message::{Block, CallStarted, Interest, Level, Outcome},
};

use super::{
    Stage,
    consults::Standing,
    flow::{Common, Failure, Flow},
    group::Group,
};
use crate::{
    draft::Draft,
    entry::PolicyCoverage,
    policy::{ConsultId, Policy, Stop},
};

/// A stage, or a group of them.
#[expect(clippy::large_enum_variant, reason = "most are the larger one")]
pub(crate) enum Link {
    Stage(Stage),
    Group(Group),
}

impl Link {
    /// Begins the policy's state for the call. `index`: the position of the first of its stages.
    pub fn begin(
        index: usize,
        policy: &Arc<dyn Policy>,
        started: &CallStarted,
        common: &mut Common,
    ) -> (Self, Result<(), Failure>) {
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

    /// The stages that it is made of.
    pub fn stages(&self) -> &[Stage] {
        match self {
            Self::Stage(stage) => std::slice::from_ref(stage),
            Self::Group(group) => group.members(),
        }
    }

    fn stages_mut(&mut self) -> &mut [Stage] {
        match self {
            Self::Stage(stage) => std::slice::from_mut(stage),
            Self::Group(group) => group.members_mut(),
        }
    }

    /// What its policies want.
    pub fn interest(&self) -> Interest {
        self.stages().iter().map(Stage::interest).fold(Interest::all(Level::Record), Interest::join)
    }

    /// From here on they want no more than that.
    pub fn lower(&mut self, interest: Interest) {
        self.stages_mut().iter_mut().for_each(|stage| stage.lower(interest));
    }

    /// Shows its policies the request, up to one that stops the call: its position, and how.
    pub fn request(
        &mut self,
        started: &mut CallStarted,
        draft: &mut Draft,
        common: &mut Common,
    ) -> Result<Option<(usize, Stop)>, Failure> {
        for stage in self.stages_mut() {
            if let Some(stop) = stage.request(started, draft, common)? {
                return Ok(Some((stage.index, stop)));
            }
        }
        Ok(None)
    }

    /// Takes in what the link before lets out, and lets out what is decided.
    pub fn take(&mut self, flow: Flow, common: &mut Common, out: &mut Vec<Flow>) -> Result<(), Failure> {
        match self {
            Self::Stage(stage) => stage.take(flow, common, out),
            Self::Group(group) => group.take(flow, common, out),
        }
    }

    /// A block that is only recorded came, whole.
    pub fn recorded(&mut self, block: &Block, common: &mut Common, out: &mut Vec<Flow>) -> Result<(), Failure> {
        match self {
            Self::Stage(stage) => stage.recorded(block, common, out),
            Self::Group(group) => group.recorded(block, common, out),
        }
    }

    /// How a consult of one of its policies stands.
    pub fn standing(&self, policy: &str, id: ConsultId) -> Option<Standing> {
        self.stages().iter().find(|stage| stage.name() == policy)?.standing(id)
    }

    /// The answer to a consult of one of its policies came.
    pub fn consulted(
        &mut self,
        policy: &str,
        id: ConsultId,
        events: &[Event],
        common: &mut Common,
        out: &mut Vec<Flow>,
    ) -> Result<(), Failure> {
        match self {
            Self::Stage(stage) => stage.consulted(id, events, common, out),
            Self::Group(group) => group.consulted(policy, id, events, common, out),
        }
    }

    /// Nothing of the response depends on its policies any more.
    pub fn quiet(&mut self, common: &mut Common) {
        self.stages_mut().iter_mut().for_each(|stage| stage.quiet(common));
    }

    /// The call is over: the last hooks run.
    pub fn completed(&mut self, outcome: Outcome, common: &mut Common) {
        self.stages_mut().iter_mut().for_each(|stage| stage.completed(outcome, common));
    }

    /// What each of its policies saw.
    pub fn coverage(&mut self) -> impl Iterator<Item = PolicyCoverage> {
        self.stages_mut().iter_mut().map(Stage::coverage)
    }
}
