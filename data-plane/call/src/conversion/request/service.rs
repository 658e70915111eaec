//! What the provider is asked for beside an answer, and limits.

use luthien_proto::{
    Request, json,
    request::{Dialect, ServiceOptions},
};
use serde_json::Value;

use super::Way;
use crate::{conversion::names::hash, dialect::Lost};

/// The least that OpenAI Responses accepts as a limit of an answer.
const LEAST_OUTPUT_TOKENS: u64 = 16;

pub(super) fn convert(request: &mut Request, way: &Way<'_>, lost: &mut Lost) {
    let service = &mut request.service;
    match way.target() {
        Dialect::OpenAiChat | Dialect::OpenAiResponses => for_openai(service, way),
        Dialect::AnthropicMessages => shorten(&mut service.end_user, 256),
        Dialect::Gemini => {}
    }
    convert_tier(service, way, lost);
    convert_store(service, way, lost);
    convert_limit(&mut request.sampling.max_output_tokens, way, lost);
}

/// Who asks Anthropic for no answer wants the prompt in its cache, which elsewhere comes with the least of an answer.
fn convert_limit(limit: &mut Option<u64>, way: &Way<'_>, lost: &mut Lost) {
    if way.client == Dialect::AnthropicMessages && *limit == Some(0) {
        lost.drop("max_tokens");
        *limit = Some(1);
    }
    if way.target() == Dialect::OpenAiResponses {
        *limit = limit.map(|limit| limit.max(LEAST_OUTPUT_TOKENS));
    }
}

fn for_openai(service: &mut ServiceOptions, way: &Way<'_>) {
    if way.client == Dialect::AnthropicMessages && service.cache_key.is_empty() {
        service.cache_key = session(&service.end_user).unwrap_or_default();
    }
    shorten(&mut service.end_user, 64);
    shorten(&mut service.cache_key, 64);
}

/// The session that Claude Code names in its user's id: its prompts begin alike.
fn session(end_user: &str) -> Option<String> {
    if let Ok(fields) = json::parse_object(end_user.as_bytes()) {
        return fields.get("session_id").and_then(Value::as_str).map(str::to_owned);
    }
    end_user.rsplit_once("_session_").map(|(_, session)| session.to_owned()).filter(|session| !session.is_empty())
}

/// What is too long is told by its hash.
fn shorten(text: &mut String, longest: usize) {
    if text.chars().count() > longest {
        *text = hash(text, 64);
    }
}

fn convert_tier(service: &mut ServiceOptions, way: &Way<'_>, lost: &mut Lost) {
    let is_anthropics = way.client == Dialect::AnthropicMessages;
    if is_anthropics && service.tier == "standard_only" {
        service.tier = "default".to_owned();
    }
    if way.target() == Dialect::AnthropicMessages {
        let tier = match service.tier.as_str() {
            "" => "",
            "auto" | "priority" => "auto",
            "default" | "standard" | "standard_only" => "standard_only",
            _ => {
                lost.drop("service_tier");
                ""
            }
        };
        service.tier = tier.to_owned();
    }
}

fn convert_store(service: &mut ServiceOptions, way: &Way<'_>, lost: &mut Lost) {
    match way.target() {
        // Clients of other dialects don't expect that their conversations are kept.
        Dialect::OpenAiResponses => service.store = Some(service.store.unwrap_or(false)),
        Dialect::OpenAiChat if !way.to.options.compatible => {}
        Dialect::OpenAiChat | Dialect::AnthropicMessages | Dialect::Gemini => {
            if service.store.take().is_some() {
                lost.omit("store");
            }
        }
    }
}
