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
    write::{number, put, put_filled, put_some, put_text},
};

pub(in crate::dialect) fn encode(request: &Request, _options: &UpstreamOptions, lost: &mut Lost) -> Object {
    let mut body = Object::new();
    put(&mut body, "model", request.model.as_str());
    let mut input = items::encode(&request.messages, lost);
    match &request.system[..] {
        [] => {}
        [Content { block: ContentBlock::Text(text), .. }] => put(&mut body, "instructions", text.as_str()),
        parts => input.insert(0, instructions(parts)),
    }
    put_filled(&mut body, "input", input);
    name_unsayable(&request.sampling, lost);
    settings(request, &mut body);
    put(&mut body, "stream", request.stream);
    body
}

/// Instructions are one text. Where there are several, they are a message, as which they keep their bounds.
fn instructions(parts: &[Content]) -> Value {
    let content: Vec<_> = parts.iter().filter_map(|part| parts::encode(part, parts::INPUT_TEXT)).collect();
    json!({"type": "message", "role": "developer", "content": content})
}

/// Everything but the conversation.
pub(super) fn settings(request: &Request, body: &mut Object) {
    tools::encode(request, body);
    sampling(&request.sampling, body);
    put_filled(body, "reasoning", reasoning(request));
    put_filled(body, "text", text(request));
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

fn sampling(sampling: &Sampling, body: &mut Object) {
    put_some(body, "max_output_tokens", sampling.max_output_tokens);
    put_some(body, "temperature", sampling.temperature.map(number));
    put_some(body, "top_p", sampling.top_p.map(number));
    put_some(body, "top_logprobs", sampling.logprobs.filter(|count| *count > 0));
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
    put_text(&mut fields, "effort", effort);
    put_some(&mut fields, "summary", is_shown.then_some("auto"));
    fields
}

fn text(request: &Request) -> Object {
    let mut fields = Object::new();
    put_some(&mut fields, "format", request.output.as_ref().map(format));
    put_text(&mut fields, "verbosity", &request.service.verbosity);
    fields
}

fn format(output: &OutputFormat) -> Object {
    let mut format = Object::new();
    match output {
        OutputFormat::Text => put(&mut format, "type", "text"),
        OutputFormat::JsonObject => put(&mut format, "type", "json_object"),
        OutputFormat::JsonSchema { name, description, schema, strict } => {
            put(&mut format, "type", "json_schema");
            put(&mut format, "name", if name.is_empty() { "response" } else { name });
            put_text(&mut format, "description", description);
            put(&mut format, "schema", schema.clone());
            put_some(&mut format, "strict", *strict);
        }
    }
    format
}

fn service(request: &Request, body: &mut Object) {
    let service = &request.service;
    let is_in_user = request.extras.get("user").is_some_and(Value::is_null);
    put_text(body, if is_in_user { "user" } else { "safety_identifier" }, &service.end_user);
    put_text(body, "prompt_cache_key", &service.cache_key);
    put_text(body, "service_tier", &service.tier);
    put_some(body, "store", service.store);
}
