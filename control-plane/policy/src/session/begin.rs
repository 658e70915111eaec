//! How a call begins: the policies see the request, and it is admitted, answered or rejected. Where it was taken over it has been, and
//! they see it again.

use std::{collections::VecDeque, sync::Arc};

use luthien_proto::message::{
    Admission, AdmissionDecision, Applied, CallResumed, CallStarted, FromService, Interest, Level, Reply, ToService,
    capability,
};
use serde_json::Value;

use super::{
    Before, Beside, Fault, Intake, Output, Recorder, Session, State, Verdicts, admission,
    shown::{Shown, Stopped, can},
};
use crate::{
    EntryBody, Pipeline, RequestEntry, ResumedEntry,
    stage::{Common, Failure, Keys},
};

/// So many messages of a proxy are taken while a call is admitted: those of a call that goes on. More are waited with.
const WAITING_MAX: usize = 1 << 16;

/// What a call begins with.
pub(super) struct Beginning {
    pub pipeline: Arc<Pipeline>,
    pub started: CallStarted,
    /// What was decided before any policy sees it.
    pub before: Before,
    /// Whether it was taken over, and how it stands.
    pub resumed: Option<CallResumed>,
}

/// A call that is being admitted. Without a remote policy it is at once.
pub(super) struct Admitting {
    shown: Shown,
    before: Before,
    /// The Admission that was given, of a call that goes on; and the request as that has it, if it changed it.
    stands: Option<Admission>,
    sent: Option<Value>,
    /// What the proxy tells meanwhile.
    waiting: VecDeque<ToService>,
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
    let sent = stands.as_ref().and_then(|admission| admission::sent(&started.request, admission));
    let mut common = Common { can_consult: can(&started, capability::CONSULT), ..Common::default() };
    let (shown, stages) = Shown::new(&pipeline, started, &before, &mut common);
    if stages.iter().any(|link| link.remote().is_some()) {
        common.keys = Keys::apart(pipeline.names().len());
    }
    let mut session = Session {
        verdicts: Verdicts::new(pipeline.names(), applied),
        pipeline,
        audit,
        state: State::Admitting,
        admitting: Some(Box::new(Admitting { shown, before, stands, sent, waiting: VecDeque::new() })),
        intake: Intake::new(Interest::all(Level::Gate)),
        stages,
        common,
        beside: Beside::new(can_lower),
        outputs: VecDeque::new(),
        recorder,
        flows: Vec::new(),
        spare: Vec::new(),
        taken: 0,
        seen: 0,
        fault: None,
    };
    session.record();
    session.go_on_admitting();
    session
}

impl Session {
    /// Shows the request to the policies that have not seen it. When all have, the call begins, and what the proxy told
    /// meanwhile is taken.
    pub(super) fn go_on_admitting(&mut self) {
        let Some(mut admitting) = self.admitting.take() else { return };
        if !admitting.shown.show(&self.pipeline, &mut self.stages, &mut self.common) {
            self.admitting = Some(admitting);
            return self.tell_remotes();
        }
        let Admitting { shown, before, stands, sent, waiting } = *admitting;
        self.admit(shown, &before, stands, sent);
        for message in waiting {
            if self.fault.is_none() {
                self.fault = self.take(message).err();
            }
        }
    }

    /// A policy failed before the call was admitted: no other has to see it.
    pub(super) fn fail_admitting(&mut self, failure: Failure) {
        if let Some(admitting) = &mut self.admitting {
            let stopped = Stopped::by_failure(failure, &self.pipeline);
            admitting.shown.stopped.get_or_insert(stopped);
        }
        self.go_on_admitting();
    }

    /// The proxy says something before the call is admitted: of one that goes on, what it told the session before.
    pub(super) fn wait_with(&mut self, message: ToService) -> Result<(), Fault> {
        let Some(admitting) = &mut self.admitting else { return Ok(()) };
        match message {
            ToService::CallStarted(_) => return Err(Fault::StartedTwice),
            ToService::CallResumed(_) => return Err(Fault::Unasked),
            // Nobody waits for the Admission any more.
            ToService::CallEnded(ended) if admitting.stands.is_none() => {
                self.end(&ended);
                return Ok(());
            }
            ToService::Chunks(_) | ToService::Block(_) | ToService::Consultation(_) if admitting.stands.is_none() => {
                return Err(Fault::Unasked);
            }
            ToService::CallEnded(_) => {}
            ToService::Chunks(_) | ToService::Block(_) | ToService::Consultation(_) => {
                if admitting.waiting.len() < WAITING_MAX {
                    self.seen += 1;
                    self.say(Reply::Working);
                }
            }
        }
        if let Some(admitting) = &mut self.admitting {
            admitting.waiting.push_back(message);
        }
        Ok(())
    }

    fn admit(&mut self, mut shown: Shown, before: &Before, stands: Option<Admission>, sent: Option<Value>) {
        let is_owed = stands.is_none();
        let admission = stands.unwrap_or_else(|| shown.decide(&self.pipeline, &self.stages, before));
        let sent = if is_owed { shown.changed() } else { sent };
        let entry = admission::entry(&self.pipeline, &admission, shown.stopped.as_ref(), sent, &mut self.common);
        self.recorder.push(EntryBody::Admission(entry));
        let (state, interest) = match &admission.decision {
            AdmissionDecision::Forward(forward) => (State::Open, forward.interest),
            AdmissionDecision::Reject(_) => (State::Stopped, Interest::all(Level::Record)),
            AdmissionDecision::Answer(answer) => {
                self.recorder.answered_call(answer.events());
                (State::Stopped, Interest::all(Level::Record))
            }
        };
        self.state = state;
        self.stages.iter_mut().for_each(|stage| stage.lower(interest));
        self.common.can_close = interest.gates();
        self.intake = Intake::new(interest);
        self.record();
        if is_owed {
            let message = Reply::Admission(admission);
            self.outputs.push_back(Output::Say(FromService { message, seen: 0 }));
        }
        // A policy that failed at what it once did: the Admission stands, and the call ends.
        let failure = shown.stopped.and_then(|stopped| stopped.failure);
        let is_failed = failure.is_some();
        failure.into_iter().for_each(|failure| self.fail(failure));
        // What a remote policy said beside its Admission waited for ours.
        if is_failed || !self.common.asks.is_empty() || self.common.lowered {
            self.note_beside();
            self.speak();
        }
        self.tell_remotes();
    }
}
