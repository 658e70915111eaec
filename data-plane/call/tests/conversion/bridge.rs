//! What is remembered of a request for its answer.

use bytes::Bytes;
use luthien_call::{
    conversion::{Bridge, Target, convert},
    dialect::{UpstreamOptions, decode_request},
};
use luthien_proto::request::Dialect;
use serde_json::{Value, json};

fn bridge(client: Dialect, body: &Value) -> Bridge {
    let request = decode_request(client, Bytes::from(body.to_string())).unwrap();
    let options = UpstreamOptions::default();
    let to = Target { dialect: Dialect::Gemini, model: "gemini-3-flash", options: &options };
    convert(&request, &to).unwrap().response.bridge().clone()
}

#[test]
fn the_model_is_the_one_that_the_client_asked_for() {
    let bridge = bridge(Dialect::OpenAiChat, &json!({"model": "mine", "messages": []}));
    assert_eq!((bridge.model.as_str(), bridge.upstream_model.as_str()), ("mine", "gemini-3-flash"));
    assert_eq!((bridge.client, bridge.upstream), (Dialect::OpenAiChat, Dialect::Gemini));
}

#[test]
fn usage_is_told_in_a_stream_of_openai_chat_only_if_it_is_asked_for() {
    for (options, asked) in
        [(json!(null), false), (json!({"include_usage": false}), false), (json!({"include_usage": true}), true)]
    {
        let body = json!({"model": "m", "messages": [], "stream": true, "stream_options": options});
        assert_eq!(bridge(Dialect::OpenAiChat, &body).include_usage, asked, "{body}");
    }
    assert!(bridge(Dialect::AnthropicMessages, &json!({"model": "m", "messages": []})).include_usage);
}

#[test]
fn an_answer_of_openai_responses_repeats_the_request_as_the_client_said_it() {
    let tools = json!([{"type": "namespace", "name": "files", "tools": [{"type": "custom", "name": "patch"}]}]);
    let body = json!({"model": "m", "input": "Hi", "instructions": "Be brief.", "tools": tools, "tool_choice": "required",
        "max_output_tokens": 3});
    let echo = bridge(Dialect::OpenAiResponses, &body).echo;
    for (key, value) in [
        ("instructions", json!("Be brief.")),
        ("tools", tools),
        ("tool_choice", json!("required")),
        ("max_output_tokens", json!(3)),
    ] {
        assert_eq!(echo.get(key), Some(&value), "{key}");
    }
    assert!(bridge(Dialect::OpenAiChat, &json!({"model": "m", "messages": []})).echo.is_empty());
}
