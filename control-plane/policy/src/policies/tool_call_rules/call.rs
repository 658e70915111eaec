//! The rules in one call.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use luthien_proto::{
    Event, Step,
    event::{BlockDelta, BlockKey, BlockKind, BlockStarted, Delta, ToolCall},
    message::Severity,
};
use serde_json::{Value, json};

use super::{
    Rules,
    rule::{Rule, Suspect},
};
use crate::{Held, HookOutput, HookResult, PolicyCall, Seen};

/// What the policy knows of a call.
pub(super) struct Call {
    rules: Arc<Rules>,
    /// Tool calls that are not whole yet.
    calls: BTreeMap<BlockKey, Vec<Held>>,
    /// Opaque blocks that are not whole yet.
    opaque: BTreeMap<BlockKey, OpaqueBlock>,
    /// The ids of refused calls: what the provider's own tools answered to them is dropped.
    refused: BTreeSet<String>,
    /// Blocks that are being dropped.
    dropped: BTreeSet<BlockKey>,
    /// What is still to be said of refused steps that stood among open blocks.
    unsaid: Vec<String>,
}

/// An opaque block that is held.
struct OpaqueBlock {
    chunks: Vec<Held>,
    json: Value,
    deltas: Vec<Value>,
    /// Pieces that belong together: by the name of their field.
    pieces: BTreeMap<String, String>,
}

/// A refused call, as it is told.
struct Refusal {
    tool: String,
    arguments: String,
    reason: String,
    rule: usize,
}

impl Call {
    pub fn new(rules: Arc<Rules>) -> Self {
        Self {
            rules,
            calls: BTreeMap::new(),
            opaque: BTreeMap::new(),
            refused: BTreeSet::new(),
            dropped: BTreeSet::new(),
            unsaid: Vec::new(),
        }
    }

    fn opaque_started(&mut self, started: &BlockStarted, json: &Value, out: &mut HookOutput<'_>) {
        let answers = json.get("tool_use_id").and_then(Value::as_str);
        if answers.is_some_and(|id| self.refused.contains(id)) {
            self.dropped.insert(started.block);
            out.drop_chunk();
            return out.annotate(Severity::Info, "dropped the result of a refused call", None);
        }
        let block =
            OpaqueBlock { chunks: vec![out.hold()], json: json.clone(), deltas: Vec::new(), pieces: BTreeMap::new() };
        self.opaque.insert(started.block, block);
    }

    fn opaque_delta(&mut self, delta: &BlockDelta, out: &mut HookOutput<'_>) {
        if self.dropped.contains(&delta.block) {
            out.drop_chunk();
        } else if let Some(chunks) = self.calls.get_mut(&delta.block) {
            chunks.push(out.hold());
        } else if let Some(block) = self.opaque.get_mut(&delta.block) {
            block.chunks.push(out.hold());
            block.add(&delta.delta);
        }
    }

    fn opaque_stopped(&mut self, key: BlockKey, seen: &Seen<'_>, out: &mut HookOutput<'_>) {
        if self.dropped.remove(&key) {
            return out.drop_chunk();
        }
        let Some(block) = self.opaque.remove(&key) else { return };
        let refusal = refusal_of(&self.rules, &block.suspect(), || block.json.to_string(), out.policy());
        self.settle(block.chunks, refusal, seen, out);
    }

    /// A step among blocks that may be open: what is said in its place waits until they have stopped.
    fn opaque_step(&mut self, json: &Value, out: &mut HookOutput<'_>) {
        let mut suspect = Suspect::default();
        suspect.add_opaque(json);
        if let Some(refusal) = refusal_of(&self.rules, &suspect, || json.to_string(), out.policy()) {
            note(&refusal, out);
            self.unsaid.push(self.message(&refusal));
            out.drop_chunk();
        }
    }

    /// Decides about a block that is as whole as it will be.
    fn settle(&self, chunks: Vec<Held>, refusal: Option<Refusal>, seen: &Seen<'_>, out: &mut HookOutput<'_>) {
        let choice = seen.block.map_or(0, |block| block.choice);
        let instead = match &refusal {
            None if seen.stopped => return chunks.into_iter().for_each(|held| out.pass_held(held)),
            None => {
                out.annotate(Severity::Info, "dropped a call that broke off", None);
                Vec::new()
            }
            Some(refusal) => {
                note(refusal, out);
                text_block(out.new_block(), choice, self.message(refusal))
            }
        };
        let mut instead = Some(instead);
        for held in chunks {
            out.replace_held(held, instead.take().unwrap_or_default());
        }
        out.drop_chunk();
    }

    fn message(&self, refusal: &Refusal) -> String {
        self.rules.message.fill(&refusal.tool, &refusal.arguments, &refusal.reason)
    }
}

impl OpaqueBlock {
    fn add(&mut self, delta: &Delta) {
        match delta {
            Delta::Text(text) => self.piece("text", text),
            Delta::Arguments(text) => self.piece("arguments", text),
            Delta::Signature(_) => {}
            Delta::Opaque(json) => {
                for (name, text) in json.as_object().into_iter().flatten() {
                    if let Some(text) = text.as_str() {
                        self.piece(name, text);
                    }
                }
                self.deltas.push(json.clone());
            }
        }
    }

    fn piece(&mut self, name: &str, text: &str) {
        match self.pieces.get_mut(name) {
            Some(whole) => whole.push_str(text),
            None => drop(self.pieces.insert(name.to_owned(), text.to_owned())),
        }
    }

    fn suspect(&self) -> Suspect<'_> {
        let mut suspect = Suspect::default();
        suspect.add_opaque(&self.json);
        self.deltas.iter().for_each(|delta| suspect.add_opaque(delta));
        self.pieces.values().for_each(|whole| suspect.add_json(whole));
        suspect
    }
}

impl PolicyCall for Call {
    fn on_tool_call_chunk(&mut self, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        if let Some(block) = seen.block {
            self.calls.entry(block.key).or_default().push(out.hold());
        }
        Ok(())
    }

    fn on_tool_call_completed(&mut self, arguments: &str, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        let Some((block, tool)) = seen.block.and_then(|block| Some((block, block.tool?))) else { return Ok(()) };
        let ToolCall { id, name, form, .. } = tool;
        let suspect = Suspect::call(name, arguments, form.is_json());
        let refusal = refusal_of(&self.rules, &suspect, || arguments.to_owned(), out.policy());
        if refusal.is_some() && !id.is_empty() {
            self.refused.insert(id.clone());
        }
        let chunks = self.calls.remove(&block.key).unwrap_or_default();
        self.settle(chunks, refusal, seen, out);
        Ok(())
    }

    fn on_opaque_chunk(&mut self, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        match &seen.event.step {
            Step::BlockStarted(started) => match &started.kind {
                BlockKind::Opaque(json) => self.opaque_started(started, json, out),
                BlockKind::Text
                | BlockKind::Thinking { .. }
                | BlockKind::RedactedThinking { .. }
                | BlockKind::Refusal
                | BlockKind::ToolCall(_) => {}
            },
            Step::BlockDelta(delta) => self.opaque_delta(delta, out),
            Step::BlockStopped(key) => self.opaque_stopped(*key, seen, out),
            Step::Opaque(json) => self.opaque_step(json, out),
            Step::Started(_) | Step::Usage(_) | Step::Finished(_) | Step::Ended | Step::Failed(_) => {}
        }
        Ok(())
    }

    fn on_finished(&mut self, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        if self.unsaid.is_empty() {
            return Ok(());
        }
        if let Step::Finished(finished) = &seen.event.step {
            let texts = std::mem::take(&mut self.unsaid);
            let said = texts.into_iter().flat_map(|text| text_block(out.new_block(), finished.choice, text));
            let events = said.collect::<Vec<_>>().into_iter().chain([seen.event.clone()]);
            out.replace(events.collect());
        }
        Ok(())
    }
}

fn refusal_of(
    rules: &Rules,
    suspect: &Suspect<'_>,
    arguments: impl FnOnce() -> String,
    policy: &str,
) -> Option<Refusal> {
    let (rule, Rule { reason, .. }) = rules.against(suspect)?;
    Some(Refusal {
        tool: suspect.names.first().copied().unwrap_or("a tool").to_owned(),
        arguments: arguments(),
        reason: reason.clone().unwrap_or_else(|| format!("policy {policy} does not allow it")),
        rule,
    })
}

fn note(refusal: &Refusal, out: &mut HookOutput<'_>) {
    let Refusal { tool, reason, rule, .. } = refusal;
    let details = json!({ "tool": tool, "reason": reason, "rule": rule });
    out.annotate(Severity::Warning, format!("refused a call of {tool}: {reason}"), Some(details));
}

fn text_block(block: BlockKey, choice: u32, text: String) -> Vec<Event> {
    let steps = [
        Step::BlockStarted(BlockStarted { block, choice, kind: BlockKind::Text }),
        Step::BlockDelta(BlockDelta { block, delta: Delta::Text(text) }),
        Step::BlockStopped(block),
    ];
    steps.into_iter().map(Event::from).collect()
}
