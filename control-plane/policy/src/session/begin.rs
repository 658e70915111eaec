//! How a call begins: the policies see the request, and it is admitted, answered or rejected. Where it was taken over it has been, and
//! they see it again.

use std::sync::Arc;

use luthien_proto::message::{
    AdmissionDecision, Applied, CallResumed, CallStarted, FromService, Interest, Level, Reply, capability,
};

use super::{
    Before, Beside, Intake, Output, Recorder, Session, State, Verdicts, admission,
    shown::{Shown, can},
};
use crate::{EntryBody, Pipeline, RequestEntry, ResumedEntry};

/// What a call begins with.
pub(super) struct Beginning {
    pub pipeline: Arc<Pipeline>,
    pub started: CallStarted,
    /// What was decided before any policy sees it.
    pub before: Before,
    /// Whether it was taken over, and how it stands.
    pub resumed: Option<CallResumed>,
}

pub(super) fn begin(beginning: Beginning) -> Session {
    let Beginning { pipeline, started, before, resumed } = beginning;
    let audit = before.audit;
    let mut recorder = Recorder::new(audit);
    if let Some(resumed) = &resumed {
        recorder.push(EntryBody::Resumed(ResumedEntry::new(resumed, pipeline.revision())));
    }
    recorder.push(EntryBody::Request(RequestEntry::new(&started)));
    let (stands, applied) = resumed.map_or((None, Applied::default()), |resumed| (resumed.admission, resumed.applied));
    let can_lower = can(&started, capability::INTEREST);
    let told = stands.as_ref().and_then(|admission| admission::sent(&started.request, admission));

    let mut shown = Shown::new(&pipeline, started, &before);
    let is_owed = stands.is_none();
    let admission = stands.unwrap_or_else(|| shown.decide(&pipeline, &before));
    let sent = if is_owed { shown.changed() } else { told };
    let entry = admission::entry(&pipeline, &admission, shown.stopped.as_ref(), sent, &mut shown.common);
    recorder.push(EntryBody::Admission(entry));

    let Shown { mut stages, mut common, stopped, .. } = shown;
    let (state, interest) = match &admission.decision {
        AdmissionDecision::Forward(forward) => (State::Open, forward.interest),
        AdmissionDecision::Reject(_) => (State::Stopped, Interest::all(Level::Record)),
        AdmissionDecision::Answer(answer) => {
            recorder.answered_call(answer.events());
            (State::Stopped, Interest::all(Level::Record))
        }
    };
    stages.iter_mut().for_each(|stage| stage.lower(interest));
    common.can_close = interest.gates();
    let mut session = Session {
        verdicts: Verdicts::new(pipeline.names(), applied),
        pipeline,
        audit,
        state,
        intake: Intake::new(interest),
        stages,
        common,
        beside: Beside::new(can_lower),
        outputs: recorder.take().into_iter().map(Output::Record).collect(),
        recorder,
        flows: Vec::new(),
        spare: Vec::new(),
        seen: 0,
        fault: None,
    };
    if is_owed {
        let message = Reply::Admission(admission);
        session.outputs.push_back(Output::Say(FromService { message, seen: 0 }));
    }
    // A policy that failed at what it once did: the Admission stands, and the call ends.
    if let Some(failure) = stopped.and_then(|stopped| stopped.failure) {
        session.fail(failure);
        session.note_beside();
        session.speak();
    }
    session
}
