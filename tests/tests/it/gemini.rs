//! Gemini as an upstream, for agents that speak other dialects: the scripted one refuses what Google would refuse.

use luthien_tests::{
    harness::{Ask, Gateway, Setup},
    validate::{Dialect, Turn},
};
use serde_json::{Value, json};

const KEY: &str = "upstream-key-gemini";

async fn ask(gateway: &Gateway, dialect: Dialect, streams: bool, messages: &[Value]) -> Turn {
    let tool = json!({"type": "object", "properties": {"path": {"type": "string"}}, "additionalProperties": false});
    let tools = match dialect {
        Dialect::OpenAi => json!([{"type": "function", "function": {"name": "read_file", "parameters": tool}}]),
        Dialect::Anthropic => json!([{"name": "read_file", "input_schema": tool}]),
        Dialect::Responses => json!([{"type": "function", "name": "read_file", "parameters": tool}]),
    };
    let conversation = if dialect == Dialect::Responses { "input" } else { "messages" };
    let fields = json!({"model": "gemini-3-flash", "stream": streams, "tools": tools, conversation: messages});
    let answer = gateway.ask(Ask::call(dialect, &fields)).await;
    if streams { answer.stream(dialect).await } else { answer.whole(dialect).await }
}

/// A signed call of a tool, then an answer.
fn script() -> [Vec<Value>; 2] {
    let chunk = |parts: Value, more: Value| {
        let mut chunk = json!({
            "candidates": [{"content": {"role": "model", "parts": parts}, "index": 0}],
            "modelVersion": "gemini-3-flash-001", "responseId": "R1",
        });
        chunk["candidates"][0]["finishReason"] = more["finishReason"].clone();
        chunk["usageMetadata"] = more["usageMetadata"].clone();
        chunk
    };
    let tokens = json!({"promptTokenCount": 20, "candidatesTokenCount": 6, "thoughtsTokenCount": 4});
    let call = json!({"functionCall": {"name": "read_file", "args": {"path": "a.txt"}}, "thoughtSignature": "U0lH"});
    [
        vec![
            chunk(
                json!([{"text": "I should read.", "thought": true}]),
                json!({"usageMetadata": {"promptTokenCount": 20}}),
            ),
            chunk(json!([call]), json!({})),
            chunk(json!([{"text": ""}]), json!({"finishReason": "STOP", "usageMetadata": tokens})),
        ],
        vec![
            chunk(json!([{"text": "It says "}]), json!({})),
            chunk(json!([{"text": "done."}]), json!({"finishReason": "STOP", "usageMetadata": tokens})),
        ],
    ]
}

#[tokio::test]
async fn a_tool_runs_and_its_result_comes_back_with_the_signature_of_the_call() {
    for dialect in [Dialect::OpenAi, Dialect::Anthropic, Dialect::Responses] {
        for streams in [true, false] {
            let gateway = Setup::noop().with_upstream_keys().start().await;
            gateway.upstream.speak_gemini(KEY, script());
            let mut messages = vec![json!({"role": "user", "content": "What does it say?"})];
            let turn = ask(&gateway, dialect, streams, &messages).await;
            assert_eq!(turn.failure, None);
            assert_eq!((turn.thinking().as_str(), turn.model.as_str()), ("I should read.", "gemini-3-flash"));
            let calls = turn.tool_calls();
            assert_eq!((calls[0].id.as_str(), calls[0].arguments.as_str()), ("call_R1_0", r#"{"path":"a.txt"}"#));
            messages.extend(dialect.next_turn(&turn).unwrap());
            let turn = ask(&gateway, dialect, streams, &messages).await;
            assert_eq!(turn.text(), "It says done.", "{turn:?}");

            let exchange = gateway.upstream.exchanges().pop().unwrap();
            let sent = exchange.json();
            let method = if streams { "streamGenerateContent?alt=sse" } else { "generateContent" };
            assert_eq!(exchange.path, format!("/v1beta/models/gemini-3-flash:{method}"));
            let [_, model, user] = sent["contents"].as_array().unwrap().as_slice() else { panic!("{sent}") };
            let call = model["parts"].as_array().unwrap().last().unwrap();
            assert_eq!(call["thoughtSignature"], "U0lH", "{sent}");
            assert_eq!(
                user["parts"],
                json!([{"functionResponse": {"name": "read_file", "response": {"result": "done"}, "id": "call_R1_0"}}])
            );
        }
    }
}

#[tokio::test]
async fn tokens_are_counted_of_the_request_that_would_be_sent() {
    let gateway = Setup::noop().with_upstream_keys().start().await;
    gateway.upstream.speak_gemini(KEY, []);
    let body = json!({
        "model": "gemini-3-flash",
        "system": "Be brief.",
        "messages": [
            {"role": "user", "content": "What does it say?"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "read_file", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "done"}]},
        ],
        "tools": [{"name": "read_file", "input_schema": {"type": "object"}}],
        "thinking": {"type": "adaptive"},
    });
    let ask = Ask::post(Dialect::Anthropic, body.to_string()).to("/v1/messages/count_tokens");
    let answer = gateway.ask(ask).await;
    let (status, text) = (answer.status, String::from_utf8(answer.complete().await).unwrap());
    assert_eq!(status, 200, "{text}");
    let counted: Value = serde_json::from_str(&text).unwrap();
    assert!(counted["input_tokens"].as_u64().is_some_and(|tokens| tokens > 100), "{text}");
}
