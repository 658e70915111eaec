//! What models answered to the questions of policies, from the record.

use luthien_proto::{
    Event, Step,
    event::{BlockDelta, BlockKey, BlockKind, BlockStarted, CallError, Delta, FinishReason, Finished},
    message::Consult,
};
use serde_json::Value;

use super::json::{Fields, Unreadable};
use crate::entry::request_json;

/// Questions, each with its answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Answers(Vec<Answer>);

#[derive(Clone, Debug)]
struct Answer {
    model: String,
    upstream: String,
    /// As it is on record.
    question: Value,
    events: Vec<Event>,
}

impl Answers {
    /// Those that were given: what was cancelled, or not answered in time, has none.
    pub fn read(entries: &[Value]) -> Result<Self, Unreadable> {
        let consults = entries.iter().filter(|entry| entry["type"] == "consult");
        let given = consults.filter(|consult| consult["state"] == "answered" || consult["state"] == "failed");
        given.map(answer).collect::<Result<_, _>>().map(Self)
    }

    /// The answer to an equal question.
    pub fn of(&self, consult: &Consult) -> Option<Vec<Event>> {
        let question = request_json(&consult.request);
        let is_equal = |answer: &&Answer| {
            answer.model == consult.request.model && answer.upstream == consult.upstream && answer.question == question
        };
        self.0.iter().find(is_equal).map(|answer| answer.events.clone())
    }
}

fn answer(entry: &Value) -> Result<Answer, Unreadable> {
    let consult = Fields::of("consult", entry)?;
    let blocks = consult.list("answer", |block| {
        let block = Fields::of("answer", block)?;
        let content = block.get("content").ok_or_else(|| block.wrong("content"))?;
        Ok((block.text("kind")?, Fields::of("content", content)?))
    })?;
    let mut events = Vec::new();
    for (key, (kind, content)) in (0..).map(BlockKey).zip(blocks) {
        // Judges are asked for text; what else a model says is no opinion.
        let is_text = kind == "text";
        let kind =
            if is_text { BlockKind::Text } else { BlockKind::Thinking { field: String::new(), id: String::new() } };
        let delta = Delta::Text(content.text("text")?);
        events.push(Step::BlockStarted(BlockStarted { block: key, choice: 0, kind }).into());
        events.push(Step::BlockDelta(BlockDelta { block: key, delta }).into());
        events.push(Step::BlockStopped(key).into());
    }
    match consult.text("state")?.as_str() {
        "failed" => events.push(failed(consult.text("error")?)),
        _ => {
            events.push(Step::Finished(Finished::new(0, FinishReason::EndTurn)).into());
            events.push(Step::Ended.into());
        }
    }
    Ok(Answer {
        model: consult.text("model")?,
        upstream: consult.text("upstream")?,
        question: consult.get("request").cloned().unwrap_or_default(),
        events,
    })
}

/// That nobody answered.
pub(super) fn failed(message: String) -> Event {
    Step::Failed(CallError { message, ..CallError::default() }).into()
}
