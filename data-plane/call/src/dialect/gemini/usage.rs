//! Tokens: each chunk tells those so far. Here the prompt includes what the cache read, but not what tools of the provider
//! added; and the candidates' tokens don't include the thoughts.

use luthien_proto::event::Usage;
use serde_json::Value;

use crate::dialect::fields::Object;

/// The usage of which the chunks have told this.
pub(super) fn usage(raw: Object) -> Usage {
    let at = |key: &str| raw.get(key).and_then(Value::as_u64);
    let cache_read = at("cachedContentTokenCount");
    let prompt = at("promptTokenCount").map(|prompt| prompt.saturating_add(at("toolUsePromptTokenCount").unwrap_or(0)));
    let thinking = at("thoughtsTokenCount");
    let told = [at("candidatesTokenCount"), thinking].into_iter().flatten().reduce(u64::saturating_add);
    Usage {
        input: prompt.map(|prompt| prompt.checked_sub(cache_read.unwrap_or(0)).unwrap_or(prompt)),
        cache_read,
        cache_write: None,
        output: told.or_else(|| at("totalTokenCount")?.checked_sub(prompt?)),
        thinking,
        raw: raw.into(),
    }
}
