//! What the judge answers.

use serde_json::{Map, Value};

/// A judge's opinion of a call.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Opinion {
    /// How likely it is that it does harm.
    pub probability: f64,
    pub explanation: String,
}

impl Opinion {
    /// An answer is an opinion if it is exactly what was asked for.
    pub fn read(object: &Map<String, Value>) -> Result<Self, &'static str> {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_opinion_is_exactly_what_was_asked_for() {
        let opinion = |probability| Ok(Opinion { probability, explanation: "x".to_owned() });
        let cases = [
            (json!({ "probability": 0.25, "explanation": "x" }), opinion(0.25)),
            (json!({ "explanation": "x", "probability": 1 }), opinion(1.0)),
            (json!({ "probability": 0, "explanation": "x" }), opinion(0.0)),
            (json!({ "probability": "0", "explanation": "x" }), Err("it has no number as probability")),
            (json!({ "probability": null, "explanation": "x" }), Err("it has no number as probability")),
            (json!({ "probability": 0 }), Err("it has no text as explanation")),
            (json!({ "probability": 0, "explanation": "x", "allow": true }), Err("it has other fields")),
            (json!({ "probability": 1.01, "explanation": "x" }), Err("its probability is not within 0 and 1")),
            (json!({ "probability": -1, "explanation": "x" }), Err("its probability is not within 0 and 1")),
        ];
        for (answer, expected) in cases {
            assert_eq!(Opinion::read(answer.as_object().unwrap()), expected, "{answer}");
        }
    }
}
