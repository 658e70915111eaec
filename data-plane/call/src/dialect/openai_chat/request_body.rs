//! From a request to a body for an upstream: OpenAI's own, or one that is compatible.

mod messages;
mod parts;
mod tools;

use luthien_proto::{
    Request,
    request::{OutputFormat, Reasoning, ReasoningMode, Sampling, ServiceOptions},
};
use serde_json::{Value, json};

use crate::dialect::{
    Lost, UpstreamOptions,
    fields::{Object, merge},
    write::{number, put, put_filled, put_some, put_text},
};

pub(in crate::dialect) fn encode(request: &Request, options: &UpstreamOptions, lost: &mut Lost) -> Object {
    let mut body = Object::new();
    put(&mut body, "model", request.model.as_str());
    if request.stream {
        put(&mut body, "stream", true);
    }
    if request.choices > 1 {
        put(&mut body, "n", request.choices);
    }
    put(&mut body, "messages", messages::encode(request, options, lost));
    tools::encode(request, options, &mut body);
    sampling(&request.sampling, options, &mut body, lost);
    reasoning(&request.reasoning, &mut body, lost);
    if let Some(format) = &request.output {
        put(&mut body, "response_format", response_format(format));
    }
    service(&request.service, options, &mut body, lost);
    merge(&mut body, &request.extras.clone().into_map());
    body
}

fn sampling(sampling: &Sampling, options: &UpstreamOptions, body: &mut Object, lost: &mut Lost) {
    let most = if options.compatible { "max_tokens" } else { "max_completion_tokens" };
    put_some(body, most, sampling.max_output_tokens);
    put_some(body, "temperature", sampling.temperature.map(number));
    put_some(body, "top_p", sampling.top_p.map(number));
    match sampling.top_k {
        Some(top_k) if options.compatible => put(body, "top_k", top_k),
        Some(_) => lost.drop("top_k"),
        None => {}
    }
    put_filled(body, "stop", sampling.stop.clone());
    put_some(body, "seed", sampling.seed);
    put_some(body, "frequency_penalty", sampling.frequency_penalty.map(number));
    put_some(body, "presence_penalty", sampling.presence_penalty.map(number));
    if let Some(alternatives) = sampling.logprobs {
        put(body, "logprobs", true);
        if alternatives > 0 {
            put(body, "top_logprobs", alternatives);
        }
    }
}

/// The dialect knows efforts only, and not every model knows the effort of none: whoever wants none of it, but not in
/// these words, asks for nothing.
fn reasoning(reasoning: &Reasoning, body: &mut Object, lost: &mut Lost) {
    let effort = match reasoning.mode {
        ReasoningMode::Off if reasoning.effort != "none" => "",
        _ if !reasoning.effort.is_empty() => reasoning.effort.as_str(),
        ReasoningMode::Unset | ReasoningMode::Off | ReasoningMode::Adaptive => "",
        ReasoningMode::Budget(..2048) => "low",
        ReasoningMode::Budget(2048..8192) => "medium",
        ReasoningMode::Budget(8192..) => "high",
    };
    put_text(body, "reasoning_effort", effort);
    if reasoning.mode == ReasoningMode::Off && effort.is_empty() {
        lost.omit("thinking");
    }
    if reasoning.shown.is_some() {
        lost.omit("thinking.display");
    }
}

fn response_format(format: &OutputFormat) -> Value {
    match format {
        OutputFormat::Text => json!({"type": "text"}),
        OutputFormat::JsonObject => json!({"type": "json_object"}),
        OutputFormat::JsonSchema { name, description, schema, strict } => {
            let mut inner = Object::new();
            put(&mut inner, "name", if name.is_empty() { "response" } else { name });
            put_text(&mut inner, "description", description);
            if !schema.is_null() {
                put(&mut inner, "schema", schema.clone());
            }
            put_some(&mut inner, "strict", *strict);
            json!({"type": "json_schema", "json_schema": inner})
        }
    }
}

/// Who is compatible knows the older name of the client's user.
fn service(service: &ServiceOptions, options: &UpstreamOptions, body: &mut Object, lost: &mut Lost) {
    put_text(body, if options.compatible { "user" } else { "safety_identifier" }, &service.end_user);
    put_text(body, "prompt_cache_key", &service.cache_key);
    put_text(body, "service_tier", &service.tier);
    if !service.verbosity.is_empty() {
        if options.compatible {
            lost.omit("verbosity");
        } else {
            put(body, "verbosity", service.verbosity.as_str());
        }
    }
    put_some(body, "store", service.store);
}
