//! What the policy service says, and what its loss does.

use std::time::Duration;

use luthien_proto::{
    event::{CallError, Kind, Step},
    message::{
        Admission, AdmissionDecision, FailureMode, Forward, FromService, Interest, Level, Limits, Outcome, Reject,
        Reply, Verdict,
    },
};

use super::{
    Output,
    fault::Fault,
    judged::Judged,
    life::{Call, Client, Service, Upstream},
};
use crate::{reporter::Reporter, stats::ServiceFailure, upstream::Arrival};

/// A window for less would never let the upstream be read, or be full of a keepalive.
const LEAST_WINDOW: usize = 64;

impl Call {
    pub(super) fn service_said(&mut self, message: FromService) {
        self.clocks.heard_service(self.now);
        match (self.service, self.reporter.seen(message.seen)) {
            (_, Ok(())) | (Service::Gone | Service::Closed, Err(_)) => {}
            (Service::Asked | Service::Judging, Err(why)) => {
                return self.service_fault(Fault::Protocol(why.to_owned()));
            }
            // Nothing that it says can be relied on, not even what it has taken.
            (Service::Unheeded | Service::Told, Err(why)) => return self.service_closed(Err(why.to_owned())),
        }
        match (self.service, message.message) {
            (Service::Asked | Service::Judging, Reply::Working) => {}
            (Service::Asked, Reply::Admission(admission)) => self.admitted(admission),
            (Service::Judging, Reply::Verdict(verdict)) => self.verdict(verdict),
            (Service::Judging, Reply::Admission(_)) => {
                self.service_fault(Fault::Protocol("it admitted the call twice".to_owned()));
            }
            (Service::Asked, Reply::Verdict(_)) => {
                self.service_fault(Fault::Protocol("a verdict before admission".to_owned()));
            }
            (Service::Asked | Service::Judging, Reply::Interest(_) | Reply::Consult(_) | Reply::CancelConsult(_)) => {
                self.service_fault(Fault::Protocol("it asks for what the proxy did not offer".to_owned()));
            }
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
        match admission.decision {
            AdmissionDecision::Forward(forward) => self.forward(&forward),
            AdmissionDecision::Reject(Reject { status, type_, message }) => {
                let error = CallError { status, type_, message, ..CallError::default() };
                self.refuse(&error, None, Outcome::EndedByPolicy, String::new());
            }
        }
    }

    pub(super) fn forward(&mut self, forward: &Forward) {
        let Forward { interest, failure_mode, limits, known_kinds, edits: _ } = forward;
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
        self.upstream = Upstream::Asked;
        self.out.push_back(Output::Forward);
    }

    pub(super) fn verdict(&mut self, verdict: Verdict) {
        if !self.is_answering() {
            return;
        }
        let cancel = verdict.cancel_upstream;
        let settled = self.judged.settled();
        match self.judged.apply(verdict, self.reporter.sent_seq(), self.elapsed_us()) {
            Ok(()) if self.judged.settled() > settled => self.clocks.settled(self.now),
            Ok(()) => {}
            Err(fault) => return self.service_fault(fault),
        }
        if cancel {
            self.cancel_upstream_for_policy();
        }
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

    pub(super) fn service_closed(&mut self, closed: Result<(), String>) {
        match self.service {
            Service::Told => {
                self.service = Service::Gone;
                if let Err(why) = closed {
                    self.trouble = Some(format!("the record of the call may be incomplete: {why}"));
                    self.service_failure.get_or_insert(ServiceFailure::NotRecorded);
                }
            }
            Service::Gone | Service::Closed => {}
            Service::Asked | Service::Judging | Service::Unheeded => {
                let why = closed.err().unwrap_or_else(|| "it closed the stream before the call ended".to_owned());
                self.service_lost(why);
            }
        }
    }

    pub(super) fn service_lost(&mut self, why: String) {
        let asked = std::mem::replace(&mut self.service, Service::Gone) == Service::Asked;
        let (mode, fault) = match asked {
            true => (self.on_loss, Fault::NotAdmitted(why)),
            false => (self.failure_mode, Fault::Lost(why)),
        };
        self.service_failure.get_or_insert(if asked { ServiceFailure::NotAdmitted } else { ServiceFailure::Lost });
        self.trouble.get_or_insert_with(|| fault.reason());
        // What was not told is told to nobody, and must not fill the window.
        self.reporter = Reporter::new(self.limits.batch);
        let ungated = !asked && !self.judged.gates();
        match mode {
            FailureMode::Open if asked => self.forward(&Forward {
                interest: Interest::all(Level::Record),
                failure_mode: FailureMode::Open,
                limits: Limits::default(),
                known_kinds: Kind::ALL.to_vec(),
                edits: Vec::new(),
            }),
            FailureMode::Open => self.judged.open(),
            // Nothing is held: the client has what the upstream says, only the record of it ends here.
            FailureMode::Closed if ungated => {}
            FailureMode::Closed => self.end_closed(&fault),
        }
    }

    /// A fault of the policy service: what it says from now on counts for nothing.
    pub(super) fn service_fault(&mut self, fault: Fault) {
        if self.service == Service::Asked {
            return self.service_lost(fault.reason());
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
            FailureMode::Open if !self.judged.is_ended_by_policy() => self.judged.open(),
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
