//! The record tells of each call once, whole, and what its client knows.

use std::collections::BTreeMap;

use luthien_control_plane::record::Entry;
use luthien_proto::message::Outcome;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    client::End,
    hear,
    plan::{Plan, Policy},
    world::Run,
};

pub fn contradictions(run: &Run) -> Vec<String> {
    run.store.look(|kept| kept.contradictions.iter().map(|what| format!("on record twice: {what}")).collect())
}

pub fn check(plan: &Plan, number: usize, run: &Run) -> Result<(), String> {
    let got = &run.seen.clients[number];
    let Some(id) = got.call_id.as_deref() else { return Ok(()) };
    let id = Uuid::try_parse(id).map_err(|error| error.to_string())?;
    let epochs = run.store.look(|kept| {
        let mut epochs: BTreeMap<u32, Vec<Entry>> = BTreeMap::new();
        for ((_, epoch, _), entry) in kept.entries.range((id, 0, 0)..=(id, u32::MAX, u64::MAX)) {
            epochs.entry(*epoch).or_default().push(entry.clone());
        }
        epochs
    });
    for (epoch, entries) in &epochs {
        if let Some((place, entry)) = entries.iter().enumerate().find(|(place, entry)| entry.seq != *place as u64) {
            return Err(format!("epoch {epoch}: entry {place} is missing before {}", entry.seq));
        }
    }
    let call = &plan.calls[number];
    let outcome = run.store.look(|kept| kept.summaries.get(&id).and_then(|summary| summary.outcome));
    let is_known = outcome.is_some_and(|outcome| outcome != Outcome::Unknown);
    if !is_known && !run.seen.upstreams[number].asked.is_empty() && !plan.loses(call.data_plane) {
        return Err(format!("its end is not on record: {outcome:?}"));
    }
    if got.status != Some(200) || got.end != End::Complete || plan.loses_data_plane() || plan.is_long_troubled() {
        return Ok(());
    }
    let Some(outcome) = outcome else { return Err("its end is not on record".to_owned()) };
    if plan.may_outgrow(call) && outcome.name() == "failed" {
        return Ok(());
    }
    if (outcome.name() == "delivered") == call.is_cut() {
        return Err(format!("its outcome on record is {}", outcome.name()));
    }
    let last = epochs.values().last().ok_or("nothing is on record")?;
    if last.iter().any(|entry| entry.kind == "report") {
        // More was told than is kept for another control plane: all that is known of such a call is its end.
        return if call.is_flooded() { Ok(()) } else { Err("nobody had it at its end".to_owned()) };
    }
    blocks(plan, number, run, last)
}

/// What the record says that was let through is what the client understood; what the model said is what it said.
fn blocks(plan: &Plan, number: usize, run: &Run, entries: &[Entry]) -> Result<(), String> {
    let (call, got) = (&plan.calls[number], &run.seen.clients[number]);
    if call.is_cut() {
        return Ok(());
    }
    let heard =
        if call.streamed { hear::stream(call.client, &got.body)? } else { hear::whole(call.client, &got.body)? };
    let told = |which: &str| {
        let blocks = entries.iter().filter(|entry| entry.kind == "block");
        let blocks = blocks.filter_map(|entry| serde_json::from_str::<Value>(&entry.body).ok());
        let texts = blocks
            .filter(|block| block["kind"] == "text")
            .map(|block| block[which]["text"].as_str().unwrap_or_default().to_owned());
        texts.collect::<Vec<_>>().concat()
    };
    let squeezed = |text: &str| text.split_whitespace().collect::<String>();
    if squeezed(&told("original")) != squeezed(&call.response.text.concat()) {
        return Err(format!("the record says that the model said {:?}", told("original")));
    }
    let settled =
        if plan.policies.is_empty() || plan.policies == [Policy::Noop] { told("original") } else { told("final") };
    if squeezed(&settled) != squeezed(&heard.text) {
        return Err(format!("the record says that the client got {:?}, and it got {:?}", told("final"), heard.text));
    }
    Ok(())
}
