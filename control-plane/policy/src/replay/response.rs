//! What the model said, chunk by chunk, from the blocks and steps of the record.

mod block;

use std::collections::BTreeSet;

use luthien_proto::{
    Chunk, Event, Step,
    event::{BlockDelta, BlockKey, CallError, Delta, Finished, Started, Usage},
};
use serde_json::Value;

use super::json::{Fields, Unreadable};
use crate::entry::reason_from_name;

/// An event, and where it stood.
struct Placed {
    seq: u64,
    arrived_us: u64,
    event: Event,
}

/// The chunks of a response, in their order, numbered anew: what is not on record by itself (usage that was summed up)
/// leaves no gap.
pub(super) fn read(entries: &[Value]) -> Result<Vec<Chunk>, Unreadable> {
    let mut placed = Vec::new();
    let mut begun = BTreeSet::new();
    for entry in entries.iter().filter(|entry| !entry["original"].is_null()) {
        match entry["type"].as_str() {
            Some("block") => block::read(entry, &mut begun, &mut placed)?,
            Some("step") => step(entry, &mut placed)?,
            _ => {}
        }
    }
    placed.sort_by_key(|placed| placed.seq);
    let chunk = |(Placed { arrived_us, event, .. }, seq)| Chunk { seq, arrived_us, event };
    Ok(placed.into_iter().zip(1..).map(chunk).collect())
}

fn step(entry: &Value, placed: &mut Vec<Placed>) -> Result<(), Unreadable> {
    let outer = Fields::of("step", entry)?;
    let original = outer.get("original").ok_or_else(|| outer.wrong("original"))?;
    let (seq, step) = (outer.small("seq")?, Fields::of("step", original)?);
    let mut place = |step: Step, extras| placed.push(Placed { seq, arrived_us: 0, event: Event { step, extras } });
    let extras = step.extras("extras")?;
    match outer.text("step")?.as_str() {
        "started" => place(Step::Started(started(&step)?), extras),
        "usage" => place(Step::Usage(usage(&step)?), extras),
        "finished" => place(Step::Finished(finished(&step)?), extras),
        "opaque" => place(Step::Opaque(step.get("json").cloned().unwrap_or_default()), extras),
        "ended" => place(Step::Ended, extras),
        "failed" => place(Step::Failed(failed(&step)?), extras),
        // Pieces of a block that is only recorded.
        "block_delta" => {
            let block = BlockKey(step.small("block")?);
            let pieces = step.get("pieces").map(|pieces| Fields::of("pieces", pieces)).transpose()?;
            for json in pieces.map(|pieces| pieces.list("opaque", Ok)).transpose()?.into_iter().flatten() {
                place(Step::BlockDelta(BlockDelta { block, delta: Delta::Opaque(json.clone()) }), extras.clone());
            }
        }
        _ => return Err(outer.wrong("step")),
    }
    Ok(())
}

fn started(step: &Fields<'_>) -> Result<Started, Unreadable> {
    let created = step.read("created", Value::as_i64)?;
    Ok(Started { id: step.text("id")?, model: step.text("model")?, created })
}

fn usage(step: &Fields<'_>) -> Result<Usage, Unreadable> {
    Ok(Usage {
        input: step.count("input")?,
        cache_read: step.count("cache_read")?,
        cache_write: step.count("cache_write")?,
        output: step.count("output")?,
        thinking: step.count("thinking")?,
        raw: step.extras("raw")?,
    })
}

fn finished(step: &Fields<'_>) -> Result<Finished, Unreadable> {
    let reason = step.read("reason", |reason| reason_from_name(reason.as_str()?))?;
    Ok(Finished {
        choice: step.small("choice")?,
        reason: reason.ok_or_else(|| step.wrong("reason"))?,
        word: step.text("word")?,
        stop_sequence: step.has("stop_sequence").then(|| step.text("stop_sequence")).transpose()?,
    })
}

fn failed(step: &Fields<'_>) -> Result<CallError, Unreadable> {
    Ok(CallError {
        status: step.small("status")?,
        type_: step.text("error_type")?,
        message: step.text("message")?,
        code: step.text("code")?,
        param: step.text("param")?,
    })
}
