//! A client and an upstream that speak different dialects.

mod annotations;
mod failures;
mod gemini;
mod golden;
mod pitfalls;
mod property;
mod responses;
mod tools;
mod turns;
mod whole;

use std::collections::BTreeMap;

use luthien_call::{
    call::Content,
    conversion::{Bridge, BridgedTool},
};
use luthien_proto::{
    event::ToolForm,
    json::Extras,
    message::{Interest, Level},
    request::Dialect,
};
use serde_json::{Value, json};

use crate::rig::*;

pub const NOTHING: Interest = Interest::all(Level::Record);

/// What is known of a request without tools, for the model `m` that the upstream calls `up`.
pub fn bridge(client: Dialect, upstream: Dialect) -> Bridge {
    Bridge {
        client,
        upstream,
        model: "m".to_owned(),
        upstream_model: "up".to_owned(),
        tools: BTreeMap::new(),
        include_usage: true,
        echo: Extras::NONE,
    }
}

/// The same, where a tool is known to the upstream under another name, or in another form.
pub fn bridge_of_tool(client: Dialect, upstream: Dialect, theirs: &str, name: &str, form: ToolForm) -> Bridge {
    let tool = BridgedTool { name: name.to_owned(), namespace: String::new(), form };
    Bridge { tools: BTreeMap::from([(theirs.to_owned(), tool)]), ..bridge(client, upstream) }
}

/// What a client that streams gets for these SSE events, of which nothing is gated.
pub fn stream(bridge: Bridge, upstream: &str) -> Rig {
    let mut rig = Rig::converting(bridge, true, NOTHING);
    rig.head(200, Content::Sse);
    rig.data(upstream);
    rig.end();
    rig
}

/// A chunk of OpenAI Chat with one choice.
pub fn chat(delta: &Value, finish: Option<&str>) -> String {
    chunk(json!({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}))
}

pub fn chunk(fields: Value) -> String {
    let mut chunk =
        json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 7, "model": "up-2026", "x_own": 1});
    chunk.as_object_mut().unwrap().extend(fields.as_object().cloned().unwrap());
    format!("data: {chunk}\n\n")
}

pub const DONE: &str = "data: [DONE]\n\n";

/// An SSE event of Anthropic's or of OpenAI Responses.
pub fn event(fields: Value) -> String {
    sse(&fields.to_string())
}

/// The chunks of a Chat stream without the envelope that all repeat.
pub fn bodies(text: &str) -> Vec<Value> {
    let strip = |mut chunk: Value| {
        for field in ["id", "object", "created", "model"] {
            assert!(chunk["error"].is_object() || chunk.as_object_mut().unwrap().remove(field).is_some(), "{field}");
        }
        chunk
    };
    events(text).into_iter().map(strip).collect()
}

/// Replaces every envelope by its kind and data, so that a stream can be compared.
pub fn opened(mut value: Value) -> Value {
    match &mut value {
        Value::String(text) => match luthien_call::conversion::unwrap(text) {
            Some(envelope) => {
                assert_eq!(envelope.model, "up");
                json!({"envelope": [envelope.origin.name(), format!("{:?}", envelope.kind), envelope.data, envelope.id]})
            }
            None => value,
        },
        Value::Array(items) => items.drain(..).map(opened).collect(),
        Value::Object(fields) => fields.into_iter().map(|(key, value)| (key.clone(), opened(value.take()))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}
