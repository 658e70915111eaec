//! Writing a request.

use luthien_proto::{
    Request,
    request::{Content, ContentBlock, OutputFormat, ReasoningMode, Sampling},
};
use serde_json::{Value, json};

use super::{LOGPROBS, items, parts, tools};
use crate::dialect::{
    fields::{Object, merge},
    target::{Lost, UpstreamOptions},
};

/// The least that the provider accepts as a limit of its answer.
pub(in crate::dialect) const LEAST_OUTPUT_TOKENS: u64 = 16;

pub(in crate::dialect) fn encode(request: &Request, _options: &UpstreamOptions, lost: &mut Lost) -> Object {
    let mut body = Object::new();
    body.insert("model".to_owned(), Value::from(request.model.as_str()));
    let mut input = items::encode(&request.messages, lost);
    match instructions(&request.system) {
        Some(Ok(text)) => {
            body.insert("instructions".to_owned(), text);
        }
        Some(Err(message)) => input.insert(0, message),
        None => {}
    }
    if !input.is_empty() {
        body.insert("input".to_owned(), Value::from(input));
    }
    name_unsayable(&request.sampling, lost);
    settings(request, &mut body);
    body.insert("stream".to_owned(), Value::from(request.stream));
    body
}

/// Everything but the conversation.
pub(super) fn settings(request: &Request, body: &mut Object) {
    tools::encode(request, body);
    sampling(&request.sampling, body);
    let nested = [("reasoning", reasoning(request)), ("text", text(request))];
    for (key, fields) in nested.into_iter().filter(|(_, fields)| !fields.is_empty()) {
        body.insert(key.to_owned(), Value::Object(fields));
    }
    service(request, body);
    let mut extras = request.extras.clone().into_map();
    extras.retain(|key, value| key != "user" || !value.is_null());
    if request.reasoning.shown == Some(false)
        && let Some(Value::Object(fields)) = extras.get_mut("reasoning")
    {
        fields.shift_remove("summary");
    }
    merge(body, &extras);
    if request.sampling.logprobs.is_some() {
        include_logprobs(body);
    }
}

/// Instructions are one text; where there are several, or where they have fields of their own, they are a message, as
/// which they keep their bounds.
fn instructions(system: &[Content]) -> Option<Result<Value, Value>> {
    match system {
        [] => None,
        [Content { block: ContentBlock::Text(text), .. }] => Some(Ok(Value::from(text.as_str()))),
        parts => {
            let content: Vec<_> = parts.iter().filter_map(|part| parts::encode(part, parts::INPUT_TEXT)).collect();
            Some(Err(json!({"type": "message", "role": "developer", "content": content})))
        }
    }
}

fn sampling(sampling: &Sampling, body: &mut Object) {
    let fields = [
        ("max_output_tokens", sampling.max_output_tokens.map(Value::from)),
        ("temperature", sampling.temperature.map(Value::from)),
        ("top_p", sampling.top_p.map(Value::from)),
        ("top_logprobs", sampling.logprobs.filter(|count| *count > 0).map(Value::from)),
    ];
    put(body, fields);
}

fn name_unsayable(sampling: &Sampling, lost: &mut Lost) {
    let unsayable = [
        ("stop", !sampling.stop.is_empty()),
        ("seed", sampling.seed.is_some()),
        ("frequency_penalty", sampling.frequency_penalty.is_some()),
        ("presence_penalty", sampling.presence_penalty.is_some()),
        ("top_k", sampling.top_k.is_some()),
    ];
    unsayable.into_iter().filter(|(_, is_said)| *is_said).for_each(|(field, _)| lost.drop(field));
}

fn include_logprobs(body: &mut Object) {
    let included = body.entry("include").or_insert_with(|| json!([]));
    if let Value::Array(included) = included
        && !included.iter().any(|one| one == LOGPROBS)
    {
        included.push(Value::from(LOGPROBS));
    }
}

fn reasoning(request: &Request) -> Object {
    let reasoning = &request.reasoning;
    let own_summary = request.extras.get("reasoning").and_then(|fields| fields.get("summary"));
    let is_shown = reasoning.shown == Some(true) && own_summary.is_none();
    let effort = match reasoning.mode {
        ReasoningMode::Off => "none",
        ReasoningMode::Budget(..2048) if reasoning.effort.is_empty() => "low",
        ReasoningMode::Budget(..8192) if reasoning.effort.is_empty() => "medium",
        ReasoningMode::Budget(_) if reasoning.effort.is_empty() => "high",
        ReasoningMode::Unset | ReasoningMode::Adaptive | ReasoningMode::Budget(_) => &reasoning.effort,
    };
    let mut fields = Object::new();
    put(&mut fields, [("effort", said(effort)), ("summary", is_shown.then(|| Value::from("auto")))]);
    fields
}

fn text(request: &Request) -> Object {
    let mut fields = Object::new();
    let format = match &request.output {
        None => None,
        Some(OutputFormat::Text) => Some(json!({"type": "text"})),
        Some(OutputFormat::JsonObject) => Some(json!({"type": "json_object"})),
        Some(OutputFormat::JsonSchema { name, description, schema, strict }) => {
            let name = if name.is_empty() { "response" } else { name };
            let mut format = Object::new();
            let known = [
                ("type", Some(Value::from("json_schema"))),
                ("name", Some(Value::from(name))),
                ("description", said(description)),
                ("schema", Some(schema.clone())),
                ("strict", strict.map(Value::from)),
            ];
            put(&mut format, known);
            Some(Value::Object(format))
        }
    };
    put(&mut fields, [("format", format), ("verbosity", said(&request.service.verbosity))]);
    fields
}

fn service(request: &Request, body: &mut Object) {
    let service = &request.service;
    let is_in_user = request.extras.get("user").is_some_and(Value::is_null);
    let fields = [
        (if is_in_user { "user" } else { "safety_identifier" }, said(&service.end_user)),
        ("prompt_cache_key", said(&service.cache_key)),
        ("service_tier", said(&service.tier)),
        ("store", service.store.map(Value::from)),
    ];
    put(body, fields);
}

fn said(text: &str) -> Option<Value> {
    (!text.is_empty()).then(|| Value::from(text))
}

fn put<const N: usize>(into: &mut Object, fields: [(&str, Option<Value>); N]) {
    for (key, value) in fields {
        if let Some(value) = value {
            into.insert(key.to_owned(), value);
        }
    }
}
