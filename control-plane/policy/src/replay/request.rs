//! The request of a call, from the form in which it is on record.

use luthien_proto::{
    Request,
    event::ToolCall,
    request::{
        Content, ContentBlock, Message, OutputFormat, Reasoning, ReasoningMode, Sampling, ServiceOptions, Source, Tool,
        ToolChoice, ToolKind,
    },
};
use serde_json::Value;

use super::json::{Fields, Unreadable};
use crate::entry::form_from_name;

/// Reads what [`crate::entry::request_json`] wrote.
pub(super) fn read(model: &str, json: &Value) -> Result<Request, Unreadable> {
    let request = Fields::of("request", json)?;
    Ok(Request {
        model: model.to_owned(),
        stream: request.flag("stream")?.unwrap_or_default(),
        choices: request.small::<u32>("choices")?.max(1),
        system: request.list("system", content)?,
        messages: request.list("messages", message)?,
        tools: request.list("tools", tool)?,
        tool_choice: request.get("tool_choice").map(tool_choice),
        parallel_tool_calls: request.flag("parallel_tool_calls")?,
        sampling: request.get("sampling").map(sampling).transpose()?.unwrap_or_default(),
        reasoning: request.get("reasoning").map(reasoning).transpose()?.unwrap_or_default(),
        output: request.get("output").map(output).transpose()?,
        service: request.get("service").map(service).transpose()?.unwrap_or_default(),
        extras: request.extras("extras")?,
    })
}

fn message(json: &Value) -> Result<Message, Unreadable> {
    let message = Fields::of("message", json)?;
    Ok(Message {
        role: message.text("role")?,
        content: message.list("content", content)?,
        extras: message.extras("extras")?,
    })
}

fn content(json: &Value) -> Result<Content, Unreadable> {
    let content = Fields::of("content", json)?;
    Ok(Content { block: block(&content)?, extras: content.extras("extras")? })
}

fn block(content: &Fields<'_>) -> Result<ContentBlock, Unreadable> {
    if content.has("text") {
        return Ok(ContentBlock::Text(content.text("text")?));
    }
    if content.has("thinking") {
        let (signature, id) = (content.text("signature")?, content.text("id")?);
        return Ok(ContentBlock::Thinking { text: content.text("thinking")?, signature, id });
    }
    if content.has("redacted_thinking") {
        return Ok(ContentBlock::RedactedThinking(content.text("redacted_thinking")?));
    }
    if content.has("refusal") {
        return Ok(ContentBlock::Refusal(content.text("refusal")?));
    }
    if let Some(json) = content.get("tool_call") {
        return tool_call(json);
    }
    if let Some(json) = content.get("tool_result") {
        return tool_result(json);
    }
    if let Some(json) = content.get("image") {
        let (source, detail) = media(json, "detail")?;
        return Ok(ContentBlock::Image { source, detail });
    }
    if let Some(json) = content.get("document") {
        let (source, title) = media(json, "title")?;
        return Ok(ContentBlock::Document { source, title });
    }
    if let Some(json) = content.get("audio") {
        let audio = Fields::of("audio", json)?;
        return Ok(ContentBlock::Audio { data: audio.text("data")?, format: audio.text("format")? });
    }
    content.get("opaque").cloned().map(ContentBlock::Opaque).ok_or_else(|| Unreadable(content.what.to_owned()))
}

fn tool_call(json: &Value) -> Result<ContentBlock, Unreadable> {
    let call = Fields::of("tool_call", json)?;
    let form = call.read("form", |form| form_from_name(form.as_str()?))?.ok_or_else(|| call.wrong("form"))?;
    let arguments = call.text("arguments")?;
    let (id, name, namespace) = (call.text("id")?, call.text("name")?, call.text("namespace")?);
    Ok(ContentBlock::ToolCall { call: ToolCall { id, name, namespace, form, type_: String::new() }, arguments })
}

fn tool_result(json: &Value) -> Result<ContentBlock, Unreadable> {
    let result = Fields::of("tool_result", json)?;
    Ok(ContentBlock::ToolResult {
        id: result.text("id")?,
        is_error: result.flag("is_error")?,
        content: result.list("content", content)?,
    })
}

/// Where it is, and a word of the dialect that goes with it.
fn media(json: &Value, word: &str) -> Result<(Source, String), Unreadable> {
    let media = Fields::of("media", json)?;
    let source = if let Some(inline) = media.get("inline") {
        let inline = Fields::of("inline", inline)?;
        Source::Base64 { media_type: inline.text("media_type")?, data: inline.text("data")? }
    } else if media.has("url") {
        Source::Url(media.text("url")?)
    } else if media.has("file_id") {
        Source::FileId(media.text("file_id")?)
    } else {
        Source::Text(media.text("text")?)
    };
    Ok((source, media.text(word)?))
}

fn tool(json: &Value) -> Result<Tool, Unreadable> {
    let tool = Fields::of("tool", json)?;
    let part = |name, part: &str| {
        let value = tool.get(name).and_then(|value| value.get(part));
        value.cloned().unwrap_or_default()
    };
    let kind = if let Some(raw) = tool.get("hosted") {
        ToolKind::Hosted(raw.clone())
    } else if tool.has("custom") {
        ToolKind::Custom { format: part("custom", "format") }
    } else {
        ToolKind::Function { schema: part("function", "schema"), strict: tool.flag("strict")? }
    };
    Ok(Tool {
        name: tool.text("name")?,
        namespace: tool.text("namespace")?,
        description: tool.text("description")?,
        kind,
        extras: tool.extras("extras")?,
    })
}

fn tool_choice(json: &Value) -> ToolChoice {
    let names = || {
        let names = json.get("allowed")?.as_array()?;
        names.iter().map(|name| name.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
    };
    match json.as_str() {
        Some("auto") => ToolChoice::Auto,
        Some("none") => ToolChoice::None,
        Some("required") => ToolChoice::Required,
        Some(_) => ToolChoice::Opaque(json.clone()),
        None => match (json.get("named").and_then(Value::as_str), names()) {
            (Some(name), _) => ToolChoice::Named(name.to_owned()),
            (None, Some(names)) => {
                ToolChoice::Allowed { required: json["required"].as_bool().unwrap_or_default(), names }
            }
            (None, None) => ToolChoice::Opaque(json.clone()),
        },
    }
}

fn reasoning(json: &Value) -> Result<Reasoning, Unreadable> {
    let reasoning = Fields::of("reasoning", json)?;
    let mode = match (reasoning.text("mode")?.as_str(), reasoning.count("budget")?) {
        (_, Some(tokens)) => ReasoningMode::Budget(tokens),
        ("off", None) => ReasoningMode::Off,
        ("adaptive", None) => ReasoningMode::Adaptive,
        ("", None) => ReasoningMode::Unset,
        (_, None) => return Err(reasoning.wrong("mode")),
    };
    Ok(Reasoning { mode, effort: reasoning.text("effort")?, shown: reasoning.flag("shown")? })
}

fn output(json: &Value) -> Result<OutputFormat, Unreadable> {
    match json.as_str() {
        Some("text") => Ok(OutputFormat::Text),
        Some("json_object") => Ok(OutputFormat::JsonObject),
        Some(_) => Err(Unreadable("output".to_owned())),
        None => {
            let output = Fields::of("output", json)?;
            Ok(OutputFormat::JsonSchema {
                name: output.text("name")?,
                description: output.text("description")?,
                schema: output.get("schema").cloned().unwrap_or_default(),
                strict: output.flag("strict")?,
            })
        }
    }
}

fn service(json: &Value) -> Result<ServiceOptions, Unreadable> {
    let service = Fields::of("service", json)?;
    Ok(ServiceOptions {
        end_user: service.text("end_user")?,
        cache_key: service.text("cache_key")?,
        tier: service.text("tier")?,
        verbosity: service.text("verbosity")?,
        store: service.flag("store")?,
    })
}

fn sampling(json: &Value) -> Result<Sampling, Unreadable> {
    let sampling = Fields::of("sampling", json)?;
    let number = |name| sampling.read(name, Value::as_f64);
    Ok(Sampling {
        max_output_tokens: sampling.count("max_output_tokens")?,
        temperature: number("temperature")?,
        top_p: number("top_p")?,
        top_k: sampling.count("top_k")?,
        stop: sampling.texts("stop")?,
        seed: sampling.read("seed", Value::as_i64)?,
        frequency_penalty: number("frequency_penalty")?,
        presence_penalty: number("presence_penalty")?,
        logprobs: sampling.has("logprobs").then(|| sampling.small("logprobs")).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::entry::request_json;

    /// Every form that a request can have on record.
    #[test]
    fn what_is_read_is_what_was_written() {
        let content = json!([
            { "text": "hi", "extras": { "cache_control": { "type": "ephemeral" } } },
            { "thinking": "hm", "signature": "s", "id": "rs_1" },
            { "thinking": "" },
            { "redacted_thinking": "xyz" },
            { "refusal": "no" },
            { "tool_call": { "id": "1", "name": "ls", "namespace": "fs", "form": "custom", "arguments": "-l" } },
            { "tool_result": { "id": "1", "is_error": true, "content": [{ "text": "denied" }] } },
            { "image": { "inline": { "media_type": "image/png", "data": "AA==" }, "detail": "low" } },
            { "document": { "url": "https://example.com/a.pdf", "title": "a" } },
            { "document": { "file_id": "f" } },
            { "document": { "text": "plain" } },
            { "audio": { "data": "AA==", "format": "wav" } },
            { "opaque": { "type": "later" } },
        ]);
        for request in [
            json!({ "stream": false }),
            json!({
                "stream": true,
                "choices": 2,
                "system": [{ "text": "be kind" }],
                "messages": [{ "role": "user", "content": content, "extras": { "name": "a" } }],
                "tools": [
                    { "name": "ls", "namespace": "fs", "description": "d", "function": { "schema": {} }, "strict": true },
                    { "name": "sh", "custom": { "format": { "type": "text" } } },
                    { "name": "", "hosted": { "type": "web_search" }, "extras": { "a": 1 } },
                ],
                "tool_choice": "required",
                "parallel_tool_calls": false,
                "sampling": {
                    "max_output_tokens": 5, "temperature": 0.5, "top_p": 0.25, "top_k": 3, "stop": ["x"], "seed": -1,
                    "frequency_penalty": 0.5, "presence_penalty": -0.5, "logprobs": 2,
                },
                "reasoning": { "mode": "adaptive", "effort": "high", "shown": true },
                "output": { "schema": { "type": "object" }, "name": "n", "description": "d", "strict": false },
                "service": { "end_user": "u", "cache_key": "k", "tier": "t", "verbosity": "low", "store": false },
                "extras": { "later": [1] },
            }),
            json!({ "stream": true, "tool_choice": { "named": "ls" }, "output": "json_object", "reasoning": { "budget": 7 } }),
            json!({ "stream": true, "tool_choice": { "allowed": ["a"], "required": true }, "output": "text" }),
            json!({ "stream": true, "tool_choice": { "type": "later" }, "reasoning": { "mode": "off" } }),
        ] {
            let read = read("m", &request).expect("it can be read");
            assert_eq!(request_json(&read), request);
        }
    }
}
