//! The Admission: as it is said, and as it is put on record.

use luthien_proto::{
    Request,
    event::Kind,
    message::{Admission, AdmissionDecision, Edit, FailureMode, Forward, Interest, Limits, capability},
};
use serde_json::Value;

use super::{Audit, shown::Stopped};
use crate::{
    AdmissionEntry, Pipeline,
    draft::Draft,
    entry::{failure_mode_name, interest_json, request_json},
    policy::Stop,
    stage::Common,
};

/// What is said of a call that nobody has admitted yet.
pub(super) fn decide(
    pipeline: &Pipeline,
    audit: Audit,
    wanted: Interest,
    stopped: Option<&Stopped>,
    edits: Vec<Edit>,
) -> Admission {
    let decision = match stopped.map(|stopped| &stopped.by) {
        Some(Stop::Reject(reject)) => AdmissionDecision::Reject(reject.clone()),
        Some(Stop::Answer(answer)) => AdmissionDecision::Answer(answer.clone()),
        None => AdmissionDecision::Forward(Forward {
            interest: audit.interest(wanted),
            failure_mode: audit.failure_mode(failure_mode(pipeline)),
            limits: Limits::default(),
            known_kinds: Kind::ALL.to_vec(),
            edits,
        }),
    };
    Admission {
        decision,
        revision: pipeline.revision().to_owned(),
        pipeline: pipeline.names(),
        capabilities: vec![capability::RESUME.to_owned()],
    }
}

/// The entry of an Admission. `sent`: the request as it goes upstream, if that was changed.
pub(super) fn entry(
    pipeline: &Pipeline,
    admission: &Admission,
    stopped: Option<&Stopped>,
    sent: Option<Value>,
    common: &mut Common,
) -> AdmissionEntry {
    let entry = AdmissionEntry {
        decision: "reject",
        status: None,
        message: None,
        policy: None,
        revision: admission.revision.clone(),
        pipeline: admission.pipeline.clone(),
        interest: None,
        failure_mode: None,
        sent: None,
        annotations: std::mem::take(&mut common.notes).into_iter().map(Into::into).collect(),
    };
    let policy = || {
        let by = stopped.and_then(|stopped| stopped.index);
        by.map(|index| pipeline.name_of(index).to_owned())
    };
    match &admission.decision {
        AdmissionDecision::Reject(reject) => {
            let (status, message) = (Some(reject.status), Some(reject.message.clone()));
            AdmissionEntry { status, message, policy: policy(), ..entry }
        }
        AdmissionDecision::Answer(_) => AdmissionEntry { decision: "answer", policy: policy(), ..entry },
        AdmissionDecision::Forward(forward) => AdmissionEntry {
            decision: "forward",
            interest: Some(interest_json(&forward.interest)),
            failure_mode: Some(failure_mode_name(forward.failure_mode)),
            sent,
            ..entry
        },
    }
}

/// The request as an Admission that was given has it, if that changed it.
pub(super) fn sent(received: &Request, admission: &Admission) -> Option<Value> {
    match &admission.decision {
        AdmissionDecision::Forward(forward) if !forward.edits.is_empty() => {
            let mut request = received.clone();
            let edited = Draft::new(&request).apply(&mut request, forward.edits.clone());
            edited.ok().map(|()| request_json(&request))
        }
        AdmissionDecision::Forward(_) | AdmissionDecision::Reject(_) | AdmissionDecision::Answer(_) => None,
    }
}

/// The strictest of the pipeline; without policies, the strictest there is.
fn failure_mode(pipeline: &Pipeline) -> FailureMode {
    pipeline.policies().iter().map(|policy| policy.failure_mode()).max().unwrap_or(FailureMode::Closed)
}
