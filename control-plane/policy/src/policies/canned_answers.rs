//! `canned_answers`: calls that ask for certain models, or say certain words, are answered without a model.

mod canned;

use std::sync::Arc;

use canned::Canned;
use luthien_proto::{
    event::BlockKey,
    message::{CallStarted, FailureMode, Interest, Level, Severity},
};
use serde_json::{Value, json};

use super::{Common, object, refusal::text_block};
use crate::{BuildError, Hook, HookResult, Hooks, Policy, PolicyCall, RequestOutput, set::Fields};

/// The policy.
pub(super) struct CannedAnswers {
    common: Common,
    answers: Arc<[Canned]>,
}

/// What [`CannedAnswers::build`] reads.
pub(super) fn schema() -> Value {
    let answers = json!({
        "type": "array",
        "minItems": 1,
        "items": canned::schema(),
        "description": "The answers; the first that fits is given, and calls that none fits are not touched.",
    });
    let examples = json!([{
        "answers": [
            { "models": ["gpt-4*"], "text": "This model is retired here: please choose another one." },
            { "match": "(?i)^/status\\b", "text": "The gateway is up." },
        ],
    }]);
    object(json!({ "answers": answers }), &["answers"], examples)
}

impl CannedAnswers {
    pub fn build(common: Common, fields: &mut Fields) -> Result<Self, BuildError> {
        let answers = fields.list("answers", Canned::read)?.unwrap_or_default();
        if answers.is_empty() {
            return Err(BuildError::new("answers", "there are no answers: give at least one"));
        }
        Ok(Self { common, answers: answers.into() })
    }
}

impl Policy for CannedAnswers {
    fn name(&self) -> &str {
        &self.common.name
    }

    fn hooks(&self) -> Hooks {
        Hooks::of(&[Hook::Request])
    }

    fn interest(&self, _: &CallStarted) -> Interest {
        Interest::all(Level::Record)
    }

    fn failure_mode(&self) -> FailureMode {
        self.common.failure_mode
    }

    fn begin(&self, _: &CallStarted) -> Box<dyn PolicyCall + Send> {
        Box::new(Call { answers: self.answers.clone() })
    }
}

struct Call {
    answers: Arc<[Canned]>,
}

impl PolicyCall for Call {
    fn on_request(&mut self, call: &CallStarted, out: &mut RequestOutput<'_>) -> HookResult {
        let found = self.answers.iter().enumerate().find(|(_, canned)| canned.fits(&call.request));
        if let Some((index, canned)) = found {
            out.annotate(Severity::Info, "answered without a model", Some(json!({ "answer": index })));
            out.answer(text_block(BlockKey::POLICY_FIRST, 0, canned.text.clone()));
        }
        Ok(())
    }
}
