//! What a judge answers.

use luthien_proto::json::parse_object;
use serde_json::{Map, Value};

use crate::Consulted;

/// Why there is no opinion. Never what the judge said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in super::super) enum NoOpinion {
    #[error("the judge could not be asked: {0}")]
    Failed(String),
    #[error("the judge did not answer with the JSON object that was asked for: {0}")]
    Malformed(&'static str),
}

/// The object that the judge answered.
pub(super) fn object(consulted: &Consulted<'_>) -> Result<Map<String, Value>, NoOpinion> {
    let text = consulted.text().map_err(|error| NoOpinion::Failed(error.message.clone()))?;
    read(&text).map_err(NoOpinion::Malformed)
}

fn read(text: &str) -> Result<Map<String, Value>, &'static str> {
    parse_object(without_fence(text).as_bytes()).map_err(|_| "it is no JSON object")
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
    fn an_answer_is_one_object_bare_or_between_fences() {
        for text in [r#"{"a": 1}"#, "```json\n{\"a\": 1}\n```", "  ```\n{\"a\": 1}```\n"] {
            assert_eq!(read(text).unwrap()["a"], 1, "{text}");
        }
        for text in
            ["", "no", "[{}]", "```json\n{\"a\": 1}", "So: {\"a\": 1}", "{\"a\": 1} {\"a\": 2}", "{\"a\": 1, \"a\": 2}"]
        {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
