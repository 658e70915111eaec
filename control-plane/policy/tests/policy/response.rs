//! Responses to play, and what is left of them.

use luthien_proto::{
    Event, Step,
    event::{
        BlockDelta, BlockKey, BlockKind, BlockStarted, CallError, Delta, FinishReason, Finished, Started, ToolCall,
        ToolForm, Usage,
    },
};
use serde_json::Value;

/// A whole response around its blocks.
pub fn response(blocks: impl IntoIterator<Item = Vec<Event>>) -> Vec<Event> {
    let started = Started { id: "r1".to_owned(), model: "gpt-5-mini-2026".to_owned(), created: Some(1) };
    let usage = Usage { input: Some(5), output: Some(7), ..Usage::default() };
    let mut events = vec![Step::Started(started).into()];
    events.extend(blocks.into_iter().flatten());
    events.extend(
        [Step::Finished(Finished::new(0, FinishReason::EndTurn)), Step::Usage(usage), Step::Ended].map(Event::from),
    );
    events
}

pub fn failed() -> Event {
    Step::Failed(CallError { message: "overloaded".to_owned(), ..CallError::default() }).into()
}

pub fn start(block: u32, kind: BlockKind) -> Event {
    Step::BlockStarted(BlockStarted { block: BlockKey(block), choice: 0, kind }).into()
}

pub fn delta(block: u32, delta: Delta) -> Event {
    Step::BlockDelta(BlockDelta { block: BlockKey(block), delta }).into()
}

pub fn piece(block: u32, text: &str) -> Event {
    delta(block, Delta::Text(text.to_owned()))
}

pub fn arguments(block: u32, text: &str) -> Event {
    delta(block, Delta::Arguments(text.to_owned()))
}

pub fn stop(block: u32) -> Event {
    Step::BlockStopped(BlockKey(block)).into()
}

pub fn block(key: u32, kind: BlockKind, deltas: impl IntoIterator<Item = Delta>) -> Vec<Event> {
    let deltas = deltas.into_iter().map(|piece| delta(key, piece));
    [start(key, kind)].into_iter().chain(deltas).chain([stop(key)]).collect()
}

pub fn text<'a>(key: u32, pieces: impl IntoIterator<Item = &'a str>) -> Vec<Event> {
    block(key, BlockKind::Text, pieces.into_iter().map(|piece| Delta::Text(piece.to_owned())))
}

pub fn thinking(key: u32, pieces: &[&str], signature: Option<&str>) -> Vec<Event> {
    let texts = pieces.iter().map(|piece| Delta::Text((*piece).to_owned()));
    let signature = signature.map(|signature| Delta::Signature(signature.to_owned()));
    block(key, BlockKind::Thinking { field: String::new(), id: String::new() }, texts.chain(signature))
}

pub fn tool_kind(key: u32, name: &str, form: ToolForm) -> BlockKind {
    BlockKind::ToolCall(ToolCall {
        id: format!("call_{key}"),
        name: name.to_owned(),
        namespace: String::new(),
        form,
        type_: String::new(),
    })
}

pub fn tool(key: u32, name: &str, pieces: &[&str]) -> Vec<Event> {
    tool_of(key, name, ToolForm::Function, pieces)
}

pub fn tool_of(key: u32, name: &str, form: ToolForm, pieces: &[&str]) -> Vec<Event> {
    block(key, tool_kind(key, name, form), pieces.iter().map(|piece| Delta::Arguments((*piece).to_owned())))
}

pub fn opaque(key: u32, json: Value, deltas: impl IntoIterator<Item = Value>) -> Vec<Event> {
    block(key, BlockKind::Opaque(json), deltas.into_iter().map(Delta::Opaque))
}

/// What a client makes of events, line by line: each block in order of its start, with its content.
///
/// # Panics
/// The events break the grammar of a response.
pub fn read(events: &[Event]) -> Vec<String> {
    let mut blocks: Vec<(BlockKey, String, bool)> = Vec::new();
    let mut lines = Vec::new();
    for event in events {
        let open = |blocks: &mut Vec<(BlockKey, String, bool)>, key: BlockKey| {
            blocks
                .iter()
                .position(|(other, _, open)| *other == key && *open)
                .unwrap_or_else(|| panic!("{key:?} is not open"))
        };
        match &event.step {
            Step::BlockStarted(started) => {
                assert!(blocks.iter().all(|(key, ..)| *key != started.block), "started twice");
                blocks.push((started.block, head(&started.kind), true));
            }
            Step::BlockDelta(delta) => {
                let at = open(&mut blocks, delta.block);
                match &delta.delta {
                    Delta::Text(text) | Delta::Arguments(text) => blocks[at].1.push_str(text),
                    Delta::Signature(text) => blocks[at].1.push_str(&format!(" [{text}]")),
                    Delta::Opaque(json) => blocks[at].1.push_str(&format!(" {json}")),
                }
            }
            Step::BlockStopped(key) => {
                let at = open(&mut blocks, *key);
                blocks[at].2 = false;
            }
            Step::Opaque(json) => lines.push(format!("step {json}")),
            Step::Failed(error) => lines.push(format!("failed: {}", error.message)),
            Step::Started(_) | Step::Usage(_) | Step::Finished(_) | Step::Ended => {}
        }
    }
    let blocks = blocks.into_iter().map(|(_, content, open)| if open { content + "…" } else { content });
    blocks.chain(lines).collect()
}

fn head(kind: &BlockKind) -> String {
    match kind {
        BlockKind::Text => "text: ".to_owned(),
        BlockKind::Thinking { .. } => "thinking: ".to_owned(),
        BlockKind::RedactedThinking { data } => format!("redacted: {data}"),
        BlockKind::Refusal => "refusal: ".to_owned(),
        BlockKind::ToolCall(call) => format!("call {}: ", call.name),
        BlockKind::Opaque(json) => format!("opaque {json}"),
    }
}
