//! The request: items, of which messages, calls of tools, their outputs and reasoning are known; each is a message of its
//! own in the canonical request, an unknown item one without a role. Tools of a namespace stand among the others.
//!
//! What the canonical request has no place for stays beside it as extras, under its own name. Some of them are marks, by
//! which this dialect alone can write again what means the same:
//! - `user: null` of the request: the end user was told there, not in `safety_identifier`;
//! - `strict: null` and `parameters: null` of a function: nothing was said, which is not what it is elsewhere;
//! - `namespace` of a tool: the fields of its group;
//! - `type` of a text or an output: it is not the one that its surroundings suggest;
//! - `summary` and `content` of reasoning: its text in several pieces, or somewhere else than one looks for it;
//! - `filename: null` of a document: it has none.

mod echo;
mod encode;
mod items;
mod parts;
mod tools;

use luthien_proto::{
    Request,
    json::Extras,
    request::{ContentBlock, OutputFormat, Reasoning, ReasoningMode, Sampling, ServiceOptions},
};
use serde_json::Value;

pub(in crate::dialect) use self::{echo::echo, encode::encode};
use crate::dialect::fields::{
    Object, drop_if, take_bool, take_f64, take_object, take_string, take_u32, take_u64, take_value,
};

/// What is included in an answer whose tokens' log probabilities are wanted.
const LOGPROBS: &str = "message.output_text.logprobs";

pub(in crate::dialect) fn decode(model: String, mut body: Object) -> Request {
    // Every field may be null, which says nothing.
    body.retain(|_, value| !value.is_null());
    let body = &mut body;
    let (output, verbosity) = take_text(body);
    let tools = tools::take(body);
    Request {
        model,
        stream: take_bool(body, "stream").unwrap_or(false),
        choices: 1,
        system: take_string(body, "instructions").map(|text| ContentBlock::Text(text).into()).into_iter().collect(),
        messages: items::take(body),
        tool_choice: tools::take_choice(body, &tools),
        tools,
        parallel_tool_calls: take_bool(body, "parallel_tool_calls"),
        sampling: take_sampling(body),
        reasoning: take_reasoning(body),
        output,
        service: ServiceOptions {
            end_user: take_end_user(body),
            cache_key: take_string(body, "prompt_cache_key").unwrap_or_default(),
            tier: take_string(body, "service_tier").unwrap_or_default(),
            verbosity,
            store: take_bool(body, "store"),
        },
        extras: Extras::from(std::mem::take(body)),
    }
}

fn take_sampling(body: &mut Object) -> Sampling {
    let includes = |included: &Value| included.as_array().is_some_and(|all| all.iter().any(|one| one == LOGPROBS));
    let wants_logprobs = body.get("include").is_some_and(includes);
    Sampling {
        max_output_tokens: take_u64(body, "max_output_tokens"),
        temperature: take_f64(body, "temperature"),
        top_p: take_f64(body, "top_p"),
        logprobs: wants_logprobs.then(|| take_u32(body, "top_logprobs").unwrap_or(0)),
        ..Sampling::default()
    }
}

fn take_reasoning(body: &mut Object) -> Reasoning {
    let Some(mut fields) = take_object(body, "reasoning") else { return Reasoning::default() };
    let effort = take_string(&mut fields, "effort").unwrap_or_default();
    let mode = if effort == "none" { ReasoningMode::Off } else { ReasoningMode::Unset };
    let shown = fields.get("summary").is_some_and(Value::is_string).then_some(true);
    drop_if(&mut fields, "summary", |summary| summary.is_null() || summary == "auto");
    put_rest(body, "reasoning", fields);
    Reasoning { mode, effort, shown }
}

/// The output's format, and its verbosity.
fn take_text(body: &mut Object) -> (Option<OutputFormat>, String) {
    let Some(mut text) = take_object(body, "text") else { return (None, String::new()) };
    let verbosity = take_string(&mut text, "verbosity").unwrap_or_default();
    let mut output = None;
    if let Some(mut format) = take_object(&mut text, "format") {
        output = take_format(&mut format);
        put_rest(&mut text, "format", format);
    }
    put_rest(body, "text", text);
    (output, verbosity)
}

/// A format of which every field is there that it needs.
fn take_format(format: &mut Object) -> Option<OutputFormat> {
    let is_named = format.get("name").and_then(Value::as_str).is_some_and(|name| !name.is_empty());
    let has_schema = format.get("schema").is_some_and(|schema| !schema.is_null());
    let output = match format.get("type").and_then(Value::as_str)? {
        "text" => OutputFormat::Text,
        "json_object" => OutputFormat::JsonObject,
        "json_schema" if is_named && has_schema => OutputFormat::JsonSchema {
            name: take_string(format, "name")?,
            description: take_string(format, "description").unwrap_or_default(),
            schema: take_value(format, "schema")?,
            strict: take_bool(format, "strict"),
        },
        _ => return None,
    };
    format.shift_remove("type");
    Some(output)
}

fn take_end_user(body: &mut Object) -> String {
    if let Some(id) = take_string(body, "safety_identifier").filter(|id| !id.is_empty()) {
        return id;
    }
    match take_string(body, "user").filter(|id| !id.is_empty()) {
        Some(id) => {
            body.insert("user".to_owned(), Value::Null);
            id
        }
        None => String::new(),
    }
}

/// Puts back what remains of an object, unless nothing does.
fn put_rest(into: &mut Object, key: &str, rest: Object) {
    if !rest.is_empty() {
        into.insert(key.to_owned(), Value::Object(rest));
    }
}
