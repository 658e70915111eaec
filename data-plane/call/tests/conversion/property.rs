//! Whatever a client sends, its conversion is valid for the target, and the same each time.

use std::{
    fs,
    path::{Path, PathBuf},
};

use luthien_call::{
    conversion::{Kind, wrap},
    dialect::{UpstreamOptions, decode_request},
};
use luthien_proto::request::Dialect;
use proptest::{collection::vec, prelude::*, sample::select, test_runner::TestCaseError};
use serde_json::{Value, json};

use crate::{check, convert_body, model, targets};

fn word() -> impl Strategy<Value = String> {
    select(vec!["", " ", "Hi", "é", "{\"x\":1}", "x.y/z", "a__b", "9lives"]).prop_map(str::to_owned)
}

fn id() -> impl Strategy<Value = String> {
    select(vec!["", "a", "b", "functions.f:0", "call_0123456789012345678901234567890123456789"]).prop_map(str::to_owned)
}

fn name() -> impl Strategy<Value = String> {
    let long = "n".repeat(140);
    select(vec!["f".to_owned(), "g.h".to_owned(), "g/h".to_owned(), "ns__f".to_owned(), "9".to_owned(), long])
}

fn signature() -> impl Strategy<Value = String> {
    let wrapped = |(origin, kind): (Dialect, Kind)| wrap(origin, model(origin), kind, "call:U0lH", "rs_1");
    let kinds = vec![Kind::Unsigned, Kind::Signature, Kind::Redacted];
    prop_oneof![
        Just(String::new()),
        Just("native".to_owned()),
        (select(Dialect::ALL.to_vec()), select(kinds)).prop_map(wrapped)
    ]
}

fn role() -> impl Strategy<Value = &'static str> {
    select(vec!["user", "user", "assistant", "assistant", "system", "developer", "tool", "strange"])
}

fn anthropic_block() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => word().prop_map(|text| json!({"type": "text", "text": text})),
        2 => (id(), name()).prop_map(|(id, name)| json!({"type": "tool_use", "id": id, "name": name, "input": {}})),
        2 => (id(), word()).prop_map(|(id, text)| json!({"type": "tool_result", "tool_use_id": id, "content": text})),
        1 => id().prop_map(|id| json!({"type": "tool_result", "tool_use_id": id, "content":
            [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}]})),
        1 => (word(), signature()).prop_map(|(text, signature)| json!({"type": "thinking", "thinking": text, "signature": signature})),
        1 => signature().prop_map(|data| json!({"type": "redacted_thinking", "data": data})),
        1 => word().prop_map(|text| json!({"type": "web_search_tool_result", "content": text})),
    ]
}

fn anthropic() -> impl Strategy<Value = Value> {
    let message =
        (role(), vec(anthropic_block(), 0..4)).prop_map(|(role, content)| json!({"role": role, "content": content}));
    let tools = vec(name().prop_map(|name| json!({"name": name, "input_schema": {}})), 0..3);
    let choice = select(vec![json!(null), json!({"type": "any"}), json!({"type": "tool", "name": "f"})]);
    let thinking =
        select(vec![json!(null), json!({"type": "adaptive"}), json!({"type": "enabled", "budget_tokens": 2000})]);
    (vec(message, 0..6), tools, choice, thinking, word()).prop_map(|(messages, tools, choice, thinking, system)| {
        json!({"model": "m", "max_tokens": 1, "stream": true, "system": system, "messages": messages, "tools": distinct(tools),
            "tool_choice": choice, "thinking": thinking, "temperature": 0.5, "stop_sequences": [" "]})
    })
}

fn chat() -> impl Strategy<Value = Value> {
    let call = |(id, name, custom): (String, String, bool)| match custom {
        true => json!({"id": id, "type": "custom", "custom": {"name": name, "input": ""}}),
        false => json!({"id": id, "type": "function", "function": {"name": name, "arguments": ""}}),
    };
    let calls = vec((id(), name(), any::<bool>()).prop_map(call), 0..3);
    let message = prop_oneof![
        (role(), word()).prop_map(|(role, text)| json!({"role": role, "content": text})),
        (calls, word(), word(), signature()).prop_map(|(calls, text, thought, signature)| json!({"role": "assistant",
            "content": text, "tool_calls": calls, "reasoning_content": thought,
            "reasoning_details": [{"type": "reasoning.text", "signature": signature}]})),
        (id(), word()).prop_map(|(id, text)| json!({"role": "tool", "tool_call_id": id, "content": text})),
        name().prop_map(|name| json!({"role": "assistant", "function_call": {"name": name, "arguments": "x"}})),
        name().prop_map(|name| json!({"role": "function", "name": name, "content": "1"})),
    ];
    let tool = (name(), any::<bool>()).prop_map(|(name, custom)| match custom {
        true => json!({"type": "custom", "custom": {"name": name}}),
        false => json!({"type": "function", "function": {"name": name}}),
    });
    let choice = select(vec![json!(null), json!("required"), json!({"type": "function", "function": {"name": "f"}})]);
    (vec(message, 0..6), vec(tool, 0..3), choice, word()).prop_map(|(messages, tools, choice, effort)| {
        json!({"model": "m", "messages": messages, "tools": distinct(tools), "tool_choice": choice, "stream": true,
            "reasoning_effort": effort, "temperature": 1.5, "max_tokens": 1})
    })
}

fn responses() -> impl Strategy<Value = Value> {
    let item = prop_oneof![
        (role(), word()).prop_map(|(role, text)| json!({"type": "message", "role": role, "content": text})),
        (id(), name()).prop_map(|(id, name)| json!({"type": "function_call", "call_id": id, "name": name, "namespace": "ns", "arguments": ""})),
        (id(), name()).prop_map(|(id, name)| json!({"type": "custom_tool_call", "call_id": id, "name": name, "input": ""})),
        (id(), word()).prop_map(|(id, text)| json!({"type": "function_call_output", "call_id": id, "output": text})),
        id().prop_map(|id| json!({"type": "custom_tool_call_output", "call_id": id, "output":
            [{"type": "input_image", "image_url": "https://example.com/a.png"}]})),
        signature().prop_map(|data| json!({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": data})),
        word().prop_map(|text| json!({"type": "web_search_call", "id": text})),
    ];
    let function = name().prop_map(|name| json!({"type": "function", "name": name, "parameters": null}));
    let group =
        name().prop_map(|name| json!({"type": "namespace", "name": "ns", "tools": [{"type": "custom", "name": name}]}));
    let tools = vec(prop_oneof![function, group, Just(json!({"type": "web_search"}))], 0..4);
    (vec(item, 0..8), tools, word()).prop_map(|(input, tools, instructions)| {
        json!({"model": "m", "input": input, "tools": distinct(tools), "instructions": instructions, "stream": true,
            "tool_choice": "required", "reasoning": {"effort": "high"}, "text": {"verbosity": "low"}})
    })
}

/// Nobody declares two tools of one name.
fn distinct(mut tools: Vec<Value>) -> Vec<Value> {
    let mut known = Vec::new();
    tools.retain(|tool| {
        let name = |tool: &Value| ["function", "custom"].iter().find_map(|key| tool.get(*key)?.get("name").cloned());
        let name = name(tool).unwrap_or_else(|| tool.get("tools").unwrap_or(tool).clone());
        let is_new = !known.contains(&name);
        known.push(name);
        is_new
    });
    tools
}

fn holds(client: Dialect, body: &Value) -> Result<(), TestCaseError> {
    let body = body.to_string();
    prop_assert!(decode_request(client, body.clone().into()).is_ok());
    for (target, options) in targets(client) {
        let UpstreamOptions { compatible, .. } = options;
        for model in [model(target), "claude-sonnet-4-5", "gemini-2.5-pro"] {
            let convert = || convert_body(client, &body, target, model, &options);
            let (once, again) = (convert().unwrap(), convert().unwrap());
            prop_assert_eq!(&once.body, &again.body);
            prop_assert_eq!(&once.lost, &again.lost);
            prop_assert_eq!(once.response.bridge(), again.response.bridge());
            if let Err(what) = check::body(target, &once.body) {
                let sent = String::from_utf8_lossy(&once.body);
                prop_assert!(false, "to {} {} {}: {}\n{}", target.name(), compatible, model, what, sent);
            }
        }
    }
    Ok(())
}

/// The inputs of all cases.
fn cases() -> Vec<(Dialect, Value)> {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conversion/requests");
    let mut folders: Vec<_> = fs::read_dir(tree).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let inputs = folders.iter().flat_map(|case| Dialect::ALL.map(|dialect| (dialect, case.clone())));
    let read = |(dialect, case): (Dialect, PathBuf)| {
        let body = fs::read(case.join(format!("{}.json", dialect.name()))).ok()?;
        Some((dialect, serde_json::from_slice(&body).unwrap()))
    };
    inputs.filter_map(read).collect()
}

/// Replaces what the steps lead to.
fn replace(value: &mut Value, steps: &[usize], with: Value) {
    let place = match (steps, value) {
        ([step, steps @ ..], Value::Array(items)) if !items.is_empty() => {
            let len = items.len();
            Some((&mut items[step % len], steps))
        }
        ([step, steps @ ..], Value::Object(fields)) if !fields.is_empty() => {
            let len = fields.len();
            fields.values_mut().nth(step % len).map(|value| (value, steps))
        }
        (_, value) => {
            *value = with;
            return;
        }
    };
    if let Some((value, steps)) = place {
        replace(value, steps, with);
    }
}

fn anything() -> impl Strategy<Value = Value> {
    let strange =
        [json!(null), json!(true), json!(-1), json!(1.5), json!([]), json!({}), json!([[]]), json!({"type": "x"})];
    let texts = ["", "x", "text", "reasoning", "luth1.", "luth1.e30"].map(|text| json!(text));
    select(strange.into_iter().chain(texts).collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn of_openai_chat(body in chat()) {
        holds(Dialect::OpenAiChat, &body)?;
    }

    #[test]
    fn of_anthropic_messages(body in anthropic()) {
        holds(Dialect::AnthropicMessages, &body)?;
    }

    #[test]
    fn of_openai_responses(body in responses()) {
        holds(Dialect::OpenAiResponses, &body)?;
    }

    /// What is of an unexpected type, or missing, is an error of reading or is converted; the same each time.
    #[test]
    fn of_what_no_provider_would_take(
        (client, mut body) in select(cases()),
        changes in vec((vec(any::<usize>(), 1..6), anything()), 1..4),
    ) {
        for (steps, with) in changes {
            replace(&mut body, &steps, with);
        }
        let body = body.to_string();
        let read = decode_request(client, body.clone().into()).is_ok();
        for (target, options) in targets(client).into_iter().filter(|_| read) {
            let convert = || convert_body(client, &body, target, model(target), &options);
            match (convert(), convert()) {
                (Ok(once), Ok(again)) => {
                    prop_assert!(luthien_proto::json::parse_object(&once.body).is_ok());
                    prop_assert_eq!(once.body, again.body);
                    prop_assert_eq!(once.lost, again.lost);
                }
                (once, again) => prop_assert_eq!(once.err(), again.err()),
            }
        }
    }
}
