//! How to reason and what to answer with. Unknown fields of an object stay in it.

use luthien_proto::request::{OutputFormat, Reasoning, ReasoningMode, ServiceOptions};
use serde_json::Value;

use crate::dialect::fields::{Object, put_back, take_object, take_string, take_u64, take_value};

pub(super) fn reasoning(body: &mut Object) -> Reasoning {
    let effort = within(body, "output_config", |config| take_string(config, "effort"));
    let mut reasoning = Reasoning { effort: effort.unwrap_or_default(), ..Reasoning::default() };
    if let Some(thinking) = take_object(body, "thinking") {
        let mut rest = thinking.clone();
        match mode(&mut rest) {
            Some(mode) => {
                reasoning.mode = mode;
                reasoning.shown = take_shown(&mut rest);
                put_back(body, "thinking", rest);
            }
            None => put_back(body, "thinking", thinking),
        }
    }
    reasoning
}

fn mode(thinking: &mut Object) -> Option<ReasoningMode> {
    match take_string(thinking, "type")?.as_str() {
        "adaptive" => Some(ReasoningMode::Adaptive),
        "disabled" => Some(ReasoningMode::Off),
        "enabled" => take_u64(thinking, "budget_tokens").map(ReasoningMode::Budget),
        _ => None,
    }
}

fn take_shown(thinking: &mut Object) -> Option<bool> {
    let shown = match thinking.get("display").and_then(Value::as_str)? {
        "summarized" => true,
        "omitted" => false,
        _ => return None,
    };
    thinking.shift_remove("display");
    Some(shown)
}

/// `output_format` is the older place of `output_config.format`.
pub(super) fn output(body: &mut Object) -> Option<OutputFormat> {
    within(body, "output_config", |config| take_format(config, "format")).or_else(|| take_format(body, "output_format"))
}

/// A format of which every field is known; any other stays where it is.
fn take_format(place: &mut Object, key: &str) -> Option<OutputFormat> {
    let mut format = place.get(key)?.as_object()?.clone();
    if take_string(&mut format, "type")? != "json_schema" {
        return None;
    }
    let schema = take_value(&mut format, "schema")?;
    if !format.is_empty() {
        return None;
    }
    place.shift_remove(key);
    Some(OutputFormat::JsonSchema { name: String::new(), description: String::new(), schema, strict: None })
}

pub(super) fn service(body: &mut Object) -> ServiceOptions {
    ServiceOptions {
        end_user: within(body, "metadata", |metadata| take_string(metadata, "user_id")).unwrap_or_default(),
        tier: take_string(body, "service_tier").unwrap_or_default(),
        ..ServiceOptions::default()
    }
}

/// Takes from an inner object what is known of it.
fn within<T>(body: &mut Object, key: &str, take: impl FnOnce(&mut Object) -> Option<T>) -> Option<T> {
    let Some(Value::Object(inner)) = body.get_mut(key) else { return None };
    let taken = take(inner);
    if inner.is_empty() {
        body.shift_remove(key);
    }
    taken
}
