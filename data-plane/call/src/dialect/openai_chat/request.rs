//! The request.
//!
//! Where the canonical request has one place for what the dialect says in several ways, the extras of the content or the
//! tool tell which it was: `field` in the extras of a content is the field of the message that it was in; `functions` in
//! those of a tool says that it was in the older list of that name.

mod messages;
mod parts;
mod reasoning;
mod tools;

use luthien_proto::{
    Request,
    request::{OutputFormat, Reasoning, Sampling, ServiceOptions},
};
use serde_json::Value;

use crate::dialect::{
    fields::{
        Object, drop_if, take_bool, take_f64, take_i64, take_object, take_string, take_strings, take_u32, take_u64,
        take_value,
    },
    request::{RequestError, take_messages},
};

/// The names of marks in extras, which are not written.
pub(super) mod mark {
    pub(in crate::dialect::openai_chat) const FIELD: &str = "field";
    pub(in crate::dialect::openai_chat) const FUNCTIONS: &str = "functions";
}

pub(in crate::dialect) fn decode(model: String, mut body: Object) -> Result<Request, RequestError> {
    let messages = take_messages(&mut body)?.into_iter().map(messages::message).collect();
    let tools = tools::take(&mut body);
    Ok(Request {
        model,
        stream: take_bool(&mut body, "stream").unwrap_or(false),
        choices: take_u32(&mut body, "n").unwrap_or(1).max(1),
        system: Vec::new(),
        messages,
        tool_choice: tools::take_choice(&mut body, &tools),
        tools,
        parallel_tool_calls: take_bool(&mut body, "parallel_tool_calls"),
        sampling: sampling(&mut body),
        reasoning: Reasoning {
            effort: take_string(&mut body, "reasoning_effort").unwrap_or_default(),
            ..Reasoning::default()
        },
        output: output(&mut body),
        service: service(&mut body),
        extras: body.into(),
    })
}

fn sampling(body: &mut Object) -> Sampling {
    let stop = match take_string(body, "stop") {
        Some(stop) => vec![stop],
        None => take_strings(body, "stop"),
    };
    Sampling {
        max_output_tokens: take_u64(body, "max_completion_tokens").max(take_u64(body, "max_tokens")),
        temperature: take_f64(body, "temperature"),
        top_p: take_f64(body, "top_p"),
        top_k: take_u64(body, "top_k"),
        stop,
        seed: take_i64(body, "seed"),
        frequency_penalty: take_f64(body, "frequency_penalty"),
        presence_penalty: take_f64(body, "presence_penalty"),
        logprobs: logprobs(body),
    }
}

fn logprobs(body: &mut Object) -> Option<u32> {
    drop_if(body, "logprobs", |wanted| matches!(wanted, Value::Null | Value::Bool(false)));
    if body.get("logprobs") != Some(&Value::Bool(true)) {
        return None;
    }
    body.shift_remove("logprobs");
    Some(take_u32(body, "top_logprobs").unwrap_or(0))
}

fn service(body: &mut Object) -> ServiceOptions {
    let mut text = |key| take_string(body, key).unwrap_or_default();
    let mut end_user = text("safety_identifier");
    if end_user.is_empty() {
        end_user = text("user");
    }
    ServiceOptions {
        end_user,
        cache_key: text("prompt_cache_key"),
        tier: text("service_tier"),
        verbosity: text("verbosity"),
        store: take_bool(body, "store"),
    }
}

/// A format of which every field is known; any other stays where it is.
fn output(body: &mut Object) -> Option<OutputFormat> {
    let mut format = take_object(body, "response_format")?;
    let raw = format.clone();
    let read = match take_string(&mut format, "type").as_deref() {
        Some("text") => Some(OutputFormat::Text),
        Some("json_object") => Some(OutputFormat::JsonObject),
        Some("json_schema") => json_schema(&mut format),
        Some(_) | None => None,
    };
    let read = read.filter(|_| format.is_empty());
    if read.is_none() {
        body.insert("response_format".to_owned(), raw.into());
    }
    read
}

fn json_schema(format: &mut Object) -> Option<OutputFormat> {
    let mut inner = take_object(format, "json_schema")?;
    let read = OutputFormat::JsonSchema {
        name: take_string(&mut inner, "name").unwrap_or_default(),
        description: take_string(&mut inner, "description").unwrap_or_default(),
        schema: take_value(&mut inner, "schema").unwrap_or_default(),
        strict: take_bool(&mut inner, "strict"),
    };
    inner.values().all(Value::is_null).then_some(read)
}
