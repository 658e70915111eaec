//! Calls that go on with another stream.

use luthien_proto::wire::{Admission, CallResumed, enforce_request::Message};
use prost::Message as _;
use tonic::Code;

use super::{ENOUGH, Known};
use crate::conformance::{
    events,
    findings::Findings,
    line::{Heard, Service},
    rule::Rule,
    talk::{self, Cut, Play, told},
};

/// Of one response, at how many places its stream is cut.
const CUTS: usize = 8;

pub(super) async fn play(service: &Service, known: &[Known], findings: &mut Findings) {
    let can_resume = |admission: &Admission| admission.capabilities.iter().any(|capability| capability == "resume");
    for Known { response, played } in known.iter().filter(|known| known.played.problem().is_none()) {
        if !played.admission.as_ref().is_some_and(can_resume) {
            continue;
        }
        for cut in cuts(played.verdicts) {
            let case = format!("{}, cut {cut}", response.name);
            let resumed = talk::play(service, Play { cut: Some(cut), ..Play::new(&case, &response.events) }).await;
            findings.note(Rule::R1, &case, resumed.same_as(played));
            findings.add(resumed.findings);
            if findings.times_broken(Rule::R1) >= ENOUGH {
                return;
            }
        }
    }
    let admission = known.iter().find_map(|known| known.played.admission.clone());
    if let Some(admission) = admission.filter(can_resume) {
        of_unknown_revision(service, admission, findings).await;
    }
}

/// Behind each verdict, or behind some of many; before the first word, and behind the last.
fn cuts(verdicts: usize) -> Vec<Cut> {
    let step = verdicts.div_ceil(CUTS).max(1);
    let behind = (1..=verdicts).step_by(step).map(Cut::AfterVerdicts);
    [Cut::BeforeAdmission].into_iter().chain(behind).chain([Cut::AfterEnd]).collect()
}

async fn of_unknown_revision(service: &Service, admission: Admission, findings: &mut Findings) {
    let case = "a call of an unknown revision";
    let admission = Some(Admission { revision: "0".repeat(64), ..admission });
    let resumed = CallResumed { epoch: 1, admission, ..CallResumed::default() };
    let mut line = service.open();
    line.say_bytes(events::told(Message::CallResumed(resumed)).encode_to_vec());
    line.say_bytes(events::told(Message::CallStarted(events::call())).encode_to_vec());
    let checked = match line.until(service.options.close, |_| false).await {
        Err(Heard::Closed(status)) if status.code() == Code::FailedPrecondition => Ok(()),
        Err(Heard::Closed(status)) => Err(format!("the stream was closed with {}", told(&status))),
        Ok(()) | Err(Heard::Said(_) | Heard::Nothing) => Err("the stream is open".to_owned()),
    };
    findings.note(Rule::R3, case, checked);
}
