//! Golden cases of anthropic-messages: the data of each SSE event, its steps, and what they are encoded to.

use bytes::{Bytes, BytesMut};
use expect_test::{Expect, expect};
use luthien_call::dialect::{ResponseDecoder, ResponseEncoder, decode_whole, encode_whole};
use luthien_proto::request::Dialect;

use crate::{show, stream};

const START: &str = r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":10,"cache_read_input_tokens":40,"output_tokens":1}}}"#;
const FINISH: &str =
    r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":9}}"#;
const STOP: &str = r#"{"type":"message_stop"}"#;

fn check(lines: &str, expect: Expect) {
    expect.assert_eq(&stream::listing(Dialect::AnthropicMessages, lines));
}

/// Between a start and an end that are as ever.
fn check_within(lines: &str, expect: Expect) {
    let stream = format!("{START}\n{lines}\n{FINISH}\n{STOP}");
    let listing = stream::listing(Dialect::AnthropicMessages, &stream);
    let of_lines = |line: &&str| {
        !["message_start", "message_delta", "message_stop"].iter().any(|known| line.contains(known))
            && !["Started", "Usage", "Finished", "Ended"].iter().any(|known| line.contains(known))
    };
    expect.assert_eq(&(listing.lines().filter(of_lines).collect::<Vec<_>>().join("\n") + "\n"));
}

#[test]
fn thinking_text_and_a_call() {
    check(
        &[
            START,
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}
            {"type":"ping"}
            {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}
            {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"U0lH"}}
            {"type":"content_block_stop","index":0}
            {"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}
            {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Hé"}}
            {"type":"content_block_stop","index":1}
            {"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"toolu_1","name":"ls","input":{}}}
            {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":""}}
            {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"p\":1}"}}
            {"type":"content_block_stop","index":2}
            {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":9,"output_tokens_details":{"thinking_tokens":4}}}"#,
            STOP,
        ]
        .join("\n"),
        expect![[r#"
            0: Started msg_1 m
               Usage input=10 cache_read=40 output=1
            1: #0 Thinking
            2: -
            3: #0 + "hm"
            4: #0 + signature "U0lH"
            5: #0 .
            6: #1 Text
            7: #1 + "Hé"
            8: #1 .
            9: #2 ToolCall "toolu_1" ls
            10: #2 + arguments ""
            11: #2 + arguments "{\"p\":1}"
            12: #2 .
            13: Usage output=9 thinking=4
               Finished ToolUse
            14: Ended
            15: -
            > {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":10,"cache_read_input_tokens":40,"output_tokens":1,"cache_creation_input_tokens":0}}}
            > {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}
            > {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}
            > {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"U0lH"}}
            > {"type":"content_block_stop","index":0}
            > {"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}
            > {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Hé"}}
            > {"type":"content_block_stop","index":1}
            > {"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"toolu_1","name":"ls","input":{}}}
            > {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":""}}
            > {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"p\":1}"}}
            > {"type":"content_block_stop","index":2}
            > {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":9,"output_tokens_details":{"thinking_tokens":4}}}
            > {"type":"message_stop"}
        "#]],
    );
}

#[test]
fn blocks_that_are_whole_in_their_start() {
    check_within(
        r#"
        {"type":"content_block_start","index":0,"content_block":{"type":"text","text":"all","citations":[{"url":"u"}]}}
        {"type":"content_block_stop","index":0}
        {"type":"content_block_start","index":1,"content_block":{"type":"thinking","thinking":"t","signature":"s"}}
        {"type":"content_block_stop","index":1}
        {"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"a","name":"f","input":{"x":1},"caller":{"type":"direct"}}}
        {"type":"content_block_stop","index":2}
        {"type":"content_block_start","index":3,"content_block":{"type":"redacted_thinking","data":"ENC"}}
        {"type":"content_block_stop","index":3}
        "#,
        expect![[r#"
            1: #0 Text
               #0 + "all"
               #0 + opaque {"type":"citations_delta","citation":{"url":"u"}}
            2: #0 .
            3: #1 Thinking
               #1 + "t"
               #1 + signature "s"
            4: #1 .
            5: #2 ToolCall "a" f  {"content_block":{"caller":{"type":"direct"}}}
               #2 + arguments "{\"x\":1}"
            6: #2 .
            7: #3 RedactedThinking "ENC"
            8: #3 .
            11: -
            > {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}
            > {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"all"}}
            > {"type":"content_block_delta","index":0,"delta":{"type":"citations_delta","citation":{"url":"u"}}}
            > {"type":"content_block_stop","index":0}
            > {"type":"content_block_start","index":1,"content_block":{"type":"thinking","thinking":"","signature":""}}
            > {"type":"content_block_delta","index":1,"delta":{"type":"thinking_delta","thinking":"t"}}
            > {"type":"content_block_delta","index":1,"delta":{"type":"signature_delta","signature":"s"}}
            > {"type":"content_block_stop","index":1}
            > {"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"a","name":"f","input":{},"caller":{"type":"direct"}}}
            > {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"x\":1}"}}
            > {"type":"content_block_stop","index":2}
            > {"type":"content_block_start","index":3,"content_block":{"type":"redacted_thinking","data":"ENC"}}
            > {"type":"content_block_stop","index":3}
        "#]],
    );
}

#[test]
fn server_tools_and_unknown_blocks_and_deltas() {
    check_within(
        r#"
        {"type":"content_block_start","index":0,"content_block":{"type":"server_tool_use","id":"s","name":"web_search","input":{}}}
        {"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"q\":\"x\"}"}}
        {"type":"content_block_stop","index":0}
        {"type":"content_block_start","index":1,"content_block":{"type":"web_search_tool_result","tool_use_id":"s","content":[{"url":"u"}]}}
        {"type":"content_block_stop","index":1}
        {"type":"content_block_start","index":2,"content_block":{"type":"text","text":""}}
        {"type":"content_block_delta","index":2,"delta":{"type":"citations_delta","citation":{"cited_text":"c"}}}
        {"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"a","mood":"calm"},"p":"abc"}
        {"type":"content_block_stop","index":2}
        {"type":"content_block_start","index":3,"content_block":{"type":"compaction","content":null}}
        {"type":"content_block_delta","index":3,"delta":{"type":"compaction_delta","content":"sum"}}
        {"type":"content_block_stop","index":3}
        {"type":"ping","note":"n"}
        {"type":"novelty","a":{"b":"c"}}
        "#,
        expect![[r#"
            1: #0 ToolCall "s" web_search server server_tool_use
            2: #0 + arguments "{\"q\":\"x\"}"
            3: #0 .
            4: #1 Opaque {"type":"web_search_tool_result","tool_use_id":"s","content":[{"url":"u"}]}
            5: #1 .
            6: #2 Text
            7: #2 + opaque {"type":"citations_delta","citation":{"cited_text":"c"}}
            8: #2 + "a"  {"p":"abc","delta":{"mood":"calm"}}
            9: #2 .
            10: #3 Opaque {"type":"compaction","content":null}
            11: #3 + opaque {"type":"compaction_delta","content":"sum"}
            12: #3 .
            13: Opaque {"type":"ping","note":"n"}
            14: Opaque {"type":"novelty","a":{"b":"c"}}
            17: -
            > {"type":"content_block_start","index":0,"content_block":{"type":"server_tool_use","id":"s","name":"web_search","input":{}}}
            > {"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"q\":\"x\"}"}}
            > {"type":"content_block_stop","index":0}
            > {"type":"content_block_start","index":1,"content_block":{"type":"web_search_tool_result","tool_use_id":"s","content":[{"url":"u"}]}}
            > {"type":"content_block_stop","index":1}
            > {"type":"content_block_start","index":2,"content_block":{"type":"text","text":""}}
            > {"type":"content_block_delta","index":2,"delta":{"type":"citations_delta","citation":{"cited_text":"c"}}}
            > {"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"a","mood":"calm"},"p":"abc"}
            > {"type":"content_block_stop","index":2}
            > {"type":"content_block_start","index":3,"content_block":{"type":"compaction","content":null}}
            > {"type":"content_block_delta","index":3,"delta":{"type":"compaction_delta","content":"sum"}}
            > {"type":"content_block_stop","index":3}
            > {"type":"ping","note":"n"}
            > {"type":"novelty","a":{"b":"c"}}
        "#]],
    );
}

#[test]
fn overlapping_calls_with_gaps_are_numbered_densely() {
    check_within(
        r#"
        {"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"a","name":"f","input":{}}}
        {"type":"content_block_start","index":5,"content_block":{"type":"mcp_tool_use","id":"b","name":"g","input":{},"server_name":"s"}}
        {"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":"{}"}}
        {"type":"content_block_stop","index":5}
        {"type":"content_block_stop","index":3}
        "#,
        expect![[r#"
            1: #0 ToolCall "a" f
            2: #1 ToolCall "b" g server mcp_tool_use  {"content_block":{"server_name":"s"}}
            3: #0 + arguments "{}"
            4: #1 .
            5: #0 .
            8: -
            > {"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"a","name":"f","input":{}}}
            > {"type":"content_block_start","index":1,"content_block":{"type":"mcp_tool_use","id":"b","name":"g","input":{},"server_name":"s"}}
            > {"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{}"}}
            > {"type":"content_block_stop","index":1}
            > {"type":"content_block_stop","index":0}
        "#]],
    );
}

#[test]
fn what_else_the_start_and_the_end_say() {
    check(
        r#"
        {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"container":{"id":"k"}},"trace":"t"}
        {"type":"message_delta","delta":{"stop_reason":null},"usage":{"input_tokens":5,"output_tokens":2}}
        {"type":"message_delta","delta":{"stop_reason":"stop_sequence","stop_sequence":"END","stop_details":{"type":"x"}},"usage":{"output_tokens":3},"context_management":{"edits":[]}}
        {"type":"message_stop","amazon-bedrock-invocationMetrics":{"n":1}}
        "#,
        expect![[r#"
            0: Started msg_1 m  {"trace":"t","message":{"container":{"id":"k"}}}
            1: Usage input=5 output=2
            2: Usage output=3
               Finished StopSequence at "END"  {"context_management":{"edits":[]},"delta":{"stop_details":{"type":"x"}}}
            3: Ended  {"amazon-bedrock-invocationMetrics":{"n":1}}
            4: -
            > {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":5,"output_tokens":2,"cache_creation_input_tokens":0,"cache_read_input_tokens":0},"container":{"id":"k"}},"trace":"t"}
            > {"type":"message_delta","delta":{"stop_reason":"stop_sequence","stop_sequence":"END","stop_details":{"type":"x"}},"usage":{"output_tokens":3},"context_management":{"edits":[]}}
            > {"type":"message_stop","amazon-bedrock-invocationMetrics":{"n":1}}
        "#]],
    );
    check(
        &format!(
            "{START}\n{}\n{STOP}",
            r#"{"type":"message_delta","delta":{"stop_reason":"compaction","stop_sequence":null},"usage":{"output_tokens":0}}"#
        ),
        expect![[r#"
            0: Started msg_1 m
               Usage input=10 cache_read=40 output=1
            1: Usage output=0
               Finished Other "compaction"
            2: Ended
            3: -
            > {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":10,"cache_read_input_tokens":40,"output_tokens":1,"cache_creation_input_tokens":0}}}
            > {"type":"message_delta","delta":{"stop_reason":"compaction","stop_sequence":null},"usage":{"output_tokens":0}}
            > {"type":"message_stop"}
        "#]],
    );
}

#[test]
fn an_error_within_the_stream() {
    let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded","details":null},"request_id":"req_1"}"#;
    check(
        &format!("{START}\n{error}"),
        expect![[r#"
        0: Started msg_1 m
           Usage input=10 cache_read=40 output=1
        1: Failed CallError { status: 0, type_: "overloaded_error", message: "Overloaded", code: "", param: "" }  {"error":{"details":null},"request_id":"req_1"}
        2: -
        > {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":10,"cache_read_input_tokens":40,"output_tokens":1,"cache_creation_input_tokens":0}}}
        > {"type":"error","error":{"type":"overloaded_error","message":"Overloaded","details":null},"request_id":"req_1"}
    "#]],
    );
    check(
        error,
        expect![[r#"
        0: Failed CallError { status: 0, type_: "overloaded_error", message: "Overloaded", code: "", param: "" }  {"error":{"details":null},"request_id":"req_1"}
        1: -
        > {"type":"error","error":{"type":"overloaded_error","message":"Overloaded","details":null},"request_id":"req_1"}
    "#]],
    );
}

#[test]
fn an_end_without_a_finish_is_a_failure() {
    check(
        START,
        expect![[r#"
        0: Started msg_1 m
           Usage input=10 cache_read=40 output=1
        1: Failed CallError { status: 0, type_: "", message: "the upstream's stream ended before the response was complete", code: "", param: "" }
        > {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":10,"cache_read_input_tokens":40,"output_tokens":1,"cache_creation_input_tokens":0}}}
        > {"type":"error","error":{"type":"api_error","message":"the upstream's stream ended before the response was complete"}}
    "#]],
    );
    check(
        &format!("{START}\n{FINISH}"),
        expect![[r#"
        0: Started msg_1 m
           Usage input=10 cache_read=40 output=1
        1: Usage output=9
           Finished EndTurn
        2: Ended
        > {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":10,"cache_read_input_tokens":40,"output_tokens":1,"cache_creation_input_tokens":0}}}
        > {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":9}}
        > {"type":"message_stop"}
    "#]],
    );
    check(
        "",
        expect![[r#"
        0: Failed CallError { status: 0, type_: "", message: "the upstream's stream ended before the response was complete", code: "", param: "" }
        > {"type":"error","error":{"type":"api_error","message":"the upstream's stream ended before the response was complete"}}
    "#]],
    );
}

#[test]
fn what_breaks_the_grammar_is_an_error() {
    let text = |index: u32| {
        format!(r#"{{"type":"content_block_start","index":{index},"content_block":{{"type":"text","text":""}}}}"#)
    };
    let delta = r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}"#;
    let stop = r#"{"type":"content_block_stop","index":0}"#;
    for (lines, error) in [
        (vec![delta], "SSE event content_block_delta: it comes before message_start"),
        (vec![r#"{"type":"novelty"}"#], "SSE event of an unknown type: it comes before message_start"),
        (vec![START, START], "SSE event message_start: it comes twice"),
        (
            vec![r#"{"type":"message_start","message":{"id":"m","content":[{"type":"text","text":"a"}]}}"#],
            "SSE event message_start: its message has content",
        ),
        (vec![START, delta], "SSE event content_block_delta: its block is not open"),
        (vec![START, &text(0), stop, delta], "SSE event content_block_delta: its block is not open"),
        (vec![START, &text(0), stop, stop], "SSE event content_block_stop: its block is not open"),
        (vec![START, &text(0), stop, &text(0)], "SSE event content_block_start: its index was used before"),
        (vec![START, &text(0), FINISH], "SSE event message_delta: a block is still open"),
        (vec![START, STOP], "SSE event message_stop: it comes before stop_reason"),
        (vec![START, FINISH, &text(0)], "SSE event content_block_start: it comes after stop_reason"),
        (vec![START, FINISH, STOP, r#"{"type":"ping"}"#], "SSE event ping: it comes after the end of the response"),
        (vec![r#"{"a":"b"}"#], "SSE event of an unknown type: it has no type"),
        (vec![r#"{"type":"ping","type":"ping"}"#], "SSE event: a duplicate key at line 1 column 21"),
    ] {
        let listing = stream::listing(Dialect::AnthropicMessages, &lines.join("\n"));
        assert_eq!(listing, format!("error: {error}\n"));
    }
}

#[test]
fn a_name_that_is_not_the_type_is_an_error() {
    let mut decoder = ResponseDecoder::new(Dialect::AnthropicMessages);
    assert!(decoder.event(Some("error"), &Bytes::from_static(br#"{"type":"ping"}"#)).is_err());
}

fn check_whole(body: &str, expect: Expect) {
    let events = decode_whole(Dialect::AnthropicMessages, &Bytes::copy_from_slice(body.as_bytes()));
    expect.assert_eq(&match events {
        Ok(events) => {
            let shown: Vec<_> = events.iter().map(show::step).collect();
            let encoded = encode_whole(Dialect::AnthropicMessages, &events);
            format!("{}\n> {}\n", shown.join("\n"), String::from_utf8_lossy(&encoded))
        }
        Err(error) => format!("error: {error}\n"),
    });
}

#[test]
fn whole_bodies() {
    check_whole(
        r#"{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[
            {"type":"thinking","thinking":"hm","signature":"S"},{"type":"redacted_thinking","data":"E"},
            {"type":"text","text":"Hi","citations":[{"url":"u"}]},{"type":"text","text":"","citations":null},
            {"type":"tool_use","id":"a","name":"f","input":{"x":[1,"ü"]},"caller":{"type":"direct"}},
            {"type":"tool_use","id":"b","name":"g","input":{}},
            {"type":"web_search_tool_result","tool_use_id":"s","content":[]}],
            "stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":4},"container":{"id":"k"}}"#,
        expect![[r#"
            Started msg_1 m  {"message":{"container":{"id":"k"}}}
            #0 Thinking
            #0 + "hm"
            #0 + signature "S"
            #0 .
            #1 RedactedThinking "E"
            #1 .
            #2 Text
            #2 + "Hi"
            #2 + opaque {"type":"citations_delta","citation":{"url":"u"}}
            #2 .
            #3 Text
            #3 .
            #4 ToolCall "a" f  {"content_block":{"caller":{"type":"direct"}}}
            #4 + arguments "{\"x\":[1,\"ü\"]}"
            #4 .
            #5 ToolCall "b" g
            #5 .
            #6 Opaque {"type":"web_search_tool_result","tool_use_id":"s","content":[]}
            #6 .
            Usage input=3 output=4
            Finished ToolUse
            Ended
            > {"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"thinking","thinking":"hm","signature":"S"},{"type":"redacted_thinking","data":"E"},{"type":"text","text":"Hi","citations":[{"url":"u"}]},{"type":"text","text":""},{"type":"tool_use","id":"a","name":"f","input":{"x":[1,"ü"]},"caller":{"type":"direct"}},{"type":"tool_use","id":"b","name":"g","input":{}},{"type":"web_search_tool_result","tool_use_id":"s","content":[]}],"stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":4,"cache_creation_input_tokens":0,"cache_read_input_tokens":0},"container":{"id":"k"}}
        "#]],
    );
    check_whole(
        r#"{"type":"error","error":{"type":"api_error","message":"no"},"request_id":"r"}"#,
        expect![[r#"
        Failed CallError { status: 0, type_: "api_error", message: "no", code: "", param: "" }  {"request_id":"r"}
        > {"content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}
    "#]],
    );
    check_whole(
        r#"{"type":"message"}"#,
        expect![[r#"
        error: response body: it has no list of content
    "#]],
    );
}

#[test]
fn a_response_that_a_policy_made() {
    let encoded = stream::encode(Dialect::AnthropicMessages, &stream::policys_own());
    expect![[r#"
        event: message_start
        data: {"type":"message_start","message":{"id":"x","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}}

        event: content_block_start
        data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

        event: content_block_delta
        data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"No."}}

        event: content_block_stop
        data: {"type":"content_block_stop","index":0}

        event: message_delta
        data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":0}}

        event: message_stop
        data: {"type":"message_stop"}

    "#]].assert_eq(&String::from_utf8_lossy(&encoded));
    let whole = encode_whole(Dialect::AnthropicMessages, &stream::policys_own());
    expect![[r#"{"id":"x","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"No."}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}"#]].assert_eq(&String::from_utf8_lossy(&whole));
}

#[test]
fn a_start_that_was_flushed_leaves_its_usage_to_the_end() {
    let events = stream::decode(
        Dialect::AnthropicMessages,
        &stream::frames(Dialect::AnthropicMessages, &format!("{START}\n{FINISH}\n{STOP}")),
    );
    let mut encoder = ResponseEncoder::new(Dialect::AnthropicMessages);
    let mut out = BytesMut::new();
    for event in events.unwrap().iter().flatten() {
        encoder.encode(event, &mut out);
        encoder.flush(&mut out);
    }
    expect![[r#"
        event: message_start
        data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}}

        event: message_delta
        data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"input_tokens":10,"cache_read_input_tokens":40,"output_tokens":9}}

        event: message_stop
        data: {"type":"message_stop"}

    "#]].assert_eq(&String::from_utf8_lossy(&out));
}
