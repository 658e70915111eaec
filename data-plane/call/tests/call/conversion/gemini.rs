//! Answers of Gemini in the dialects of clients.

use expect_test::{Expect, expect};
use luthien_proto::request::Dialect::{AnthropicMessages, Gemini, OpenAiChat};
use serde_json::Value;

use super::*;

/// A thought, two calls at once of which the first is signed, and the reason to stop in a chunk of its own.
const CALLS: &str = r#"
{"candidates":[{"content":{"role":"model","parts":[{"text":"hm","thought":true}]},"index":0}],"usageMetadata":{"promptTokenCount":20},"modelVersion":"g","responseId":"R"}
{"candidates":[{"content":{"parts":[{"functionCall":{"name":"a","args":{"x":1}},"thoughtSignature":"U0lH"},{"functionCall":{"name":"b"}}]}}]}
{"candidates":[{"content":{"parts":[{"text":""}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":20,"candidatesTokenCount":6,"thoughtsTokenCount":4,"totalTokenCount":30}}
"#;

const BLOCKED: &str = r#"{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":9},"modelVersion":"g","responseId":"R"}"#;

const OVERLOADED: &str = r#"
{"candidates":[{"content":{"role":"model","parts":[{"text":"par"}]},"index":0}],"modelVersion":"g","responseId":"R"}
[{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}]
"#;

const MALFORMED: &str = r#"{"candidates":[{"content":{},"finishReason":"MALFORMED_FUNCTION_CALL","finishMessage":"Malformed function call: f(","index":0}],"responseId":"R"}"#;

/// The data of each SSE event that the client gets for these chunks.
fn check(client: Dialect, chunks: &str, expect: Expect) {
    let chunks = chunks.trim().lines().map(|chunk| format!("data: {chunk}\r\n\r\n"));
    let rig = stream(bridge(client, Gemini), &chunks.collect::<String>());
    let data = rig.text().lines().filter_map(|line| line.strip_prefix("data: "));
    let shown = data.map(|data| match serde_json::from_str::<Value>(data) {
        Ok(value) => format!("{}\n", opened(value)),
        Err(_) => format!("{data}\n"),
    });
    let body = match shown.collect::<String>() {
        events if events.is_empty() => format!("{:?} {}\n", rig.heads, rig.text()),
        events => events,
    };
    expect.assert_eq(&body);
}

#[test]
fn thoughts_and_calls_for_anthropic() {
    check(
        AnthropicMessages,
        CALLS,
        expect![[r#"
        {"type":"message_start","message":{"id":"msg_R","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}}
        {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}
        {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}
        {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":{"envelope":["gemini","Signature","call:U0lH",""]}}}
        {"type":"content_block_stop","index":0}
        {"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"call_R_0","name":"a","input":{}}}
        {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"x\":1}"}}
        {"type":"content_block_stop","index":1}
        {"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"call_R_1","name":"b","input":{}}}
        {"type":"content_block_stop","index":2}
        {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"input_tokens":20,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":10,"output_tokens_details":{"thinking_tokens":4}}}
        {"type":"message_stop"}
    "#]],
    );
}

#[test]
fn thoughts_and_calls_for_chat() {
    check(
        OpenAiChat,
        CALLS,
        expect![[r#"
        {"id":"chatcmpl-R","object":"chat.completion.chunk","created":1700000000,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}
        {"id":"chatcmpl-R","object":"chat.completion.chunk","created":1700000000,"model":"m","choices":[{"index":0,"delta":{"reasoning_content":"hm"},"finish_reason":null}]}
        {"id":"chatcmpl-R","object":"chat.completion.chunk","created":1700000000,"model":"m","choices":[{"index":0,"delta":{"reasoning_details":[{"type":"reasoning.text","signature":{"envelope":["gemini","Signature","call:U0lH",""]},"index":0,"format":"anthropic"}]},"finish_reason":null}]}
        {"id":"chatcmpl-R","object":"chat.completion.chunk","created":1700000000,"model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_R_0","type":"function","function":{"name":"a","arguments":""}}]},"finish_reason":null}]}
        {"id":"chatcmpl-R","object":"chat.completion.chunk","created":1700000000,"model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"x\":1}"}}]},"finish_reason":null}]}
        {"id":"chatcmpl-R","object":"chat.completion.chunk","created":1700000000,"model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"call_R_1","type":"function","function":{"name":"b","arguments":""}}]},"finish_reason":null}]}
        {"id":"chatcmpl-R","object":"chat.completion.chunk","created":1700000000,"model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"function":{"arguments":"{}"}}]},"finish_reason":null}]}
        {"id":"chatcmpl-R","object":"chat.completion.chunk","created":1700000000,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}
        {"id":"chatcmpl-R","object":"chat.completion.chunk","created":1700000000,"model":"m","choices":[],"usage":{"prompt_tokens":20,"completion_tokens":10,"total_tokens":30,"prompt_tokens_details":{"cached_tokens":0,"cache_write_tokens":0},"completion_tokens_details":{"reasoning_tokens":4}}}
        [DONE]
    "#]],
    );
}

#[test]
fn a_prompt_that_does_not_pass() {
    check(
        AnthropicMessages,
        BLOCKED,
        expect![[r#"
        {"type":"message_start","message":{"id":"msg_R","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}}
        {"type":"message_delta","delta":{"stop_reason":"refusal","stop_sequence":null},"usage":{"input_tokens":9,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}
        {"type":"message_stop"}
    "#]],
    );
    check(
        OpenAiChat,
        BLOCKED,
        expect![[r#"
        {"id":"chatcmpl-R","object":"chat.completion.chunk","created":1700000000,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}
        {"id":"chatcmpl-R","object":"chat.completion.chunk","created":1700000000,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"content_filter"}]}
        {"id":"chatcmpl-R","object":"chat.completion.chunk","created":1700000000,"model":"m","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":0,"total_tokens":9,"prompt_tokens_details":{"cached_tokens":0,"cache_write_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}}}
        [DONE]
    "#]],
    );
}

#[test]
fn errors_within_the_stream() {
    check(
        AnthropicMessages,
        OVERLOADED,
        expect![[r#"
        {"type":"message_start","message":{"id":"msg_R","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}}
        {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}
        {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"par"}}
        {"type":"error","error":{"type":"overloaded_error","message":"The model is overloaded."}}
    "#]],
    );
    check(
        OpenAiChat,
        OVERLOADED,
        expect![[r#"
        {"id":"chatcmpl-R","object":"chat.completion.chunk","created":1700000000,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}
        {"id":"chatcmpl-R","object":"chat.completion.chunk","created":1700000000,"model":"m","choices":[{"index":0,"delta":{"content":"par"},"finish_reason":null}]}
        {"error":{"message":"The model is overloaded.","type":"server_error","param":null,"code":"server_is_overloaded"}}
    "#]],
    );
    check(
        OpenAiChat,
        MALFORMED,
        expect![[r#"
        {"id":"chatcmpl-R","object":"chat.completion.chunk","created":1700000000,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}
        {"error":{"message":"The model gave no answer that can be used: MALFORMED_FUNCTION_CALL: Malformed function call: f(","type":"server_error","param":null,"code":null}}
    "#]],
    );
}
