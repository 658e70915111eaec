//! The client's `stream` decides the form of the answer, whatever form the upstream gave it.

use luthien_call::call::Head;
use luthien_proto::request::Dialect::{AnthropicMessages, OpenAiChat};
use serde_json::{Value, json};

use super::{golden::*, *};

fn whole(bridge: Bridge, content: Content, upstream: &str) -> Value {
    let mut rig = Rig::converting(bridge, false, NOTHING);
    rig.head(200, content);
    rig.data(upstream);
    rig.end();
    assert_eq!(rig.heads, [Head::Converted { status: 200, content_type: "application/json" }]);
    assert_eq!(rig.finished, Some(true));
    opened(serde_json::from_str(rig.text()).unwrap())
}

#[test]
fn a_stream_is_folded_for_a_client_that_wants_a_whole_answer() {
    let body = whole(bridge(AnthropicMessages, OpenAiChat), Content::Sse, &chat_calls());
    assert_eq!(
        body["content"],
        json!([
            {"type": "thinking", "thinking": "plan", "signature": {"envelope": ["openai-chat", "Unsigned", "", ""]}},
            {"type": "tool_use", "id": "a", "name": "read", "input": {"p": 1}},
            {"type": "tool_use", "id": "b", "name": "now", "input": {}},
        ])
    );
    assert_eq!([&body["id"], &body["model"], &body["stop_reason"]], ["msg_1", "m", "tool_use"]);
}

#[test]
fn a_whole_answer_is_one_in_the_other_dialect() {
    let upstream = json!({
        "id": "msg_9", "type": "message", "role": "assistant", "model": "c", "stop_reason": "max_tokens",
        "stop_sequence": null, "container": {"id": "x"},
        "content": [{"type": "text", "text": "Hi", "citations": [{"type": "x"}]}, {"type": "text", "text": "!"}],
        "usage": {"input_tokens": 3, "output_tokens": 4, "service_tier": "standard"},
    });
    let body = whole(bridge(OpenAiChat, AnthropicMessages), Content::Json, &upstream.to_string());
    assert_eq!(body["choices"][0]["message"]["content"], "Hi!");
    assert_eq!(body["choices"][0]["finish_reason"], "length");
    assert_eq!(body["usage"]["prompt_tokens"], 3);
    assert!(body.get("container").is_none() && body["usage"].get("service_tier").is_none(), "{body}");
}

#[test]
fn a_whole_answer_is_told_as_a_stream_to_a_client_that_wants_one() {
    let upstream = json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 7, "model": "up",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"}}],
    });
    let mut rig = Rig::converting(bridge(AnthropicMessages, OpenAiChat), true, NOTHING);
    rig.head(200, Content::Json);
    rig.data(upstream.to_string());
    rig.end();
    let expected = [
        "message_start",
        "content_block_start 0 text",
        "content_block_delta 0 Hi",
        "content_block_stop 0",
        "message_delta end_turn",
        "message_stop",
    ];
    assert_eq!(outline(rig.text()), expected);
}
