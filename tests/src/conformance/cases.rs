//! What is played, and what is concluded from it.

mod crowd;
mod faults;
mod goes_on;
mod reports;

use super::{
    events::{self, Response},
    findings::Findings,
    line::Service,
    rule::Rule,
    talk::{self, Play, Played},
};

/// So many calls that went wrong show what there is to show: those of a service that is slow to fail take their time.
const ENOUGH: usize = 3;

/// A response, and what came of it where nothing else happened.
struct Known {
    response: Response,
    played: Played,
}

/// Plays everything.
pub(super) async fn play(service: &Service, findings: &mut Findings, playing: &mut dyn FnMut(&str)) {
    let mut known = Vec::new();
    for response in events::responses() {
        if known.iter().filter(|known: &&Known| known.played.problem().is_some()).count() >= ENOUGH {
            break;
        }
        playing(response.name);
        let played = talk::play(service, Play::new(response.name, &response.events)).await;
        findings.add(played.findings.clone());
        known.push(Known { response, played });
    }
    playing("other batches");
    batches(service, &known, findings).await;
    playing("resumed calls");
    goes_on::play(service, &known, findings).await;
    playing("what a later version may say");
    later(service, &known, findings).await;
    playing("a proxy of the first version");
    first_version(service, &known, findings).await;
    playing("long silences");
    lingering(service, &known, findings).await;
    playing("faults of the proxy");
    faults::play(service, findings).await;
    playing("many calls at once");
    crowd::play(service, &known, findings).await;
    playing("reports");
    reports::play(service, findings).await;
}

/// Each response, in other batches than one event to a message.
async fn batches(service: &Service, known: &[Known], findings: &mut Findings) {
    for Known { response, played } in known.iter().filter(|known| known.played.problem().is_none()) {
        for batch in [3, usize::MAX] {
            let case = format!("{} in batches", response.name);
            let other = talk::play(service, Play { batch, ..Play::new(&case, &response.events) }).await;
            findings.note(Rule::D1, &case, other.same_as(played));
            findings.add(other.findings);
        }
    }
}

/// Unknown fields, unknown kinds, unknown values.
async fn later(service: &Service, known: &[Known], findings: &mut Findings) {
    for Known { response, played } in known.iter().filter(|known| known.played.problem().is_none()).take(3) {
        let case = format!("{}, with unknown fields", response.name);
        let other = Play { with_unknown_fields: true, ..Play::new(&case, &response.events) };
        findings.note(Rule::T1, &case, talk::play(service, other).await.same_as(played));
    }
    if let Some(unknown) = known.iter().find(|known| known.response.name == events::UNKNOWN_THINGS) {
        findings.note(Rule::T2, events::UNKNOWN_THINGS, unknown.played.problem().map_or(Ok(()), Err));
    }
    let case = "unknown values of enums";
    let play = Play { outcome: Some(99), ..Play::new(case, &events::of_tomorrow()) };
    let played = talk::play(service, play).await;
    findings.note(Rule::T3, case, played.problem().map_or(Ok(()), Err));
}

/// A proxy that can do nothing beyond the first version.
async fn first_version(service: &Service, known: &[Known], findings: &mut Findings) {
    for Known { response, .. } in known {
        let case = format!("{}, without capabilities", response.name);
        let mut play = Play::new(&case, &response.events);
        play.call.capabilities.clear();
        let played = talk::play(service, play).await;
        let asked = played.findings.broken_of(Rule::C1).first().map(|broken| broken.what.clone());
        findings.note(Rule::C1, &case, asked.map_or(Ok(()), Err));
    }
}

/// Where the service owes something, it is left alone for longer than it may be silent.
async fn lingering(service: &Service, known: &[Known], findings: &mut Findings) {
    for Known { response, .. } in known.iter().filter(|known| known.played.problem().is_none()) {
        let case = format!("{}, with a long silence", response.name);
        let play = Play { lingers: true, ..Play::new(&case, &response.events) };
        let played = talk::play(service, play).await;
        let lingered = played.findings.times_kept(Rule::L1) > 0;
        findings.add(played.findings);
        // It takes its time, and has shown what it shows.
        if lingered {
            return;
        }
    }
}
