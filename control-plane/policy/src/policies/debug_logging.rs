//! `debug_logging`: each chunk becomes a note on the record, where the policy stands in the pipeline.
//!
//! It observes and changes nothing: first in a pipeline it shows what the model said, last what the client gets. What was
//! said goes to the record alone, never to a log.

use luthien_proto::{
    Event, Step,
    event::{BlockKind, Delta},
    message::{CallStarted, FailureMode, Interest, Level, Outcome, Severity},
};
use serde_json::{Map, Value, json};

use super::{Common, object};
use crate::{
    BuildError, Hook, HookOutput, Hooks, Policy, PolicyCall, RequestOutput, Seen, SummaryOutput,
    entry::{step_json, step_name},
    policy::HookResult,
    set::Fields,
};

/// How much of a chunk's content a note shows, unless it is configured.
const CHARS_MAX: usize = 200;

/// The policy.
pub(super) struct DebugLogging {
    common: Common,
    chars_max: usize,
}

/// The policy in one call.
struct Call {
    chars_max: usize,
}

/// What [`DebugLogging::build`] reads.
pub(super) fn schema() -> Value {
    let max_chars = json!({
        "type": "integer",
        "minimum": 0,
        "default": CHARS_MAX,
        "description": "How many characters of a chunk's content, and of its unknown fields, a note shows.",
    });
    object(json!({ "max_chars": max_chars }), &[], json!([{ "max_chars": 80 }]))
}

impl DebugLogging {
    pub fn build(common: Common, fields: &mut Fields) -> Result<Self, BuildError> {
        let chars_max = fields.optional("max_chars")?.unwrap_or(CHARS_MAX);
        Ok(Self { common, chars_max })
    }
}

impl Policy for DebugLogging {
    fn name(&self) -> &str {
        &self.common.name
    }

    fn hooks(&self) -> Hooks {
        Hooks::of(&Hook::ALL)
    }

    fn interest(&self, _: &CallStarted) -> Interest {
        Interest::all(Level::Observe)
    }

    fn failure_mode(&self) -> FailureMode {
        self.common.failure_mode
    }

    fn begin(&self, _: &CallStarted) -> Box<dyn PolicyCall + Send> {
        Box::new(Call { chars_max: self.chars_max })
    }
}

impl PolicyCall for Call {
    fn on_request(&mut self, call: &CallStarted, out: &mut RequestOutput<'_>) -> HookResult {
        let details = json!({
            "hook": Hook::Request.name(),
            "model": call.request.model,
            "stream": call.request.stream,
            "messages": call.request.messages.len(),
            "tools": call.request.tools.len(),
        });
        out.annotate(Severity::Debug, "the request", Some(details));
        Ok(())
    }

    /// The one step that has no hook of its own.
    fn on_chunk_started(&mut self, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        match seen.event.step {
            Step::Ended => self.note(Hook::ChunkStarted, None, seen, out),
            Step::Started(_)
            | Step::BlockStarted(_)
            | Step::BlockDelta(_)
            | Step::BlockStopped(_)
            | Step::Usage(_)
            | Step::Finished(_)
            | Step::Opaque(_)
            | Step::Failed(_) => Ok(()),
        }
    }

    fn on_response_started(&mut self, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        self.note(Hook::ResponseStarted, None, seen, out)
    }

    fn on_content_chunk(&mut self, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        self.note(Hook::ContentChunk, None, seen, out)
    }

    fn on_content_completed(&mut self, text: &str, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        self.note(Hook::ContentCompleted, Some(text), seen, out)
    }

    fn on_thinking_chunk(&mut self, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        self.note(Hook::ThinkingChunk, None, seen, out)
    }

    fn on_refusal_chunk(&mut self, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        self.note(Hook::RefusalChunk, None, seen, out)
    }

    fn on_tool_call_chunk(&mut self, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        self.note(Hook::ToolCallChunk, None, seen, out)
    }

    fn on_tool_call_completed(&mut self, arguments: &str, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        self.note(Hook::ToolCallCompleted, Some(arguments), seen, out)
    }

    fn on_opaque_chunk(&mut self, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        self.note(Hook::OpaqueChunk, None, seen, out)
    }

    fn on_usage(&mut self, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        self.note(Hook::Usage, None, seen, out)
    }

    fn on_finished(&mut self, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        self.note(Hook::Finished, None, seen, out)
    }

    fn on_failed(&mut self, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        self.note(Hook::Failed, None, seen, out)
    }

    fn on_response_completed(&mut self, outcome: Outcome, out: &mut SummaryOutput<'_>) -> HookResult {
        let details = json!({ "hook": Hook::ResponseCompleted.name(), "outcome": outcome.name() });
        out.annotate(Severity::Debug, "the end of the call", Some(details));
        Ok(())
    }
}

impl Call {
    /// Notes a chunk. `whole`: the content of its block, where the hook sees that.
    fn note(&self, hook: Hook, whole: Option<&str>, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        let step = step_name(&seen.event.step);
        let mut details = Map::from_iter([("hook".to_owned(), json!(hook.name())), ("step".to_owned(), json!(step))]);
        if let Some(block) = seen.block {
            details.insert("kind".to_owned(), block.kind.name().into());
            details.insert("choice".to_owned(), block.choice.into());
            details.insert("block".to_owned(), block.key.0.into());
            if let Some(tool) = block.tool {
                details.insert("tool".to_owned(), tool.name.clone().into());
            }
        }
        if !seen.stopped {
            details.insert("stopped".to_owned(), false.into());
        }
        self.show(&mut details, "content", whole.map(str::to_owned).or_else(|| content(seen.event)));
        let extras = (!seen.event.extras.is_empty()).then(|| json!(seen.event.extras.clone().into_map()).to_string());
        self.show(&mut details, "extras", extras);
        let summary = seen.block.map_or_else(|| step.to_owned(), |block| format!("{step} of {}", block.kind.name()));
        out.annotate(Severity::Debug, summary, Some(Value::Object(details)));
        Ok(())
    }

    /// As much of a text as is wanted, and its length where that is not all of it.
    fn show(&self, details: &mut Map<String, Value>, name: &str, text: Option<String>) {
        let Some(mut text) = text else { return };
        if let Some((cut, _)) = text.char_indices().nth(self.chars_max) {
            details.insert(format!("{name}_chars"), text.chars().count().into());
            text.truncate(cut);
        }
        details.insert(name.to_owned(), text.into());
    }
}

/// What a step says, as a text; `None`: nothing.
fn content(event: &Event) -> Option<String> {
    match &event.step {
        Step::BlockStarted(started) => match &started.kind {
            BlockKind::RedactedThinking { data } => Some(data.clone()),
            BlockKind::Opaque(json) => Some(json.to_string()),
            BlockKind::Text | BlockKind::Thinking { .. } | BlockKind::Refusal | BlockKind::ToolCall(_) => None,
        },
        Step::BlockDelta(delta) => Some(match &delta.delta {
            Delta::Text(text) | Delta::Arguments(text) | Delta::Signature(text) => text.clone(),
            Delta::Opaque(json) => json.to_string(),
        }),
        Step::BlockStopped(_) | Step::Ended => None,
        Step::Opaque(json) => Some(json.to_string()),
        Step::Started(_) | Step::Usage(_) | Step::Finished(_) | Step::Failed(_) => {
            let known = Event::from(event.step.clone());
            step_json(&known).map(|json| json.to_string())
        }
    }
}
