//! From a request to a body for an upstream.

mod blocks;
mod tools;

use luthien_proto::{
    Request,
    request::{Message, OutputFormat, Reasoning, ReasoningMode, Sampling, ServiceOptions},
};
use serde_json::{Value, json};

use crate::dialect::{
    Lost, UpstreamOptions,
    fields::{Object, merge},
    write::{number, put, put_filled, put_some, put_text},
};

/// The most tokens to ask for where nobody says: fewer cut long answers, and more some models refuse.
const MAX_TOKENS: u64 = 8192;
/// The least tokens that a model can be told to reason with.
const LEAST_BUDGET: u64 = 1024;

pub(in crate::dialect) fn encode(request: &Request, options: &UpstreamOptions, lost: &mut Lost) -> Object {
    let mut body = Object::new();
    let max_tokens = request.sampling.max_output_tokens.or(options.max_output_tokens).unwrap_or(MAX_TOKENS);
    put(&mut body, "model", request.model.as_str());
    if request.extras.get("max_tokens").is_none() {
        put(&mut body, "max_tokens", max_tokens);
    }
    if request.stream {
        put(&mut body, "stream", true);
    }
    if request.choices > 1 {
        lost.drop("n");
    }
    put_filled(&mut body, "system", blocks::encode(&request.system, lost));
    let messages = request.messages.iter().filter_map(|message| encode_message(message, lost));
    put(&mut body, "messages", messages.collect::<Vec<_>>());
    tools::encode(request, &mut body);
    sampling(&request.sampling, &mut body, lost);
    reasoning(&request.reasoning, max_tokens, &mut body, lost);
    output(request.output.as_ref(), &mut body, lost);
    service(&request.service, &mut body, lost);
    merge(&mut body, &request.extras.clone().into_map());
    body
}

/// A message that says nothing is refused.
fn encode_message(message: &Message, lost: &mut Lost) -> Option<Value> {
    let content = blocks::encode(&message.content, lost);
    if content.is_empty() && message.extras.is_empty() {
        return None;
    }
    let role = match message.role.as_str() {
        "tool" | "function" => "user",
        "developer" => "system",
        role => role,
    };
    let mut out = Object::new();
    put_text(&mut out, "role", role);
    put_filled(&mut out, "content", blocks::text_or_list(content));
    merge(&mut out, &message.extras.clone().into_map());
    Some(out.into())
}

/// Stop sequences of white space alone are refused.
fn sampling(sampling: &Sampling, body: &mut Object, lost: &mut Lost) {
    put_some(body, "temperature", sampling.temperature.map(number));
    put_some(body, "top_p", sampling.top_p.map(number));
    put_some(body, "top_k", sampling.top_k);
    let mut stop = sampling.stop.clone();
    stop.retain(|stop| !stop.trim().is_empty());
    if stop.len() < sampling.stop.len() {
        lost.drop("stop");
    }
    put_filled(body, "stop_sequences", stop);
    let unsaid = [
        ("seed", sampling.seed.is_some()),
        ("frequency_penalty", sampling.frequency_penalty.is_some()),
        ("presence_penalty", sampling.presence_penalty.is_some()),
        ("logprobs", sampling.logprobs.is_some()),
    ];
    for (name, _) in unsaid.into_iter().filter(|(_, asked)| *asked) {
        lost.drop(name);
    }
}

fn reasoning(reasoning: &Reasoning, max_tokens: u64, body: &mut Object, lost: &mut Lost) {
    let is_off = reasoning.mode == ReasoningMode::Off || reasoning.effort == "none";
    let thinking = match reasoning.mode {
        _ if is_off => Some(json!({"type": "disabled"})),
        ReasoningMode::Unset | ReasoningMode::Off => None,
        ReasoningMode::Adaptive => Some(json!({"type": "adaptive"})),
        ReasoningMode::Budget(budget) => match budget.min(max_tokens.saturating_sub(1)) {
            ..LEAST_BUDGET => {
                lost.drop("thinking");
                None
            }
            budget => Some(json!({"type": "enabled", "budget_tokens": budget})),
        },
    };
    if let Some(Value::Object(mut thinking)) = thinking {
        let display = |shown| if shown { "summarized" } else { "omitted" };
        put_some(&mut thinking, "display", reasoning.shown.map(display).filter(|_| !is_off));
        put(body, "thinking", thinking);
    }
    match reasoning.effort.as_str() {
        "" | "none" => {}
        "minimal" => config(body, "effort", "low"),
        effort => config(body, "effort", effort),
    }
}

/// Schemas are always enforced; there are no other formats than theirs.
fn output(output: Option<&OutputFormat>, body: &mut Object, lost: &mut Lost) {
    match output {
        None | Some(OutputFormat::Text) => {}
        Some(OutputFormat::JsonObject) => lost.drop("response_format"),
        Some(OutputFormat::JsonSchema { schema, strict, .. }) => {
            config(body, "format", json!({"type": "json_schema", "schema": schema}));
            if strict == &Some(false) {
                lost.omit("response_format.json_schema.strict");
            }
        }
    }
}

fn config(body: &mut Object, key: &str, value: impl Into<Value>) {
    let config = body.entry("output_config").or_insert_with(|| json!({}));
    if let Value::Object(config) = config {
        put(config, key, value);
    }
}

fn service(service: &ServiceOptions, body: &mut Object, lost: &mut Lost) {
    if !service.end_user.is_empty() {
        put(body, "metadata", json!({"user_id": service.end_user}));
    }
    put_text(body, "service_tier", &service.tier);
    let unsaid = [
        ("prompt_cache_key", !service.cache_key.is_empty()),
        ("verbosity", !service.verbosity.is_empty()),
        ("store", service.store.is_some()),
    ];
    for (name, _) in unsaid.into_iter().filter(|(_, asked)| *asked) {
        lost.omit(name);
    }
}
