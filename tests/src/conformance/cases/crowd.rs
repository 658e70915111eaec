//! Many calls on one connection, and calls that break off.

use futures_util::{StreamExt as _, stream::FuturesUnordered};

use super::Known;
use crate::conformance::{
    findings::Findings,
    line::Service,
    rule::Rule,
    talk::{self, Play, Talk},
};

/// How many calls break off.
const CUT: usize = 12;

pub(super) async fn play(service: &Service, known: &[Known], findings: &mut Findings) {
    let known: Vec<&Known> = known.iter().filter(|known| known.played.problem().is_none()).collect();
    if known.is_empty() {
        return;
    }
    interleaved(service, &known, findings).await;
    cut_off(service, &known, findings).await;
}

async fn interleaved(service: &Service, known: &[&Known], findings: &mut Findings) {
    let calls = (0..service.options.crowd).map(|number| async move {
        let Known { response, played } = known[number % known.len()];
        let case = format!("{}, call {number} of many", response.name);
        let one = talk::play(service, Play::new(&case, &response.events)).await;
        (case, one.same_as(played))
    });
    let mut calls: FuturesUnordered<_> = calls.collect();
    while let Some((case, checked)) = calls.next().await {
        findings.note(Rule::D2, &case, checked);
    }
}

/// Calls break off, each somewhere else; then others go as they would have.
async fn cut_off(service: &Service, known: &[&Known], findings: &mut Findings) {
    for number in 0..CUT {
        let response = &known[number % known.len()].response;
        let mut talk = Talk::begin(service, Play::new("a call that breaks off", &response.events));
        if talk.start().await.is_ok() {
            let before = response.events.len() * number / CUT;
            let _ = talk.respond(&response.events[..before]).await;
        }
    }
    for Known { response, played } in known {
        let case = format!("{}, after calls that broke off", response.name);
        let after = talk::play(service, Play::new(&case, &response.events)).await;
        findings.note(Rule::D3, &case, after.same_as(played));
    }
}
