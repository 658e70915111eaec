//! How a call begins: the policies see the request, and it is admitted or rejected. Where it was taken over it has been, and
//! they see it again.

use std::{collections::VecDeque, sync::Arc};

use luthien_proto::message::{
    AdmissionDecision, Applied, CallResumed, CallStarted, FromService, Interest, Level, Reject, Reply, capability,
};

use super::{Before, Beside, Intake, Output, Recorder, Session, State, Verdicts, admission};
use crate::{
    EntryBody, Pipeline, RequestEntry, ResumedEntry,
    draft::Draft,
    entry::request_json,
    stage::{Common, Failure, Stage},
};

/// What a call begins with.
pub(super) struct Beginning {
    pub pipeline: Arc<Pipeline>,
    pub started: CallStarted,
    /// What was decided before any policy sees it.
    pub before: Before,
    /// Whether it was taken over, and how it stands.
    pub resumed: Option<CallResumed>,
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
}

const NO_EDITS: &str = "the policies changed the request, and the proxy is not able to send it so";

pub(super) fn begin(beginning: Beginning) -> Session {
    let Beginning { pipeline, mut started, before, resumed } = beginning;
    let mut recorder = Recorder::default();
    if let Some(resumed) = &resumed {
        recorder.push(EntryBody::Resumed(ResumedEntry::new(resumed, pipeline.revision())));
    }
    recorder.push(EntryBody::Request(RequestEntry::new(&started)));

    let can = |what: &str| started.capabilities.iter().any(|capability| capability == what);
    let mut common = Common { can_consult: can(capability::CONSULT), ..Common::default() };
    let beside = Beside::new(can(capability::INTEREST));
    let can_edit = can(capability::EDITS);
    let sent = resumed.as_ref().and_then(|resumed| admission::sent(&started.request, resumed.admission.as_ref()?));
    let mut draft = Draft::new(&started.request);
    let edited = draft.apply(&mut started.request, before.edits.clone());
    let (mut stages, failure) = begin_stages(&pipeline, &started, &mut common);
    let rejection = before
        .rejection()
        .or(edited.err().map(|error| rejected(None, 500, format!("the request could not be changed: {error}"))))
        .or(failure.map(|failure| failed(failure, &pipeline)))
        .or_else(|| show_request(&pipeline, &mut stages, &mut started, &mut draft, &mut common))
        .or_else(|| (draft.is_edited() && !can_edit).then(|| rejected(None, 500, NO_EDITS.to_owned())));

    let (stands, applied) = resumed.map_or((None, Applied::default()), |resumed| (resumed.admission, resumed.applied));
    let owed = stands.is_none();
    let (admission, rejection) = match stands {
        Some(admission) => (admission, rejection),
        None => {
            let wanted = stages.iter().map(Stage::interest).fold(Interest::all(Level::Record), Interest::join);
            let rejection = rejection.or_else(|| before.rejection_of(wanted));
            (admission::decide(&pipeline, wanted, rejection.as_ref(), draft.edits(&started.request)), rejection)
        }
    };
    let sent = sent.or_else(|| (owed && draft.is_edited()).then(|| request_json(&started.request)));
    let entry = admission::entry(&pipeline, &admission, rejection.as_ref(), sent, &mut common);
    recorder.push(EntryBody::Admission(entry));
    let mut outputs: VecDeque<Output> = recorder.take().into_iter().map(Output::Record).collect();

    let (state, interest) = match &admission.decision {
        AdmissionDecision::Forward(forward) => (State::Open, forward.interest),
        AdmissionDecision::Reject(_) => (State::Rejected, Interest::all(Level::Record)),
    };
    if owed {
        outputs.push_back(Output::Say(FromService { message: Reply::Admission(admission), seen: 0 }));
    }
    stages.iter_mut().for_each(|stage| stage.lower(interest));
    common.can_close = interest.gates();
    let (intake, verdicts) = (Intake::new(interest), Verdicts::new(pipeline.names(), applied));
    let mut session = Session {
        pipeline,
        state,
        intake,
        stages,
        common,
        verdicts,
        beside,
        recorder,
        outputs,
        flows: Vec::new(),
        spare: Vec::new(),
        seen: 0,
        fault: None,
    };
    // A policy that failed at what it once did: the Admission stands, and the call ends.
    if let Some(failure) = rejection.and_then(|rejection| rejection.failure) {
        session.fail(failure);
        session.note_beside();
        session.speak();
    }
    session
}

fn begin_stages(pipeline: &Pipeline, started: &CallStarted, common: &mut Common) -> (Vec<Stage>, Option<Failure>) {
    let mut failure = None;
    let policies = pipeline.policies().iter().enumerate();
    let stages = policies.map(|(index, policy)| {
        let (stage, begun) = Stage::begin(index, policy, started, common);
        failure = failure.or(begun.err());
        stage
    });
    (stages.collect(), failure)
}

/// Each policy sees the request as those before it left it.
fn show_request(
    pipeline: &Pipeline,
    stages: &mut [Stage],
    started: &mut CallStarted,
    draft: &mut Draft,
    common: &mut Common,
) -> Option<Rejection> {
    stages.iter_mut().enumerate().find_map(|(index, stage)| match stage.request(started, draft, common) {
        Ok(reject) => reject.map(|reject| Rejection { index: Some(index), reject, failure: None }),
        Err(failure) => Some(failed(failure, pipeline)),
    })
}

fn failed(failure: Failure, pipeline: &Pipeline) -> Rejection {
    let message = format!("policy {} failed", pipeline.name_of(failure.index));
    Rejection { failure: Some(failure), ..rejected(Some(failure.index), 500, message) }
}

fn rejected(index: Option<usize>, status: u16, message: String) -> Rejection {
    Rejection { index, ..Rejection::of_nobody(Reject { status, type_: String::new(), message }) }
}
