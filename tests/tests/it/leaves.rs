//! Whether all that one side said is kept by another, wherever it stands.

use serde_json::Value;

/// The first text or number that was said and is a part of nothing that was kept.
pub fn missing(said: &[Value], kept: &[Value]) -> Option<String> {
    let (said, kept) = (leaves(said), leaves(kept));
    said.into_iter().find(|leaf| !leaf.is_empty() && !kept.iter().any(|kept| kept.contains(leaf.as_str())))
}

fn leaves(values: &[Value]) -> Vec<String> {
    let mut leaves = Vec::new();
    values.iter().for_each(|value| collect(value, &mut leaves));
    leaves
}

/// Every text and number in it, but for those that only name what is said.
fn collect(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::String(text) => match text.strip_prefix("data:").and_then(|url| url.split_once(";base64,")) {
            // It is kept as what it says: a type and data.
            Some((media_type, data)) => into.extend([media_type.to_owned(), data.to_owned()]),
            // The only type of a document that is a text in its request.
            None if text == "text/plain" => {}
            // What is done where nothing is asked for.
            None if text == "auto" => {}
            None => into.push(text.clone()),
        },
        Value::Number(number) => into.push(number.to_string()),
        Value::Array(items) => items.iter().for_each(|item| collect(item, into)),
        Value::Object(fields) => {
            let named = fields.iter().filter(|(name, _)| !ENVELOPE.contains(&name.as_str()));
            named.for_each(|(_, field)| collect(field, into));
        }
        Value::Null | Value::Bool(_) => {}
    }
}

/// Fields whose value follows from what the response is, and where it stands.
const ENVELOPE: &[&str] = &[
    "object",
    "type",
    "role",
    "index",
    "finish_reason",
    "stop_reason",
    "incomplete_details",
    "status",
    "sequence_number",
    "output_index",
    "content_index",
    "summary_index",
];
