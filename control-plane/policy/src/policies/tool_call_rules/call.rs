//! The rules in one call.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use luthien_proto::{
    Step,
    event::{BlockDelta, BlockKey, BlockKind, BlockStarted, ToolCall},
    message::Severity,
};
use serde_json::{Value, json};

use super::{Denied, Rules};
use crate::{
    Held, HookOutput, HookResult, MootOutput, PolicyCall, Seen,
    policies::{
        refusal::text_block,
        suspect::{OpaqueParts, Suspect},
    },
};

/// What the policy knows of a call.
pub(super) struct Call {
    rules: Arc<Rules>,
    /// Tool calls that are not whole yet.
    calls: BTreeMap<BlockKey, Unfinished>,
    /// Opaque blocks that are not whole yet.
    opaque: BTreeMap<BlockKey, Unfinished>,
    /// The ids of refused calls: what the provider's own tools answered to them is dropped.
    refused: BTreeSet<String>,
    /// Blocks that are being dropped.
    dropped: BTreeSet<BlockKey>,
    /// What is still to be said of refused steps that stood among open blocks.
    unsaid: Vec<String>,
}

/// A block that is held.
#[derive(Default)]
struct Unfinished {
    chunks: Vec<Held>,
    opaque: OpaqueParts,
}

/// A refused call, as it is told.
struct Refusal {
    tool: String,
    arguments: String,
    reason: String,
    rule: Value,
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

    fn opaque_started(&mut self, started: &BlockStarted, json: &Value, seen: &Seen<'_>, out: &mut HookOutput<'_>) {
        let answers = json.get("tool_use_id").and_then(Value::as_str);
        if answers.is_some_and(|id| self.refused.contains(id)) {
            self.dropped.insert(started.block);
            out.drop_chunk();
            return out.annotate(Severity::Info, "dropped the result of a refused call", None);
        }
        self.opaque.entry(started.block).or_default().hold(seen, out);
        if let Some(block) = self.opaque.get_mut(&started.block) {
            block.opaque.add(json);
        }
    }

    fn opaque_delta(&mut self, delta: &BlockDelta, seen: &Seen<'_>, out: &mut HookOutput<'_>) {
        if self.dropped.contains(&delta.block) {
            return out.drop_chunk();
        }
        let calls = self.calls.get_mut(&delta.block);
        if let Some(block) = calls.or_else(|| self.opaque.get_mut(&delta.block)) {
            block.hold(seen, out);
            block.opaque.add_delta(&delta.delta);
        }
    }

    fn opaque_stopped(&mut self, key: BlockKey, seen: &Seen<'_>, out: &mut HookOutput<'_>) {
        if self.dropped.remove(&key) {
            return out.drop_chunk();
        }
        let Some(mut block) = self.opaque.remove(&key) else { return };
        block.opaque.add_extras(&seen.event.extras);
        let told = || block.opaque.values.first().map(Value::to_string).unwrap_or_default();
        let refusal = refusal_of(&self.rules, &block.opaque.suspect(), told, out.policy());
        self.settle(block.chunks, refusal, seen, out);
    }

    /// A step among blocks that may be open: what is said in its place waits until they have stopped.
    fn opaque_step(&mut self, json: &Value, out: &mut HookOutput<'_>) {
        let mut parts = OpaqueParts::default();
        parts.add(json);
        if let Some(refusal) = refusal_of(&self.rules, &parts.suspect(), || json.to_string(), out.policy()) {
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
        self.rules.message.fill(&[
            ("{tool_name}", &refusal.tool),
            ("{tool_arguments}", &refusal.arguments),
            ("{reason}", &refusal.reason),
        ])
    }
}

impl Unfinished {
    fn hold(&mut self, seen: &Seen<'_>, out: &mut HookOutput<'_>) {
        self.chunks.push(out.hold());
        self.opaque.add_extras(&seen.event.extras);
    }
}

impl PolicyCall for Call {
    fn on_tool_call_chunk(&mut self, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        if let Some(block) = seen.block {
            self.calls.entry(block.key).or_default().hold(seen, out);
        }
        Ok(())
    }

    fn on_tool_call_completed(&mut self, arguments: &str, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        let Some((block, tool)) = seen.block.and_then(|block| Some((block, block.tool?))) else { return Ok(()) };
        let ToolCall { id, name, form, .. } = tool;
        let Unfinished { chunks, mut opaque } = self.calls.remove(&block.key).unwrap_or_default();
        opaque.add_extras(&seen.event.extras);
        let mut suspect = Suspect::call(name, arguments, form.is_json());
        opaque.tell(&mut suspect);
        let refusal = refusal_of(&self.rules, &suspect, || arguments.to_owned(), out.policy());
        if refusal.is_some() && !id.is_empty() {
            self.refused.insert(id.clone());
        }
        self.settle(chunks, refusal, seen, out);
        Ok(())
    }

    fn on_opaque_chunk(&mut self, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        match &seen.event.step {
            Step::BlockStarted(started) => match &started.kind {
                BlockKind::Opaque(json) => self.opaque_started(started, json, seen, out),
                BlockKind::Text
                | BlockKind::Thinking { .. }
                | BlockKind::RedactedThinking { .. }
                | BlockKind::Refusal
                | BlockKind::ToolCall(_) => {}
            },
            Step::BlockDelta(delta) => self.opaque_delta(delta, seen, out),
            Step::BlockStopped(key) => self.opaque_stopped(*key, seen, out),
            Step::Opaque(json) => self.opaque_step(json, out),
            Step::Started(_) | Step::Usage(_) | Step::Finished(_) | Step::Ended | Step::Failed(_) => {}
        }
        Ok(())
    }

    /// What stands beside an error may be a call, to a client that reads on.
    fn on_failed(&mut self, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        let mut beside = OpaqueParts::default();
        beside.add_extras(&seen.event.extras);
        if let Some(refusal) = refusal_of(&self.rules, &beside.suspect(), String::new, out.policy()) {
            note(&refusal, out);
            out.replace(vec![seen.event.step.clone().into()]);
        }
        Ok(())
    }

    fn on_moot(&mut self, block: BlockKey, _: &mut MootOutput<'_>) -> HookResult {
        self.calls.remove(&block);
        self.opaque.remove(&block);
        self.dropped.remove(&block);
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
    let Denied { rule, reason } = rules.deny.against(suspect)?;
    Some(Refusal {
        tool: suspect.names.first().copied().unwrap_or("a tool").to_owned(),
        arguments: arguments(),
        reason: reason.unwrap_or_else(|| format!("policy {policy} does not allow it")),
        rule,
    })
}

fn note(refusal: &Refusal, out: &mut HookOutput<'_>) {
    let Refusal { tool, reason, rule, .. } = refusal;
    let details = json!({ "tool": tool, "reason": reason, "rule": rule });
    out.annotate(Severity::Warning, format!("refused a call of {tool}: {reason}"), Some(details));
}
