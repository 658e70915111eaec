//! Tokens: here `prompt_tokens` includes what the cache read and wrote, and `completion_tokens` the reasoning.

use luthien_proto::{event::Usage, json::Fields};
use serde_json::{Value, json};

/// Takes the usage out of a chunk or a body; `None` if it has none.
pub(super) fn take(chunk: &mut Fields<'_>) -> Option<Usage> {
    let raw = chunk.take_object("usage").filter(|raw| !raw.is_empty())?;
    let prompt = at(&raw, "prompt_tokens");
    let cache_read = inner(&raw, "prompt_tokens_details", "cached_tokens");
    let cache_write = inner(&raw, "prompt_tokens_details", "cache_write_tokens");
    let cached = cache_read.unwrap_or(0).saturating_add(cache_write.unwrap_or(0));
    Some(Usage {
        // Some servers give disjoint numbers.
        input: prompt.map(|prompt| prompt.checked_sub(cached).unwrap_or(prompt)),
        cache_read,
        cache_write,
        output: at(&raw, "completion_tokens"),
        thinking: inner(&raw, "completion_tokens_details", "reasoning_tokens"),
        raw: raw.into(),
    })
}

fn at(raw: &Fields<'_>, key: &str) -> Option<u64> {
    raw.get(key)?.as_u64()
}

fn inner(raw: &Fields<'_>, key: &str, field: &str) -> Option<u64> {
    raw.get(key)?.get(field)?.as_u64()
}

/// Adds what was told later: what it says overwrites.
pub(super) fn add(known: &mut Usage, later: &Usage) {
    known.input = later.input.or(known.input);
    known.cache_read = later.cache_read.or(known.cache_read);
    known.cache_write = later.cache_write.or(known.cache_write);
    known.output = later.output.or(known.output);
    known.thinking = later.thinking.or(known.thinking);
    known.raw.clone_from(&later.raw);
}

/// The usage object to write.
pub(super) fn object(usage: &Usage) -> Value {
    if !usage.raw.is_empty() {
        return Value::Object(usage.raw.clone().into_map());
    }
    let parts = [usage.input, usage.cache_read, usage.cache_write];
    let prompt = parts.into_iter().flatten().fold(0, u64::saturating_add);
    let completion = usage.output.unwrap_or(0);
    let mut object = json!({
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt.saturating_add(completion),
        "prompt_tokens_details": {"cached_tokens": usage.cache_read.unwrap_or(0)},
        "completion_tokens_details": {"reasoning_tokens": usage.thinking.unwrap_or(0)},
    });
    if let Some(written) = usage.cache_write {
        object["prompt_tokens_details"]["cache_write_tokens"] = written.into();
    }
    object
}
