//! Golden cases of openai-chat: the data of each SSE event, its steps, and what they are encoded to.

use bytes::Bytes;
use expect_test::{Expect, expect};
use luthien_call::dialect::{decode_whole, encode_whole};
use luthien_proto::request::Dialect;

use crate::{show, stream};

/// `$` stands for what every chunk repeats; `delta{…}` for a chunk of choice 0 with that delta.
fn check(lines: &str, expect: Expect) {
    expect.assert_eq(&short(&stream::listing(Dialect::OpenAiChat, &full(lines))));
}

const ENVELOPE: &str = r#""id":"c1","object":"chat.completion.chunk","created":7,"model":"m""#;

fn full(lines: &str) -> String {
    let line = |line: &str| match line.trim().strip_prefix("delta") {
        Some(rest) => {
            let (delta, word) = rest
                .split_once(" finish ")
                .map_or((rest, "null".to_owned()), |(delta, word)| (delta, format!("{word:?}")));
            format!("{{{ENVELOPE},\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{word}}}]}}")
        }
        None => line.replace('$', ENVELOPE),
    };
    lines.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn short(listing: &str) -> String {
    listing.replace(ENVELOPE, "$")
}

#[test]
fn text_with_usage() {
    check(
        r#"
        delta{"role":"assistant","content":"","refusal":null}
        delta{"content":"Hé"}
        delta{"content":"llo"} finish stop
        {$,"choices":[],"usage":{"prompt_tokens":100,"completion_tokens":7,"total_tokens":107,"prompt_tokens_details":{"cached_tokens":75}}}
        [DONE]
        "#,
        expect![[r#"
            0: Started c1 m created=7
            1: #0 Text
               #0 + "Hé"
            2: #0 + "llo"
               #0 .
               Finished EndTurn
            3: Usage input=25 cache_read=75 output=7
            4: Ended
            5: -
            > {$,"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}
            > {$,"choices":[{"index":0,"delta":{"content":"Hé"},"finish_reason":null}]}
            > {$,"choices":[{"index":0,"delta":{"content":"llo"},"finish_reason":null}]}
            > {$,"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}
            > {$,"choices":[],"usage":{"prompt_tokens":100,"completion_tokens":7,"total_tokens":107,"prompt_tokens_details":{"cached_tokens":75}}}
            > [DONE]
        "#]],
    );
}

#[test]
fn reasoning_in_either_field_then_text_then_reasoning_again() {
    check(
        r#"
        delta{"role":"assistant","content":null,"reasoning_content":"plan"}
        delta{"reasoning_content":null,"content":"a"}
        delta{"reasoning":"b","reasoning_content":"b"}
        delta{"reasoning":"c","reasoning_details":[{"type":"reasoning.text","text":"c"}]}
        delta{} finish stop
        [DONE]
        "#,
        expect![[r#"
            0: Started c1 m created=7
               #0 Thinking in reasoning_content
               #0 + "plan"
            1: #0 .
               #1 Text
               #1 + "a"
            2: #1 .
               #2 Thinking in reasoning_content
               #2 + "b"
            3: #2 .
               #3 Thinking in reasoning
               #3 + "c"  {"delta":{"reasoning_details":[{"type":"reasoning.text","text":"c"}]}}
            4: #3 .
               Finished EndTurn
            5: Ended
            6: -
            > {$,"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}
            > {$,"choices":[{"index":0,"delta":{"reasoning_content":"plan"},"finish_reason":null}]}
            > {$,"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}
            > {$,"choices":[{"index":0,"delta":{"reasoning_content":"b"},"finish_reason":null}]}
            > {$,"choices":[{"index":0,"delta":{"reasoning":"c","reasoning_details":[{"type":"reasoning.text","text":"c"}]},"finish_reason":null}]}
            > {$,"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}
            > [DONE]
        "#]],
    );
}

#[test]
fn parallel_calls_interleave_and_stay_open_until_the_finish() {
    check(
        r#"
        delta{"role":"assistant","content":"I look."}
        delta{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"read","arguments":""}}]}
        delta{"tool_calls":[{"index":1,"id":"b","type":"function","function":{"name":"now","arguments":""}}]}
        delta{"tool_calls":[{"index":0,"function":{"arguments":"{\"p\":"}},{"index":1,"function":{"arguments":"{}"}}]}
        delta{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]}
        delta{} finish tool_calls
        [DONE]
        "#,
        expect![[r#"
            0: Started c1 m created=7
               #0 Text
               #0 + "I look."
            1: #0 .
               #1 ToolCall "a" read
            2: #2 ToolCall "b" now
            3: #1 + arguments "{\"p\":"
               #2 + arguments "{}"
            4: #1 + arguments "1}"
            5: #1 .
               #2 .
               Finished ToolUse
            6: Ended
            7: -
            > {$,"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}
            > {$,"choices":[{"index":0,"delta":{"content":"I look."},"finish_reason":null}]}
            > {$,"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"read","arguments":""}}]},"finish_reason":null}]}
            > {$,"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"b","type":"function","function":{"name":"now","arguments":""}}]},"finish_reason":null}]}
            > {$,"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"p\":"}}]},"finish_reason":null}]}
            > {$,"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"function":{"arguments":"{}"}}]},"finish_reason":null}]}
            > {$,"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]},"finish_reason":null}]}
            > {$,"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}
            > [DONE]
        "#]],
    );
}

#[test]
fn a_new_id_at_the_same_index_is_a_new_call() {
    check(
        r#"
        delta{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":1}"}}]}
        delta{"tool_calls":[{"index":0,"id":"b","function":{"name":"f","arguments":"{"}}]}
        delta{"tool_calls":[{"index":0,"id":"b","function":{"name":"f","arguments":"}"}}]} finish stop
        [DONE]
        "#,
        expect![[r#"
            0: Started c1 m created=7
               #0 ToolCall "a" f
               #0 + arguments "{\"x\":1}"
            1: #1 ToolCall "b" f
               #1 + arguments "{"
            2: #1 + arguments "}"
               #0 .
               #1 .
               Finished EndTurn
            3: Ended
            4: -
            > {$,"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}
            > {$,"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}]},"finish_reason":null}]}
            > {$,"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"x\":1}"}}]},"finish_reason":null}]}
            > {$,"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"b","type":"function","function":{"name":"f","arguments":""}}]},"finish_reason":null}]}
            > {$,"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"function":{"arguments":"{"}}]},"finish_reason":null}]}
            > {$,"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"function":{"arguments":"}"}}]},"finish_reason":null}]}
            > {$,"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}
            > [DONE]
        "#]],
    );
}

#[test]
fn calls_without_index_or_id() {
    check(
        r#"
        delta{"tool_calls":[{"function":{"name":"f","arguments":"{}"}},{"function":{"name":"f","arguments":{"a":[1]}}}]}
        delta{"tool_calls":[{"id":"z","function":{"name":"g"}}]}
        delta{"tool_calls":[{"function":{"arguments":"{}"}}]} finish tool_calls
        [DONE]
        "#,
        expect![[r#"
            0: Started c1 m created=7
               #0 ToolCall "" f
               #0 + arguments "{}"
               #1 ToolCall "" f
               #1 + arguments "{\"a\":[1]}"
            1: #2 ToolCall "z" g
            2: #2 + arguments "{}"
               #0 .
               #1 .
               #2 .
               Finished ToolUse
            3: Ended
            4: -
            > {$,"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}
            > {$,"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"type":"function","function":{"name":"f","arguments":""}}]},"finish_reason":null}]}
            > {$,"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]},"finish_reason":null}]}
            > {$,"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"type":"function","function":{"name":"f","arguments":""}}]},"finish_reason":null}]}
            > {$,"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"function":{"arguments":"{\"a\":[1]}"}}]},"finish_reason":null}]}
            > {$,"choices":[{"index":0,"delta":{"tool_calls":[{"index":2,"id":"z","type":"function","function":{"name":"g","arguments":""}}]},"finish_reason":null}]}
            > {$,"choices":[{"index":0,"delta":{"tool_calls":[{"index":2,"function":{"arguments":"{}"}}]},"finish_reason":null}]}
            > {$,"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}
            > [DONE]
        "#]],
    );
}

#[test]
fn custom_and_legacy_and_unknown_calls() {
    check(
        r#"
        delta{"tool_calls":[{"index":0,"id":"c","type":"custom","custom":{"name":"apply_patch","input":"*** Be"}}]}
        delta{"tool_calls":[{"index":0,"custom":{"input":"gin"}}]}
        delta{"tool_calls":[{"index":1,"id":"u","type":"mcp","mcp":{"server":"s"}}]}
        delta{"tool_calls":[{"index":1,"mcp":{"more":1}}]}
        delta{"function_call":{"name":"old","arguments":""}}
        delta{"function_call":{"arguments":"{}"}}
        delta{} finish function_call
        [DONE]
        "#,
        expect![[r#"
            0: Started c1 m created=7
               #0 ToolCall "c" apply_patch custom
               #0 + arguments "*** Be"
            1: #0 + arguments "gin"
            2: #1 Opaque {"type":"mcp","mcp":{"server":"s"},"id":"u"}
            3: #1 + opaque {"mcp":{"more":1}}
            4: #2 ToolCall "" old legacy
            5: #2 + arguments "{}"
            6: #0 .
               #1 .
               #2 .
               Finished ToolUse "function_call"
            7: Ended
            8: -
            > {$,"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}
            > {$,"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c","type":"custom","custom":{"name":"apply_patch","input":""}}]},"finish_reason":null}]}
            > {$,"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"custom":{"input":"*** Be"}}]},"finish_reason":null}]}
            > {$,"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"custom":{"input":"gin"}}]},"finish_reason":null}]}
            > {$,"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"type":"mcp","mcp":{"server":"s"},"id":"u"}]},"finish_reason":null}]}
            > {$,"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"mcp":{"more":1}}]},"finish_reason":null}]}
            > {$,"choices":[{"index":0,"delta":{"function_call":{"name":"old","arguments":""}},"finish_reason":null}]}
            > {$,"choices":[{"index":0,"delta":{"function_call":{"arguments":"{}"}},"finish_reason":null}]}
            > {$,"choices":[{"index":0,"delta":{},"finish_reason":"function_call"}]}
            > [DONE]
        "#]],
    );
}

#[test]
fn a_call_without_arguments_has_an_empty_object() {
    check(
        r#"
        delta{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"now","arguments":""}}]}
        delta{} finish tool_calls
        [DONE]
        "#,
        expect![[r#"
            0: Started c1 m created=7
               #0 ToolCall "a" now
            1: #0 .
               Finished ToolUse
            2: Ended
            3: -
            > {$,"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}
            > {$,"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"now","arguments":""}}]},"finish_reason":null}]}
            > {$,"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]},"finish_reason":null}]}
            > {$,"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}
            > [DONE]
        "#]],
    );
}

#[test]
fn several_choices() {
    check(
        r#"
        {$,"choices":[{"index":0,"delta":{"role":"assistant","content":""}},{"index":1,"delta":{"role":"assistant","content":""}}]}
        {$,"choices":[{"index":1,"delta":{"content":"b"},"finish_reason":null},{"index":0,"delta":{"content":"a"},"finish_reason":"length"}]}
        {$,"choices":[{"index":1,"delta":{"refusal":"no"},"finish_reason":"content_filter"}]}
        [DONE]
        "#,
        expect![[r#"
            0: Started c1 m created=7
               Opaque {"choices":[{"delta":{"role":"assistant"},"index":1}]}
            1: #0 choice=1 Text
               #0 + "b"
               #1 Text
               #1 + "a"
               #1 .
               Finished MaxTokens
            2: #0 .
               #2 choice=1 Refusal
               #2 + "no"
               #2 .
               Finished choice=1 ContentFilter
            3: Ended
            4: -
            > {$,"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}
            > {$,"choices":[{"delta":{"role":"assistant"},"index":1}]}
            > {$,"choices":[{"index":1,"delta":{"content":"b"},"finish_reason":null}]}
            > {$,"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}
            > {$,"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}
            > {$,"choices":[{"index":1,"delta":{"refusal":"no"},"finish_reason":null}]}
            > {$,"choices":[{"index":1,"delta":{},"finish_reason":"content_filter"}]}
            > [DONE]
        "#]],
    );
}

#[test]
fn unknown_fields_stay_where_they_were() {
    check(
        r#"
        {$,"system_fingerprint":"fp","service_tier":null,"choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null}],"obfuscation":"x1"}
        {$,"system_fingerprint":"fp","choices":[{"index":0,"delta":{"content":"a","mood":"calm"},"logprobs":{"content":[{"token":"a","logprob":-0.5}]}}],"obfuscation":"x2"}
        {$,"system_fingerprint":"fp2","choices":[{"index":0,"delta":{"audio":{"data":"QQ"}}}]}
        {$,"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}","strict":true},"extra_content":{"s":"g"}}]}}]}
        {$,"choices":[{"index":0,"delta":{},"finish_reason":"stop","stop_reason":"</s>"}],"usage":null}
        {$,"choices":[],"prompt_filter_results":[1]}
        [DONE]
        "#,
        expect![[r#"
            0: Started c1 m created=7  {"chunk":{"system_fingerprint":"fp","obfuscation":"x1"}}
            1: #0 Text
               #0 + "a"  {"choice":{"logprobs":{"content":[{"token":"a","logprob":-0.5}]}},"delta":{"mood":"calm"},"chunk":{"obfuscation":"x2"}}
            2: Opaque {"system_fingerprint":"fp2","choices":[{"delta":{"audio":{"data":"QQ"}},"index":0}]}
            3: #0 .
               #1 ToolCall "a" f  {"tool_call":{"extra_content":{"s":"g"},"function":{"strict":true}}}
               #1 + arguments "{}"
            4: #1 .
               Finished EndTurn  {"choice":{"stop_reason":"</s>"}}
            5: Opaque {"prompt_filter_results":[1]}
            6: Ended
            7: -
            > {$,"system_fingerprint":"fp","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"obfuscation":"x1"}
            > {$,"system_fingerprint":"fp","choices":[{"index":0,"delta":{"content":"a","mood":"calm"},"finish_reason":null,"logprobs":{"content":[{"token":"a","logprob":-0.5}]}}],"obfuscation":"x2"}
            > {$,"system_fingerprint":"fp2","choices":[{"delta":{"audio":{"data":"QQ"}},"index":0}]}
            > {$,"system_fingerprint":"fp2","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"","strict":true},"extra_content":{"s":"g"}}]},"finish_reason":null}]}
            > {$,"system_fingerprint":"fp2","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]},"finish_reason":null}]}
            > {$,"system_fingerprint":"fp2","choices":[{"index":0,"delta":{},"finish_reason":"stop","stop_reason":"</s>"}]}
            > {$,"system_fingerprint":"fp2","choices":[],"prompt_filter_results":[1]}
            > [DONE]
        "#]],
    );
}

#[test]
fn a_first_chunk_without_an_id() {
    check(
        r#"
        {"id":"","object":"","created":0,"model":"","choices":[],"prompt_filter_results":[{"prompt_index":0}]}
        delta{"content":"a"} finish stop
        [DONE]
        "#,
        expect![[r#"
            0: Started   created=0  {"chunk":{"object":"","prompt_filter_results":[{"prompt_index":0}]}}
            1: #0 Text
               #0 + "a"  {"chunk":{"id":"c1","created":7,"model":"m"}}
               #0 .
               Finished EndTurn
            2: Ended
            3: -
            > {"id":"","object":"chat.completion.chunk","created":0,"model":"","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"prompt_filter_results":[{"prompt_index":0}]}
            > {$,"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}
            > {$,"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}
            > [DONE]
        "#]],
    );
}

#[test]
fn a_first_choice_that_is_never_spoken_of_is_finished_all_the_same() {
    check(
        r#"
        {$,"system_fingerprint":"fp","choices":[{"index":1,"delta":{"role":"assistant","content":""}}]}
        {$,"choices":[{"index":1,"delta":{"content":"a"},"finish_reason":"stop"}]}
        [DONE]
        "#,
        expect![[r#"
            0: Started c1 m created=7
               Opaque {"system_fingerprint":"fp","choices":[{"delta":{"role":"assistant"},"index":1}]}
            1: #0 choice=1 Text
               #0 + "a"
               #0 .
               Finished choice=1 EndTurn
            2: Ended
            3: -
            > {$,"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}
            > {$,"system_fingerprint":"fp","choices":[{"delta":{"role":"assistant"},"index":1}]}
            > {$,"system_fingerprint":"fp","choices":[{"index":1,"delta":{"content":"a"},"finish_reason":null}]}
            > {$,"system_fingerprint":"fp","choices":[{"index":1,"delta":{},"finish_reason":"stop"}]}
            > {$,"system_fingerprint":"fp","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}
            > [DONE]
        "#]],
    );
    check(
        r#"
        {$,"system_fingerprint":"fp","choices":[{"index":1,"delta":{"role":"assistant","content":"a"},"finish_reason":"stop"}],"obfuscation":"x"}
        [DONE]
        "#,
        expect![[r#"
            0: Started c1 m created=7  {"chunk":{"system_fingerprint":"fp","obfuscation":"x"}}
               #0 choice=1 Text
               #0 + "a"
               #0 .
               Finished choice=1 EndTurn
            1: Ended
            2: -
            > {$,"system_fingerprint":"fp","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"obfuscation":"x"}
            > {$,"system_fingerprint":"fp","choices":[{"index":1,"delta":{"role":"assistant","content":"a"},"finish_reason":null}]}
            > {$,"system_fingerprint":"fp","choices":[{"index":1,"delta":{},"finish_reason":"stop"}]}
            > {$,"system_fingerprint":"fp","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}
            > [DONE]
        "#]],
    );
}

#[test]
fn an_error_within_the_stream() {
    check(
        r#"
        delta{"content":"par"}
        {"id":"c1","error":{"message":"Overloaded","type":"server_error","param":null,"code":502,"metadata":{"raw":"r"}},"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"error"}]}
        "#,
        expect![[r#"
            0: Started c1 m created=7
               #0 Text
               #0 + "par"
            1: Failed CallError { status: 0, type_: "server_error", message: "Overloaded", code: "", param: "" }  {"error":{"code":502,"metadata":{"raw":"r"}},"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"error"}]}
            2: -
            > {$,"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}
            > {$,"choices":[{"index":0,"delta":{"content":"par"},"finish_reason":null}]}
            > {"error":{"message":"Overloaded","type":"server_error","param":null,"code":502,"metadata":{"raw":"r"}},"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"error"}]}
        "#]],
    );
}

#[test]
fn an_end_without_a_finish_is_a_failure() {
    check(
        "delta{\"content\":\"a\"}",
        expect![[r#"
        0: Started c1 m created=7
           #0 Text
           #0 + "a"
        1: Failed CallError { status: 0, type_: "", message: "the upstream's stream ended before the response was complete", code: "", param: "" }
        > {$,"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}
        > {$,"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}
        > {"error":{"message":"the upstream's stream ended before the response was complete","type":"server_error","param":null,"code":null}}
    "#]],
    );
    check(
        "[DONE]",
        expect![[r#"
        0: Failed CallError { status: 0, type_: "", message: "the upstream's stream ended before the response was complete", code: "", param: "" }
        1: -
        > {"error":{"message":"the upstream's stream ended before the response was complete","type":"server_error","param":null,"code":null}}
    "#]],
    );
    check(
        "delta{\"content\":\"a\"} finish stop",
        expect![[r#"
        0: Started c1 m created=7
           #0 Text
           #0 + "a"
           #0 .
           Finished EndTurn
        1: Ended
        > {$,"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}
        > {$,"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}
        > {$,"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}
        > [DONE]
    "#]],
    );
}

#[test]
fn words_of_the_provider_survive() {
    check(
        "delta{\"content\":\"a\"} finish insufficient_system_resource\n[DONE]",
        expect![[r#"
        0: Started c1 m created=7
           #0 Text
           #0 + "a"
           #0 .
           Finished Other "insufficient_system_resource"
        1: Ended
        2: -
        > {$,"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}
        > {$,"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}
        > {$,"choices":[{"index":0,"delta":{},"finish_reason":"insufficient_system_resource"}]}
        > [DONE]
    "#]],
    );
}

#[test]
fn what_breaks_the_grammar_is_an_error() {
    check(
        r#"
        delta{"tool_calls":[{"index":0,"id":"a","function":{"name":"f"}}]} finish tool_calls
        delta{"tool_calls":[{"index":0,"id":"a","function":{"arguments":"{}"}}]}
        "#,
        expect![[r#"
            error: choice 0: tool_calls: a call without a name
        "#]],
    );
    check(
        "delta{\"content\":\"a\"} finish stop\ndelta{\"content\":\"b\"}",
        expect![[r#"
        error: choice 0: content after its finish_reason
    "#]],
    );
    check(
        "delta{\"content\":\"a\"} finish stop\ndelta{} finish length",
        expect![[r#"
        error: choice 0: a second finish_reason
    "#]],
    );
    check(
        "delta{\"content\":\"a\"} finish stop\n[DONE]\ndelta{}",
        expect![[r#"
        error: SSE event: it comes after the end of the response
    "#]],
    );
    check(
        "delta{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\"}}]}",
        expect![[r#"
        error: choice 0: tool_calls: a call without a name
    "#]],
    );
    check(
        "delta{\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"a\"}}]}\ndelta{\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"b\"}}]}",
        expect![[r#"
            error: choice 0: tool_calls: the name of a call has changed
        "#]],
    );
    check(
        "{\"a\":1,\"a\":2}",
        expect![[r#"
        error: SSE event: a duplicate key at line 1 column 10
    "#]],
    );
    check(
        "{\"a\":",
        expect![[r#"
        error: SSE event: the JSON is cut at line 1 column 5
    "#]],
    );
    check(
        "[1]",
        expect![[r#"
        error: SSE event: expected a JSON object, found an array
    "#]],
    );
}

#[test]
fn what_clients_might_read_otherwise_is_an_error() {
    let call = |entry: &str| format!(r#"delta{{"tool_calls":[{entry}]}}"#);
    let begins = r#"{"index":0,"id":"a","function":{"name":"f","arguments":"{"}}"#;
    for (line, error) in [
        (
            call(&format!(r#"{begins},{{"index":0.0,"function":{{"arguments":"}}"}}}}"#)),
            "tool_calls: an index is no number",
        ),
        (
            call(&format!(r#"{begins},{{"index":"0","function":{{"arguments":"}}"}}}}"#)),
            "tool_calls: an index is no number",
        ),
        (call(&format!(r#"{begins},[]"#)), "an entry of its tool_calls is no object"),
        (format!(r#"delta{{"content":"a","tool_calls":{{"0":{begins}}}}}"#), "its tool_calls are no list"),
        (r#"delta{"content":"a","function_call":["f","{}"]}"#.to_owned(), "its function_call is no object"),
    ] {
        let listing = stream::listing(Dialect::OpenAiChat, &full(&line));
        assert_eq!(listing.lines().last(), Some(format!("error: choice 0: {error}").as_str()), "{line}");
    }
    check_whole(
        r#"{"id":"c","choices":[{"index":0,"message":{"content":"a"},"delta":{"content":"b"},"finish_reason":"stop"}]}"#,
        expect![[r#"
            error: response body: a choice has a delta
        "#]],
    );
}

fn check_whole(body: &str, expect: Expect) {
    let events = decode_whole(Dialect::OpenAiChat, &Bytes::copy_from_slice(body.as_bytes()));
    expect.assert_eq(&match events {
        Ok(events) => {
            let shown: Vec<_> = events.iter().map(show::step).collect();
            let encoded = encode_whole(Dialect::OpenAiChat, &events);
            format!("{}\n> {}\n", shown.join("\n"), String::from_utf8_lossy(&encoded))
        }
        Err(error) => format!("error: {error}\n"),
    });
}

#[test]
fn whole_bodies() {
    check_whole(
        r#"{"id":"c1","object":"chat.completion","created":7,"model":"m","choices":[
            {"index":0,"message":{"role":"assistant","content":"Hi","refusal":null,"annotations":[{"type":"url_citation"}],
              "reasoning_content":"hm","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":""}},
              {"id":"b","type":"custom","custom":{"name":"p","input":"x"}},{"id":"c","type":"mcp","mcp":{}}]},
             "finish_reason":"tool_calls","logprobs":{"content":null}},
            {"index":1,"message":{"role":"assistant","content":null,"refusal":"no","function_call":{"name":"g","arguments":"{}"}},"finish_reason":"stop"}],
            "usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7},"system_fingerprint":"fp","x_vendor":{"a":1}}"#,
        expect![[r#"
            Started c1 m created=7  {"chunk":{"system_fingerprint":"fp","x_vendor":{"a":1}}}
            #0 Thinking in reasoning_content
            #0 + "hm"  {"choice":{"logprobs":{"content":null}},"delta":{"annotations":[{"type":"url_citation"}]}}
            #0 .
            #1 Text
            #1 + "Hi"
            #1 .
            #2 ToolCall "a" f
            #3 ToolCall "b" p custom
            #3 + arguments "x"
            #4 Opaque {"type":"mcp","mcp":{},"id":"c"}
            #2 .
            #3 .
            #4 .
            Finished ToolUse
            #5 choice=1 Refusal
            #5 + "no"
            #5 .
            #6 choice=1 ToolCall "" g legacy
            #6 + arguments "{}"
            #6 .
            Finished choice=1 EndTurn
            Usage input=3 output=4
            Ended
            > {"id":"c1","object":"chat.completion","created":7,"model":"m","system_fingerprint":"fp","choices":[{"index":0,"message":{"role":"assistant","content":"Hi","refusal":null,"reasoning_content":"hm","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"b","type":"custom","custom":{"name":"p","input":"x"}},{"type":"mcp","mcp":{},"id":"c"}],"annotations":[{"type":"url_citation"}]},"finish_reason":"tool_calls","logprobs":{"content":null}},{"index":1,"message":{"role":"assistant","content":null,"refusal":"no","function_call":{"name":"g","arguments":"{}"}},"finish_reason":"stop","logprobs":null}],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7},"x_vendor":{"a":1}}
        "#]],
    );
    check_whole(
        r#"{"error":{"message":"no","type":"t","param":"p","code":"c"}}"#,
        expect![[r#"
        Failed CallError { status: 0, type_: "t", message: "no", code: "c", param: "p" }
        > {"id":"","object":"chat.completion","created":0,"model":"","choices":[]}
    "#]],
    );
    check_whole(
        r#"{"detail":"no"}"#,
        expect![[r#"
        error: response body: it has no list of choices
    "#]],
    );
    check_whole(
        r#"{"choices":[{"message":{"content":"a"}}]}"#,
        expect![[r#"
        Started  
        #0 Text
        #0 + "a"
        #0 .
        Finished Other
        Ended
        > {"id":"","object":"chat.completion","created":0,"model":"","choices":[{"index":0,"message":{"role":"assistant","content":"a","refusal":null},"finish_reason":"stop","logprobs":null}]}
    "#]],
    );
}

#[test]
fn a_response_that_a_policy_made() {
    let encoded = stream::encode(Dialect::OpenAiChat, &stream::policys_own());
    expect![[r#"
        data: {"id":"x","object":"chat.completion.chunk","created":0,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}

        data: {"id":"x","object":"chat.completion.chunk","created":0,"model":"m","choices":[{"index":0,"delta":{"content":"No."},"finish_reason":null}]}

        data: {"id":"x","object":"chat.completion.chunk","created":0,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}

        data: [DONE]

    "#]].assert_eq(&String::from_utf8_lossy(&encoded));
    let whole = encode_whole(Dialect::OpenAiChat, &stream::policys_own());
    expect![[r#"{"id":"x","object":"chat.completion","created":0,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"No.","refusal":null},"finish_reason":"stop","logprobs":null}]}"#]].assert_eq(&String::from_utf8_lossy(&whole));
}
