//! What has broken gateways before, as far as it is a codec's affair: a case each, with where it was met.

use bytes::Bytes;
use expect_test::{Expect, expect};
use luthien_call::dialect::{decode_request, decode_whole, encode_whole};
use luthien_proto::{
    Event, Step,
    event::{
        BlockDelta, BlockKey, BlockKind, BlockStarted, CallError, Delta, FinishReason, Finished, Started, ToolCall,
        ToolForm, Usage,
    },
    request::Dialect,
};
use serde_json::{Value, json};

use crate::{show, stream};

const CHAT: Dialect = Dialect::OpenAiChat;
const ANTHROPIC: Dialect = Dialect::AnthropicMessages;

fn started() -> Event {
    Step::Started(Started { id: "r1".to_owned(), model: "m".to_owned(), created: None }).into()
}

fn begin(block: u32, kind: BlockKind) -> Event {
    Step::BlockStarted(BlockStarted { block: BlockKey(block), choice: 0, kind }).into()
}

fn delta(block: u32, delta: Delta) -> Event {
    Step::BlockDelta(BlockDelta { block: BlockKey(block), delta }).into()
}

fn text(block: u32, text: &str) -> Event {
    delta(block, Delta::Text(text.to_owned()))
}

fn arguments(block: u32, text: &str) -> Event {
    delta(block, Delta::Arguments(text.to_owned()))
}

fn signature(block: u32, text: &str) -> Event {
    delta(block, Delta::Signature(text.to_owned()))
}

fn stop(block: u32) -> Event {
    Step::BlockStopped(BlockKey(block)).into()
}

fn thinking() -> BlockKind {
    BlockKind::Thinking { field: String::new(), id: String::new() }
}

fn call(id: &str, name: &str, form: ToolForm) -> BlockKind {
    let (id, name) = (id.to_owned(), name.to_owned());
    BlockKind::ToolCall(ToolCall { id, name, namespace: String::new(), form, type_: String::new() })
}

fn usage(usage: Usage) -> Event {
    Step::Usage(usage).into()
}

fn finished(reason: FinishReason) -> Event {
    Step::Finished(Finished::new(0, reason)).into()
}

fn ended() -> Event {
    Step::Ended.into()
}

/// What steps are written as that have nothing of the dialect in them.
fn check_written(dialect: Dialect, events: &[Event], expect: Expect) {
    let encoded = stream::encode(dialect, events);
    let mut out = String::new();
    for line in String::from_utf8_lossy(&encoded).lines().filter_map(|line| line.strip_prefix("data: ")) {
        out.push_str(&format!("{}\n", short(line)));
    }
    if !matches!(events.last().unwrap().step, Step::Failed(_)) {
        let whole = encode_whole(dialect, events);
        out.push_str(&format!("whole: {}\n", short(&String::from_utf8_lossy(&whole))));
    }
    expect.assert_eq(&out);
}

fn short(line: &str) -> String {
    line.replace(r#""id":"r1","object":"chat.completion.chunk","created":0,"model":"m""#, "$")
        .replace(r#""id":"r1","object":"chat.completion","created":0,"model":"m""#, "$")
        .replace(r#""id":"r1","type":"message","role":"assistant","model":"m""#, "$")
        .replace(r#","finish_reason":null}]"#, "}]")
}

/// The steps of a Chat stream, of which each line is a delta of choice 0, or `FINISH word`.
fn check_read(lines: &[&str], expect: Expect) {
    let chunk = |line: &&str| match line.strip_prefix("FINISH ") {
        Some(word) => json!({"choices": [{"index": 0, "delta": {}, "finish_reason": word}]}).to_string(),
        None if line.starts_with("{\"choices\"") || *line == "[DONE]" => (*line).to_owned(),
        None => format!("{{\"choices\":[{{\"index\":0,\"delta\":{line}}}]}}"),
    };
    let lines: Vec<_> = lines.iter().map(chunk).collect();
    expect.assert_eq(&shown(stream::decode(CHAT, &stream::frames(CHAT, &lines.join("\n"))).unwrap().concat().iter()));
}

fn shown<'a>(events: impl Iterator<Item = &'a Event>) -> String {
    events.map(|event| format!("{}\n", show::step(event))).collect()
}

/// litellm#25321, #29491, litellm#25561: the delta that begins a block is a delta too. new-api#5482: indexes without gaps.
/// ollama#17101, ccr#1725: kinds come again, each time as a new block. ollama#14816: calls are numbered behind the rest.
/// sub2api#4286: what stops is the block of that name, not the latest.
#[test]
fn blocks_are_numbered_in_the_order_in_which_they_begin_and_stop_by_name() {
    let events = [
        started(),
        begin(0, BlockKind::Text),
        text(0, "a"),
        stop(0),
        begin(1, thinking()),
        text(1, "b"),
        stop(1),
        begin(7, call("x", "f", ToolForm::Function)),
        begin(3, call("y", "g", ToolForm::Function)),
        arguments(7, "{\"p\":"),
        arguments(3, "{}"),
        arguments(7, "1}"),
        stop(7),
        stop(3),
        begin(4, BlockKind::Text),
        text(4, "c"),
        stop(4),
        finished(FinishReason::ToolUse),
        ended(),
    ];
    check_written(
        ANTHROPIC,
        &events,
        expect![[r#"
        {"type":"message_start","message":{$,"content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}}
        {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}
        {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}
        {"type":"content_block_stop","index":0}
        {"type":"content_block_start","index":1,"content_block":{"type":"thinking","thinking":"","signature":""}}
        {"type":"content_block_delta","index":1,"delta":{"type":"thinking_delta","thinking":"b"}}
        {"type":"content_block_stop","index":1}
        {"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"x","name":"f","input":{}}}
        {"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"y","name":"g","input":{}}}
        {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"p\":"}}
        {"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":"{}"}}
        {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"1}"}}
        {"type":"content_block_stop","index":2}
        {"type":"content_block_stop","index":3}
        {"type":"content_block_start","index":4,"content_block":{"type":"text","text":""}}
        {"type":"content_block_delta","index":4,"delta":{"type":"text_delta","text":"c"}}
        {"type":"content_block_stop","index":4}
        {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":0}}
        {"type":"message_stop"}
        whole: {$,"content":[{"type":"text","text":"a"},{"type":"thinking","thinking":"b","signature":""},{"type":"tool_use","id":"x","name":"f","input":{"p":1}},{"type":"tool_use","id":"y","name":"g","input":{}},{"type":"text","text":"c"}],"stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}
    "#]],
    );
    check_written(
        CHAT,
        &events,
        expect![[r#"
        {$,"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}
        {$,"choices":[{"index":0,"delta":{"content":"a"}}]}
        {$,"choices":[{"index":0,"delta":{"reasoning_content":"b"}}]}
        {$,"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"x","type":"function","function":{"name":"f","arguments":""}}]}}]}
        {$,"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"y","type":"function","function":{"name":"g","arguments":""}}]}}]}
        {$,"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"p\":"}}]}}]}
        {$,"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"function":{"arguments":"{}"}}]}}]}
        {$,"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]}}]}
        {$,"choices":[{"index":0,"delta":{"content":"c"}}]}
        {$,"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}
        [DONE]
        whole: {$,"choices":[{"index":0,"message":{"role":"assistant","content":"ac","refusal":null,"reasoning_content":"b","tool_calls":[{"id":"x","type":"function","function":{"name":"f","arguments":"{\"p\":1}"}},{"id":"y","type":"function","function":{"name":"g","arguments":"{}"}}]},"finish_reason":"tool_calls","logprobs":null}]}
    "#]],
    );
}

/// litellm#5063, kimi-cli#1764: no arguments are an empty object, in a stream, a body and the history; but an empty free
/// text is one.
#[test]
fn no_arguments_are_an_empty_object_and_no_free_text_is_empty() {
    let events = [
        started(),
        begin(0, call("x", "list", ToolForm::Function)),
        arguments(0, ""),
        stop(0),
        begin(1, call("y", "patch", ToolForm::Custom)),
        stop(1),
        finished(FinishReason::ToolUse),
        ended(),
    ];
    check_written(
        CHAT,
        &events,
        expect![[r#"
        {$,"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}
        {$,"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"x","type":"function","function":{"name":"list","arguments":""}}]}}]}
        {$,"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}}]}
        {$,"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"y","type":"custom","custom":{"name":"patch","input":""}}]}}]}
        {$,"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}
        [DONE]
        whole: {$,"choices":[{"index":0,"message":{"role":"assistant","content":null,"refusal":null,"tool_calls":[{"id":"x","type":"function","function":{"name":"list","arguments":"{}"}},{"id":"y","type":"custom","custom":{"name":"patch","input":""}}]},"finish_reason":"tool_calls","logprobs":null}]}
    "#]],
    );
    check_written(
        ANTHROPIC,
        &events,
        expect![[r#"
        {"type":"message_start","message":{$,"content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}}
        {"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"x","name":"list","input":{}}}
        {"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":""}}
        {"type":"content_block_stop","index":0}
        {"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"y","name":"patch","input":{}}}
        {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"input\":\""}}
        {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"\"}"}}
        {"type":"content_block_stop","index":1}
        {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":0}}
        {"type":"message_stop"}
        whole: {$,"content":[{"type":"tool_use","id":"x","name":"list","input":{}},{"type":"tool_use","id":"y","name":"patch","input":{"input":""}}],"stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}
    "#]],
    );
}

#[test]
fn a_call_with_free_text_is_json_where_there_is_nothing_else() {
    let events = [
        started(),
        begin(0, call("x", "patch", ToolForm::Custom)),
        arguments(0, "*** Begin \"q\"\n"),
        arguments(0, "ü\\"),
        stop(0),
        finished(FinishReason::ToolUse),
        ended(),
    ];
    check_written(
        ANTHROPIC,
        &events,
        expect![[r#"
        {"type":"message_start","message":{$,"content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}}
        {"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"x","name":"patch","input":{}}}
        {"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"input\":\""}}
        {"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"*** Begin \\\"q\\\"\\n"}}
        {"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"ü\\\\"}}
        {"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"\"}"}}
        {"type":"content_block_stop","index":0}
        {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":0}}
        {"type":"message_stop"}
        whole: {$,"content":[{"type":"tool_use","id":"x","name":"patch","input":{"input":"*** Begin \"q\"\nü\\"}}],"stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}
    "#]],
    );
}

/// A signature is told once, behind its text; what only its provider can read is told too.
#[test]
fn signatures_reach_the_client() {
    let tokens =
        Usage { input: Some(5), cache_read: Some(90), cache_write: Some(5), output: Some(1), ..Usage::default() };
    let events = [
        started(),
        usage(tokens),
        begin(0, thinking()),
        text(0, "T"),
        signature(0, "SIG"),
        stop(0),
        begin(1, BlockKind::RedactedThinking { data: "ENC".to_owned() }),
        stop(1),
        begin(2, thinking()),
        signature(2, "ONLY"),
        stop(2),
        begin(3, BlockKind::Text),
        text(3, "ok"),
        stop(3),
        begin(4, call("toolu_1", "list", ToolForm::Function)),
        arguments(4, ""),
        stop(4),
        usage(Usage { output: Some(30), thinking: Some(12), ..Usage::default() }),
        finished(FinishReason::ToolUse),
        ended(),
    ];
    check_written(
        CHAT,
        &events,
        expect![[r#"
        {$,"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}
        {$,"choices":[{"index":0,"delta":{"reasoning_content":"T"}}]}
        {$,"choices":[{"index":0,"delta":{"reasoning_details":[{"type":"reasoning.text","signature":"SIG","index":0,"format":"anthropic"}]}}]}
        {$,"choices":[{"index":0,"delta":{"reasoning_details":[{"type":"reasoning.encrypted","data":"ENC"}]}}]}
        {$,"choices":[{"index":0,"delta":{"reasoning_details":[{"type":"reasoning.text","signature":"ONLY","index":2,"format":"anthropic"}]}}]}
        {$,"choices":[{"index":0,"delta":{"content":"ok"}}]}
        {$,"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"toolu_1","type":"function","function":{"name":"list","arguments":""}}]}}]}
        {$,"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}}]}
        {$,"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}
        {$,"choices":[],"usage":{"prompt_tokens":100,"completion_tokens":30,"total_tokens":130,"prompt_tokens_details":{"cached_tokens":90,"cache_write_tokens":5},"completion_tokens_details":{"reasoning_tokens":12}}}
        [DONE]
        whole: {$,"choices":[{"index":0,"message":{"role":"assistant","content":"ok","refusal":null,"reasoning_content":"T","reasoning_details":[{"type":"reasoning.text","text":"T","signature":"SIG","index":0,"format":"anthropic"},{"type":"reasoning.encrypted","data":"ENC"},{"type":"reasoning.text","text":"","signature":"ONLY","index":2,"format":"anthropic"}],"tool_calls":[{"id":"toolu_1","type":"function","function":{"name":"list","arguments":"{}"}}]},"finish_reason":"tool_calls","logprobs":null}],"usage":{"prompt_tokens":100,"completion_tokens":30,"total_tokens":130,"prompt_tokens_details":{"cached_tokens":90,"cache_write_tokens":5},"completion_tokens_details":{"reasoning_tokens":12}}}
    "#]],
    );
    check_written(
        ANTHROPIC,
        &events,
        expect![[r#"
        {"type":"message_start","message":{$,"content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":5,"cache_creation_input_tokens":5,"cache_read_input_tokens":90,"output_tokens":1}}}
        {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}
        {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"T"}}
        {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"SIG"}}
        {"type":"content_block_stop","index":0}
        {"type":"content_block_start","index":1,"content_block":{"type":"redacted_thinking","data":"ENC"}}
        {"type":"content_block_stop","index":1}
        {"type":"content_block_start","index":2,"content_block":{"type":"thinking","thinking":"","signature":""}}
        {"type":"content_block_delta","index":2,"delta":{"type":"signature_delta","signature":"ONLY"}}
        {"type":"content_block_stop","index":2}
        {"type":"content_block_start","index":3,"content_block":{"type":"text","text":""}}
        {"type":"content_block_delta","index":3,"delta":{"type":"text_delta","text":"ok"}}
        {"type":"content_block_stop","index":3}
        {"type":"content_block_start","index":4,"content_block":{"type":"tool_use","id":"toolu_1","name":"list","input":{}}}
        {"type":"content_block_delta","index":4,"delta":{"type":"input_json_delta","partial_json":""}}
        {"type":"content_block_stop","index":4}
        {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":30,"output_tokens_details":{"thinking_tokens":12}}}
        {"type":"message_stop"}
        whole: {$,"content":[{"type":"thinking","thinking":"T","signature":"SIG"},{"type":"redacted_thinking","data":"ENC"},{"type":"thinking","thinking":"","signature":"ONLY"},{"type":"text","text":"ok"},{"type":"tool_use","id":"toolu_1","name":"list","input":{}}],"stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":5,"cache_creation_input_tokens":5,"cache_read_input_tokens":90,"output_tokens":30,"output_tokens_details":{"thinking_tokens":12}}}
    "#]],
    );
}

/// What a client of Chat gets of it, it gives back.
#[test]
fn signatures_come_back_with_the_history() {
    let message = json!({"role": "assistant", "content": "ok", "reasoning_content": "T", "reasoning_details": [
        {"type": "reasoning.text", "signature": "SIG", "index": 0, "format": "anthropic"},
        {"type": "reasoning.encrypted", "data": "ENC"}]});
    let pieces = json!({"role": "assistant", "content": "ok", "reasoning_details": [
        {"type": "reasoning.text", "text": "a", "index": 0}, {"type": "reasoning.text", "text": "b", "index": 0},
        {"type": "reasoning.text", "signature": "SIG", "index": 0, "format": "x"}]});
    let unclear = json!({"role": "assistant", "content": "ok", "reasoning": "other", "reasoning_details": [
        {"type": "reasoning.text", "text": "a", "signature": "SIG"}]});
    let body = json!({"model": "m", "messages": [message, pieces, unclear]});
    let request = decode_request(CHAT, Bytes::from(body.to_string())).unwrap().request;
    let mut out = String::new();
    for message in &request.messages {
        out.push_str(&format!("{:?}\n", message.extras));
        message
            .content
            .iter()
            .for_each(|content| out.push_str(&format!("  {:?} {:?}\n", content.block, content.extras)));
    }
    expect![[r#"
        {}
          Thinking { text: "T", signature: "SIG", id: "" } {"index":0,"format":"anthropic"}
          RedactedThinking("ENC") {}
          Text("ok") {}
        {}
          Thinking { text: "ab", signature: "SIG", id: "" } {"index":0,"format":"x"}
          Text("ok") {}
        {"reasoning_details":[{"type":"reasoning.text","text":"a","signature":"SIG"}]}
          Thinking { text: "other", signature: "", id: "" } {"field":"reasoning"}
          Text("ok") {}
    "#]]
    .assert_eq(&out);
}

/// OpenRouter's way to sign.
#[test]
fn signatures_in_chat_belong_to_the_reasoning_before_them() {
    check_read(
        &[
            r#"{"reasoning":"a","reasoning_details":[{"type":"reasoning.text","text":"a","index":0}]}"#,
            r#"{"reasoning":"b"}"#,
            r#"{"content":"","reasoning":null,"reasoning_details":[{"type":"reasoning.text","signature":"S","index":0,"format":"f"}]}"#,
            r#"{"reasoning_details":[{"type":"reasoning.encrypted","data":"E","id":"rs"}]}"#,
            r#"{"content":"c"}"#,
            r#"{"reasoning_details":[{"type":"reasoning.text","signature":"late"}]}"#,
            "FINISH stop",
        ],
        expect![[r#"
            Started  
            #0 Thinking in reasoning
            #0 + "a"  {"delta":{"reasoning_details":[{"type":"reasoning.text","text":"a","index":0}]}}
            #0 + "b"
            #0 + signature "S"  {"reasoning_detail":{"index":0,"format":"f"}}
            #0 .
            #1 RedactedThinking "E"  {"reasoning_detail":{"id":"rs"}}
            #1 .
            #2 Text
            #2 + "c"
            Opaque {"choices":[{"delta":{"reasoning_details":[{"type":"reasoning.text","signature":"late"}]},"index":0}]}
            #2 .
            Finished EndTurn
            Ended
        "#]],
    );
    let message = json!({"role": "assistant", "content": "c", "reasoning": "ab", "reasoning_details": [
        {"type": "reasoning.text", "text": "a", "signature": "S"}, {"type": "reasoning.encrypted", "data": "E"},
        {"type": "reasoning.text", "text": "b", "signature": "U", "x": 1}]});
    let body =
        json!({"id": "r1", "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]});
    let events = decode_whole(CHAT, &Bytes::from(body.to_string())).unwrap();
    expect![[r#"
        Started r1 m
        #0 Thinking in reasoning
        #0 + "a"
        #0 + signature "S"
        #0 .
        #1 RedactedThinking "E"
        #1 .
        #2 Thinking in reasoning
        #2 + "b"
        #2 + signature "U"  {"reasoning_detail":{"x":1}}
        #2 .
        #3 Text
        #3 + "c"
        #3 .
        Finished EndTurn
        Ended
    "#]]
    .assert_eq(&shown(events.iter()));
}

/// spring-ai#5973: an id in every fragment. hermes-agent#3468: a name in every fragment. Qwen-Agent#943: fragments of
/// several calls by turns. ollama#15457, vercel/ai#14277: several calls of one index.
#[test]
fn fragments_of_calls_find_their_call() {
    check_read(
        &[
            r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"terminal","arguments":"{\"x\""}}]}"#,
            r#"{"tool_calls":[{"index":1,"id":"b","function":{"name":"terminal","arguments":""}}]}"#,
            r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"terminal","arguments":":1}"}}]}"#,
            r#"{"tool_calls":[{"index":1,"id":"b","function":{"name":"terminal","arguments":"{}"}}]}"#,
            r#"{"tool_calls":[{"index":1,"id":"c","function":{"name":"now","arguments":"{}"}}]}"#,
            "FINISH stop",
        ],
        expect![[r#"
            Started  
            #0 ToolCall "a" terminal
            #0 + arguments "{\"x\""
            #1 ToolCall "b" terminal
            #0 + arguments ":1}"
            #1 + arguments "{}"
            #2 ToolCall "c" now
            #2 + arguments "{}"
            #0 .
            #1 .
            #2 .
            Finished EndTurn
            Ended
        "#]],
    );
}

/// litellm's CombinedChunkSplitter: what comes with the finish comes before it. Portkey#1629: usage with no choices, and
/// with no list of them; running usage. `content: ""` begins nothing.
#[test]
fn what_comes_with_the_finish_and_the_tokens_is_not_lost() {
    check_read(
        &[
            r#"{"role":"assistant","content":""}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"length"}],"usage":{"prompt_tokens":10,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":40}}}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":50,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":40,"cache_write_tokens":4}}}"#,
            "[DONE]",
        ],
        expect![[r#"
            Started  
            #0 Text
            #0 + "a"
            #0 .
            Finished MaxTokens
            Usage input=10 cache_read=40 output=1
            Usage input=6 cache_read=40 cache_write=4 output=2
            Ended
        "#]],
    );
}

/// ogx#6415, genkit#5412: of input, what the cache had is counted once. litellm#31069: the end tells all of it.
#[test]
fn tokens_are_counted_once() {
    let tokens = Usage { input: Some(25), cache_read: Some(75), output: Some(7), ..Usage::default() };
    let events = [
        started(),
        begin(0, BlockKind::Text),
        text(0, "Hé"),
        text(0, "llo"),
        stop(0),
        finished(FinishReason::EndTurn),
        usage(tokens),
        ended(),
    ];
    check_written(
        ANTHROPIC,
        &events,
        expect![[r#"
        {"type":"message_start","message":{$,"content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}}
        {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}
        {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hé"}}
        {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"llo"}}
        {"type":"content_block_stop","index":0}
        {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"input_tokens":25,"cache_creation_input_tokens":0,"cache_read_input_tokens":75,"output_tokens":7}}
        {"type":"message_stop"}
        whole: {$,"content":[{"type":"text","text":"Héllo"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":25,"cache_creation_input_tokens":0,"cache_read_input_tokens":75,"output_tokens":7}}
    "#]],
    );
    check_written(
        CHAT,
        &events,
        expect![[r#"
        {$,"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}
        {$,"choices":[{"index":0,"delta":{"content":"Hé"}}]}
        {$,"choices":[{"index":0,"delta":{"content":"llo"}}]}
        {$,"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}
        {$,"choices":[],"usage":{"prompt_tokens":100,"completion_tokens":7,"total_tokens":107,"prompt_tokens_details":{"cached_tokens":75},"completion_tokens_details":{"reasoning_tokens":0}}}
        [DONE]
        whole: {$,"choices":[{"index":0,"message":{"role":"assistant","content":"Héllo","refusal":null},"finish_reason":"stop","logprobs":null}],"usage":{"prompt_tokens":100,"completion_tokens":7,"total_tokens":107,"prompt_tokens_details":{"cached_tokens":75},"completion_tokens_details":{"reasoning_tokens":0}}}
    "#]],
    );
}

/// LL: fields that clients require are there where nobody counted. A response without content has no content.
#[test]
fn a_response_of_which_nothing_is_known_is_valid() {
    let events = [started(), finished(FinishReason::EndTurn), ended()];
    check_written(
        ANTHROPIC,
        &events,
        expect![[r#"
        {"type":"message_start","message":{$,"content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}}
        {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":0}}
        {"type":"message_stop"}
        whole: {$,"content":[],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}
    "#]],
    );
    check_written(
        CHAT,
        &events,
        expect![[r#"
        {$,"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}
        {$,"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}
        [DONE]
        whole: {$,"choices":[{"index":0,"message":{"role":"assistant","content":null,"refusal":null},"finish_reason":"stop","logprobs":null}]}
    "#]],
    );
}

#[test]
fn a_refusal_is_text_where_there_is_nothing_else() {
    let events =
        [started(), begin(0, BlockKind::Refusal), text(0, "No."), stop(0), finished(FinishReason::Refusal), ended()];
    check_written(
        ANTHROPIC,
        &events,
        expect![[r#"
        {"type":"message_start","message":{$,"content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}}
        {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}
        {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"No."}}
        {"type":"content_block_stop","index":0}
        {"type":"message_delta","delta":{"stop_reason":"refusal","stop_sequence":null},"usage":{"output_tokens":0}}
        {"type":"message_stop"}
        whole: {$,"content":[{"type":"text","text":"No."}],"stop_reason":"refusal","stop_sequence":null,"usage":{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}
    "#]],
    );
    check_written(
        CHAT,
        &events,
        expect![[r#"
        {$,"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}
        {$,"choices":[{"index":0,"delta":{"refusal":"No."}}]}
        {$,"choices":[{"index":0,"delta":{},"finish_reason":"content_filter"}]}
        [DONE]
        whole: {$,"choices":[{"index":0,"message":{"role":"assistant","content":null,"refusal":"No."},"finish_reason":"content_filter","logprobs":null}]}
    "#]],
    );
}

/// agent-os#2118, litellm#32475: an error is an error, and nothing makes a good end of it.
#[test]
fn an_error_within_a_stream_is_its_end() {
    let failed =
        CallError { message: "Overloaded".to_owned(), type_: "overloaded_error".to_owned(), ..CallError::default() };
    let events = [started(), begin(0, BlockKind::Text), text(0, "par"), Step::Failed(failed).into()];
    check_written(
        ANTHROPIC,
        &events,
        expect![[r#"
        {"type":"message_start","message":{$,"content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}}
        {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}
        {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"par"}}
        {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}
    "#]],
    );
    check_written(
        CHAT,
        &events,
        expect![[r#"
        {$,"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}
        {$,"choices":[{"index":0,"delta":{"content":"par"}}]}
        {"error":{"message":"Overloaded","type":"overloaded_error","param":null,"code":null}}
    "#]],
    );
}

/// Every reason has a word. hermes-agent#43478: a limit that was met stays one.
#[test]
fn every_reason_has_a_word() {
    let mut out = String::new();
    for reason in [
        FinishReason::EndTurn,
        FinishReason::MaxTokens,
        FinishReason::StopSequence,
        FinishReason::ToolUse,
        FinishReason::Refusal,
        FinishReason::ContentFilter,
        FinishReason::ContextWindow,
        FinishReason::Pause,
        FinishReason::Other,
    ] {
        let whole = |dialect| -> Value {
            serde_json::from_slice(&encode_whole(dialect, &[started(), finished(reason), ended()])).unwrap()
        };
        let (chat, anthropic) = (&whole(CHAT)["choices"][0]["finish_reason"], &whole(ANTHROPIC)["stop_reason"]);
        out.push_str(&format!("{reason:?} {chat} {anthropic}\n"));
    }
    expect![[r#"
        EndTurn "stop" "end_turn"
        MaxTokens "length" "max_tokens"
        StopSequence "stop" "stop_sequence"
        ToolUse "tool_calls" "tool_use"
        Refusal "content_filter" "refusal"
        ContentFilter "content_filter" "refusal"
        ContextWindow "length" "model_context_window_exceeded"
        Pause "stop" "pause_turn"
        Other "stop" "end_turn"
    "#]]
    .assert_eq(&out);
}
