//! What a later call has to know of a response.

use luthien_policy::{BlockEntry, EntryBody, StepEntry};
use luthien_proto::message::CallStarted;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::asked::{self, Asked};

/// What a later call has to know of a response that the provider keeps: that of a call's entries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// Its id, as the client saw it; `None`: it saw none, or the provider does not keep it.
    pub response_id: Option<String>,
    /// The conversation, kept by the provider, that the call is part of.
    pub conversation: Option<String>,
    /// Whether the client got anything else than the model gave.
    pub changed: bool,
    /// The calls of tools that the model made for the client to run, and that the client never got.
    pub withheld: Vec<Withheld>,
    /// While the call runs.
    #[serde(skip)]
    running: Option<Running>,
}

/// A call of a tool that the client never got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withheld {
    /// The id by which it is answered.
    pub id: String,
    /// `function`, `custom`, or the dialect's own name of what it is.
    pub kind: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Running {
    is_kept: bool,
    /// The calls that the client got, or the provider has answered, by their ids.
    settled: Vec<String>,
}

impl Answered {
    /// Of a call that begins.
    pub fn new(started: &CallStarted) -> Self {
        let conversation = match Asked::of(started) {
            Some(Asked::Conversation(id)) => Some(id),
            Some(Asked::Response(_) | Asked::Unreadable) | None => None,
        };
        let running = Running { is_kept: asked::is_kept(started), settled: Vec::new() };
        Self { conversation, running: Some(running), ..Self::default() }
    }

    /// Of one that is over.
    pub fn ended(
        response_id: Option<String>,
        conversation: Option<String>,
        changed: bool,
        withheld: Vec<Withheld>,
    ) -> Self {
        Self { response_id, conversation, changed, withheld, running: None }
    }

    /// Takes note of an entry of the call.
    pub fn note(&mut self, entry: &EntryBody) {
        match entry {
            EntryBody::Outcome(_) => self.running = None,
            EntryBody::Report(report) => {
                self.running = None;
                // What the client got of it nobody here knows.
                self.changed |= self.conversation.is_some() && report.upstream_status != 0;
            }
            EntryBody::Resumed(_)
            | EntryBody::Request(_)
            | EntryBody::Admission(_)
            | EntryBody::Block(_)
            | EntryBody::Part(_)
            | EntryBody::Step(_)
            | EntryBody::Verdict(_)
            | EntryBody::Note(_)
            | EntryBody::Consult(_)
            | EntryBody::Interest(_)
            | EntryBody::Coverage(_) => {}
        }
        let Some(running) = &mut self.running else { return };
        if !running.is_kept && self.conversation.is_none() {
            return;
        }
        match entry {
            EntryBody::Block(block) => self.note_block(block),
            EntryBody::Step(step) => self.note_step(step),
            EntryBody::Verdict(verdict) => self.changed |= matches!(verdict.decision, "end" | "fail"),
            // What policies answer no provider has heard of.
            EntryBody::Admission(admission) => running.is_kept &= admission.decision == "forward",
            EntryBody::Resumed(_)
            | EntryBody::Request(_)
            | EntryBody::Part(_)
            | EntryBody::Note(_)
            | EntryBody::Consult(_)
            | EntryBody::Interest(_)
            | EntryBody::Coverage(_)
            | EntryBody::Outcome(_)
            | EntryBody::Report(_) => {}
        }
    }

    fn note_step(&mut self, step: &StepEntry) {
        self.changed |= !step.unchanged;
        let seen = if step.unchanged { &step.original } else { &step.settled };
        let is_kept = self.running.as_ref().is_some_and(|running| running.is_kept);
        if step.step == "started" && is_kept {
            let id = seen.as_ref().and_then(|started| started["id"].as_str());
            let id = id.filter(|id| !id.is_empty() && asked::is_id(id));
            self.response_id = id.map(str::to_owned);
        }
    }

    fn note_block(&mut self, block: &BlockEntry) {
        self.changed |= !block.unchanged;
        let Some(running) = &mut self.running else { return };
        let original = block.original.as_ref();
        let settled = if block.unchanged { original } else { block.settled.as_ref() };
        let answers = original.and_then(|content| answered_by_provider(content.json.as_ref()?));
        running.settled.extend(answers.or_else(|| settled?.id.clone()));
        if let Some(content) = original
            && let Some(form @ ("function" | "custom")) = content.form
            && let Some(id) = &content.id
        {
            let kind = content.type_.clone().unwrap_or_else(|| form.to_owned());
            self.withheld.push(Withheld { id: id.clone(), kind });
        }
        self.withheld.retain(|call| !running.settled.contains(&call.id));
    }
}

/// The id of a call that an item of the provider's own answers.
fn answered_by_provider(item: &Value) -> Option<String> {
    let is_output = item["type"].as_str().is_some_and(|type_| type_.ends_with("_output"));
    item["call_id"].as_str().filter(|_| is_output).map(str::to_owned)
}
