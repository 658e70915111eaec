//! The canonical request, as JSON for the record.

use luthien_proto::{
    Request,
    event::ToolCall,
    json::Extras,
    request::{
        Content, ContentBlock, Message, OutputFormat, Reasoning, ReasoningMode, Sampling, ServiceOptions, Source, Tool,
        ToolChoice, ToolKind,
    },
};
use serde_json::{Map, Value, json};

use super::content::form;

/// The request as an operator reads it; what was not given is left out.
pub(crate) fn to_json(request: &Request) -> Value {
    let mut map = Map::new();
    map.insert("stream".into(), request.stream.into());
    if request.choices > 1 {
        map.insert("choices".into(), request.choices.into());
    }
    list(&mut map, "system", &request.system, content);
    list(&mut map, "messages", &request.messages, message);
    list(&mut map, "tools", &request.tools, tool);
    put(&mut map, "tool_choice", request.tool_choice.as_ref().map(tool_choice));
    put(&mut map, "parallel_tool_calls", request.parallel_tool_calls);
    let sampling = sampling(&request.sampling);
    put(&mut map, "sampling", (!sampling.is_empty()).then_some(Value::Object(sampling)));
    put(&mut map, "reasoning", reasoning(&request.reasoning));
    put(&mut map, "output", request.output.as_ref().map(output));
    put(&mut map, "service", service(&request.service));
    extras(&mut map, &request.extras);
    Value::Object(map)
}

fn message(message: &Message) -> Value {
    let mut map = Map::new();
    map.insert("role".into(), message.role.clone().into());
    map.insert("content".into(), message.content.iter().map(content).collect());
    extras(&mut map, &message.extras);
    Value::Object(map)
}

fn content(content: &Content) -> Value {
    let value = match &content.block {
        ContentBlock::Text(text) => json!({ "text": text }),
        ContentBlock::Thinking { text, signature, id } => {
            let mut map = Map::from_iter([("thinking".to_owned(), Value::from(text.as_str()))]);
            put_text(&mut map, "signature", signature);
            put_text(&mut map, "id", id);
            Value::Object(map)
        }
        ContentBlock::RedactedThinking(data) => json!({ "redacted_thinking": data }),
        ContentBlock::Refusal(text) => json!({ "refusal": text }),
        ContentBlock::ToolCall { call, arguments } => json!({
            "tool_call": tool_call(call, arguments),
        }),
        ContentBlock::ToolResult { id, is_error, content } => json!({ "tool_result": result(id, *is_error, content) }),
        ContentBlock::Image { source: from, detail } => json!({ "image": media(from, "detail", detail) }),
        ContentBlock::Document { source: from, title } => json!({ "document": media(from, "title", title) }),
        ContentBlock::Audio { data, format } => json!({ "audio": { "data": data, "format": format } }),
        ContentBlock::Opaque(json) => json!({ "opaque": json }),
    };
    match value {
        Value::Object(mut map) => {
            extras(&mut map, &content.extras);
            Value::Object(map)
        }
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => other,
    }
}

fn result(id: &str, is_error: Option<bool>, parts: &[Content]) -> Value {
    let mut map = Map::new();
    map.insert("id".into(), id.into());
    put(&mut map, "is_error", is_error);
    map.insert("content".into(), parts.iter().map(content).collect());
    Value::Object(map)
}

fn tool_call(call: &ToolCall, arguments: &str) -> Value {
    let mut map = Map::new();
    map.insert("id".into(), call.id.clone().into());
    map.insert("name".into(), call.name.clone().into());
    put_text(&mut map, "namespace", &call.namespace);
    map.insert("form".into(), form(call.form).into());
    map.insert("arguments".into(), arguments.into());
    Value::Object(map)
}

fn media(source: &Source, key: &str, word: &str) -> Value {
    let (name, value) = match source {
        Source::Base64 { media_type, data } => ("inline", json!({ "media_type": media_type, "data": data })),
        Source::Url(url) => ("url", Value::from(url.as_str())),
        Source::FileId(id) => ("file_id", Value::from(id.as_str())),
        Source::Text(text) => ("text", Value::from(text.as_str())),
    };
    let mut map = Map::from_iter([(name.to_owned(), value)]);
    put_text(&mut map, key, word);
    Value::Object(map)
}

fn tool(tool: &Tool) -> Value {
    let mut map = Map::new();
    map.insert("name".into(), tool.name.clone().into());
    put_text(&mut map, "namespace", &tool.namespace);
    put_text(&mut map, "description", &tool.description);
    match &tool.kind {
        ToolKind::Function { schema, strict } => {
            map.insert("function".into(), json!({ "schema": schema }));
            put(&mut map, "strict", *strict);
        }
        ToolKind::Custom { format } => {
            map.insert("custom".into(), json!({ "format": format }));
        }
        ToolKind::Hosted(raw) => {
            map.insert("hosted".into(), raw.clone());
        }
    }
    extras(&mut map, &tool.extras);
    Value::Object(map)
}

fn tool_choice(choice: &ToolChoice) -> Value {
    match choice {
        ToolChoice::Auto => "auto".into(),
        ToolChoice::None => "none".into(),
        ToolChoice::Required => "required".into(),
        ToolChoice::Named(name) => json!({ "named": name }),
        ToolChoice::Allowed { required, names } => json!({ "allowed": names, "required": required }),
        ToolChoice::Opaque(json) => json.clone(),
    }
}

fn reasoning(reasoning: &Reasoning) -> Option<Value> {
    let mut map = Map::new();
    match reasoning.mode {
        ReasoningMode::Unset => {}
        ReasoningMode::Off => put(&mut map, "mode", Some("off")),
        ReasoningMode::Adaptive => put(&mut map, "mode", Some("adaptive")),
        ReasoningMode::Budget(tokens) => put(&mut map, "budget", Some(tokens)),
    }
    put_text(&mut map, "effort", &reasoning.effort);
    put(&mut map, "shown", reasoning.shown);
    (!map.is_empty()).then_some(Value::Object(map))
}

fn output(format: &OutputFormat) -> Value {
    match format {
        OutputFormat::Text => "text".into(),
        OutputFormat::JsonObject => "json_object".into(),
        OutputFormat::JsonSchema { name, description, schema, strict } => {
            let mut map = Map::from_iter([("schema".to_owned(), schema.clone())]);
            put_text(&mut map, "name", name);
            put_text(&mut map, "description", description);
            put(&mut map, "strict", *strict);
            Value::Object(map)
        }
    }
}

fn service(options: &ServiceOptions) -> Option<Value> {
    let mut map = Map::new();
    put_text(&mut map, "end_user", &options.end_user);
    put_text(&mut map, "cache_key", &options.cache_key);
    put_text(&mut map, "tier", &options.tier);
    put_text(&mut map, "verbosity", &options.verbosity);
    put(&mut map, "store", options.store);
    (!map.is_empty()).then_some(Value::Object(map))
}

fn put_text(map: &mut Map<String, Value>, key: &str, text: &str) {
    put(map, key, (!text.is_empty()).then_some(text));
}

fn sampling(sampling: &Sampling) -> Map<String, Value> {
    let mut map = Map::new();
    put(&mut map, "max_output_tokens", sampling.max_output_tokens);
    put(&mut map, "temperature", sampling.temperature);
    put(&mut map, "top_p", sampling.top_p);
    put(&mut map, "top_k", sampling.top_k);
    put(&mut map, "stop", (!sampling.stop.is_empty()).then(|| sampling.stop.clone()));
    put(&mut map, "seed", sampling.seed);
    put(&mut map, "frequency_penalty", sampling.frequency_penalty);
    put(&mut map, "presence_penalty", sampling.presence_penalty);
    put(&mut map, "logprobs", sampling.logprobs);
    map
}

fn list<T>(map: &mut Map<String, Value>, key: &str, items: &[T], to_json: impl Fn(&T) -> Value) {
    put(map, key, (!items.is_empty()).then(|| items.iter().map(to_json).collect::<Value>()));
}

fn put(map: &mut Map<String, Value>, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        map.insert(key.to_owned(), value.into());
    }
}

fn extras(map: &mut Map<String, Value>, extras: &Extras) {
    if !extras.is_empty() {
        map.insert("extras".into(), Value::Object(extras.clone().into_map()));
    }
}
