//! The request, shown to the policies one after the other, and what they say to it.

use luthien_proto::message::{Admission, CallStarted, Interest, Level, Reject, capability};
use serde_json::Value;

use super::{Before, admission};
use crate::{
    Pipeline,
    draft::Draft,
    entry::request_json,
    stage::{Answer, Common, Failure, Seat},
};

const NO_EDITS: &str = "the policies changed the request, and the proxy is not able to send it so";

/// A request that the policies see.
pub(super) struct Shown {
    pub rejection: Option<Rejection>,
    /// With the request as they left it.
    started: CallStarted,
    draft: Draft,
    /// The policy that sees it next.
    next: usize,
}

/// Why a call does not go upstream.
pub(super) struct Rejection {
    /// The policy that it comes from, if any.
    pub index: Option<usize>,
    pub reject: Reject,
    /// Whether that policy failed.
    pub failure: Option<Failure>,
}

impl Rejection {
    /// One that comes from no policy.
    pub fn of_nobody(reject: Reject) -> Self {
        Self { index: None, reject, failure: None }
    }

    fn error(message: String) -> Self {
        Self::of_nobody(Reject { status: 500, type_: String::new(), message })
    }

    pub fn of_failure(failure: Failure, pipeline: &Pipeline) -> Self {
        let error = Self::error(format!("policy {} failed", pipeline.name_of(failure.index)));
        Self { index: Some(failure.index), failure: Some(failure), ..error }
    }
}

impl Shown {
    /// The request, and the policies that are to see it.
    pub fn new(
        pipeline: &Pipeline,
        mut started: CallStarted,
        before: &Before,
        common: &mut Common,
    ) -> (Self, Vec<Seat>) {
        let mut draft = Draft::new(&started.request);
        let edited = draft.apply(&mut started.request, before.edits.clone());
        let uneditable =
            edited.err().map(|error| Rejection::error(format!("the request could not be changed: {error}")));
        let (stages, failure) = begin_stages(pipeline, &started, common);
        let failed = failure.map(|failure| Rejection::of_failure(failure, pipeline));
        let rejection = before.rejection().or(uneditable).or(failed);
        (Self { rejection, started, draft, next: 0 }, stages)
    }

    /// Shows the request to each policy as those before it left it; `false`: the next one has not answered.
    pub fn show(&mut self, pipeline: &Pipeline, stages: &mut [Seat], common: &mut Common) -> bool {
        while self.rejection.is_none()
            && let Some(stage) = stages.get_mut(self.next)
        {
            let index = self.next;
            match stage.request(&mut self.started, &mut self.draft, common) {
                Ok(Answer::Waits) => return false,
                Ok(Answer::Goes) => self.next += 1,
                Ok(Answer::Rejects(reject)) => {
                    self.rejection = Some(Rejection { index: Some(index), reject, failure: None });
                }
                Err(failure) => self.rejection = Some(Rejection::of_failure(failure, pipeline)),
            }
        }
        let is_impossible = self.draft.is_edited() && !can(&self.started, capability::EDITS);
        if self.rejection.is_none() && is_impossible {
            self.rejection = Some(Rejection::error(NO_EDITS.to_owned()));
        }
        true
    }

    /// What is said to a call that nobody has admitted yet.
    pub fn decide(&mut self, pipeline: &Pipeline, stages: &[Seat], before: &Before) -> Admission {
        let wanted = stages.iter().map(Seat::interest).fold(Interest::all(Level::Record), Interest::join);
        if self.rejection.is_none() {
            self.rejection = before.rejection_of(wanted);
        }
        let edits = self.draft.edits(&self.started.request);
        admission::decide(pipeline, before.audit, wanted, self.rejection.as_ref(), edits)
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

fn begin_stages(pipeline: &Pipeline, started: &CallStarted, common: &mut Common) -> (Vec<Seat>, Option<Failure>) {
    let mut failure = None;
    let policies = pipeline.policies().iter().enumerate();
    let stages = policies.map(|(index, policy)| {
        let (stage, begun) = Seat::begin(index, policy, started, common);
        failure = failure.or(begun.err());
        stage
    });
    (stages.collect(), failure)
}
