//! What a policy asked a model, and what it was answered.

use luthien_proto::{
    Step,
    event::{BlockKey, Usage},
    message::{Consult, Consultation, Credentials},
};
use serde::Serialize;
use serde_json::Value;

use super::{ContentEntry, merge_usage, request_json, usage_json};

/// A question of a policy to a model, and the answer.
#[derive(Clone, Debug, Serialize)]
pub struct ConsultEntry {
    /// The policy.
    pub policy: String,
    /// Its id in the call.
    pub id: String,
    /// `answered`, `failed`, `cancelled` (the policy needed it no more), `unanswered` (the call was over first).
    pub state: &'static str,
    /// The model.
    pub model: String,
    /// The upstream that was named; empty: none was.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub upstream: String,
    /// Whose credentials: `caller` or `configured`.
    pub credentials: &'static str,
    /// The question, in the form of [`super::RequestEntry::request`].
    pub request: Value,
    /// When the last chunk arrived that had come when it was asked: microseconds since the call began.
    pub asked_us: u64,
    /// The same of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered_us: Option<u64>,
    /// Whether the answer is that of an equal question of the same session, and the model was not asked.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reused: bool,
    /// What the model said, block by block.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub answer: Vec<ConsultBlockEntry>,
    /// What went wrong, for `failed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What it has cost, in tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Value>,
}

/// A block of an answer.
#[derive(Clone, Debug, Serialize)]
pub struct ConsultBlockEntry {
    /// Its key; answers have keys of their own.
    #[serde(skip)]
    key: BlockKey,
    /// `text`, `thinking`, `refusal`, `tool_call`, `opaque`.
    pub kind: &'static str,
    /// What it says.
    pub content: ContentEntry,
}

impl ConsultEntry {
    /// A question that nobody has answered yet.
    pub(crate) fn asked(policy: &str, consult: &Consult, now_us: u64) -> Self {
        let Consult { id, request, upstream, credentials, deadline_ms: _, reuse: _ } = consult;
        Self {
            policy: policy.to_owned(),
            id: id.clone(),
            state: "unanswered",
            model: request.model.clone(),
            upstream: upstream.clone(),
            credentials: match credentials {
                Credentials::Caller => "caller",
                Credentials::Configured => "configured",
            },
            request: request_json(request),
            asked_us: now_us,
            answered_us: None,
            reused: false,
            answer: Vec::new(),
            error: None,
            usage: None,
        }
    }

    /// The same, cancelled.
    pub(crate) fn cancelled(self) -> Self {
        Self { state: "cancelled", ..self }
    }

    /// The same, with its answer.
    pub(crate) fn answered(mut self, consultation: &Consultation, now_us: u64) -> Self {
        (self.state, self.answered_us) = ("answered", Some(now_us));
        self.reused = consultation.reused;
        let mut usage: Option<Usage> = None;
        for event in &consultation.events {
            match &event.step {
                Step::BlockStarted(started) => {
                    let content = ContentEntry::begin(&started.kind, &event.extras);
                    let (key, kind) = (started.block, started.kind.kind().name());
                    self.answer.push(ConsultBlockEntry { key, kind, content });
                }
                Step::BlockDelta(delta) => {
                    if let Some(block) = self.answer.iter_mut().find(|block| block.key == delta.block) {
                        block.content.push(&delta.delta, &event.extras);
                    }
                }
                Step::Usage(step) => merge_usage(usage.get_or_insert_default(), step),
                Step::Failed(error) => (self.state, self.error) = ("failed", Some(error.message.clone())),
                Step::Started(_) | Step::BlockStopped(_) | Step::Finished(_) | Step::Opaque(_) | Step::Ended => {}
            }
        }
        self.usage = usage.as_ref().map(usage_json);
        self
    }
}
