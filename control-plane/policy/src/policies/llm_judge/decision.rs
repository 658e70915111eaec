//! What the judge answers.

use serde_json::{Map, Value};

use crate::policies::judging::{Subject, What};

/// What a judge decides about a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Decision {
    Pass,
    /// In place of the text; a call is refused with it.
    Text(String),
    /// The arguments that the call is given instead, as JSON.
    Arguments(String),
}

impl Decision {
    /// An answer is a decision if it is exactly what was asked for.
    pub fn read(subject: &Subject, answer: &Map<String, Value>) -> Result<Self, &'static str> {
        let decision = answer.get("decision").and_then(Value::as_str).ok_or("it has no decision")?;
        let (text, arguments) = (answer.get("text"), answer.get("arguments"));
        match (decision, text, arguments, answer.len()) {
            ("pass", None, None, 1) => Ok(Self::Pass),
            ("replace", Some(Value::String(text)), None, 2) => match &subject.what {
                What::Call { .. } if text.is_empty() => Err("it refuses a call without a word"),
                What::Call { .. } | What::Text => Ok(Self::Text(text.clone())),
            },
            ("replace", None, Some(arguments @ Value::Object(_)), 2) => match &subject.what {
                What::Call { is_open: true, .. } => Ok(Self::Arguments(arguments.to_string())),
                What::Call { is_open: false, .. } => Err("the call can't be given other arguments"),
                What::Text => Err("a text has no arguments"),
            },
            ("pass" | "replace", ..) => Err("its fields are not those of its decision"),
            _ => Err("it has another decision"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_decision_is_exactly_what_was_asked_for() {
        let call = |is_open| What::Call { tool: "f".to_owned(), is_open };
        let (wrong, text) =
            (Err("its fields are not those of its decision"), |text: &str| Ok(Decision::Text(text.into())));
        let cases = [
            (What::Text, json!({ "decision": "pass" }), Ok(Decision::Pass)),
            (call(true), json!({ "decision": "pass" }), Ok(Decision::Pass)),
            (What::Text, json!({ "decision": "replace", "text": "x" }), text("x")),
            (What::Text, json!({ "decision": "replace", "text": "" }), text("")),
            (call(false), json!({ "decision": "replace", "text": "no" }), text("no")),
            (call(true), json!({ "decision": "replace", "text": "" }), Err("it refuses a call without a word")),
            (
                call(true),
                json!({ "decision": "replace", "arguments": { "a": 1 } }),
                Ok(Decision::Arguments(r#"{"a":1}"#.to_owned())),
            ),
            (
                call(false),
                json!({ "decision": "replace", "arguments": {} }),
                Err("the call can't be given other arguments"),
            ),
            (What::Text, json!({ "decision": "replace", "arguments": {} }), Err("a text has no arguments")),
            (call(true), json!({ "decision": "replace", "arguments": "{}" }), wrong.clone()),
            (call(true), json!({ "decision": "replace", "arguments": {}, "text": "x" }), wrong.clone()),
            (What::Text, json!({ "decision": "replace" }), wrong.clone()),
            (What::Text, json!({ "decision": "replace", "text": null }), wrong.clone()),
            (What::Text, json!({ "decision": "pass", "text": "x" }), wrong.clone()),
            (What::Text, json!({ "decision": "pass", "why": "x" }), wrong),
            (What::Text, json!({ "decision": "PASS" }), Err("it has another decision")),
            (What::Text, json!({ "decision": true }), Err("it has no decision")),
            (What::Text, json!({}), Err("it has no decision")),
        ];
        for (what, answer, expected) in cases {
            let subject = Subject { what, content: String::new(), beside: String::new() };
            assert_eq!(Decision::read(&subject, answer.as_object().unwrap()), expected, "{answer}");
        }
    }
}
