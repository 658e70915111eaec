//! What the model said, chunk by chunk, from the blocks and steps of the record.

use std::collections::BTreeSet;

use luthien_proto::{
    Chunk, Event, Step,
    event::{
        BlockDelta, BlockKey, BlockKind, BlockStarted, CallError, Delta, Finished, Kind, Started, ToolCall, Usage,
    },
};
use serde_json::Value;

use super::json::{Fields, Unreadable};
use crate::entry::{form_from_name, reason_from_name};

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
            Some("block") => block(entry, &mut begun, &mut placed)?,
            Some("step") => step(entry, &mut placed)?,
            _ => {}
        }
    }
    placed.sort_by_key(|placed| placed.seq);
    let chunk = |(Placed { arrived_us, event, .. }, seq)| Chunk { seq, arrived_us, event };
    Ok(placed.into_iter().zip(1..).map(chunk).collect())
}

/// A block that was told in parts begins once.
fn block(entry: &Value, begun: &mut BTreeSet<u32>, placed: &mut Vec<Placed>) -> Result<(), Unreadable> {
    let block = Fields::of("block", entry)?;
    let (key, first, last) = (block.small::<u32>("block")?, block.small::<u64>("first")?, block.small::<u64>("last")?);
    let arrived_us = block.small("arrived_us")?;
    let content = block.get("original").ok_or_else(|| block.wrong("original"))?;
    let content = Fields::of("content", content)?;
    let mut place = |seq, event: Event| placed.push(Placed { seq, arrived_us, event });
    let mut extras = content.list("extras", |extras| Ok(extras.as_object().cloned().unwrap_or_default()))?.into_iter();
    if begun.insert(key) {
        let started =
            BlockStarted { block: BlockKey(key), choice: block.small("choice")?, kind: kind(&block, &content)? };
        place(first, Event { step: Step::BlockStarted(started), extras: extras.next().unwrap_or_default().into() });
    }
    for (seq, delta) in (first + 1..).zip(deltas(&content)?) {
        let step = Step::BlockDelta(BlockDelta { block: BlockKey(key), delta });
        place(seq.min(last), Event { step, extras: extras.next().unwrap_or_default().into() });
    }
    if block.flag("stopped")?.unwrap_or_default() {
        place(last, Step::BlockStopped(BlockKey(key)).into());
    }
    Ok(())
}

fn kind(block: &Fields<'_>, content: &Fields<'_>) -> Result<BlockKind, Unreadable> {
    let name = block.text("kind")?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| block.wrong("kind"))?;
    Ok(match kind {
        Kind::Text => BlockKind::Text,
        Kind::Refusal => BlockKind::Refusal,
        Kind::Thinking if content.has("redacted") => BlockKind::RedactedThinking { data: content.text("redacted")? },
        Kind::Thinking => BlockKind::Thinking { field: String::new(), id: content.text("id")? },
        Kind::Opaque => BlockKind::Opaque(content.get("json").cloned().unwrap_or_default()),
        Kind::ToolCall => BlockKind::ToolCall(ToolCall {
            id: content.text("id")?,
            name: content.text("name")?,
            namespace: content.text("namespace")?,
            form: content.read("form", |form| form_from_name(form.as_str()?))?.ok_or_else(|| content.wrong("form"))?,
            type_: content.text("call_type")?,
        }),
    })
}

/// In the order in which dialects have them.
fn deltas(content: &Fields<'_>) -> Result<Vec<Delta>, Unreadable> {
    let text = |name, make: fn(String) -> Delta| {
        let text = content.text(name)?;
        Ok((!text.is_empty()).then(|| make(text)))
    };
    let mut deltas: Vec<Delta> = Vec::new();
    deltas.extend(text("text", Delta::Text)?);
    deltas.extend(text("arguments", Delta::Arguments)?);
    deltas.extend(text("signature", Delta::Signature)?);
    deltas.extend(content.list("opaque", |json| Ok(Delta::Opaque(json.clone())))?);
    Ok(deltas)
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
