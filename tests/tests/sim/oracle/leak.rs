//! Nothing that is judged reaches the client before it is judged: while no policy service can be heard, nothing that the
//! model says meanwhile comes through.

use crate::{
    expect, hear,
    plan::{Call, Plan, Policy},
    world::Run,
};

/// Behind the beginning of a silence: what a verdict that was said before it may still be on its way, and the client's
/// bytes.
const ON_ITS_WAY: u64 = 30;

pub fn check(plan: &Plan, number: usize, run: &Run) -> Result<(), String> {
    let call = &plan.calls[number];
    let judged = plan.has(Policy::Replace);
    if !judged || !call.streamed {
        return Ok(());
    }
    for (from, to) in plan.silences(call.data_plane) {
        let from = from + ON_ITS_WAY + 3 * plan.latency;
        if from < to {
            silent(number, run, call, from, to)?;
        }
    }
    Ok(())
}

/// Whether what the client understands stays the same meanwhile, but for an error. A client that reads slowly may still
/// get what was released before.
fn silent(number: usize, run: &Run, call: &Call, from: u64, to: u64) -> Result<(), String> {
    let (got, upstream) = (&run.seen.clients[number], &run.seen.upstreams[number]);
    let understood = |until: u64| {
        let length = got.pieces.iter().take_while(|(at, _)| *at < until).last().map_or(0, |(_, length)| *length);
        hear::stream(call.client, &got.body[..length])
    };
    let said = |until: u64| upstream.said.iter().take_while(|(at, _)| *at < until).last().map_or(0, |(_, end)| *end);
    let could = hear::stream(call.upstream, &call.body()[..said(from)])?;
    let after = understood(to)?;
    // What was said before may have been judged before, with what the policies say instead of tool calls.
    let judged = could.text.chars().count() + could.tools.len() * expect::REFUSAL_MAX;
    let longest = judged.max(understood(from)?.text.chars().count());
    match after.text.chars().count() > longest {
        true => Err(format!("between {from} and {to} ms nobody judged, and the client got {:?}", after.text)),
        false => Ok(()),
    }
}
