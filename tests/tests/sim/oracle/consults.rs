//! No tool call comes through before a model has judged it, and the model is asked once.

use crate::{
    hear,
    plan::{Call, Plan, Policy},
    trace::Consult,
    world::{Run, UPSTREAM_KEY},
};

pub fn check(plan: &Plan, number: usize, run: &Run) -> Result<(), String> {
    let consults: Vec<&Consult> = run.seen.consults.iter().filter(|consult| consult.call == number).collect();
    if !plan.has(Policy::Judge) {
        return if consults.is_empty() { Ok(()) } else { Err("nobody wanted to ask a judge".to_owned()) };
    }
    let call = &plan.calls[number];
    for tool in 0..call.response.tools.len() {
        let of_tool: Vec<&Consult> = consults.iter().copied().filter(|consult| consult.tool == tool).collect();
        once(&of_tool).map_err(|error| format!("tool {tool}: {error}"))?;
        judged(number, call, tool, &of_tool, run).map_err(|error| format!("tool {tool}: {error}"))?;
    }
    let strange = consults.iter().find(|consult| consult.credentials.trim_start_matches("Bearer ") != UPSTREAM_KEY);
    match strange {
        Some(consult) => Err(format!("the judge was shown {:?}", consult.credentials)),
        None => Ok(()),
    }
}

/// Whoever is lost, and whoever takes the call over: a question is asked again only if the answer was none.
fn once(consults: &[&Consult]) -> Result<(), String> {
    let confused = consults.iter().filter(|consult| consult.confused).count();
    match consults.len() > 1 + confused {
        true => Err(format!("the judge was asked {} times", consults.len())),
        false => Ok(()),
    }
}

fn judged(number: usize, call: &Call, tool: usize, consults: &[&Consult], run: &Run) -> Result<(), String> {
    let Some(came) = arrival(number, call, tool, run)? else { return Ok(()) };
    let opinion = consults.iter().find(|consult| !consult.confused).and_then(|consult| consult.answered);
    match opinion {
        Some(answered) if answered <= came => Ok(()),
        Some(answered) => Err(format!("came at {came} ms, and was judged at {answered} ms")),
        None => Err(format!("came at {came} ms, and was never judged")),
    }
}

/// When the client first heard of the call.
fn arrival(number: usize, call: &Call, tool: usize, run: &Run) -> Result<Option<u64>, String> {
    let got = &run.seen.clients[number];
    if got.status != Some(200) {
        return Ok(None);
    }
    let id = &call.response.tools[tool].id;
    if !call.streamed {
        let is_there = String::from_utf8_lossy(&got.body).contains(id.as_str());
        return Ok(got.pieces.first().map(|(at, _)| *at).filter(|_| is_there));
    }
    // What was heard once stays heard.
    let mut failed = None;
    let first = got.pieces.partition_point(|(_, length)| match hear::stream(call.client, &got.body[..*length]) {
        Ok(heard) => !heard.tools.iter().any(|heard| heard.id == *id),
        Err(error) => {
            failed.get_or_insert(error);
            true
        }
    });
    match failed {
        Some(error) => Err(error),
        None => Ok(got.pieces.get(first).map(|(at, _)| *at)),
    }
}
