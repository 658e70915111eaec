//! Tokens: the three input counts are disjoint.

use luthien_proto::{
    event::Usage,
    json::{Borrowed, Fields},
};
use serde_json::{Value, json};

use crate::dialect::fields::Object;

/// Takes the usage out of a message or a `message_delta`; `None` if it has none.
pub(super) fn take(object: &mut Fields<'_>) -> Option<Usage> {
    let raw = object.take_object("usage").filter(|raw| !raw.is_empty())?;
    let at = |key| raw.get(key).and_then(Borrowed::as_u64);
    Some(Usage {
        input: at("input_tokens"),
        cache_read: at("cache_read_input_tokens"),
        cache_write: at("cache_creation_input_tokens"),
        output: at("output_tokens"),
        thinking: raw.get("output_tokens_details").and_then(|details| details.get("thinking_tokens")?.as_u64()),
        raw: raw.into(),
    })
}

/// The usage object to write: what is known of it. Who knows of input knows what of it the cache had.
pub(super) fn object(usage: &Usage) -> Object {
    if !usage.raw.is_empty() {
        return usage.raw.clone().into_map();
    }
    let mut object = Object::new();
    let mut insert = |key: &str, tokens: Option<u64>| {
        if let Some(tokens) = tokens {
            object.insert(key.to_owned(), tokens.into());
        }
    };
    let or_zero = |tokens: Option<u64>| tokens.or(usage.input.map(|_| 0));
    insert("input_tokens", usage.input);
    insert("cache_creation_input_tokens", or_zero(usage.cache_write));
    insert("cache_read_input_tokens", or_zero(usage.cache_read));
    insert("output_tokens", usage.output);
    if let Some(thinking) = usage.thinking {
        object.insert("output_tokens_details".to_owned(), json!({"thinking_tokens": thinking}));
    }
    object
}

/// Adds what clients require of the usage that a message begins with.
pub(super) fn complete(usage: &mut Object) {
    for key in ["input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens"] {
        if usage.get(key).is_none_or(Value::is_null) {
            usage.insert(key.to_owned(), 0.into());
        }
    }
}
