//! What the judge answers.

use luthien_proto::json::parse_object;
use serde_json::Value;

use crate::Consulted;

/// A judge's opinion of a call.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Opinion {
    /// How likely it is that it does harm.
    pub probability: f64,
    pub explanation: String,
}

/// Why there is none. Never what the judge said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoOpinion {
    #[error("the judge could not be asked: {0}")]
    Failed(String),
    #[error("the judge did not answer with the JSON object that was asked for: {0}")]
    Malformed(&'static str),
}

impl Opinion {
    /// An answer is an opinion if it is exactly what was asked for.
    pub fn of(consulted: &Consulted<'_>) -> Result<Self, NoOpinion> {
        let text = consulted.text().map_err(|error| NoOpinion::Failed(error.message.clone()))?;
        Self::read(&text).map_err(NoOpinion::Malformed)
    }

    fn read(text: &str) -> Result<Self, &'static str> {
        let object = parse_object(without_fence(text).as_bytes()).map_err(|_| "it is no JSON object")?;
        let probability = object.get("probability").and_then(Value::as_f64).ok_or("it has no number as probability")?;
        let explanation = object.get("explanation").and_then(Value::as_str).ok_or("it has no text as explanation")?;
        if object.len() > 2 {
            return Err("it has other fields");
        }
        if !(0.0..=1.0).contains(&probability) {
            return Err("its probability is not within 0 and 1");
        }
        Ok(Self { probability, explanation: explanation.to_owned() })
    }
}

/// Models like to put JSON between fences.
fn without_fence(text: &str) -> &str {
    let text = text.trim();
    let fenced = text.strip_prefix("```json").or_else(|| text.strip_prefix("```"));
    fenced.and_then(|fenced| fenced.strip_suffix("```")).map_or(text, str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_opinion_is_exactly_what_was_asked_for() {
        let opinion = |probability| Ok(Opinion { probability, explanation: "x".to_owned() });
        let cases = [
            (r#"{"probability": 0.25, "explanation": "x"}"#, opinion(0.25)),
            (" \n{\"explanation\": \"x\", \"probability\": 1}\n", opinion(1.0)),
            ("```json\n{\"probability\": 0, \"explanation\": \"x\"}\n```", opinion(0.0)),
            ("```\n{\"probability\": 0, \"explanation\": \"x\"}```\n", opinion(0.0)),
            ("", Err("it is no JSON object")),
            ("Sure! {\"probability\": 0, \"explanation\": \"x\"}", Err("it is no JSON object")),
            ("```json\n{\"probability\": 0, \"explanation\": \"x\"}", Err("it is no JSON object")),
            (r#"[{"probability": 0, "explanation": "x"}]"#, Err("it is no JSON object")),
            (r#"{"probability": 0, "probability": 1, "explanation": "x"}"#, Err("it is no JSON object")),
            (r#"{"probability": "0", "explanation": "x"}"#, Err("it has no number as probability")),
            (r#"{"probability": null, "explanation": "x"}"#, Err("it has no number as probability")),
            (r#"{"probability": 0}"#, Err("it has no text as explanation")),
            (r#"{"probability": 0, "explanation": "x", "allow": true}"#, Err("it has other fields")),
            (r#"{"probability": 1.01, "explanation": "x"}"#, Err("its probability is not within 0 and 1")),
            (r#"{"probability": -1, "explanation": "x"}"#, Err("its probability is not within 0 and 1")),
        ];
        for (text, expected) in cases {
            assert_eq!(Opinion::read(text), expected, "{text}");
        }
    }
}
