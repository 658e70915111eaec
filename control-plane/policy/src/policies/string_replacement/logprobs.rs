//! Log probabilities that stand apart from their text.
//!
//! Those of a changed piece go with it. Where a dialect puts those of a whole text elsewhere, they would still tell what
//! was replaced, token by token.

use luthien_proto::json::{Borrowed, Fields};
use serde_json::Value;

use super::finder::Finder;

const KEY: &str = "logprobs";

/// Whether the text of fields, without escapes, may have any.
pub(super) fn may_be_in(text: &str) -> bool {
    text.contains(KEY)
}

/// The fields that change, if the log probabilities of a text that is replaced are taken out of them.
pub(super) fn hide(fields: &Fields<'_>, finder: &Finder) -> Vec<(String, Value)> {
    let changed = fields.iter().filter_map(|(name, value)| {
        let inner = value.as_object()?;
        let changed =
            if name == KEY { tells(inner, finder).then_some(Value::Null) } else { hide_within(inner, finder) };
        Some((name.to_owned(), changed?))
    });
    changed.collect()
}

fn hide_within(fields: &Fields<'_>, finder: &Finder) -> Option<Value> {
    let changed = hide(fields, finder);
    (!changed.is_empty()).then(|| {
        let mut hidden = fields.clone().into_map();
        hidden.extend(changed);
        Value::Object(hidden)
    })
}

/// Whether the tokens, put together, hold something that is replaced.
fn tells(logprobs: &Fields<'_>, finder: &Finder) -> bool {
    logprobs.iter().filter_map(|(_, tokens)| tokens.as_array()).any(|tokens| {
        let text: String = tokens.iter().filter_map(|token| token.get("token").and_then(Borrowed::as_str)).collect();
        finder.replace(&text).is_some()
    })
}
