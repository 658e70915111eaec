//! What each target requires of a request's conversation and tools, written down apart from the code that converts.

use std::collections::BTreeSet;

use luthien_proto::request::Dialect;
use serde_json::Value;

type Checked = Result<(), String>;

macro_rules! ensure {
    ($is:expr, $($what:tt)+) => { if !$is { return Err(format!($($what)+)); } };
}

pub(crate) fn body(target: Dialect, body: &[u8]) -> Checked {
    let body: Value = luthien_proto::json::parse(body).map_err(|error| error.to_string())?;
    match target {
        Dialect::OpenAiChat => chat(&body),
        Dialect::AnthropicMessages => messages(&body),
        Dialect::OpenAiResponses => responses(&body),
        Dialect::Gemini => gemini(&body),
    }
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn is_name(name: &str, longest: usize) -> bool {
    !name.is_empty() && name.len() <= longest && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
}

fn names_are_distinct(names: &[&str]) -> Checked {
    let distinct: BTreeSet<_> = names.iter().collect();
    ensure!(distinct.len() == names.len(), "two tools of one name: {names:?}");
    Ok(())
}

fn chat(body: &Value) -> Checked {
    let named = |value: &Value| text(&value[text(value, "type")], "name").to_owned();
    let tools: Vec<_> = list(body, "tools").iter().map(named).collect();
    let bad: Vec<_> = tools.iter().filter(|name| !is_name(name, 64)).collect();
    ensure!(bad.is_empty(), "names of tools: {bad:?}");
    names_are_distinct(&tools.iter().map(String::as_str).collect::<Vec<_>>())?;
    ensure!(!tools.is_empty() || body["tool_choice"].is_null(), "a choice without tools");
    ensure!(body["stream"] != true || body["stream_options"]["include_usage"] == true, "usage is not asked for");
    let messages = list(body, "messages");
    let mut ids = BTreeSet::new();
    let mut at = 0;
    while let Some(message) = messages.get(at) {
        at += 1;
        ensure!(
            !message["content"].is_null()
                || !list(message, "tool_calls").is_empty()
                || !message["refusal"].is_null()
                || !message["reasoning_content"].is_null()
                || !message["reasoning_details"].is_null(),
            "an empty message"
        );
        ensure!(text(message, "role") != "tool", "a result without its call: {message}");
        let calls = list(message, "tool_calls");
        for call in calls {
            ensure!(text(call, "id").len() <= 40 && ids.insert(text(call, "id")), "the id of {call}");
            ensure!(is_name(&named(call), 64), "the name of {call}");
            let arguments = text(&call["function"], "arguments");
            ensure!(text(call, "type") != "function" || !arguments.is_empty(), "no arguments: {call}");
        }
        for call in calls {
            let result = messages.get(at).ok_or("a call without a result")?;
            at += 1;
            ensure!(
                text(result, "role") == "tool" && result["tool_call_id"] == call["id"],
                "{result} is not of {call}"
            );
            let parts = list(result, "content");
            ensure!(
                parts.iter().all(|part| text(part, "type") == "text"),
                "a result of other things than text: {result}"
            );
        }
    }
    Ok(())
}

fn messages(body: &Value) -> Checked {
    ensure!(body["max_tokens"].as_u64().is_some(), "no max_tokens");
    let tools: Vec<_> = list(body, "tools").iter().map(|tool| text(tool, "name")).collect();
    ensure!(tools.iter().all(|name| is_name(name, 128)), "names of tools: {tools:?}");
    names_are_distinct(&tools)?;
    ensure!(list(body, "tools").iter().all(|tool| tool["input_schema"].is_object()), "a tool without a schema");
    ensure!(!tools.is_empty() || body["tool_choice"].is_null(), "a choice without tools");
    let thinks = matches!(text(&body["thinking"], "type"), "enabled" | "adaptive");
    ensure!(!thinks || !matches!(text(&body["tool_choice"], "type"), "any" | "tool"), "a forced choice, thinking");
    ensure!(!thinks || body["temperature"].is_null(), "a temperature, thinking");
    let mut open: Vec<&str> = Vec::new();
    let mut last = "assistant";
    let mut ids = BTreeSet::new();
    for message in list(body, "messages") {
        let role = text(message, "role");
        ensure!(role != last && matches!(role, "user" | "assistant"), "{role} after {last}");
        last = role;
        ensure!(message["content"].is_array() || !text(message, "content").is_empty(), "an empty message");
        let blocks = list(message, "content");
        ensure!(!message["content"].is_array() || !blocks.is_empty(), "an empty message");
        let results: Vec<_> = blocks.iter().take_while(|block| text(block, "type") == "tool_result").collect();
        let answered: Vec<_> = results.iter().map(|block| text(block, "tool_use_id")).collect();
        ensure!(answered == open, "calls {open:?}, results {answered:?}");
        open.clear();
        for block in &blocks[results.len()..] {
            let type_ = text(block, "type");
            ensure!(type_ != "tool_result", "a result without its call, or not first");
            ensure!(type_ != "text" || !text(block, "text").trim().is_empty(), "an empty text");
            ensure!(type_ != "thinking" || !text(block, "signature").is_empty(), "unsigned thinking");
            ensure!(!type_.contains("thinking") || !block.to_string().contains("luth1."), "an envelope");
            if type_ == "tool_use" {
                ensure!(role == "assistant" && block["input"].is_object(), "a call without an input: {block}");
                ensure!(is_name(text(block, "name"), 128), "the name of {block}");
                ensure!(is_name(text(block, "id"), 64) && ids.insert(text(block, "id")), "the id of {block}");
                open.push(text(block, "id"));
            }
        }
    }
    ensure!(open.is_empty(), "calls without results: {open:?}");
    Ok(())
}

fn responses(body: &Value) -> Checked {
    ensure!(body["store"] == false || body["store"] == true, "store is not said");
    ensure!(body["max_output_tokens"].as_u64().is_none_or(|limit| limit >= 16), "max_output_tokens");
    let tools: Vec<_> = list(body, "tools").iter().map(|tool| text(tool, "name")).collect();
    ensure!(tools.iter().all(|name| is_name(name, 64)), "names of tools: {tools:?}");
    names_are_distinct(&tools)?;
    ensure!(!tools.is_empty() || body["tool_choice"].is_null(), "a choice without tools");
    let mut open: Vec<&str> = Vec::new();
    let mut ids = BTreeSet::new();
    let mut after_thought = false;
    for item in list(body, "input") {
        let type_ = text(item, "type");
        let is_the_models =
            matches!(type_, "reasoning" | "function_call" | "custom_tool_call") || text(item, "role") == "assistant";
        ensure!(!after_thought || is_the_models, "reasoning of nothing");
        after_thought = type_ == "reasoning";
        match type_ {
            "function_call" | "custom_tool_call" => {
                let id = text(item, "call_id");
                ensure!(id.len() <= 64 && ids.insert(id) && is_name(text(item, "name"), 64), "{item}");
                open.push(id);
            }
            "function_call_output" | "custom_tool_call_output" => {
                let call = open.iter().position(|id| *id == text(item, "call_id"));
                open.remove(call.ok_or_else(|| format!("a result without its call: {item}"))?);
            }
            "reasoning" => ensure!(!item.to_string().contains("luth1."), "an envelope"),
            "message" => {
                ensure!(open.is_empty() || text(item, "role") == "assistant", "calls without results: {open:?}");
                let expected = if text(item, "role") == "assistant" { "output_" } else { "input_" };
                for part in list(item, "content") {
                    ensure!(text(part, "type").starts_with(expected) || text(part, "type") == "refusal", "{part}");
                    ensure!(text(part, "type") != "input_image" || part["detail"].is_string(), "no detail: {part}");
                }
            }
            _ => return Err(format!("unknown: {item}")),
        }
    }
    ensure!(open.is_empty(), "calls without results: {open:?}");
    ensure!(!after_thought, "reasoning of nothing");
    Ok(())
}

fn gemini(body: &Value) -> Checked {
    let declared = list(body, "tools").iter().flat_map(|tool| list(tool, "functionDeclarations"));
    let names: Vec<_> = declared.map(|function| text(function, "name")).collect();
    let starts_well = |name: &&str| !name.starts_with(|c: char| c.is_ascii_digit() || c == '-');
    ensure!(names.iter().all(|name| is_name(name, 64) && starts_well(name)), "names of tools: {names:?}");
    names_are_distinct(&names)?;
    let mut last = "model";
    let mut open: Vec<&str> = Vec::new();
    for content in list(body, "contents") {
        let role = text(content, "role");
        ensure!(role != last && matches!(role, "user" | "model"), "{role} after {last}");
        last = role;
        let parts = list(content, "parts");
        ensure!(!parts.is_empty(), "no parts");
        let answered: Vec<_> = parts.iter().map(|part| text(&part["functionResponse"], "name")).collect();
        let answered: Vec<_> = answered.into_iter().filter(|name| !name.is_empty()).collect();
        ensure!(answered == open, "calls {open:?}, results {answered:?}");
        open = parts.iter().map(|part| text(&part["functionCall"], "name")).filter(|name| !name.is_empty()).collect();
        ensure!(!content.to_string().contains("luth1."), "an envelope");
    }
    ensure!(open.is_empty(), "calls without results: {open:?}");
    Ok(())
}
