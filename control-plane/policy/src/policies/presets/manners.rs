//! `no_yapping` and `no_apologies`: judges of texts with instructions of their own.
//!
//! What is an apology, and what is more than was asked for, no rule can say.

use serde_json::{Value, json};

use crate::{
    BuildError,
    policies::{
        Common,
        llm_judge::{LlmJudge, Settings, properties},
        object,
    },
    set::Fields,
};

pub(in super::super) const YAPPING: &str = "The text has to come to the point. Openings that repeat or praise the question, \
     announcements of what will be said or done, summaries of what was just said, offers of further help, and filler go. \
     Everything that informs stays, word for word: facts, reasons, steps, warnings, caveats, questions, code, commands, lists \
     and tables. If nothing is left, the text is empty. A text that has nothing of that kind passes.";

pub(in super::super) const APOLOGIES: &str = "The text must not apologise. Apologies, expressions of regret and of \
     understanding for the reader's frustration, and self-reproach go, and sentences are mended where that is needed: `Sorry, \
     you are right: x is 2.` becomes `x is 2.` What was wrong and what is done about it stays, and so does everything else, \
     word for word, code and quotations included. If nothing is left, the text is empty. A text without an apology passes.";

/// A judge of texts by those instructions.
pub(in super::super) fn manners(
    instructions: &str,
    common: Common,
    fields: &mut Fields,
) -> Result<LlmJudge, BuildError> {
    Ok(LlmJudge::new(common, Settings::of(instructions.to_owned(), true, false, fields)?))
}

/// What [`manners`] reads.
pub(in super::super) fn manners_schema() -> Value {
    let examples = json!([{
        "model": "claude-haiku-4-5",
        "upstream": "anthropic",
        "credentials": "configured",
        "temperature": 0.0,
        "max_tokens": 4096,
        "retries": 1,
        "deadline": "10s",
        "on_error": "pass",
        "on_error_message": "{what} could not be judged.",
    }]);
    object(Value::Object(properties()), &["model"], examples)
}
