//! The request, for an upstream: what another dialect's client asked for, in Gemini's words. Model and streaming are told
//! by the URL.

use luthien_proto::{Request, request::ServiceOptions};
use serde_json::Value;

use super::{contents::Conversation, generation, model::Model, tools};
use crate::dialect::{
    fields::{Object, merge},
    target::Lost,
};

pub(in crate::dialect) fn encode(request: &Request, lost: &mut Lost) -> Object {
    let model = Model::named(&request.model);
    let conversation = Conversation::of(request, model, lost);
    let mut body = Object::new();
    if !conversation.system.is_empty() {
        let system = Object::from_iter([("parts".to_owned(), conversation.system.into())]);
        body.insert("systemInstruction".to_owned(), Value::Object(system));
    }
    body.insert("contents".to_owned(), conversation.contents.into());
    let tools = tools::tools(&request.tools, lost);
    if tools.iter().any(|tool| tool.get("functionDeclarations").is_some()) {
        if let Some(config) = request.tool_choice.as_ref().and_then(|choice| tools::config(choice, lost)) {
            body.insert("toolConfig".to_owned(), config);
        }
        if request.parallel_tool_calls == Some(false) {
            lost.omit("parallel_tool_calls");
        }
    }
    if !tools.is_empty() {
        body.insert("tools".to_owned(), tools.into());
    }
    let generation = generation::config(request, model, lost);
    if !generation.is_empty() {
        body.insert("generationConfig".to_owned(), Value::Object(generation));
    }
    service(&request.service, &mut body, lost);
    merge(&mut body, &request.extras.clone().into_map());
    body
}

fn service(service: &ServiceOptions, body: &mut Object, lost: &mut Lost) {
    match service.tier.as_str() {
        "" | "auto" => {}
        "default" | "standard" => {
            body.insert("serviceTier".to_owned(), "standard".into());
        }
        tier @ ("flex" | "priority") => {
            body.insert("serviceTier".to_owned(), tier.into());
        }
        _ => lost.drop("service_tier"),
    }
    if let Some(store) = service.store {
        body.insert("store".to_owned(), store.into());
    }
    let omitted =
        [("user", &service.end_user), ("prompt_cache_key", &service.cache_key), ("verbosity", &service.verbosity)];
    for (name, _) in omitted.into_iter().filter(|(_, value)| !value.is_empty()) {
        lost.omit(name);
    }
}
