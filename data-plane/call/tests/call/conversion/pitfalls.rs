//! What other gateways got wrong, once per mistake: servers say things in many ways, and agents rely on more than grammar.

use luthien_proto::request::Dialect::{AnthropicMessages, OpenAiChat};
use serde_json::{Value, json};

use super::*;

/// What an Anthropic client gets for these deltas of a Chat stream, in short.
fn to_anthropic(deltas: &[Value], finish: &str) -> Vec<String> {
    let upstream: String = deltas.iter().map(|delta| chat(delta, None)).collect();
    let rig = stream(bridge(AnthropicMessages, OpenAiChat), &(upstream + &chat(&json!({}), Some(finish)) + DONE));
    outline(rig.text())
}

fn fragment(fields: Value) -> Value {
    json!({"tool_calls": [fields]})
}

fn function(name: &str, arguments: &str) -> Value {
    json!({"name": name, "arguments": arguments})
}

fn thinking(text: &str) -> Value {
    json!({"reasoning_content": text})
}

fn content(text: &str) -> Value {
    json!({"content": text})
}

#[test]
fn the_delta_that_opens_a_block_is_in_it() {
    let call = fragment(json!({"index": 0, "id": "c", "type": "function", "function": function("f", "{\"a\":1}")}));
    let told = to_anthropic(&[thinking("t"), content("x"), call], "tool_calls");
    assert!(told.contains(&"content_block_delta 1 x".to_owned()), "{told:?}");
    assert!(told.contains(&"content_block_delta 2 {\"a\":1}".to_owned()), "{told:?}");
}

#[test]
fn kinds_may_recur_in_any_order_and_each_time_are_a_block_of_their_own() {
    let told = to_anthropic(&[content("a"), thinking("b"), content("c"), content(""), thinking("d")], "stop");
    let starts: Vec<_> = told.iter().filter(|event| event.starts_with("content_block_start")).collect();
    assert_eq!(
        starts,
        [
            "content_block_start 0 text",
            "content_block_start 1 thinking",
            "content_block_start 2 text",
            "content_block_start 3 thinking"
        ]
    );
}

#[test]
fn the_start_of_a_call_does_not_wait_for_its_arguments() {
    let mut rig = Rig::converting(bridge(AnthropicMessages, OpenAiChat), true, NOTHING);
    rig.head(200, Content::Sse);
    let call = json!({"index": 0, "id": "c", "type": "function", "function": function("f", "")});
    rig.data(chat(&fragment(call), None));
    assert_eq!(outline(rig.text()), ["message_start", "content_block_start 0 tool_use f"]);
}

#[test]
fn fragments_of_calls_belong_to_the_call_that_they_name() {
    let told = to_anthropic(
        &[
            fragment(json!({"index": 0, "id": "a", "type": "function", "function": function("f", "{\"x\":")})),
            fragment(json!({"index": 1, "id": "b", "type": "function", "function": function("g", "{\"y\":")})),
            // The id and the name again.
            fragment(json!({"index": 0, "id": "a", "function": function("f", "1}")})),
            fragment(json!({"index": 1, "id": "", "function": function("", "2}")})),
        ],
        "stop",
    );
    assert_eq!(
        told[1..],
        [
            "content_block_start 0 tool_use f",
            "content_block_delta 0 {\"x\":",
            "content_block_start 1 tool_use g",
            "content_block_delta 1 {\"y\":",
            "content_block_delta 0 1}",
            "content_block_delta 1 2}",
            "content_block_stop 0",
            "content_block_stop 1",
            "message_delta tool_use",
            "message_stop",
        ]
    );
}

#[test]
fn calls_without_an_index_are_told_apart_by_their_ids() {
    let told = to_anthropic(
        &[
            fragment(json!({"id": "a", "type": "function", "function": function("f", "{}")})),
            fragment(json!({"id": "b", "type": "function", "function": function("g", "{}")})),
        ],
        "tool_calls",
    );
    let starts: Vec<_> = told.iter().filter(|event| event.starts_with("content_block_start")).collect();
    assert_eq!(starts, ["content_block_start 0 tool_use f", "content_block_start 1 tool_use g"]);
}

#[test]
fn only_a_plain_stop_becomes_the_use_of_tools() {
    let call = || fragment(json!({"index": 0, "id": "c", "type": "function", "function": function("f", "{")}));
    for (finish, expected) in
        [("stop", "tool_use"), ("tool_calls", "tool_use"), ("length", "max_tokens"), ("content_filter", "refusal")]
    {
        assert!(to_anthropic(&[call()], finish).contains(&format!("message_delta {expected}")), "{finish}");
    }
    assert!(to_anthropic(&[content("x")], "tool_calls").contains(&"message_delta end_turn".to_owned()));
}

#[test]
fn a_legacy_call_is_a_call() {
    let told = to_anthropic(&[json!({"function_call": function("f", "{}")})], "function_call");
    assert!(told.contains(&"content_block_start 0 tool_use f".to_owned()), "{told:?}");
    assert!(told.contains(&"message_delta tool_use".to_owned()), "{told:?}");
}

#[test]
fn a_refusal_is_text_of_which_anthropic_says_so() {
    let told = to_anthropic(&[json!({"refusal": "I can't"})], "stop");
    assert_eq!(told[2], "content_block_delta 0 I can't");
    assert!(told.contains(&"message_delta refusal".to_owned()), "{told:?}");
}

#[test]
fn an_explanation_of_anthropic_is_the_refusal_of_chat() {
    let delta = json!({"stop_reason": "refusal", "stop_sequence": null,
        "stop_details": {"type": "refusal", "category": "x", "explanation": "Because."}});
    let upstream = message_start()
        + &text_block(0, &["Well"])
        + &event(json!({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 1}}))
        + &event(json!({"type": "message_stop"}));
    let rig = stream(bridge(OpenAiChat, AnthropicMessages), &upstream);
    let said = bodies(rig.text());
    let refusal: String = said.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["refusal"].as_str()).collect();
    assert_eq!(refusal, "Because.");
    assert!(said.iter().any(|chunk| chunk["choices"][0]["finish_reason"] == "content_filter"));
}

#[test]
fn a_second_answer_that_nobody_asked_for_leaves_no_trace() {
    let upstream = chat(&content("a"), None)
        + &chunk(json!({"choices": [{"index": 1, "delta": {"content": "b", "tool_calls": [
            {"index": 0, "id": "c", "type": "function", "function": function("f", "{}")}]}, "finish_reason": null}]}))
        + &chat(&json!({}), Some("stop"))
        + &chunk(json!({"choices": [{"index": 1, "delta": {}, "finish_reason": "tool_calls"}]}))
        + DONE;
    let rig = stream(bridge(AnthropicMessages, OpenAiChat), &upstream);
    let expected = [
        "message_start",
        "content_block_start 0 text",
        "content_block_delta 0 a",
        "content_block_stop 0",
        "message_delta end_turn",
        "message_stop",
    ];
    assert_eq!(outline(rig.text()), expected);
}

#[test]
fn a_call_without_arguments_is_one_of_an_empty_object() {
    let upstream = message_start() + &tool_start(0, "t", "now") + &stop(0) + &message_end("tool_use");
    let rig = stream(bridge(OpenAiChat, AnthropicMessages), &upstream);
    let arguments: String = bodies(rig.text())
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"].as_str())
        .collect();
    assert_eq!(arguments, "{}");
}

#[test]
fn reasoning_is_never_in_the_visible_text_nor_its_proof_in_an_id() {
    let upstream = message_start()
        + &event(json!({"type": "content_block_start", "index": 0,
            "content_block": {"type": "thinking", "thinking": "", "signature": ""}}))
        + &event(
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}}),
        )
        + &event(
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "SIG"}}),
        )
        + &stop(0)
        + &tool_start(1, "t", "f")
        + &stop(1)
        + &message_end("tool_use");
    let rig = stream(bridge(OpenAiChat, AnthropicMessages), &upstream);
    for chunk in bodies(rig.text()) {
        let delta = &chunk["choices"][0]["delta"];
        assert!(delta["content"].as_str().is_none_or(str::is_empty), "{chunk}");
        assert!(delta["tool_calls"][0]["id"].as_str().is_none_or(|id| id == "t"), "{chunk}");
    }
    assert!(!rig.text().contains("SIG"), "never as it is: {}", rig.text());
}

#[test]
fn tokens_are_told_once_and_none_twice() {
    for (usage, expected) in [
        (
            json!({"prompt_tokens": 100, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30}}),
            json!({"input_tokens": 10, "cache_read_input_tokens": 60, "cache_creation_input_tokens": 30, "output_tokens": 7}),
        ),
        // Numbers that are disjoint already.
        (
            json!({"prompt_tokens": 10, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 60}}),
            json!({"input_tokens": 10, "cache_read_input_tokens": 60, "cache_creation_input_tokens": 0, "output_tokens": 7}),
        ),
        (
            json!({"prompt_tokens": 10, "completion_tokens": 7, "completion_tokens_details": {"reasoning_tokens": 3}}),
            json!({"input_tokens": 10, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0, "output_tokens": 7,
                "output_tokens_details": {"thinking_tokens": 3}}),
        ),
    ] {
        // In every chunk, growing; in the last one behind the finish; and without a list of choices.
        let first = chunk(json!({"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": null}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 1}}));
        let last = chunk(json!({"usage": usage}));
        let upstream = first + &chat(&json!({}), Some("stop")) + &last + DONE;
        let rig = stream(bridge(AnthropicMessages, OpenAiChat), &upstream);
        let finishes: Vec<Value> =
            events(rig.text()).into_iter().filter(|event| event["type"] == "message_delta").collect();
        assert_eq!(finishes.len(), 1, "it waits for the tokens: {}", rig.text());
        assert_eq!(finishes[0]["usage"], expected);
    }
}

#[test]
fn a_stream_without_its_last_word_is_no_success() {
    let upstream = chat(&content("par"), None);
    let told = outline(stream(bridge(AnthropicMessages, OpenAiChat), &upstream).text());
    assert_eq!(told.last().unwrap(), "error api_error");
    assert!(!told.contains(&"message_stop".to_owned()));
}

#[test]
fn an_answer_that_says_nothing_is_an_empty_one_and_no_error() {
    let told = to_anthropic(&[json!({"role": "assistant", "content": ""})], "stop");
    assert_eq!(told, ["message_start", "message_delta end_turn", "message_stop"]);
}

#[test]
fn a_stop_sequence_that_was_met_is_told() {
    let upstream = message_start()
        + &event(json!({"type": "message_delta", "delta": {"stop_reason": "stop_sequence", "stop_sequence": "###"},
            "usage": {"output_tokens": 1}}))
        + &event(json!({"type": "message_stop"}));
    let rig = stream(bridge(OpenAiChat, AnthropicMessages), &upstream);
    assert!(rig.text().contains(r#""finish_reason":"stop""#), "{}", rig.text());
}
