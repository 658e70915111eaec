//! Errors of an upstream in the dialect of the client.

use luthien_call::call::{Head, Input};
use luthien_proto::{
    message::Outcome,
    request::Dialect::{AnthropicMessages, Gemini, OpenAiChat},
};
use serde_json::{Value, json};

use super::{golden::chat_text, *};

/// Status and body of what a client gets for an upstream's error.
fn answer(client: Dialect, upstream: Dialect, status: u16, body: &Value) -> (u16, Value) {
    let mut rig = Rig::converting(bridge(client, upstream), true, NOTHING);
    rig.head(status, Content::Json);
    rig.data(body.to_string());
    rig.end();
    let Some(Head::Converted { status, content_type: "application/json" }) = rig.heads.first().cloned() else {
        panic!("{:?}", rig.heads)
    };
    rig.working();
    rig.working();
    assert_eq!((rig.call_ended().outcome, rig.call_ended().status), (Outcome::Failed, status));
    (status, serde_json::from_str(rig.text()).unwrap())
}

fn anthropic(type_: &str, message: &str) -> Value {
    json!({"type": "error", "error": {"type": type_, "message": message}, "request_id": "req_1"})
}

fn open_ai(type_: &str, code: Option<&str>, message: &str) -> Value {
    json!({"error": {"message": message, "type": type_, "param": null, "code": code}})
}

#[test]
fn an_error_of_anthropic_is_one_of_open_ai() {
    for (status, type_, expected, expected_type, code) in [
        (400, "invalid_request_error", 400, "invalid_request_error", None),
        (401, "authentication_error", 401, "invalid_request_error", Some("invalid_api_key")),
        (402, "billing_error", 429, "insufficient_quota", Some("insufficient_quota")),
        (403, "permission_error", 403, "invalid_request_error", None),
        (404, "not_found_error", 404, "invalid_request_error", Some("model_not_found")),
        (413, "request_too_large", 413, "invalid_request_error", None),
        (429, "rate_limit_error", 429, "requests", Some("rate_limit_exceeded")),
        (500, "api_error", 500, "server_error", None),
        (504, "timeout_error", 504, "server_error", None),
        (529, "overloaded_error", 503, "server_error", Some("server_is_overloaded")),
    ] {
        let told = answer(OpenAiChat, AnthropicMessages, status, &anthropic(type_, "Whát?"));
        assert_eq!(told, (expected, open_ai(expected_type, code, "Whát?")), "{type_}");
    }
}

#[test]
fn an_error_of_open_ai_is_one_of_anthropic() {
    for (status, type_, code, expected, expected_type) in [
        (400, "invalid_request_error", None, 400, "invalid_request_error"),
        (401, "invalid_request_error", Some("invalid_api_key"), 401, "authentication_error"),
        (403, "invalid_request_error", None, 403, "permission_error"),
        (404, "invalid_request_error", Some("model_not_found"), 404, "not_found_error"),
        (422, "invalid_request_error", None, 422, "invalid_request_error"),
        (429, "requests", Some("rate_limit_exceeded"), 429, "rate_limit_error"),
        (429, "insufficient_quota", Some("insufficient_quota"), 402, "billing_error"),
        (500, "server_error", None, 500, "api_error"),
        (503, "server_error", Some("server_is_overloaded"), 529, "overloaded_error"),
        (504, "server_error", None, 504, "timeout_error"),
    ] {
        let (status, body) = answer(AnthropicMessages, OpenAiChat, status, &open_ai(type_, code, "Whát?"));
        assert_eq!(
            (status, &body["error"]),
            (expected, &json!({"type": expected_type, "message": "Whát?"})),
            "{type_}"
        );
    }
}

#[test]
fn an_error_of_gemini_is_one_of_both() {
    let gemini =
        |status: u16, word: &str| json!({"error": {"code": status, "message": "Whát?", "status": word, "details": []}});
    for (status, word, anthropic, open_ai_code) in [
        (400, "INVALID_ARGUMENT", (400, "invalid_request_error"), (400, None)),
        (403, "PERMISSION_DENIED", (403, "permission_error"), (403, None)),
        (429, "RESOURCE_EXHAUSTED", (429, "rate_limit_error"), (429, Some("rate_limit_exceeded"))),
        (503, "UNAVAILABLE", (529, "overloaded_error"), (503, Some("server_is_overloaded"))),
        (504, "DEADLINE_EXCEEDED", (504, "timeout_error"), (504, None)),
    ] {
        for body in [gemini(status, word), json!([gemini(status, word)])] {
            let (code, told) = answer(AnthropicMessages, Gemini, status, &body);
            assert_eq!((code, &told["error"]), (anthropic.0, &json!({"type": anthropic.1, "message": "Whát?"})));
            let (code, told) = answer(OpenAiChat, Gemini, status, &body);
            assert_eq!((code, told["error"]["code"].as_str()), open_ai_code, "{told}");
        }
    }
}

#[test]
fn a_context_that_is_too_long_is_told_so_that_an_agent_can_repair_it() {
    let code = Some("context_length_exceeded");
    for (message, expected) in [
        (
            "This model's maximum context length is 128000 tokens. However, your messages resulted in 130000 tokens. Please reduce the length of the messages.",
            "prompt is too long: 130000 tokens > 128000 maximum",
        ),
        (
            "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens (4000 in the messages, 1000 in the completion). Please reduce it.",
            "input length and `max_tokens` exceed context limit: 4000 + 1000 > 4096",
        ),
        (
            "You passed 5,000 input tokens and requested 1,000 output tokens. However, the model's context length is only 4096 tokens",
            "prompt is too long: 5000 tokens > 4096 maximum",
        ),
        (
            "Your input exceeds the context window of this model.",
            "Your input exceeds the context window of this model.",
        ),
        ("too much", "too much"),
    ] {
        let (status, body) =
            answer(AnthropicMessages, OpenAiChat, 400, &open_ai("invalid_request_error", code, message));
        assert_eq!((status, &body["error"]), (400, &json!({"type": "invalid_request_error", "message": expected})));
    }
    let message = "prompt is too long: 210000 tokens > 200000 maximum";
    let (status, body) = answer(OpenAiChat, AnthropicMessages, 400, &anthropic("invalid_request_error", message));
    assert_eq!((status, body), (400, open_ai("invalid_request_error", code, message)));
}

#[test]
fn a_body_that_is_no_error_of_the_dialect_is_the_message() {
    let mut rig = Rig::converting(bridge(AnthropicMessages, OpenAiChat), true, NOTHING);
    rig.head(503, Content::Other);
    rig.data("<h1>busy</h1>");
    rig.end();
    assert_eq!(rig.heads, [Head::Converted { status: 529, content_type: "application/json" }]);
    assert_eq!(rig.text(), r#"{"type":"error","error":{"type":"overloaded_error","message":"<h1>busy</h1>"}}"#);
}

#[test]
fn overload_within_a_stream_ends_it_in_the_dialect_of_the_client() {
    let start =
        event(json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}));
    let delta =
        event(json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "par"}}));
    let upstream = message_start() + &start + &delta + &event(anthropic("overloaded_error", "Overloaded"));
    let rig = stream(bridge(OpenAiChat, AnthropicMessages), &upstream);
    let said = bodies(rig.text());
    assert_eq!(said.last().unwrap(), &open_ai("server_error", Some("server_is_overloaded"), "Overloaded"));
    assert!(said.iter().any(|chunk| chunk["choices"][0]["delta"]["content"] == "par"));
    assert!(said.iter().all(|chunk| chunk["choices"][0]["finish_reason"].is_null()), "{}", rig.text());
    assert!(!rig.text().contains("[DONE]"));
}

#[test]
fn an_error_in_the_place_of_a_stream_has_a_status_where_nothing_was_sent() {
    for streams in [true, false] {
        let mut rig = Rig::converting(bridge(AnthropicMessages, OpenAiChat), streams, NOTHING);
        rig.head(200, Content::Sse);
        rig.data(format!("data: {}\n\n", open_ai("server_error", Some("slow_down"), "Later")));
        rig.end();
        assert_eq!(rig.heads, [Head::Converted { status: 529, content_type: "application/json" }]);
        assert_eq!(rig.text(), r#"{"type":"error","error":{"type":"overloaded_error","message":"Later"}}"#);
    }
}

#[test]
fn a_stream_that_is_cut_anywhere_ends_in_an_error() {
    let upstream = chat_text();
    let whole = stream(bridge(AnthropicMessages, OpenAiChat), &upstream).text().to_owned();
    for cut in 0..upstream.len() {
        let mut rig = Rig::converting(bridge(AnthropicMessages, OpenAiChat), true, NOTHING);
        rig.head(200, Content::Sse);
        rig.data(&upstream.as_bytes()[..cut]);
        rig.input(Input::UpstreamFailed("reset".into()));
        if rig.text() == whole {
            continue;
        }
        let error = json!({"type": "api_error", "message": "The upstream can't be reached, or broke off"});
        match rig.text().rsplit_once("\n\nevent: error\n") {
            Some((before, _)) => {
                assert!(whole.starts_with(before));
                assert_eq!(events(rig.text()).last().unwrap(), &json!({"type": "error", "error": error}));
            }
            None => {
                assert_eq!(
                    rig.heads,
                    [Head::Converted { status: 502, content_type: "application/json" }],
                    "cut at {cut}"
                );
                assert_eq!(serde_json::from_str::<Value>(rig.text()).unwrap()["error"], error);
            }
        }
        assert_eq!(rig.finished, Some(true));
    }
}

#[test]
fn arguments_that_have_to_be_read_whole_are_not_read_for_ever() {
    let tool = bridge_of_tool(OpenAiChat, AnthropicMessages, "p", "p", ToolForm::Custom);
    let mut rig = Rig::converting(tool, true, NOTHING);
    rig.head(200, Content::Sse);
    rig.data(message_start() + &tool_start(0, "c", "p"));
    let piece = tool_delta(0, &"x".repeat(60_000));
    for _ in 0..=LIMITS.body / 60_000 {
        rig.data(&piece);
    }
    assert!(rig.upstream_cancelled);
    assert_eq!(bodies(rig.text()).last().unwrap()["error"]["type"], "server_error");
}

#[test]
fn an_error_of_ours_keeps_its_own_head() {
    let mut rig = Rig::converting(bridge(AnthropicMessages, OpenAiChat), true, GATE_ALL);
    rig.head(200, Content::Sse);
    rig.data(chat_text());
    rig.input(Input::ServiceClosed(Err("gone".into())));
    let [Head::Own { status: 503, retry_after: Some(5), .. }] = rig.heads[..] else { panic!("{:?}", rig.heads) };
    assert_eq!(events(&format!("data: {}\n\n", rig.text()))[0]["error"]["type"], "overloaded_error");
}

#[test]
fn what_cannot_be_read_is_an_error_and_no_bytes_of_another_dialect_pass() {
    for content in [Content::Encoded, Content::Other] {
        let mut rig = Rig::converting(bridge(AnthropicMessages, OpenAiChat), true, NOTHING);
        rig.head(200, content);
        rig.data([0x1f, 0x8b]);
        rig.end();
        assert!(rig.text().contains(r#""type":"api_error""#), "{}", rig.text());
    }
}

#[test]
fn a_silent_upstream_is_bridged_by_what_keeps_this_client_alive() {
    for (client, upstream, keepalive) in [
        (AnthropicMessages, OpenAiChat, "event: ping\ndata: {\"type\":\"ping\"}\n\n"),
        (OpenAiChat, AnthropicMessages, ":\n\n"),
    ] {
        let mut rig = Rig::converting(bridge(client, upstream), true, NOTHING);
        rig.head(200, Content::Sse);
        rig.after(TIMES.keepalive_first);
        rig.after(TIMES.keepalive_every);
        assert_eq!(rig.text(), keepalive.repeat(2));
    }
}
