//! Under strict audit: whatever a client understood, at any time, was durable by then.

use std::collections::BTreeMap;

use luthien_control_plane::record::Entry;
use luthien_policy::Audit;
use serde_json::Value;
use uuid::Uuid;

use crate::{hear, plan::Plan, world::Run};

/// So many moments of a call are looked at, and its last.
const MOMENTS: usize = 12;

pub fn check(plan: &Plan, number: usize, run: &Run) -> Result<(), String> {
    let (call, got) = (&plan.calls[number], &run.seen.clients[number]);
    let Some(id) = got.call_id.as_deref().and_then(|id| Uuid::try_parse(id).ok()) else { return Ok(()) };
    if plan.audit == Audit::Relaxed || !call.streamed || got.status != Some(200) {
        return Ok(());
    }
    let every = got.pieces.len() / MOMENTS + 1;
    for (at, length) in got.pieces.iter().rev().step_by(every) {
        let heard = hear::stream(call.client, &got.body[..*length])?;
        let epochs = durable(run, id, *at);
        let tools: Vec<&str> = heard.tools.iter().map(|tool| tool.name.as_str()).collect();
        let is_covered = |entries: &Vec<Value>| {
            settled(entries, "text").contains(&squeezed(&heard.text))
                && tools.iter().all(|name| settled(entries, "name").contains(&squeezed(name)))
        };
        let is_nothing = heard.text.is_empty() && tools.is_empty();
        if !is_nothing && !epochs.values().any(is_covered) {
            let said: Vec<String> = epochs.values().map(|entries| settled(entries, "text")).collect();
            return Err(format!("at {at} ms the client had {:?}, {tools:?}, and durable was {said:?}", heard.text));
        }
    }
    Ok(())
}

/// The bodies of a call's entries that were durable at a time, by epoch.
fn durable(run: &Run, id: Uuid, at: u64) -> BTreeMap<u32, Vec<Value>> {
    let mut epochs: BTreeMap<u32, Vec<Value>> = BTreeMap::new();
    run.store.look(|kept| {
        let all = kept.entries.range((id, 0, 0)..=(id, u32::MAX, u64::MAX));
        let by_then = all.filter(|(key, _)| kept.since.get(*key).is_some_and(|since| *since <= at));
        for (_, Entry { epoch, body, .. }) in by_then {
            epochs.entry(*epoch).or_default().push(serde_json::from_str(body).unwrap_or_default());
        }
    });
    epochs
}

/// What was settled, of blocks that are whole, and of others as far as their parts tell.
fn settled(entries: &[Value], field: &str) -> String {
    let is_whole = |block: &Value| entries.iter().any(|body| body["type"] == "block" && body["block"] == *block);
    let mut pieces: Vec<(u64, &str)> = Vec::new();
    for body in entries {
        let counts = body["type"] == "block" || body["type"] == "part" && !is_whole(&body["block"]);
        let is_text = field != "text" || body["kind"] == "text";
        let side = if body["unchanged"] == true { &body["original"] } else { &body["final"] };
        if let (true, true, Some(text)) = (counts, is_text, side[field].as_str()) {
            pieces.push((body["first"].as_u64().unwrap_or_default(), text));
        }
    }
    pieces.sort_by_key(|(first, _)| *first);
    squeezed(&pieces.into_iter().map(|(_, text)| text).collect::<String>())
}

fn squeezed(text: &str) -> String {
    text.split_whitespace().collect()
}
