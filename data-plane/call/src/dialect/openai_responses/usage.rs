//! Tokens: here `input_tokens` includes what the cache read and wrote, and `output_tokens` the reasoning.

use luthien_proto::event::Usage;
use serde_json::{Value, json};

use crate::dialect::fields::{Object, take_object};

/// Takes the usage out of a response; `None` if it has none.
pub(super) fn take(response: &mut Object) -> Option<Usage> {
    let raw = take_object(response, "usage").filter(|raw| !raw.is_empty())?;
    let at = |key: &str| raw.get(key)?.as_u64();
    let inner = |key: &str, field: &str| raw.get(key)?.get(field)?.as_u64();
    let cache_read = inner("input_tokens_details", "cached_tokens");
    let cache_write = inner("input_tokens_details", "cache_write_tokens");
    let cached = cache_read.unwrap_or(0).saturating_add(cache_write.unwrap_or(0));
    let input = at("input_tokens");
    Some(Usage {
        // Some servers give disjoint numbers.
        input: input.map(|input| input.checked_sub(cached).unwrap_or(input)),
        cache_read,
        cache_write,
        output: at("output_tokens"),
        thinking: inner("output_tokens_details", "reasoning_tokens"),
        raw: raw.into(),
    })
}

/// The usage object to write.
pub(super) fn object(usage: &Usage) -> Value {
    if !usage.raw.is_empty() {
        return Value::Object(usage.raw.clone().into_map());
    }
    let input = [usage.input, usage.cache_read, usage.cache_write].into_iter().flatten().fold(0, u64::saturating_add);
    let output = usage.output.unwrap_or(0);
    json!({
        "input_tokens": input,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read.unwrap_or(0),
            "cache_write_tokens": usage.cache_write.unwrap_or(0),
        },
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": usage.thinking.unwrap_or(0)},
        "total_tokens": input.saturating_add(output),
    })
}
