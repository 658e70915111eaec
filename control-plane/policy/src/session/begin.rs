//! How a call begins: the policies see the request, and it is admitted or rejected.

use std::{collections::VecDeque, sync::Arc};

use luthien_proto::{
    event::Kind,
    message::{
        Admission, AdmissionDecision, CallStarted, FailureMode, Forward, FromService, Interest, Level, Limits, Reject,
        Reply,
    },
};

use super::{Intake, Output, Recorder, Session, State, Verdicts};
use crate::{
    AdmissionEntry, EntryBody, Pipeline, RequestEntry,
    entry::{failure_mode_name, interest_json},
    stage::{Common, Failure, Stage},
};

/// A rejection, and the policy that it comes from.
struct Rejection {
    index: usize,
    reject: Reject,
}

pub(super) fn begin(set: Arc<Pipeline>, started: &CallStarted) -> Session {
    let mut common = Common::default();
    let (mut stages, failure) = begin_stages(&set, started, &mut common);
    let rejection = match failure {
        Some(failure) => Some(rejection_of(failure, &set)),
        None => show_request(&set, &mut stages, started, &mut common),
    };
    let interest = stages.iter().map(Stage::interest).fold(Interest::all(Level::Record), Interest::join);
    common.can_close = interest.gates();

    let mut recorder = Recorder::default();
    recorder.push(EntryBody::Request(RequestEntry::new(started)));
    let entry = admission_entry(&set, interest, rejection.as_ref(), &mut common);
    recorder.push(EntryBody::Admission(entry));
    let mut outputs: VecDeque<Output> = recorder.take().into_iter().map(Output::Record).collect();

    let state = if rejection.is_some() { State::Rejected } else { State::Open };
    let admission = admission(&set, interest, rejection);
    outputs.push_back(Output::Say(FromService { message: Reply::Admission(admission), seen: 0 }));
    let (intake, verdicts) = (Intake::new(interest), Verdicts::new(set.names()));
    Session {
        set,
        state,
        intake,
        stages,
        common,
        verdicts,
        recorder,
        outputs,
        flows: Vec::new(),
        spare: Vec::new(),
        seen: 0,
        fault: None,
    }
}

fn begin_stages(set: &Pipeline, started: &CallStarted, common: &mut Common) -> (Vec<Stage>, Option<Failure>) {
    let mut failure = None;
    let policies = set.policies().iter().enumerate();
    let stages = policies.map(|(index, policy)| {
        let (stage, begun) = Stage::begin(index, policy, started, common);
        failure = failure.or(begun.err());
        stage
    });
    (stages.collect(), failure)
}

fn show_request(set: &Pipeline, stages: &mut [Stage], started: &CallStarted, common: &mut Common) -> Option<Rejection> {
    stages.iter_mut().enumerate().find_map(|(index, stage)| match stage.request(started, common) {
        Ok(reject) => reject.map(|reject| Rejection { index, reject }),
        Err(failure) => Some(rejection_of(failure, set)),
    })
}

fn rejection_of(failure: Failure, set: &Pipeline) -> Rejection {
    let message = format!("policy {} failed", set.name_of(failure.index));
    Rejection { index: failure.index, reject: Reject { status: 500, type_: String::new(), message } }
}

fn admission(set: &Pipeline, interest: Interest, rejection: Option<Rejection>) -> Admission {
    let decision = match rejection {
        Some(rejection) => AdmissionDecision::Reject(rejection.reject),
        None => AdmissionDecision::Forward(Forward {
            interest,
            failure_mode: failure_mode(set),
            limits: Limits::default(),
            known_kinds: Kind::ALL.to_vec(),
            edits: Vec::new(),
        }),
    };
    Admission { decision, revision: set.revision().to_owned(), pipeline: set.names(), capabilities: Vec::new() }
}

fn admission_entry(
    set: &Pipeline,
    interest: Interest,
    rejection: Option<&Rejection>,
    common: &mut Common,
) -> AdmissionEntry {
    let forward = rejection.is_none();
    AdmissionEntry {
        decision: if forward { "forward" } else { "reject" },
        status: rejection.map(|rejection| rejection.reject.status),
        message: rejection.map(|rejection| rejection.reject.message.clone()),
        policy: rejection.map(|rejection| set.name_of(rejection.index).to_owned()),
        revision: set.revision().to_owned(),
        pipeline: set.names(),
        interest: forward.then(|| interest_json(&interest)),
        failure_mode: forward.then(|| failure_mode_name(failure_mode(set))),
        annotations: std::mem::take(&mut common.notes).into_iter().map(Into::into).collect(),
    }
}

/// The strictest of the pipeline; without policies, the strictest there is.
fn failure_mode(set: &Pipeline) -> FailureMode {
    set.policies().iter().map(|policy| policy.failure_mode()).max().unwrap_or(FailureMode::Closed)
}
