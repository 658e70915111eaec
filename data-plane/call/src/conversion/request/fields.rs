//! Top-level fields that the canonical request has no place for.

use luthien_proto::{
    Request,
    json::Extras,
    request::{Dialect, ReasoningMode},
};
use serde_json::{Map, Value, json};

use super::Way;
use crate::dialect::Lost;

/// What becomes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The target says the same by this name.
    Carried(&'static str),
    /// The target knows a field of that very name.
    Kept,
    /// The client may miss it.
    Dropped,
    /// Nobody will miss it.
    Omitted,
    /// It says nothing that isn't said elsewhere.
    Silent,
}

/// Whether the client wants the chunk that tells the usage of a stream.
pub(crate) fn wants_usage(request: &Request, client: Dialect) -> bool {
    let asked = || request.extras.get("stream_options")?.get("include_usage")?.as_bool();
    client != Dialect::OpenAiChat || asked() == Some(true)
}

pub(super) fn convert(request: &mut Request, way: &Way<'_>, lost: &mut Lost) {
    if way.client == Dialect::OpenAiChat {
        take_reasoning(request);
    }
    let mut kept = Map::new();
    for (name, value) in std::mem::take(&mut request.extras).into_map() {
        if value.is_null() {
            continue;
        }
        match fate(&name, &value, request, way) {
            Fate::Carried(name) => {
                kept.insert(name.to_owned(), value);
            }
            Fate::Kept => {
                kept.insert(name, value);
            }
            Fate::Dropped => within(&name, &value).for_each(|name| lost.drop(name)),
            Fate::Omitted => lost.omit(name),
            Fate::Silent => {}
        }
    }
    if way.target() == Dialect::OpenAiChat && request.stream {
        kept.insert("stream_options".to_owned(), json!({"include_usage": true}));
    }
    request.extras = Extras::from(kept);
}

/// Of what remains of a known object, each field by itself.
fn within(name: &str, value: &Value) -> impl Iterator<Item = String> {
    let inner: Vec<_> = match (name, value) {
        ("output_config" | "text", Value::Object(fields)) => fields.keys().map(|key| format!("{name}.{key}")).collect(),
        _ => vec![name.to_owned()],
    };
    inner.into_iter()
}

fn fate(name: &str, value: &Value, request: &Request, way: &Way<'_>) -> Fate {
    let target = way.target();
    match way.client {
        Dialect::OpenAiChat => of_chat(name, value, way),
        Dialect::AnthropicMessages => of_messages(name, value),
        Dialect::OpenAiResponses => of_responses(name, value, request, way),
        Dialect::Gemini => None,
    }
    .or_else(|| by_name(name, target))
    .unwrap_or(if target == Dialect::OpenAiChat && way.to.options.compatible { Fate::Kept } else { Fate::Dropped })
}

fn of_chat(name: &str, value: &Value, way: &Way<'_>) -> Option<Fate> {
    let to_openai = way.is_within_openai();
    Some(match name {
        "stream_options" => Fate::Silent,
        "modalities" if *value == json!(["text"]) => Fate::Silent,
        "metadata" | "prompt_cache_retention" | "prompt_cache_options" if !to_openai => Fate::Omitted,
        "metadata" | "prompt_cache_retention" | "prompt_cache_options" | "moderation" if to_openai => Fate::Kept,
        "user" => Fate::Silent,
        "container" | "context_management" | "reasoning" | "tools" | "functions" => Fate::Dropped,
        _ => return None,
    })
}

fn of_messages(name: &str, value: &Value) -> Option<Fate> {
    let shows_only = |value: &Value| value.as_object().is_some_and(|fields| fields.keys().all(|key| key == "display"));
    Some(match name {
        "cache_control" | "metadata" => Fate::Omitted,
        "thinking" if shows_only(value) => Fate::Omitted,
        "context_management"
        | "compaction"
        | "mcp_servers"
        | "container"
        | "fallbacks"
        | "fallback_credit_token"
        | "diagnostics"
        | "inference_geo"
        | "billing_policy"
        | "speed"
        | "thinking"
        | "output_config"
        | "output_format"
        | "tools"
        | "tool_choice" => Fate::Dropped,
        _ => return None,
    })
}

fn of_responses(name: &str, value: &Value, request: &Request, way: &Way<'_>) -> Option<Fate> {
    let to_openai = way.is_within_openai();
    Some(match name {
        "stream_options" | "background" | "user" => Fate::Silent,
        "include" if includes_known(value) => Fate::Silent,
        "truncation" | "client_metadata" => Fate::Omitted,
        // OpenAI Chat takes it with what it stores only.
        "metadata" if to_openai && request.service.store == Some(true) => Fate::Kept,
        "metadata" => Fate::Omitted,
        "prompt_cache_retention" | "prompt_cache_options" | "moderation" if to_openai => Fate::Kept,
        "prompt_cache_retention" | "prompt_cache_options" | "reasoning" => Fate::Omitted,
        "include" | "max_tool_calls" | "access_programs" | "image" | "context_management" | "moderation" | "text"
        | "tools" | "input" | "top_logprobs" => Fate::Dropped,
        _ => return None,
    })
}

/// What is included anyway, or asked for in another way.
fn includes_known(value: &Value) -> bool {
    const KNOWN: [&str; 2] = ["reasoning.encrypted_content", "message.output_text.logprobs"];
    let is_known = |item: &Value| item.as_str().is_some_and(|item| KNOWN.contains(&item));
    value.as_array().is_some_and(|items| items.iter().all(is_known))
}

/// Fields that clients of other dialects send because they know the target.
fn by_name(name: &str, target: Dialect) -> Option<Fate> {
    Some(match (target, name) {
        (Dialect::Gemini, "safety_settings" | "safetySettings") => Fate::Carried("safetySettings"),
        (Dialect::Gemini, "cached_content" | "cachedContent") => Fate::Carried("cachedContent"),
        (Dialect::Gemini, "labels") => Fate::Carried("labels"),
        (Dialect::AnthropicMessages, "cache_control" | "mcp_servers" | "inference_geo" | "speed" | "output_config") => {
            Fate::Kept
        }
        (Dialect::OpenAiResponses, "truncation" | "max_tool_calls" | "include") => Fate::Kept,
        (Dialect::OpenAiChat, "logit_bias" | "prediction" | "modalities" | "audio" | "web_search_options") => {
            Fate::Kept
        }
        _ => return None,
    })
}

/// How OpenAI Chat's relatives say how to reason: `reasoning`, or `thinking` as Anthropic does.
fn take_reasoning(request: &mut Request) {
    if !request.reasoning.effort.is_empty() {
        return;
    }
    let mut extras = std::mem::take(&mut request.extras).into_map();
    let number = |fields: &Value, key: &str| fields.get(key).and_then(Value::as_u64);
    let reasoning = &mut request.reasoning;
    if let Some(fields) = extras.get("reasoning").filter(|fields| fields.is_object()) {
        let effort = fields.get("effort").and_then(Value::as_str);
        let enabled = fields.get("enabled").and_then(Value::as_bool);
        reasoning.effort = effort.unwrap_or_default().to_owned();
        reasoning.mode = match (number(fields, "max_tokens"), enabled) {
            (_, Some(false)) => ReasoningMode::Off,
            (Some(budget), _) => ReasoningMode::Budget(budget),
            (None, Some(true)) if effort.is_none() => ReasoningMode::Adaptive,
            (None, Some(true) | None) => ReasoningMode::Unset,
        };
        reasoning.shown = fields.get("exclude").and_then(Value::as_bool).map(|excluded| !excluded);
        extras.shift_remove("reasoning");
    } else if let Some(fields) = extras.get("thinking") {
        let mode = match fields.get("type").and_then(Value::as_str) {
            Some("disabled") => Some(ReasoningMode::Off),
            Some("enabled") => {
                Some(number(fields, "budget_tokens").map_or(ReasoningMode::Adaptive, ReasoningMode::Budget))
            }
            Some("adaptive") => Some(ReasoningMode::Adaptive),
            Some(_) | None => None,
        };
        if let Some(mode) = mode {
            reasoning.mode = mode;
            extras.shift_remove("thinking");
        }
    }
    request.extras = Extras::from(extras);
}
