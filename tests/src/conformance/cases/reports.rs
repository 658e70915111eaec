//! Reports of calls that no service had at their end.

use luthien_proto::wire::{CallEnded, CallReport, Outcome, ServiceFailure, enforce_request::Message};
use tonic::Code;

use crate::conformance::{events, findings::Findings, line::Service, rule::Rule, talk::told};

pub(super) async fn play(service: &Service, findings: &mut Findings) {
    let report = report();
    for case in ["a report", "the same report again"] {
        match service.report(report.clone()).await {
            Ok(()) => findings.kept(Rule::P1),
            // It takes none, and that is all there is to check.
            Err(status) if status.code() == Code::Unimplemented => return findings.kept(Rule::P1),
            Err(status) => findings.broken(Rule::P1, case, format!("it was answered with {}", told(&status))),
        }
    }
    let checked = match service.report(CallReport { call_started: None, ..report }).await {
        Err(status) if status.code() == Code::InvalidArgument => Ok(()),
        Err(status) => Err(format!("it was answered with {}", told(&status))),
        Ok(()) => Err("it was taken".to_owned()),
    };
    findings.note(Rule::P2, "a report without its call", checked);
}

fn report() -> CallReport {
    let ended: Option<CallEnded> = match events::ended(Outcome::Failed, 0).message {
        Some(Message::CallEnded(ended)) => Some(ended),
        Some(_) | None => None,
    };
    CallReport {
        epoch: 1,
        call_started: Some(events::call()),
        call_ended: ended,
        cause: ServiceFailure::NotAdmitted.into(),
        reason: "the conformance kit says so".into(),
        ..CallReport::default()
    }
}
