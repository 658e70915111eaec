//! The grammar of a response, and what it says, in the simplest way there is: shared with nothing of the product.

use std::collections::{BTreeMap, BTreeSet};

use luthien_proto::{
    Event, Step,
    event::{BlockKind, Delta},
};

/// Panics unless the steps are a response, up to where they end.
pub fn check(events: &[Event]) {
    let mut started = false;
    let mut over = false;
    let mut open = BTreeMap::new();
    let mut known = BTreeSet::new();
    let mut finished = BTreeSet::new();
    for event in events {
        assert!(!over, "something follows the last step: {event:?}");
        match &event.step {
            Step::Started(_) => assert!(!std::mem::replace(&mut started, true), "started twice"),
            Step::Opaque(_) => {}
            Step::Failed(_) => over = true,
            step => {
                assert!(started, "before Started: {step:?}");
                match step {
                    Step::BlockStarted(block) => {
                        assert!(known.insert(block.block), "started twice: {block:?}");
                        assert!(!finished.contains(&block.choice), "its choice is finished: {block:?}");
                        open.insert(block.block, block.choice);
                    }
                    Step::BlockDelta(delta) => assert!(open.contains_key(&delta.block), "not open: {delta:?}"),
                    Step::BlockStopped(key) => assert!(open.remove(key).is_some(), "not open: {key:?}"),
                    Step::Finished(finish) => {
                        assert!(finished.insert(finish.choice), "finished twice: {finish:?}");
                        assert!(!open.values().any(|choice| *choice == finish.choice), "a block is open: {finish:?}");
                    }
                    Step::Ended => {
                        assert!(open.is_empty() && !finished.is_empty(), "ended too early");
                        over = true;
                    }
                    _ => {}
                }
            }
        }
    }
}

/// As [`check`], for a response that is over.
pub fn check_whole(events: &[Event]) {
    check(events);
    assert!(events.last().is_some_and(|event| event.step.is_last()), "no last step");
}

/// What a response says: by choice and sort of block, the text of all such blocks; and its tool calls.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Meaning {
    texts: BTreeMap<(u32, &'static str), String>,
    tool_calls: BTreeSet<(u32, String, String, String)>,
}

impl Meaning {
    pub fn of(events: &[Event]) -> Self {
        let mut meaning = Self::default();
        let mut blocks = BTreeMap::new();
        let mut calls = BTreeMap::new();
        for event in events {
            match &event.step {
                Step::BlockStarted(started) => {
                    blocks.insert(started.block, (started.choice, sort(&started.kind)));
                    if let BlockKind::ToolCall(call) = &started.kind {
                        let call = (started.choice, call.id.clone(), call.name.clone(), String::new());
                        calls.insert(started.block, call);
                    }
                }
                Step::BlockDelta(delta) => match (&delta.delta, calls.get_mut(&delta.block)) {
                    (Delta::Arguments(text), Some((_, _, _, arguments))) => arguments.push_str(text),
                    (Delta::Text(text), _) if !text.is_empty() => {
                        meaning.texts.entry(blocks[&delta.block]).or_default().push_str(text);
                    }
                    _ => {}
                },
                _ => {}
            }
        }
        for mut call in calls.into_values() {
            // No arguments are written as an empty object.
            if call.3.is_empty() {
                call.3.push_str("{}");
            }
            meaning.tool_calls.insert(call);
        }
        meaning
    }
}

fn sort(kind: &BlockKind) -> &'static str {
    match kind {
        BlockKind::Text => "text",
        BlockKind::Thinking { .. } => "thinking",
        BlockKind::RedactedThinking { .. } => "redacted thinking",
        BlockKind::Refusal => "refusal",
        BlockKind::ToolCall(_) => "tool call",
        BlockKind::Opaque(_) => "opaque",
    }
}
