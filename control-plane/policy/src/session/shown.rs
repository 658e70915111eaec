//! The request, shown to the policies one after the other, and what they say to it.

use luthien_proto::message::{Admission, CallStarted, Interest, Level, Reject, capability};
use serde_json::Value;

use super::{Before, admission};
use crate::{
    Pipeline,
    draft::Draft,
    entry::request_json,
    policy::Stop,
    stage::{Common, Failure, Link, Word},
};

const NO_ANSWERS: &str = "a policy answers this call, and the proxy is not able to say that";
const NO_EDITS: &str = "the policies changed the request, and the proxy is not able to send it so";

/// A request that the policies see.
pub(super) struct Shown {
    pub stopped: Option<Stopped>,
    /// With the request as they left it.
    started: CallStarted,
    draft: Draft,
    /// The link of the chain that sees it next.
    next: usize,
}

/// Why a call does not go upstream.
pub(super) struct Stopped {
    /// The policy that it comes from, if any.
    pub index: Option<usize>,
    pub by: Stop,
    /// Whether that policy failed.
    pub failure: Option<Failure>,
}

impl Stopped {
    /// A rejection that comes from no policy.
    pub fn by_nobody(reject: Reject) -> Self {
        Self { index: None, by: Stop::Reject(reject), failure: None }
    }

    fn error(message: String) -> Self {
        Self::by_nobody(Reject { status: 500, type_: String::new(), message })
    }

    pub fn by_failure(failure: Failure, pipeline: &Pipeline) -> Self {
        let error = Self::error(format!("policy {} failed", pipeline.name_of(failure.index)));
        Self { index: Some(failure.index), failure: Some(failure), ..error }
    }

    /// By what a policy said, if the proxy is able to do that.
    fn by_policy(index: usize, by: Stop, started: &CallStarted) -> Self {
        let is_possible = match by {
            Stop::Reject(_) => true,
            Stop::Answer(_) => can(started, capability::ANSWER),
        };
        if is_possible {
            return Self { index: Some(index), by, failure: None };
        }
        Self { index: Some(index), ..Self::error(NO_ANSWERS.to_owned()) }
    }
}

impl Shown {
    /// The request, and the chain that is to see it.
    pub fn new(
        pipeline: &Pipeline,
        mut started: CallStarted,
        before: &Before,
        common: &mut Common,
    ) -> (Self, Vec<Link>) {
        let mut draft = Draft::new(&started.request);
        let edited = draft.apply(&mut started.request, before.edits.clone());
        let uneditable = edited.err().map(|error| Stopped::error(format!("the request could not be changed: {error}")));
        let (stages, failure) = begin_stages(pipeline, &started, common);
        let failed = failure.map(|failure| Stopped::by_failure(failure, pipeline));
        let stopped = before.rejection().or(uneditable).or(failed);
        (Self { stopped, started, draft, next: 0 }, stages)
    }

    /// Shows the request to each policy as those before it left it; `false`: the next one has not answered.
    pub fn show(&mut self, pipeline: &Pipeline, stages: &mut [Link], common: &mut Common) -> bool {
        while self.stopped.is_none()
            && let Some(link) = stages.get_mut(self.next)
        {
            match link.request(&mut self.started, &mut self.draft, common) {
                Ok(Word::Waits) => return false,
                Ok(Word::Goes) => self.next += 1,
                Ok(Word::Stops(index, stop)) => self.stopped = Some(Stopped::by_policy(index, stop, &self.started)),
                Err(failure) => self.stopped = Some(Stopped::by_failure(failure, pipeline)),
            }
        }
        let is_impossible = self.draft.is_edited() && !can(&self.started, capability::EDITS);
        if self.stopped.is_none() && is_impossible {
            self.stopped = Some(Stopped::error(NO_EDITS.to_owned()));
        }
        true
    }

    /// What is said to a call that nobody has admitted yet.
    pub fn decide(&mut self, pipeline: &Pipeline, stages: &[Link], before: &Before) -> Admission {
        let wanted = stages.iter().map(Link::interest).fold(Interest::all(Level::Record), Interest::join);
        if self.stopped.is_none() {
            self.stopped = before.rejection_of(wanted);
        }
        let edits = self.draft.edits(&self.started.request);
        admission::decide(pipeline, before.audit, wanted, self.stopped.as_ref(), edits)
    }

    /// The request as the policies left it, if they changed it.
    pub fn changed(&self) -> Option<Value> {
        self.draft.is_edited().then(|| request_json(&self.started.request))
    }
}

/// Whether the proxy is able to do that.
pub(super) fn can(started: &CallStarted, what: &str) -> bool {
    started.capabilities.iter().any(|capability| capability == what)
}

fn begin_stages(pipeline: &Pipeline, started: &CallStarted, common: &mut Common) -> (Vec<Link>, Option<Failure>) {
    let (mut failure, mut index) = (None, 0);
    let stages = pipeline.policies().iter().map(|policy| {
        let (link, begun) = Link::begin(index, policy, started, common);
        index += link.len();
        failure = failure.or(begun.err());
        link
    });
    (stages.collect(), failure)
}
