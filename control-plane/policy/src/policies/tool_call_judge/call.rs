//! The judge in one call.

use std::{collections::BTreeMap, sync::Arc};

use luthien_proto::{
    Step,
    event::{BlockDelta, BlockKey, BlockKind, BlockStarted},
    message::{Outcome, Severity},
};
use serde_json::{Value, json};

use super::{
    docket::{Case, Counts, Docket, Standing},
    question::Subject,
    settings::Settings,
};
use crate::{
    Consulted, ConsultedOutput, Held, HookOutput, HookResult, PolicyCall, Seen, SummaryOutput,
    policies::suspect::OpaqueParts,
};

/// What the policy knows of a call.
pub(super) struct Call {
    docket: Docket,
    /// Tool calls that are not whole yet.
    calls: BTreeMap<BlockKey, Unfinished>,
    /// Opaque blocks that are not whole yet.
    opaque: BTreeMap<BlockKey, Unfinished>,
    /// Blocks in which a provider's own tool answers the call of that id.
    answers: BTreeMap<BlockKey, String>,
}

/// A block that is held.
#[derive(Default)]
struct Unfinished {
    chunks: Vec<Held>,
    parts: OpaqueParts,
}

impl Call {
    pub fn new(settings: Arc<Settings>) -> Self {
        let docket = Docket::new(settings);
        Self { docket, calls: BTreeMap::new(), opaque: BTreeMap::new(), answers: BTreeMap::new() }
    }

    fn opaque_started(&mut self, started: &BlockStarted, json: &Value, seen: &Seen<'_>, out: &mut HookOutput<'_>) {
        if let Some(id) = json.get("tool_use_id").and_then(Value::as_str) {
            self.answers.insert(started.block, id.to_owned());
            return self.answer_chunk(id, out);
        }
        let block = self.opaque.entry(started.block).or_default();
        block.hold(seen, out);
        block.parts.add(json);
    }

    fn opaque_delta(&mut self, delta: &BlockDelta, seen: &Seen<'_>, out: &mut HookOutput<'_>) {
        if let Some(id) = self.answers.get(&delta.block).cloned() {
            return self.answer_chunk(&id, out);
        }
        let calls = self.calls.get_mut(&delta.block);
        if let Some(block) = calls.or_else(|| self.opaque.get_mut(&delta.block)) {
            block.hold(seen, out);
            block.parts.add_delta(&delta.delta);
        }
    }

    fn opaque_stopped(&mut self, key: BlockKey, seen: &Seen<'_>, out: &mut HookOutput<'_>) {
        if let Some(id) = self.answers.remove(&key) {
            if seen.stopped {
                self.answer_chunk(&id, out);
            }
            return;
        }
        let Some(mut block) = self.opaque.remove(&key) else { return };
        if !seen.stopped && looks_like_a_call(&block.parts) {
            return drop_unfinished(block, out);
        }
        if !looks_like_a_call(&block.parts) {
            return block.chunks.into_iter().for_each(|held| out.pass_held(held));
        }
        block.hold(seen, out);
        let subject = subject_of(&block.parts);
        self.docket.judge(subject, block.into_case(String::new(), seen), out);
    }

    /// A step among blocks that may be open: nothing can be said in its place.
    fn opaque_step(&mut self, json: &Value, seen: &Seen<'_>, out: &mut HookOutput<'_>) {
        let mut parts = OpaqueParts::default();
        parts.add(json);
        if looks_like_a_call(&parts) {
            let case = Case { chunks: vec![out.hold()], seq: seen.seq, ..Case::default() };
            self.docket.judge(subject_of(&parts), case, out);
        }
    }

    /// What a provider's own tool answers goes the way of its call.
    fn answer_chunk(&mut self, id: &str, out: &mut HookOutput<'_>) {
        match self.docket.standing(id) {
            Standing::Passed => {}
            Standing::Refused => out.drop_chunk(),
            Standing::Open(case) => case.answers.push(out.hold()),
        }
    }
}

impl Unfinished {
    fn hold(&mut self, seen: &Seen<'_>, out: &mut HookOutput<'_>) {
        self.chunks.push(out.hold());
        self.parts.add_extras(&seen.event.extras);
    }

    fn into_case(self, id: String, seen: &Seen<'_>) -> Case {
        let choice = seen.block.map_or(0, |block| block.choice);
        Case { chunks: self.chunks, answers: Vec::new(), id, choice, seq: seen.seq, is_block: true }
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
        // One that is being judged already comes again when the response is over.
        let Some(mut unfinished) = self.calls.remove(&block.key) else { return Ok(()) };
        if !seen.stopped {
            drop_unfinished(unfinished, out);
            return Ok(());
        }
        unfinished.hold(seen, out);
        let beside = if unfinished.parts.values.is_empty() { String::new() } else { unfinished.parts.to_json() };
        let subject = Subject { tool: tool.name.clone(), arguments: arguments.to_owned(), beside };
        self.docket.judge(subject, unfinished.into_case(tool.id.clone(), seen), out);
        Ok(())
    }

    fn on_opaque_chunk(&mut self, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        match &seen.event.step {
            Step::BlockStarted(started) => {
                if let BlockKind::Opaque(json) = &started.kind {
                    self.opaque_started(started, json, seen, out);
                }
            }
            Step::BlockDelta(delta) => self.opaque_delta(delta, seen, out),
            Step::BlockStopped(key) => self.opaque_stopped(*key, seen, out),
            Step::Opaque(json) => self.opaque_step(json, seen, out),
            Step::Started(_) | Step::Usage(_) | Step::Finished(_) | Step::Ended | Step::Failed(_) => {}
        }
        Ok(())
    }

    /// What stands beside an error may be a call, to a client that reads on. Nobody is asked about it.
    fn on_failed(&mut self, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        let mut beside = OpaqueParts::default();
        beside.add_extras(&seen.event.extras);
        if looks_like_a_call(&beside) {
            out.annotate(Severity::Warning, "dropped what may be a call beside an error", None);
            out.replace(vec![seen.event.step.clone().into()]);
        }
        Ok(())
    }

    fn on_consulted(&mut self, consulted: &Consulted<'_>, out: &mut ConsultedOutput<'_>) -> HookResult {
        self.docket.consulted(consulted, out);
        Ok(())
    }

    fn on_response_completed(&mut self, _: Outcome, out: &mut SummaryOutput<'_>) -> HookResult {
        let Counts { judged, refused, unjudged } = self.docket.counts;
        if judged + unjudged > 0 {
            let details = json!({ "judged": judged, "refused": refused, "unjudged": unjudged });
            out.annotate(Severity::Info, format!("judged {judged} tool calls and refused {refused}"), Some(details));
        }
        Ok(())
    }
}

/// The response broke off: what never became whole is not let through.
fn drop_unfinished(block: Unfinished, out: &mut HookOutput<'_>) {
    out.annotate(Severity::Info, "dropped a call that broke off", None);
    block.chunks.into_iter().for_each(|held| out.replace_held(held, Vec::new()));
}

/// Whether it names a tool, or is of a type that is called so.
fn looks_like_a_call(parts: &OpaqueParts) -> bool {
    let is_call = |value: &Value| {
        let type_ = value.get("type").and_then(Value::as_str).unwrap_or_default();
        type_.ends_with("_call") || type_.ends_with("tool_use")
    };
    !parts.suspect().names.is_empty() || parts.values.iter().any(is_call)
}

fn subject_of(parts: &OpaqueParts) -> Subject {
    let tool = parts.suspect().names.first().copied().unwrap_or("a tool").to_owned();
    Subject { tool, arguments: parts.to_json(), beside: String::new() }
}
