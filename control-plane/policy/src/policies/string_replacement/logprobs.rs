//! Log probabilities that stand apart from their text.
//!
//! Those of a changed piece go with it. Where a dialect puts those of a whole text elsewhere, they would still tell what
//! was replaced, token by token.

use serde_json::{Map, Value};

use super::finder::Finder;

const KEY: &str = "logprobs";

/// The fields that change, if the log probabilities of a text that is replaced are taken out of them.
pub(super) fn hide<'a>(fields: impl Iterator<Item = (&'a String, &'a Value)>, finder: &Finder) -> Vec<(String, Value)> {
    let changed = fields.filter_map(|(name, value)| {
        let changed = match value {
            Value::Object(map) if name == KEY => tells(map, finder).then_some(Value::Null),
            Value::Object(map) => hide_within(map, finder),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
        };
        Some((name.clone(), changed?))
    });
    changed.collect()
}

fn hide_within(map: &Map<String, Value>, finder: &Finder) -> Option<Value> {
    let changed = hide(map.iter(), finder);
    (!changed.is_empty()).then(|| {
        let mut hidden = map.clone();
        hidden.extend(changed);
        Value::Object(hidden)
    })
}

/// Whether the tokens, put together, hold something that is replaced.
fn tells(logprobs: &Map<String, Value>, finder: &Finder) -> bool {
    logprobs.values().filter_map(Value::as_array).any(|tokens| {
        let text: String = tokens.iter().filter_map(|token| token.get("token")?.as_str()).collect();
        finder.replace(&text).is_some()
    })
}
