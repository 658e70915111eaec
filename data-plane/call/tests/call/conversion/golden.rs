//! Streams in one dialect and what they are in another, event by event.

use luthien_call::call::Head;
use luthien_proto::{
    event::Step,
    message::{Decision, Outcome, ToService},
    request::Dialect::{AnthropicMessages, Gemini, OpenAiChat},
};
use serde_json::{Value, json};

use super::*;

fn assert_events(rig: &Rig, expected: &[Value]) {
    let written: Vec<Value> = events(rig.text()).into_iter().map(opened).collect();
    for (at, (written, expected)) in written.iter().zip(expected).enumerate() {
        assert_eq!(written, expected, "event {at} of\n{}", rig.text());
    }
    assert_eq!(written.len(), expected.len(), "{}", rig.text());
}

fn block(index: u32, block: Value) -> Value {
    json!({"type": "content_block_start", "index": index, "content_block": block})
}

fn delta(index: u32, delta: Value) -> Value {
    json!({"type": "content_block_delta", "index": index, "delta": delta})
}

fn stop(index: u32) -> Value {
    json!({"type": "content_block_stop", "index": index})
}

fn start() -> Value {
    let usage =
        json!({"input_tokens": 0, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 0});
    json!({"type": "message_start", "message": {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": null,
        "stop_sequence": null, "usage": usage,
    }})
}

fn finish(reason: &str, usage: Value) -> Value {
    json!({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": null}, "usage": usage})
}

pub fn chat_text() -> String {
    chat(&json!({"role": "assistant", "content": ""}), None)
        + &chat(&json!({"content": "Hé"}), None)
        + &chat(&json!({"content": "llo"}), Some("stop"))
        + &chunk(json!({"choices": [], "usage": {
            "prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 107,
            "prompt_tokens_details": {"cached_tokens": 75},
        }}))
        + DONE
}

#[test]
fn text_of_chat_is_text_of_anthropic_wherever_it_was_cut() {
    let upstream = chat_text();
    for cut in 0..=upstream.len() {
        let mut rig = Rig::converting(bridge(AnthropicMessages, OpenAiChat), true, NOTHING);
        rig.head(200, Content::Sse);
        rig.data(&upstream.as_bytes()[..cut]);
        rig.data(&upstream.as_bytes()[cut..]);
        rig.end();
        assert_events(
            &rig,
            &[
                start(),
                block(0, json!({"type": "text", "text": ""})),
                delta(0, json!({"type": "text_delta", "text": "Hé"})),
                delta(0, json!({"type": "text_delta", "text": "llo"})),
                stop(0),
                finish(
                    "end_turn",
                    json!({"input_tokens": 25, "cache_read_input_tokens": 75, "cache_creation_input_tokens": 0, "output_tokens": 7}),
                ),
                json!({"type": "message_stop"}),
            ],
        );
        let content_type = "text/event-stream; charset=utf-8";
        assert_eq!(rig.heads, [Head::Converted { status: 200, content_type }]);
        assert_eq!(rig.finished, Some(true));
    }
}

pub fn chat_calls() -> String {
    let call = |id: &str, name: &str, arguments: &str| {
        let function = json!({"name": name, "arguments": arguments});
        chat(&json!({"tool_calls": [{"index": 0, "id": id, "type": "function", "function": function}]}), None)
    };
    chat(&json!({"role": "assistant", "reasoning_content": "plan"}), None)
        + &call("a", "read", r#"{"p":1}"#)
        + &call("b", "now", "")
        + &chat(&json!({}), Some("stop"))
        + DONE
}

#[test]
fn calls_at_one_index_are_two_and_reasoning_is_marked_as_unsigned() {
    let rig = stream(bridge(AnthropicMessages, OpenAiChat), &chat_calls());
    assert_events(
        &rig,
        &[
            start(),
            block(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
            delta(0, json!({"type": "thinking_delta", "thinking": "plan"})),
            delta(
                0,
                json!({"type": "signature_delta", "signature": {"envelope": ["openai-chat", "Unsigned", "", ""]}}),
            ),
            stop(0),
            block(1, json!({"type": "tool_use", "id": "a", "name": "read", "input": {}})),
            delta(1, json!({"type": "input_json_delta", "partial_json": "{\"p\":1}"})),
            block(2, json!({"type": "tool_use", "id": "b", "name": "now", "input": {}})),
            stop(1),
            stop(2),
            finish("tool_use", json!({"output_tokens": 0})),
            json!({"type": "message_stop"}),
        ],
    );
}

pub fn anthropic_thinking() -> String {
    let usage =
        json!({"input_tokens": 5, "cache_read_input_tokens": 90, "cache_creation_input_tokens": 5, "output_tokens": 1});
    event(json!({"type": "message_start", "message": {"id": "msg_9", "model": "c", "usage": usage}}))
        + &event(json!({"type": "ping"}))
        + &event(block(0, json!({"type": "thinking", "thinking": "", "signature": ""})))
        + &event(delta(0, json!({"type": "thinking_delta", "thinking": "T"})))
        + &event(delta(0, json!({"type": "signature_delta", "signature": "SIG"})))
        + &event(stop(0))
        + &text_block(1, &["ok"])
        + &tool_start(2, "toolu_1", "list")
        + &tool_delta(2, "")
        + &event(stop(2))
        + &event(finish("tool_use", json!({"output_tokens": 30, "output_tokens_details": {"thinking_tokens": 12}})))
        + &event(json!({"type": "message_stop"}))
}

#[test]
fn thinking_and_a_call_of_anthropic_are_reasoning_and_a_call_of_chat() {
    let rig = stream(bridge(OpenAiChat, AnthropicMessages), &anthropic_thinking());
    let said: Vec<Value> = bodies(rig.text()).into_iter().map(opened).collect();
    let deltas: Vec<Value> = said.iter().filter_map(|chunk| chunk["choices"][0].get("delta").cloned()).collect();
    let proof = json!({"envelope": ["anthropic-messages", "Signature", "SIG", ""]});
    let function = json!({"name": "list", "arguments": ""});
    assert_eq!(
        deltas,
        [
            json!({"role": "assistant", "content": ""}),
            json!({"reasoning_content": "T"}),
            json!({"reasoning_details": [
                {"type": "reasoning.text", "signature": proof, "index": 0, "format": "anthropic"},
            ]}),
            json!({"content": "ok"}),
            json!({"tool_calls": [{"index": 0, "id": "toolu_1", "type": "function", "function": function}]}),
            json!({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}),
            json!({}),
        ]
    );
    let finishes: Vec<&Value> = said.iter().map(|chunk| &chunk["choices"][0]["finish_reason"]).collect();
    assert_eq!(finishes.iter().filter(|finish| **finish == "tool_calls").count(), 1);
    let usage = &said.last().unwrap()["usage"];
    assert_eq!([&usage["prompt_tokens"], &usage["completion_tokens"], &usage["total_tokens"]], [100, 30, 130]);
    assert_eq!(usage["prompt_tokens_details"], json!({"cached_tokens": 90, "cache_write_tokens": 5}));
    assert_eq!(usage["completion_tokens_details"]["reasoning_tokens"], 12);
    assert!(rig.text().ends_with(DONE));
    let first = &events(rig.text())[0];
    assert_eq!([&first["id"], &first["model"]], ["chatcmpl-9", "m"], "the client's id and model");
}

#[test]
fn a_thought_and_calls_of_gemini_of_which_the_first_is_signed() {
    let chunk = |fields: Value| format!("data: {fields}\r\n\r\n");
    let upstream = chunk(
        json!({"candidates": [{"content": {"role": "model", "parts": [{"text": "hm", "thought": true}]}, "index": 0}],
        "usageMetadata": {"promptTokenCount": 20}, "modelVersion": "g", "responseId": "R"}),
    ) + &chunk(json!({"candidates": [{"content": {"parts": [
            {"functionCall": {"name": "a", "args": {"x": 1}}, "thoughtSignature": "U0lH"}, {"functionCall": {"name": "b"}}]}}]}))
        + &chunk(json!({"candidates": [{"content": {"parts": [{"text": ""}]}, "finishReason": "STOP"}],
            "usageMetadata": {"promptTokenCount": 20, "candidatesTokenCount": 6, "thoughtsTokenCount": 4, "totalTokenCount": 30}}));
    let rig = stream(bridge(AnthropicMessages, Gemini), &upstream);
    let mut start = start();
    start["message"]["id"] = "msg_R".into();
    assert_events(
        &rig,
        &[
            start,
            block(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
            delta(0, json!({"type": "thinking_delta", "thinking": "hm"})),
            delta(
                0,
                json!({"type": "signature_delta", "signature": {"envelope": ["gemini", "Signature", "call:U0lH", ""]}}),
            ),
            stop(0),
            block(1, json!({"type": "tool_use", "id": "call_R_0", "name": "a", "input": {}})),
            delta(1, json!({"type": "input_json_delta", "partial_json": "{\"x\":1}"})),
            stop(1),
            block(2, json!({"type": "tool_use", "id": "call_R_1", "name": "b", "input": {}})),
            stop(2),
            finish(
                "tool_use",
                json!({"input_tokens": 20, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0, "output_tokens": 10,
                    "output_tokens_details": {"thinking_tokens": 4}}),
            ),
            json!({"type": "message_stop"}),
        ],
    );
}

#[test]
fn a_chat_client_that_did_not_ask_for_usage_is_not_told() {
    let bridge = Bridge { include_usage: false, ..bridge(OpenAiChat, AnthropicMessages) };
    let rig = stream(bridge.clone(), &anthropic_thinking());
    assert!(bodies(rig.text()).iter().all(|chunk| chunk["choices"] != json!([])), "{}", rig.text());
    let mut rig = Rig::converting(bridge, false, NOTHING);
    rig.head(200, Content::Sse);
    rig.data(anthropic_thinking());
    rig.end();
    let body: Value = serde_json::from_str(rig.text()).unwrap();
    assert_eq!(body["usage"]["prompt_tokens"], 100, "a whole answer always tells");
}

#[test]
fn nothing_waits_for_the_policy_service_where_nothing_is_gated() {
    let mut rig = Rig::converting(bridge(AnthropicMessages, OpenAiChat), true, NOTHING);
    rig.head(200, Content::Sse);
    rig.data(chat(&json!({"role": "assistant", "content": "a"}), None));
    assert_eq!(events(rig.text()).last().unwrap()["delta"]["text"], "a", "at once");
    rig.data(chat(&json!({"content": "b"}), Some("stop")));
    rig.data(DONE);
    rig.end();
    for _ in 0..5 {
        rig.working();
    }
    let blocks = rig.told.iter().filter(|message| matches!(message, ToService::Block(_))).count();
    assert_eq!((blocks, rig.call_ended().outcome), (1, Outcome::Delivered), "recorded as ever");
    assert_eq!((rig.call_ended().status, rig.call_ended().upstream_status), (200, 200));
}

#[test]
fn a_policy_sees_what_the_upstream_said_and_its_text_reaches_the_client() {
    let mut rig = Rig::converting(bridge(AnthropicMessages, OpenAiChat), true, GATE_ALL);
    rig.head(200, Content::Sse);
    rig.data(chat_calls());
    rig.end();
    rig.working();
    assert!(rig.chunks()[0].event.extras.get("chunk").is_some(), "unknown fields are the policies' to see");
    assert_eq!(rig.text(), "", "nothing leaves unjudged");
    let call = rig.seq_of(|step| matches!(step, Step::BlockStarted(started) if started.block.0 == 1));
    rig.pass(call - 1);
    rig.verdict(call + 1, Decision::Replace(made_text(0, "No.")));
    rig.pass(call + 2);
    rig.verdict(call + 3, Decision::Replace(Vec::new()));
    rig.pass_all();
    assert_eq!(
        outline(rig.text()),
        [
            "message_start",
            "content_block_start 0 thinking",
            "content_block_delta 0 ",
            "content_block_delta 0 ",
            "content_block_stop 0",
            "content_block_start 1 text",
            "content_block_delta 1 No.",
            "content_block_stop 1",
            "content_block_start 2 tool_use now",
            "content_block_stop 2",
            "message_delta tool_use",
            "message_stop",
        ]
    );
}
