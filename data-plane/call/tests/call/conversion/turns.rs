//! What a client brings back of an answer, its provider gets as it gave it.

use luthien_call::{
    conversion::{Target, convert},
    dialect::{UpstreamOptions, decode_request},
};
use luthien_proto::request::Dialect::{AnthropicMessages, Gemini, OpenAiChat, OpenAiResponses};
use serde_json::{Value, json};

use super::*;

/// The request that follows an answer in which one tool was called, as the upstream gets it.
fn next_request(client: Dialect, upstream: Dialect, answer: &Value) -> Value {
    let mut rig = Rig::converting(bridge(client, upstream), false, NOTHING);
    rig.head(200, Content::Json);
    rig.data(answer.to_string());
    rig.end();
    let told: Value = serde_json::from_str(rig.text()).unwrap();
    let ask = json!({"role": "user", "content": "Go."});
    let request = match client {
        OpenAiChat => {
            let message = &told["choices"][0]["message"];
            let id = &message["tool_calls"][0]["id"];
            json!({"messages": [ask, message, {"role": "tool", "tool_call_id": id, "content": "42"}]})
        }
        AnthropicMessages => {
            let content = told["content"].as_array().unwrap();
            let id = &content.iter().find(|block| block["type"] == "tool_use").unwrap()["id"];
            let result = json!({"type": "tool_result", "tool_use_id": id, "content": "42"});
            json!({"max_tokens": 100, "messages": [
                ask, {"role": "assistant", "content": content}, {"role": "user", "content": [result]}]})
        }
        _ => {
            let output = told["output"].as_array().unwrap();
            let id = &output.iter().find(|item| item["type"] == "function_call").unwrap()["call_id"];
            let mut input = vec![ask];
            input.extend(output.clone());
            input.push(json!({"type": "function_call_output", "call_id": id, "output": "42"}));
            json!({"input": input})
        }
    };
    let mut request = request;
    request["model"] = "m".into();
    let request = decode_request(client, request.to_string().into()).unwrap();
    let options = UpstreamOptions::default();
    let converted = convert(&request, &Target { dialect: upstream, model: "up", options: &options }).unwrap();
    serde_json::from_slice(&converted.body).unwrap()
}

#[test]
fn anthropic_gets_its_thinking_back() {
    let thinking = json!({"type": "thinking", "thinking": "T", "signature": "SIG"});
    let redacted = json!({"type": "redacted_thinking", "data": "RD"});
    let call = json!({"type": "tool_use", "id": "toolu_1", "name": "list", "input": {"a": 1}});
    let content = json!([thinking, redacted, {"type": "text", "text": "ok"}, call]);
    let answer = json!({"id": "msg_9", "type": "message", "role": "assistant", "model": "c", "content": content,
        "stop_reason": "tool_use", "stop_sequence": null, "usage": {"input_tokens": 1, "output_tokens": 1}});
    for client in [OpenAiChat, OpenAiResponses] {
        let request = next_request(client, AnthropicMessages, &answer);
        assert_eq!(request["messages"][1], json!({"role": "assistant", "content": content}), "{client:?}");
        assert_eq!(request["messages"][2]["content"][0]["tool_use_id"], "toolu_1");
    }
}

#[test]
fn responses_gets_its_reasoning_back() {
    let reasoning = json!({"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "think"}],
        "encrypted_content": "ENC"});
    let call = json!({"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": "{}",
        "status": "completed"});
    let answer = json!({"id": "resp_1", "object": "response", "created_at": 1, "model": "up", "status": "completed",
        "output": [reasoning, call]});
    for client in [OpenAiChat, AnthropicMessages] {
        let request = next_request(client, OpenAiResponses, &answer);
        assert_eq!(request["input"][1], reasoning, "{client:?}");
        let call = json!({"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"});
        assert_eq!(request["input"][2], call, "{client:?}");
        let output = json!({"type": "function_call_output", "call_id": "call_1", "output": "42"});
        assert_eq!(request["input"][3], output, "{client:?}");
    }
}

#[test]
fn gemini_gets_its_signatures_back() {
    let call = json!({"functionCall": {"name": "a", "args": {"x": 1}}, "thoughtSignature": "U0lH"});
    let parts = json!([{"text": "hm", "thought": true}, call]);
    let answer = json!({"responseId": "R", "modelVersion": "g",
        "candidates": [{"index": 0, "content": {"role": "model", "parts": parts}, "finishReason": "STOP"}]});
    for client in [OpenAiChat, AnthropicMessages, OpenAiResponses] {
        let request = next_request(client, Gemini, &answer);
        let parts = request["contents"][1]["parts"].as_array().unwrap();
        let call = parts.iter().find(|part| part["functionCall"].is_object()).unwrap();
        assert_eq!([&call["functionCall"]["name"], &call["thoughtSignature"]], ["a", "U0lH"], "{client:?} {request}");
    }
}

#[test]
fn nobody_gets_the_reasoning_of_another() {
    let answer = json!({"id": "msg_9", "type": "message", "role": "assistant", "model": "c",
        "content": [{"type": "thinking", "thinking": "T", "signature": "SIG"}, {"type": "tool_use", "id": "t", "name": "f", "input": {}}],
        "stop_reason": "tool_use", "stop_sequence": null, "usage": {"input_tokens": 1, "output_tokens": 1}});
    let mut rig = Rig::converting(bridge(OpenAiChat, AnthropicMessages), false, NOTHING);
    rig.head(200, Content::Json);
    rig.data(answer.to_string());
    rig.end();
    let told: Value = serde_json::from_str(rig.text()).unwrap();
    let messages = json!([{"role": "user", "content": "Go."}, told["choices"][0]["message"],
        {"role": "tool", "tool_call_id": "t", "content": "42"}]);
    let request = decode_request(OpenAiChat, json!({"model": "m", "messages": messages}).to_string().into()).unwrap();
    for dialect in [OpenAiResponses, Gemini] {
        let options = UpstreamOptions::default();
        let converted = convert(&request, &Target { dialect, model: "up", options: &options }).unwrap();
        let body = String::from_utf8(converted.body.to_vec()).unwrap();
        assert!(!body.contains("luth1.") && !body.contains("SIG"), "{body}");
    }
}
