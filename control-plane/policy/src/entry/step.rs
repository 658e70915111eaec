//! The steps of a response that belong to no block, as JSON for the record.

use luthien_proto::{
    event::{CallError, Event, FinishReason, Finished, Started, Step, Usage},
    json::Extras,
};
use serde_json::{Map, Value, json};

/// The name of a step.
pub(crate) fn step_name(step: &Step) -> &'static str {
    match step {
        Step::Started(_) => "started",
        Step::BlockStarted(_) => "block_started",
        Step::BlockDelta(_) => "block_delta",
        Step::BlockStopped(_) => "block_stopped",
        Step::Usage(_) => "usage",
        Step::Finished(_) => "finished",
        Step::Opaque(_) => "opaque",
        Step::Ended => "ended",
        Step::Failed(_) => "failed",
    }
}

/// What a step says; `None`: it belongs to a block.
pub(crate) fn step_json(event: &Event) -> Option<Value> {
    let mut map = match &event.step {
        Step::Started(step) => started(step),
        Step::Usage(step) => usage(step),
        Step::Finished(step) => finished(step),
        Step::Opaque(json) => Map::from_iter([("json".to_owned(), json.clone())]),
        Step::Ended => Map::new(),
        Step::Failed(error) => failed(error),
        Step::BlockStarted(_) | Step::BlockDelta(_) | Step::BlockStopped(_) => return None,
    };
    insert_extras(&mut map, "extras", &event.extras);
    Some(Value::Object(map))
}

/// Tokens, by name.
pub(crate) fn usage_json(step: &Usage) -> Value {
    Value::Object(usage(step))
}

/// Takes in the tokens that a later step names.
pub(crate) fn merge_usage(all: &mut Usage, usage: &Usage) {
    let Usage { input, cache_read, cache_write, output, thinking, raw } = usage;
    let later = |old: &mut Option<u64>, new: &Option<u64>| *old = new.or(*old);
    later(&mut all.input, input);
    later(&mut all.cache_read, cache_read);
    later(&mut all.cache_write, cache_write);
    later(&mut all.output, output);
    later(&mut all.thinking, thinking);
    for (name, value) in raw.iter() {
        all.raw.insert(name.clone(), value.clone());
    }
}

fn started(step: &Started) -> Map<String, Value> {
    let mut map = Map::from_iter([("id".to_owned(), json!(step.id)), ("model".to_owned(), json!(step.model))]);
    if let Some(created) = step.created {
        map.insert("created".to_owned(), created.into());
    }
    map
}

fn usage(step: &Usage) -> Map<String, Value> {
    let counts = [
        ("input", step.input),
        ("cache_read", step.cache_read),
        ("cache_write", step.cache_write),
        ("output", step.output),
        ("thinking", step.thinking),
    ];
    let mut map: Map<String, Value> =
        counts.into_iter().filter_map(|(name, count)| Some((name.to_owned(), count?.into()))).collect();
    insert_extras(&mut map, "raw", &step.raw);
    map
}

fn finished(step: &Finished) -> Map<String, Value> {
    let mut map = Map::from_iter([
        ("choice".to_owned(), json!(step.choice)),
        ("reason".to_owned(), json!(reason_name(step.reason))),
    ]);
    if !step.word.is_empty() {
        map.insert("word".to_owned(), step.word.clone().into());
    }
    if let Some(stop) = &step.stop_sequence {
        map.insert("stop_sequence".to_owned(), stop.clone().into());
    }
    map
}

fn failed(error: &CallError) -> Map<String, Value> {
    let texts =
        [("error_type", &error.type_), ("message", &error.message), ("code", &error.code), ("param", &error.param)];
    let mut map = Map::new();
    if error.status != 0 {
        map.insert("status".to_owned(), error.status.into());
    }
    map.extend(
        texts.into_iter().filter(|(_, text)| !text.is_empty()).map(|(name, text)| (name.to_owned(), json!(text))),
    );
    map
}

fn insert_extras(map: &mut Map<String, Value>, name: &str, extras: &Extras) {
    if !extras.is_empty() {
        map.insert(name.to_owned(), Value::Object(extras.clone().into_map()));
    }
}

/// The reason of that name.
pub(crate) fn reason_from_name(name: &str) -> Option<FinishReason> {
    use FinishReason::{
        ContentFilter, ContextWindow, EndTurn, MaxTokens, Other, Pause, Refusal, StopSequence, ToolUse,
    };
    let reasons = [EndTurn, MaxTokens, StopSequence, ToolUse, Refusal, ContentFilter, ContextWindow, Pause, Other];
    reasons.into_iter().find(|reason| reason_name(*reason) == name)
}

fn reason_name(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::EndTurn => "end_turn",
        FinishReason::MaxTokens => "max_tokens",
        FinishReason::StopSequence => "stop_sequence",
        FinishReason::ToolUse => "tool_use",
        FinishReason::Refusal => "refusal",
        FinishReason::ContentFilter => "content_filter",
        FinishReason::ContextWindow => "context_window",
        FinishReason::Pause => "pause",
        FinishReason::Other => "other",
    }
}
