//! What the policy service says, and what its loss does.

use std::time::Duration;

use luthien_proto::{
    Request, ToService,
    event::{CallError, Kind, Step},
    message::{
        Admission, AdmissionDecision, Consult, Consultation, Decision, Edit, FailureMode, Forward, FromService,
        Interest, Level, Limits, Outcome, Reject, Reply, ServiceFailure, Verdict, capability,
    },
    proxy::Reporter,
};

use super::{
    Loss, Output,
    consults::Asked,
    fault::Fault,
    judged::Judged,
    life::{Call, Client, Service, Upstream},
    reported::Unheard,
};
use crate::{edits, upstream::Arrival};

/// A window for less would never let the upstream be read, or be full of a keepalive.
const LEAST_WINDOW: usize = 64;

impl Call {
    pub(super) fn service_said(&mut self, message: FromService) {
        self.clocks.heard_service(self.now);
        match (self.service, self.reporter.seen(message.seen)) {
            (Service::Judging | Service::Unheeded | Service::Told, Ok(())) => {
                self.resumed += u64::from(self.stream.saw(message.seen));
            }
            (Service::Asked | Service::Gone | Service::Closed, Ok(())) | (Service::Gone | Service::Closed, Err(_)) => {}
            (Service::Asked | Service::Judging, Err(why)) => {
                return self.service_fault(Fault::Protocol(why.to_owned()));
            }
            // Nothing that it says can be relied on, not even what it has taken.
            (Service::Unheeded | Service::Told, Err(why)) => {
                return self.service_closed(Err(Loss::Refused(why.to_owned())));
            }
        }
        match (self.service, message.message) {
            (Service::Asked | Service::Judging, Reply::Working) => {}
            (Service::Asked, Reply::Admission(admission)) => self.admitted(admission),
            (Service::Judging, Reply::Verdict(verdict)) => self.verdict(verdict),
            (Service::Judging, Reply::Admission(_)) => {
                self.service_fault(Fault::Protocol("it admitted the call twice".to_owned()));
            }
            (Service::Asked, Reply::Verdict(_) | Reply::Interest(_) | Reply::Consult(_) | Reply::CancelConsult(_)) => {
                self.service_fault(Fault::Protocol("it said something else before admission".to_owned()));
            }
            (Service::Judging, Reply::Interest(interest)) => self.judged.lower(interest),
            (Service::Judging, Reply::Consult(consult)) => self.consult(consult),
            (Service::Judging, Reply::CancelConsult(id)) => self.cancel_consult(&id),
            // What counts for nothing, and verdicts that crossed our CallEnded.
            (
                Service::Unheeded | Service::Told | Service::Gone | Service::Closed,
                Reply::Admission(_)
                | Reply::Verdict(_)
                | Reply::Working
                | Reply::Interest(_)
                | Reply::Consult(_)
                | Reply::CancelConsult(_),
            ) => {}
        }
    }

    pub(super) fn admitted(&mut self, admission: Admission) {
        self.service = Service::Judging;
        self.resumed += u64::from(self.stream.saw(u64::MAX));
        self.admission = Some(admission.clone());
        match admission.decision {
            AdmissionDecision::Forward(forward) => self.forward(&forward),
            AdmissionDecision::Reject(Reject { status, type_, message }) => {
                let error = CallError { status, type_, message, ..CallError::default() };
                self.refuse(&error, None, Outcome::EndedByPolicy, String::new());
            }
            AdmissionDecision::Answer(answer) => self.answered(answer),
        }
    }

    pub(super) fn forward(&mut self, forward: &Forward) {
        let Forward { interest, failure_mode, limits, known_kinds, edits } = forward;
        if matches!(self.client, Client::Gone) {
            return;
        }
        self.failure_mode = *failure_mode;
        if let Some(hold_ms) = limits.hold_ms {
            self.clocks.limit_hold(Duration::from_millis(hold_ms));
        }
        if let Some(held) = limits.held_bytes {
            let held = usize::try_from(held).unwrap_or(usize::MAX);
            self.limits.held = self.limits.held.min(held.max(LEAST_WINDOW));
        }
        self.judged = Judged::new(&self.recipient, *interest, known_kinds);
        let edited = match self.edited(edits) {
            Ok(edited) => edited,
            Err(fault) => return self.service_fault(fault),
        };
        self.upstream = Upstream::Asked;
        self.out.push_back(Output::Forward(edited));
    }

    /// The request as the policies changed it, if they did.
    fn edited(&self, edits: &[Edit]) -> Result<Option<Box<Request>>, Fault> {
        if edits.is_empty() {
            return Ok(None);
        }
        let mut request = Box::new(self.asked()?);
        edits::apply(&mut request, edits.to_vec()).map_err(|error| Fault::Protocol(error.to_string()))?;
        Ok(Some(request))
    }

    /// What the client asked for.
    pub(super) fn asked(&self) -> Result<Request, Fault> {
        let Ok(ToService::CallStarted(started)) = self.stream.first().decode() else {
            return Err(Fault::Protocol("the request can't be read again".to_owned()));
        };
        Ok(started.request)
    }

    pub(super) fn verdict(&mut self, verdict: Verdict) {
        // Of what has left unjudged, nothing can be taken back: its replacement would only stand behind it.
        if !self.is_answering() || self.judged.is_open() {
            return;
        }
        let cancel = verdict.cancel_upstream;
        let (events, ends) = match &verdict.decision {
            Decision::Pass => (0, false),
            Decision::Replace(events) => (events.len(), false),
            Decision::End { events, .. } => (events.len(), true),
        };
        if let Err(fault) = self.judged.apply(verdict, self.reporter.sent_seq(), self.elapsed_us()) {
            return self.service_fault(fault);
        }
        self.note_applied(events, ends);
        if cancel {
            self.cancel_upstream_for_policy();
        }
    }

    /// Takes note of what a verdict of so many events has done, for the next policy service.
    fn note_applied(&mut self, events: usize, ends: bool) {
        let settled = self.judged.settled();
        if settled > self.applied.settled {
            (self.applied.settled, self.applied.injected) = (settled, 0);
            self.clocks.settled(self.now);
        } else {
            self.applied.injected += events as u64;
        }
        self.applied.ended |= ends;
    }

    fn consult(&mut self, question: Box<Consult>) {
        match self.consults.ask(question) {
            Asked::Now(question) => self.out.push_back(Output::Consult(question)),
            Asked::Later => {}
            Asked::Answered(consultation) => self.reporter.consulted(consultation),
            Asked::Clash => self.service_fault(Fault::Protocol("two consults have one id".to_owned())),
        }
    }

    fn cancel_consult(&mut self, id: &str) {
        let (is_running, next) = self.consults.cancel(id);
        self.out.extend(is_running.then(|| Output::CancelConsult(id.to_owned())));
        self.out.extend(next.map(Output::Consult));
    }

    pub(super) fn consulted(&mut self, consultation: Consultation) {
        let (is_awaited, next) = self.consults.answered(&consultation.id);
        if is_awaited && matches!(self.service, Service::Judging) {
            self.reporter.consulted(consultation);
        }
        self.out.extend(next.map(Output::Consult));
    }

    /// What the answers would be for is over.
    pub(super) fn cancel_consults(&mut self) {
        let running = self.consults.cancel_all().into_iter();
        self.out.extend(running.map(Output::CancelConsult));
    }

    /// The policy finishes a response whose upstream it cancelled: the end is held for it like any chunk.
    pub(super) fn cancel_upstream_for_policy(&mut self) {
        let ended = match &self.upstream {
            Upstream::Reading(reader) => reader.is_over(),
            Upstream::Idle | Upstream::Over => true,
            Upstream::Asked => false,
        };
        self.cancel_upstream();
        self.answer_alone();
        if !ended {
            self.arrived(vec![Arrival { original: None, size: 0, events: vec![Step::Ended.into()] }]);
        }
    }

    pub(super) fn service_closed(&mut self, closed: Result<(), Loss>) {
        match (self.service, closed) {
            (Service::Told, Ok(())) if self.reporter.has_told_end() => self.service = Service::Gone,
            (Service::Gone | Service::Closed, _) => {}
            (Service::Asked | Service::Judging | Service::Unheeded | Service::Told, Ok(())) => {
                self.stream_lost("it closed the stream before the call ended".into());
            }
            (Service::Asked | Service::Judging | Service::Unheeded | Service::Told, Err(loss)) => {
                self.stream_lost(loss);
            }
        }
    }

    /// The stream is lost. While another policy service may take the call, nothing else changes.
    pub(super) fn stream_lost(&mut self, loss: Loss) {
        let can_resume = match self.service {
            Service::Asked => true,
            // The client left before anybody admitted the call.
            Service::Told if self.admission.is_none() => true,
            Service::Judging | Service::Told => self.is_resumable(),
            Service::Unheeded | Service::Gone | Service::Closed => false,
        };
        self.out.push_back(Output::DropService);
        match loss {
            Loss::Lost(why) if can_resume && !self.clocks.takeover().is_zero() => {
                self.stream.lose(why, self.now);
                if self.stream.retry().is_some_and(|at| at <= self.now) {
                    self.reopen();
                }
            }
            Loss::Lost(why) if self.outgrown => {
                self.give_stream_up(format!("{why}; more had been told than is kept for another one"));
            }
            Loss::Lost(why) | Loss::Refused(why) => self.give_stream_up(why),
        }
    }

    /// Whether what was told is kept, and the service said that it knows how to go on.
    fn is_resumable(&mut self) -> bool {
        let offered = |admission: &Admission| admission.capabilities.iter().any(|it| it == capability::RESUME);
        let is_offered = self.admission.as_ref().is_some_and(offered);
        self.outgrown |= is_offered && !self.stream.is_kept();
        is_offered && self.stream.is_kept()
    }

    /// Nobody takes the call over.
    pub(super) fn give_stream_up(&mut self, why: String) {
        let why = self.stream.give_up(why);
        match self.service {
            Service::Told => {
                self.service = Service::Gone;
                self.trouble = Some(format!("the record of the call may be incomplete: {why}"));
                self.service_failure.get_or_insert(ServiceFailure::NotRecorded);
                let cause = match self.admission {
                    Some(_) => ServiceFailure::NotRecorded,
                    None => ServiceFailure::NotAdmitted,
                };
                self.unheard = Some(Unheard { cause, reason: why });
            }
            Service::Asked | Service::Judging | Service::Unheeded => self.service_lost(why),
            Service::Gone | Service::Closed => {}
        }
    }

    fn service_lost(&mut self, why: String) {
        let asked = std::mem::replace(&mut self.service, Service::Gone) == Service::Asked;
        let (mode, cause, fault) = match asked {
            true => (self.on_loss, ServiceFailure::NotAdmitted, Fault::NotAdmitted(why.clone())),
            false => (self.failure_mode, ServiceFailure::Lost, Fault::Lost(why.clone())),
        };
        self.unheard = Some(Unheard { cause, reason: why.clone() });
        self.service_failure.get_or_insert(cause);
        self.trouble.get_or_insert_with(|| fault.reason());
        self.cancel_consults();
        // What was not told is told to nobody, and must not fill the window.
        self.reporter = Reporter::new(self.limits.batch);
        let ungated = !asked && !self.judged.gates();
        match mode {
            FailureMode::Open if asked => {
                self.forward(&Forward {
                    interest: Interest::all(Level::Record),
                    failure_mode: FailureMode::Open,
                    limits: Limits::default(),
                    known_kinds: Kind::ALL.to_vec(),
                    edits: Vec::new(),
                });
                self.let_pass(cause, why);
            }
            FailureMode::Open => self.let_pass(cause, why),
            // Nothing is held: the client has what the upstream says, only the record of it ends here.
            FailureMode::Closed if ungated => {}
            FailureMode::Closed => self.end_closed(&fault),
        }
    }

    /// A fault of the policy service: what it says from now on counts for nothing.
    pub(super) fn service_fault(&mut self, fault: Fault) {
        if self.service == Service::Asked {
            return self.stream_lost(Loss::Lost(fault.reason()));
        }
        // One that is gone can't come back by what is left of its verdicts.
        if self.service == Service::Judging {
            self.service = Service::Unheeded;
        }
        self.give_up(&fault);
    }

    /// Does what the failure mode says.
    pub(super) fn give_up(&mut self, fault: &Fault) {
        self.service_failure.get_or_insert(ServiceFailure::Faulted);
        self.trouble = Some(fault.reason());
        match self.failure_mode {
            // What was to end the response and can't be written leaves nothing to be opened.
            FailureMode::Open if !self.judged.is_ended_by_policy() => {
                self.let_pass(ServiceFailure::Faulted, fault.reason())
            }
            FailureMode::Open | FailureMode::Closed => self.end_closed(fault),
        }
    }

    /// Ends the call with an error; what is held is never released.
    pub(super) fn end_closed(&mut self, fault: &Fault) {
        self.judged.shut();
        self.cancel_upstream();
        if self.is_answering() {
            self.tell_failure(fault.error().into(), fault.retry_after(), fault.reason());
        }
    }
}
