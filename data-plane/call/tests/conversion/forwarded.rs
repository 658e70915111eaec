//! What goes to an upstream of the client's own dialect after one of another dialect has answered.

use bytes::Bytes;
use luthien_call::{
    conversion::{Kind, forward, wrap},
    dialect::{UpstreamOptions, decode_request},
};
use luthien_proto::request::Dialect;
use serde_json::{Value, json};

/// The body that is sent, and what the record says of it.
fn sent(client: Dialect, body: &Value) -> (Value, Vec<String>, Vec<String>) {
    let request = decode_request(client, Bytes::from(body.to_string())).unwrap();
    let (sent, lost) = forward(&request, "m", &UpstreamOptions { reasoning_echo: true, ..UpstreamOptions::default() });
    (serde_json::from_slice(&sent).unwrap(), lost.dropped, lost.omitted)
}

fn foreign() -> String {
    wrap(Dialect::Gemini, "g", Kind::Signature, "call:U0lH", "")
}

#[test]
fn what_no_other_signed_leaves_as_it_came() {
    let body = Bytes::from_static(br#" {"model":"m", "messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"NATIVE"}]},
        {"role":"user","content":"luth1.e30"}]}"#);
    let request = decode_request(Dialect::AnthropicMessages, body.clone()).unwrap();
    let (sent, lost) = forward(&request, "m", &UpstreamOptions::default());
    assert_eq!((sent, lost.dropped.len() + lost.omitted.len()), (body, 0));
}

#[test]
fn thinking_of_another_upstream_is_left_out_and_nothing_else() {
    let call = json!({"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}});
    let own = json!({"type": "thinking", "thinking": "own", "signature": "NATIVE"});
    let body = |content: Value, thinking: Value| {
        let result = json!([{"type": "tool_result", "tool_use_id": "a", "content": "1"}]);
        let assistant = json!({"role": "assistant", "content": content});
        json!({"model": "m", "max_tokens": 9000, "messages": [{"role": "user", "content": "Hi"}, assistant,
            {"role": "user", "content": result}], "thinking": thinking, "unheard_of": {"a": 1}})
    };
    let other = json!({"type": "thinking", "thinking": "other", "signature": foreign()});
    let redacted =
        json!({"type": "redacted_thinking", "data": wrap(Dialect::OpenAiResponses, "g", Kind::Redacted, "E", "rs")});
    let adaptive = json!({"type": "adaptive"});
    let (found, dropped, omitted) =
        sent(Dialect::AnthropicMessages, &body(json!([other, redacted, own, call]), adaptive.clone()));
    assert_eq!(found, body(json!([own, call]), adaptive));
    assert_eq!((dropped, omitted), (vec![], vec!["thinking".to_owned()]));
    // A turn that lacks its thinking is refused if it is asked to think by a budget.
    let budget = json!({"type": "enabled", "budget_tokens": 2000});
    let (found, dropped, _) = sent(Dialect::AnthropicMessages, &body(json!([other, call]), budget));
    assert_eq!((found.get("thinking"), dropped), (None, vec!["thinking".to_owned()]));
}

#[test]
fn openai_chat_keeps_what_was_said() {
    let details = json!([{"type": "reasoning.text", "text": "T", "signature": foreign(), "index": 0, "format": "x"}]);
    let assistant =
        json!({"role": "assistant", "content": "Hello.", "reasoning_content": "T", "reasoning_details": details});
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}, assistant]});
    let (found, _, omitted) = sent(Dialect::OpenAiChat, &body);
    let assistant = json!({"role": "assistant", "content": "Hello.", "reasoning_content": "T"});
    assert_eq!(found, json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}, assistant]}));
    assert_eq!(omitted, ["reasoning_details"]);
}

#[test]
fn items_of_reasoning_of_another_upstream_are_left_out() {
    let other = json!({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": foreign()});
    let own = json!({"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "NATIVE"});
    let call = json!({"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"});
    let body = |input: Value| json!({"model": "m", "input": input, "stream": true});
    let (found, _, omitted) = sent(Dialect::OpenAiResponses, &body(json!([other, own, call])));
    assert_eq!(found, body(json!([own, call])));
    assert_eq!(omitted, ["reasoning"]);
}
