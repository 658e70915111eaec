//! Texts within JSON: values, names of fields, and texts that are JSON themselves, as the arguments of tools are.

use serde_json::{Map, Value};

use super::Redaction;

/// How deep JSON is looked for within texts.
const WITHIN_MAX: usize = 3;
/// Fields of an entry that are always ours.
const OURS: [&str; 2] = ["type", "revision"];

/// Masks an entry but for what says which one it is.
pub(super) fn mask_entry(redaction: &Redaction, entry: &mut Value) {
    let Value::Object(fields) = entry else { return };
    for (name, value) in fields {
        if !OURS.contains(&name.as_str()) {
            mask(redaction, value);
        }
    }
}

/// Masks all texts in a value; whether there was anything to mask.
pub(super) fn mask(redaction: &Redaction, value: &mut Value) -> bool {
    mask_at(redaction, value, 0)
}

fn mask_at(redaction: &Redaction, value: &mut Value, depth: usize) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
        Value::String(text) => match mask_text(redaction, text, depth) {
            Some(masked) => {
                *text = masked;
                true
            }
            None => false,
        },
        Value::Array(items) => mask_each(redaction, items.iter_mut(), depth),
        Value::Object(fields) => {
            let masked = mask_each(redaction, fields.values_mut(), depth);
            mask_names(redaction, fields) || masked
        }
    }
}

/// All of them, and not only the first one in which something is found.
fn mask_each<'a>(redaction: &Redaction, values: impl Iterator<Item = &'a mut Value>, depth: usize) -> bool {
    let mut masked = false;
    for value in values {
        masked |= mask_at(redaction, value, depth);
    }
    masked
}

/// Escapes hide what a text says: JSON within it is read.
fn mask_text(redaction: &Redaction, text: &str, depth: usize) -> Option<String> {
    let within = is_json(text).filter(|_| depth < WITHIN_MAX).and_then(|mut json| {
        let is_masked = mask_at(redaction, &mut json, depth + 1);
        is_masked.then(|| json.to_string())
    });
    redaction.mask(within.as_deref().unwrap_or(text)).or(within)
}

fn is_json(text: &str) -> Option<Value> {
    text.trim_start().starts_with(['{', '[']).then(|| serde_json::from_str(text).ok()).flatten()
}

fn mask_names(redaction: &Redaction, fields: &mut Map<String, Value>) -> bool {
    let is_plain = |name: &String| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if fields.keys().all(|name| is_plain(name) || redaction.mask(name).is_none()) {
        return false;
    }
    let masked = |name: String| if is_plain(&name) { name } else { redaction.mask(&name).unwrap_or(name) };
    *fields = std::mem::take(fields).into_iter().map(|(name, value)| (masked(name), value)).collect();
    true
}
