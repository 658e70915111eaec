//! The judge in one call: blocks are held until they are whole, and then until they are judged.

use std::{collections::BTreeMap, sync::Arc};

use luthien_proto::{
    Event, Step,
    event::{BlockDelta, BlockKey, BlockKind, BlockStarted, Delta, ToolForm},
    json::Extras,
    message::{CallStarted, Outcome, Severity},
};
use serde_json::{Map, Value};

use super::{
    Law, Mark, Note, Subject, What,
    docket::{Case, Docket, Part, Role, Standing},
};
use crate::{
    Consulted, ConsultedOutput, HookOutput, HookResult, MootOutput, PolicyCall, Seen, SummaryOutput,
    policies::suspect::OpaqueParts,
};

/// What stands beside content and is none: padding, the chances of the words that were said, and ids.
const NO_CONTENT: [&str; 4] = ["obfuscation", "logprobs", "id", "item_id"];

/// What a policy knows of a call.
pub(in super::super) struct Call<L: Law> {
    docket: Docket<L>,
    /// Texts and calls of tools that are not whole yet.
    blocks: BTreeMap<BlockKey, Unfinished>,
    /// Opaque blocks that are not whole yet.
    opaque: BTreeMap<BlockKey, Unfinished>,
    /// Blocks in which a provider's own tool answers the call of that id.
    answers: BTreeMap<BlockKey, String>,
}

/// A block that is held.
#[derive(Default)]
struct Unfinished {
    started: Option<BlockStarted>,
    chunks: Vec<Part>,
    parts: OpaqueParts,
}

impl<L: Law> Call<L> {
    pub fn new(law: Arc<L>, call: &CallStarted) -> Self {
        let docket = Docket::new(law, Mark::of(call));
        Self { docket, blocks: BTreeMap::new(), opaque: BTreeMap::new(), answers: BTreeMap::new() }
    }

    fn chunk(&mut self, seen: &Seen<'_>, out: &mut HookOutput<'_>) {
        if let Some(block) = seen.block {
            self.blocks.entry(block.key).or_default().hold(seen, out);
        }
    }

    /// The stop of a block that may be judged. `what`: what it is, and the id of the call.
    fn completed(&mut self, what: What, id: &str, content: &str, seen: &Seen<'_>, out: &mut HookOutput<'_>) {
        // One that is being judged already comes again when the response is over.
        let Some(mut unfinished) = seen.block.and_then(|block| self.blocks.remove(&block.key)) else { return };
        if !seen.stopped {
            return drop_unfinished(unfinished, out);
        }
        unfinished.hold(seen, out);
        let beside = if unfinished.parts.values.is_empty() { String::new() } else { unfinished.parts.to_json() };
        if what == What::Text && content.is_empty() && beside.is_empty() {
            return unfinished.pass(out);
        }
        let subject = Subject { what, content: content.to_owned(), beside };
        self.docket.judge(subject, unfinished.into_case(id.to_owned(), seen), out);
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
        let block = self.blocks.get_mut(&delta.block);
        if let Some(block) = block.or_else(|| self.opaque.get_mut(&delta.block)) {
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
        if !looks_like_a_call(&block.parts) {
            return block.pass(out);
        }
        if !seen.stopped {
            return drop_unfinished(block, out);
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
            let chunks = vec![Part { held: out.hold(), role: Role::Piece }];
            self.docket.judge(subject_of(&parts), Case { chunks, seq: seen.seq, ..Case::default() }, out);
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
        if let Step::BlockStarted(started) = &seen.event.step {
            self.started = Some(started.clone());
        }
        self.chunks.push(Part { held: out.hold(), role: role(&seen.event.step) });
        self.parts.add_extras(&content_of(&seen.event.extras));
    }

    fn pass(self, out: &mut HookOutput<'_>) {
        self.chunks.into_iter().for_each(|part| out.pass_held(part.held));
    }

    fn into_case(self, id: String, seen: &Seen<'_>) -> Case {
        Case { chunks: self.chunks, started: self.started, answers: Vec::new(), id, seq: seen.seq }
    }
}

impl<L: Law> PolicyCall for Call<L> {
    fn on_content_chunk(&mut self, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        self.chunk(seen, out);
        Ok(())
    }

    fn on_content_completed(&mut self, text: &str, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        self.completed(What::Text, "", text, seen, out);
        Ok(())
    }

    fn on_tool_call_chunk(&mut self, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        self.chunk(seen, out);
        Ok(())
    }

    fn on_tool_call_completed(&mut self, arguments: &str, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        if let Some(tool) = seen.block.and_then(|block| block.tool) {
            let is_open = match tool.form {
                ToolForm::Function | ToolForm::Legacy => true,
                ToolForm::Custom | ToolForm::Server => false,
            };
            self.completed(What::Call { tool: tool.name.clone(), is_open }, &tool.id, arguments, seen, out);
        }
        Ok(())
    }

    fn on_opaque_chunk(&mut self, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        let judges_calls = self.docket.law.judges_calls();
        match &seen.event.step {
            Step::BlockDelta(delta) => self.opaque_delta(delta, seen, out),
            Step::BlockStarted(started) => {
                if let (BlockKind::Opaque(json), true) = (&started.kind, judges_calls) {
                    self.opaque_started(started, json, seen, out);
                }
            }
            Step::BlockStopped(key) => self.opaque_stopped(*key, seen, out),
            Step::Opaque(json) if judges_calls => self.opaque_step(json, seen, out),
            Step::Opaque(_) | Step::Started(_) | Step::Usage(_) | Step::Finished(_) | Step::Ended | Step::Failed(_) => {
            }
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

    fn on_moot(&mut self, block: BlockKey, out: &mut MootOutput<'_>) -> HookResult {
        self.blocks.remove(&block);
        self.opaque.remove(&block);
        self.answers.remove(&block);
        if let Some(id) = self.docket.forget(block) {
            out.cancel_consult(id);
        }
        Ok(())
    }

    fn on_response_completed(&mut self, _: Outcome, out: &mut SummaryOutput<'_>) -> HookResult {
        let counts = self.docket.counts;
        if counts.judged + counts.unjudged > 0 {
            let Note { severity, summary, details } = self.docket.law.summary(counts);
            out.annotate(severity, summary, Some(details));
        }
        Ok(())
    }
}

fn role(step: &Step) -> Role {
    match step {
        Step::BlockStarted(_) => Role::Start,
        Step::BlockStopped(_) => Role::Stop,
        Step::BlockDelta(BlockDelta { delta: Delta::Signature(_), .. }) => Role::Signature,
        Step::BlockDelta(_)
        | Step::Started(_)
        | Step::Usage(_)
        | Step::Finished(_)
        | Step::Opaque(_)
        | Step::Ended
        | Step::Failed(_) => Role::Piece,
    }
}

/// The unknown fields, without what is empty, and those that are no content in any dialect and differ each time.
fn content_of(extras: &Extras) -> Extras {
    let fields = extras.iter().filter(|(name, _)| !NO_CONTENT.contains(&name.as_str()));
    let fields = fields.filter_map(|(name, value)| Some((name.clone(), content(value)?)));
    Extras::from(fields.collect::<Map<_, _>>())
}

fn content(value: &Value) -> Option<Value> {
    match value {
        Value::Object(map) => {
            let fields = map.iter().filter(|(name, _)| !NO_CONTENT.contains(&name.as_str()));
            let map: Map<_, _> = fields.filter_map(|(name, value)| Some((name.clone(), content(value)?))).collect();
            (!map.is_empty()).then_some(Value::Object(map))
        }
        Value::Array(items) if items.is_empty() => None,
        Value::Null => None,
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Some(value.clone()),
    }
}

/// The response broke off: what never became whole is not let through.
fn drop_unfinished(block: Unfinished, out: &mut HookOutput<'_>) {
    let is_text = block.started.as_ref().is_some_and(|started| started.kind == BlockKind::Text);
    let what = if is_text { "dropped a text that broke off" } else { "dropped a call that broke off" };
    out.annotate(Severity::Info, what, None);
    block.chunks.into_iter().for_each(|part| out.replace_held(part.held, Vec::<Event>::new()));
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
    Subject { what: What::Call { tool, is_open: false }, content: parts.to_json(), beside: String::new() }
}
