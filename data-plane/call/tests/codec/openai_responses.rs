//! Golden cases of openai-responses: the data of each SSE event, its steps, and what they are encoded to.

use bytes::{Bytes, BytesMut};
use expect_test::{Expect, expect};
use luthien_call::dialect::{ResponseDecoder, ResponseEncoder, decode_whole, encode_whole};
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

const RESPONSE: &str = r#""id":"resp_1","object":"response","created_at":7"#;

/// Each line is the type of an event, without `response.`, and its fields; `$` stands for what every response begins with.
fn full(lines: &str) -> String {
    let mut number = 0..;
    let line = |line: &str| {
        let line = line.trim().replace('$', RESPONSE);
        let Some((type_, fields)) = line.split_once(' ').filter(|(type_, _)| !type_.starts_with(['{', '['])) else {
            return line;
        };
        let type_ = if type_ == "error" { type_.to_owned() } else { format!("response.{type_}") };
        let number = number.next().unwrap();
        format!("{{\"type\":\"{type_}\",\"sequence_number\":{number},{}", &fields[1..])
    };
    lines.lines().filter(|line| !line.trim().is_empty()).map(line).collect::<Vec<_>>().join("\n")
}

/// Written the same way: what is left out is counted without a gap.
fn short(listing: &str) -> String {
    let mut number = 0..;
    let line = |line: &str| {
        let Some(data) = line.strip_prefix("> ") else { return line.replace(RESPONSE, "$") };
        let event: serde_json::Map<String, Value> = serde_json::from_str(data).unwrap();
        assert_eq!(event["sequence_number"], number.next().unwrap(), "{line}");
        let fields = data.split_once("\"sequence_number\":").unwrap().1.split_once(',').unwrap().1;
        let type_ = event["type"].as_str().unwrap();
        format!("> {} {{{}", type_.strip_prefix("response.").unwrap_or(type_), fields.replace(RESPONSE, "$"))
    };
    listing.lines().map(line).collect::<Vec<_>>().join("\n") + "\n"
}

fn check(lines: &str, expect: Expect) {
    expect.assert_eq(&short(&stream::listing(Dialect::OpenAiResponses, &full(lines))));
}

const CREATED: &str = r#"
created {"response":{$,"status":"in_progress","model":"m","output":[],"parallel_tool_calls":true,"tool_choice":"auto","tools":[]}}
in_progress {"response":{$,"status":"in_progress","model":"m","output":[],"parallel_tool_calls":true,"tool_choice":"auto","tools":[]}}
"#;
const COMPLETED: &str = r#"
completed {"response":{$,"status":"completed","model":"m","output":null,"parallel_tool_calls":true,"tool_choice":"auto","tools":[]}}
"#;

/// Between a beginning and an end that are as ever.
fn check_within(lines: &str, expect: Expect) {
    let listing = stream::listing(Dialect::OpenAiResponses, &full(&[CREATED, lines, COMPLETED].concat()));
    let listing = short(&listing);
    let is_frame = |line: &&str| {
        !["> created", "> in_progress", "> completed"].iter().any(|known| line.starts_with(known))
            && !["0: Started", "1: -"].iter().any(|known| line.starts_with(known))
    };
    expect.assert_eq(&(listing.lines().filter(is_frame).collect::<Vec<_>>().join("\n") + "\n"));
}

#[test]
fn text_and_a_call() {
    check(
        r#"
        created {"response":{$,"status":"in_progress","error":null,"incomplete_details":null,"instructions":"Be nice","model":"m","output":[],"parallel_tool_calls":false,"tool_choice":"auto","tools":[{"type":"function","name":"shell"}],"usage":null,"metadata":{}}}
        in_progress {"response":{$,"status":"in_progress","error":null,"incomplete_details":null,"instructions":"Be nice","model":"m","output":[],"parallel_tool_calls":false,"tool_choice":"auto","tools":[{"type":"function","name":"shell"}],"usage":null,"metadata":{}}}
        output_item.added {"output_index":0,"item":{"id":"msg_a","type":"message","status":"in_progress","content":[],"role":"assistant","phase":"commentary"}}
        content_part.added {"item_id":"msg_a","output_index":0,"content_index":0,"part":{"type":"output_text","annotations":[],"logprobs":[],"text":""}}
        output_text.delta {"item_id":"msg_a","output_index":0,"content_index":0,"delta":"Hé","logprobs":[],"obfuscation":"x9"}
        output_text.delta {"item_id":"msg_a","output_index":0,"content_index":0,"delta":"llo","logprobs":[]}
        output_text.done {"item_id":"msg_a","output_index":0,"content_index":0,"text":"Héllo","logprobs":[]}
        content_part.done {"item_id":"msg_a","output_index":0,"content_index":0,"part":{"type":"output_text","annotations":[],"logprobs":[],"text":"Héllo"}}
        output_item.done {"output_index":0,"item":{"id":"msg_a","type":"message","status":"completed","content":[{"type":"output_text","annotations":[],"logprobs":[],"text":"Héllo"}],"role":"assistant","phase":"commentary"}}
        output_item.added {"output_index":1,"item":{"id":"fc_a","type":"function_call","status":"in_progress","arguments":"","call_id":"call_1","name":"shell"}}
        function_call_arguments.delta {"item_id":"fc_a","output_index":1,"delta":"{\"c\":"}
        function_call_arguments.delta {"item_id":"fc_a","output_index":1,"delta":"\"ls\"}"}
        function_call_arguments.done {"item_id":"fc_a","output_index":1,"arguments":"{\"c\":\"ls\"}"}
        output_item.done {"output_index":1,"item":{"id":"fc_a","type":"function_call","status":"completed","arguments":"{\"c\":\"ls\"}","call_id":"call_1","name":"shell"}}
        completed {"response":{$,"status":"completed","error":null,"incomplete_details":null,"instructions":"Be nice","model":"m","output":[{"id":"msg_a","type":"message","status":"completed","content":[{"type":"output_text","annotations":[],"logprobs":[],"text":"Héllo"}],"role":"assistant","phase":"commentary"},{"id":"fc_a","type":"function_call","status":"completed","arguments":"{\"c\":\"ls\"}","call_id":"call_1","name":"shell"}],"parallel_tool_calls":false,"tool_choice":"auto","tools":[{"type":"function","name":"shell"}],"usage":{"input_tokens":50,"input_tokens_details":{"cached_tokens":40},"output_tokens":9,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":59},"metadata":{},"completed_at":9}}
        "#,
        expect![[r#"
            0: Started resp_1 m created=7  {"response":{"instructions":"Be nice","parallel_tool_calls":false,"tool_choice":"auto","tools":[{"type":"function","name":"shell"}],"metadata":{}}}
            1: -
            2: -
            3: #0 Text  {"item":{"id":"msg_a","phase":"commentary"}}
            4: #0 + "Hé"  {"obfuscation":"x9"}
            5: #0 + "llo"
            6: -
            7: -
            8: #0 .
            9: #1 ToolCall "call_1" shell  {"item":{"id":"fc_a"}}
            10: #1 + arguments "{\"c\":"
            11: #1 + arguments "\"ls\"}"
            12: -
            13: #1 .
            14: Usage input=10 cache_read=40 output=9 thinking=0
               Finished ToolUse
               Ended  {"response":{"completed_at":9}}
            15: -
            > created {"response":{$,"status":"in_progress","error":null,"incomplete_details":null,"model":"m","output":[],"parallel_tool_calls":false,"tool_choice":"auto","tools":[{"type":"function","name":"shell"}],"instructions":"Be nice","metadata":{},"usage":null}}
            > in_progress {"response":{$,"status":"in_progress","error":null,"incomplete_details":null,"model":"m","output":[],"parallel_tool_calls":false,"tool_choice":"auto","tools":[{"type":"function","name":"shell"}],"instructions":"Be nice","metadata":{},"usage":null}}
            > output_item.added {"output_index":0,"item":{"id":"msg_a","type":"message","role":"assistant","status":"in_progress","content":[],"phase":"commentary"}}
            > content_part.added {"item_id":"msg_a","output_index":0,"content_index":0,"part":{"type":"output_text","text":"","annotations":[],"logprobs":[]}}
            > output_text.delta {"item_id":"msg_a","output_index":0,"content_index":0,"delta":"Hé","logprobs":[],"obfuscation":"x9"}
            > output_text.delta {"item_id":"msg_a","output_index":0,"content_index":0,"delta":"llo","logprobs":[]}
            > output_text.done {"item_id":"msg_a","output_index":0,"content_index":0,"text":"Héllo","logprobs":[]}
            > content_part.done {"item_id":"msg_a","output_index":0,"content_index":0,"part":{"type":"output_text","text":"Héllo","annotations":[],"logprobs":[]}}
            > output_item.done {"output_index":0,"item":{"id":"msg_a","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"Héllo","annotations":[],"logprobs":[]}],"phase":"commentary"}}
            > output_item.added {"output_index":1,"item":{"id":"fc_a","type":"function_call","call_id":"call_1","name":"shell","arguments":"","status":"in_progress"}}
            > function_call_arguments.delta {"item_id":"fc_a","output_index":1,"delta":"{\"c\":"}
            > function_call_arguments.delta {"item_id":"fc_a","output_index":1,"delta":"\"ls\"}"}
            > function_call_arguments.done {"item_id":"fc_a","output_index":1,"arguments":"{\"c\":\"ls\"}"}
            > output_item.done {"output_index":1,"item":{"id":"fc_a","type":"function_call","call_id":"call_1","name":"shell","arguments":"{\"c\":\"ls\"}","status":"completed"}}
            > completed {"response":{$,"status":"completed","error":null,"incomplete_details":null,"model":"m","output":[{"id":"msg_a","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"Héllo","annotations":[],"logprobs":[]}],"phase":"commentary"},{"id":"fc_a","type":"function_call","call_id":"call_1","name":"shell","arguments":"{\"c\":\"ls\"}","status":"completed"}],"parallel_tool_calls":false,"tool_choice":"auto","tools":[{"type":"function","name":"shell"}],"instructions":"Be nice","metadata":{},"completed_at":9,"usage":{"input_tokens":50,"input_tokens_details":{"cached_tokens":40},"output_tokens":9,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":59}}}
        "#]],
    );
}

#[test]
fn reasoning_whose_proof_comes_last() {
    check_within(
        r#"
        output_item.added {"output_index":0,"item":{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"unfinished"}}
        reasoning_summary_part.added {"item_id":"rs_1","output_index":0,"summary_index":0,"part":{"type":"summary_text","text":""}}
        reasoning_summary_text.delta {"item_id":"rs_1","output_index":0,"summary_index":0,"delta":"one"}
        reasoning_summary_text.done {"item_id":"rs_1","output_index":0,"summary_index":0,"text":"one"}
        reasoning_summary_part.done {"item_id":"rs_1","output_index":0,"summary_index":0,"part":{"type":"summary_text","text":"one"}}
        reasoning_summary_part.added {"item_id":"rs_1","output_index":0,"summary_index":1,"part":{"type":"summary_text","text":""}}
        reasoning_summary_text.delta {"item_id":"rs_1","output_index":0,"summary_index":1,"delta":"two"}
        reasoning_summary_text.done {"item_id":"rs_1","output_index":0,"summary_index":1,"text":"two"}
        reasoning_summary_part.done {"item_id":"rs_1","output_index":0,"summary_index":1,"part":{"type":"summary_text","text":"two"}}
        output_item.done {"output_index":0,"item":{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"one"},{"type":"summary_text","text":"two"}],"encrypted_content":"ENC"}}
        "#,
        expect![[r#"
            2: #0 Thinking rs_1  {"item":{"encrypted_content":"unfinished"}}
            3: -
            4: #0 + "one"
            5: -
            6: -
            7: #0 + "\n\n"  {"part":"summary_text"}
            8: #0 + "two"
            9: -
            10: -
            11: #0 + signature "ENC"
               #0 .
            12: Finished EndTurn
               Ended
            13: -
            > output_item.added {"output_index":0,"item":{"id":"rs_1","type":"reasoning","summary":[],"encrypted_content":"unfinished"}}
            > reasoning_summary_part.added {"item_id":"rs_1","output_index":0,"summary_index":0,"part":{"type":"summary_text","text":""}}
            > reasoning_summary_text.delta {"item_id":"rs_1","output_index":0,"summary_index":0,"delta":"one"}
            > reasoning_summary_text.done {"item_id":"rs_1","output_index":0,"summary_index":0,"text":"one"}
            > reasoning_summary_part.done {"item_id":"rs_1","output_index":0,"summary_index":0,"part":{"type":"summary_text","text":"one"}}
            > reasoning_summary_part.added {"item_id":"rs_1","output_index":0,"summary_index":1,"part":{"type":"summary_text","text":""}}
            > reasoning_summary_text.delta {"item_id":"rs_1","output_index":0,"summary_index":1,"delta":"two"}
            > reasoning_summary_text.done {"item_id":"rs_1","output_index":0,"summary_index":1,"text":"two"}
            > reasoning_summary_part.done {"item_id":"rs_1","output_index":0,"summary_index":1,"part":{"type":"summary_text","text":"two"}}
            > output_item.done {"output_index":0,"item":{"id":"rs_1","type":"reasoning","summary":[{"type":"summary_text","text":"one"},{"type":"summary_text","text":"two"}],"encrypted_content":"ENC"}}
        "#]],
    );
}

#[test]
fn reasoning_that_is_shown_itself_or_not_at_all() {
    check_within(
        r#"
        output_item.added {"output_index":0,"item":{"type":"reasoning","id":"rs_1","summary":[],"content":[]}}
        reasoning_text.delta {"item_id":"rs_1","output_index":0,"content_index":0,"delta":"hm"}
        reasoning_text.done {"item_id":"rs_1","output_index":0,"content_index":0,"text":"hm"}
        output_item.done {"output_index":0,"item":{"type":"reasoning","id":"rs_1","summary":[],"content":[{"type":"reasoning_text","text":"hm"}]}}
        output_item.added {"output_index":1,"item":{"type":"reasoning","id":"rs_2","summary":[]}}
        output_item.done {"output_index":1,"item":{"type":"reasoning","id":"rs_2","summary":[],"encrypted_content":"ENC"}}
        "#,
        expect![[r#"
            2: #0 Thinking rs_1
            3: #0 + ""  {"part":"reasoning_text"}
               #0 + "hm"
            4: -
            5: #0 .
            6: #1 Thinking rs_2
            7: #1 + signature "ENC"
               #1 .
            8: Finished EndTurn
               Ended
            9: -
            > output_item.added {"output_index":0,"item":{"id":"rs_1","type":"reasoning","summary":[]}}
            > content_part.added {"item_id":"rs_1","output_index":0,"content_index":0,"part":{"type":"reasoning_text","text":""}}
            > reasoning_text.delta {"item_id":"rs_1","output_index":0,"content_index":0,"delta":"hm"}
            > reasoning_text.done {"item_id":"rs_1","output_index":0,"content_index":0,"text":"hm"}
            > content_part.done {"item_id":"rs_1","output_index":0,"content_index":0,"part":{"type":"reasoning_text","text":"hm"}}
            > output_item.done {"output_index":0,"item":{"id":"rs_1","type":"reasoning","summary":[],"content":[{"type":"reasoning_text","text":"hm"}]}}
            > output_item.added {"output_index":1,"item":{"id":"rs_2","type":"reasoning","summary":[]}}
            > output_item.done {"output_index":1,"item":{"id":"rs_2","type":"reasoning","summary":[],"encrypted_content":"ENC"}}
        "#]],
    );
}

#[test]
fn custom_tools_and_namespaces() {
    check_within(
        r#"
        output_item.added {"output_index":0,"item":{"id":"ctc_1","type":"custom_tool_call","status":"in_progress","call_id":"c1","name":"apply_patch","input":""}}
        custom_tool_call_input.delta {"item_id":"ctc_1","output_index":0,"delta":"*** Begin\n"}
        custom_tool_call_input.done {"item_id":"ctc_1","output_index":0,"input":"*** Begin\n"}
        output_item.done {"output_index":0,"item":{"id":"ctc_1","type":"custom_tool_call","status":"completed","call_id":"c1","name":"apply_patch","input":"*** Begin\n"}}
        output_item.added {"output_index":1,"item":{"id":"ctc_2","type":"custom_tool_call","call_id":"c2","name":"nothing","input":""}}
        output_item.done {"output_index":1,"item":{"id":"ctc_2","type":"custom_tool_call","call_id":"c2","name":"nothing","input":""}}
        output_item.added {"output_index":2,"item":{"id":"fc_1","type":"function_call","call_id":"c3","name":"now","namespace":"clock","arguments":"","status":"in_progress"}}
        output_item.done {"output_index":2,"item":{"id":"fc_1","type":"function_call","call_id":"c3","name":"now","namespace":"clock","arguments":"","status":"completed"}}
        "#,
        expect![[r#"
            2: #0 ToolCall "c1" apply_patch custom  {"item":{"id":"ctc_1","status":"in_progress"}}
            3: #0 + arguments "*** Begin\n"
            4: -
            5: #0 .
            6: #1 ToolCall "c2" nothing custom  {"item":{"id":"ctc_2"}}
            7: #1 .
            8: #2 ToolCall "c3" now of clock  {"item":{"id":"fc_1"}}
            9: #2 .
            10: Finished ToolUse
               Ended
            11: -
            > output_item.added {"output_index":0,"item":{"id":"ctc_1","type":"custom_tool_call","call_id":"c1","name":"apply_patch","input":"","status":"in_progress"}}
            > custom_tool_call_input.delta {"item_id":"ctc_1","output_index":0,"delta":"*** Begin\n"}
            > custom_tool_call_input.done {"item_id":"ctc_1","output_index":0,"input":"*** Begin\n"}
            > output_item.done {"output_index":0,"item":{"id":"ctc_1","type":"custom_tool_call","call_id":"c1","name":"apply_patch","input":"*** Begin\n","status":"completed"}}
            > output_item.added {"output_index":1,"item":{"id":"ctc_2","type":"custom_tool_call","call_id":"c2","name":"nothing","input":""}}
            > custom_tool_call_input.done {"item_id":"ctc_2","output_index":1,"input":""}
            > output_item.done {"output_index":1,"item":{"id":"ctc_2","type":"custom_tool_call","call_id":"c2","name":"nothing","input":""}}
            > output_item.added {"output_index":2,"item":{"id":"fc_1","type":"function_call","call_id":"c3","name":"now","arguments":"","namespace":"clock","status":"in_progress"}}
            > function_call_arguments.done {"item_id":"fc_1","output_index":2,"arguments":"{}"}
            > output_item.done {"output_index":2,"item":{"id":"fc_1","type":"function_call","call_id":"c3","name":"now","arguments":"{}","namespace":"clock","status":"completed"}}
        "#]],
    );
}

#[test]
fn items_that_are_only_done() {
    check_within(
        r#"
        output_item.done {"output_index":0,"item":{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"think"}],"encrypted_content":"ENC"}}
        output_item.done {"output_index":1,"item":{"id":"msg_1","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","text":"a","annotations":[{"type":"url_citation","url":"u"}]},{"type":"refusal","refusal":"b"}]}}
        output_item.done {"output_index":2,"item":{"id":"fc_1","type":"function_call","status":"completed","arguments":"{}","call_id":"call_1","name":"f"}}
        "#,
        expect![[r#"
            2: #0 Thinking rs_1
               #0 + "think"
               #0 + signature "ENC"
               #0 .
            3: #1 Text  {"item":{"id":"msg_1"}}
               #1 + "a"
               #1 + opaque {"type":"response.output_text.annotation.added","annotation":{"type":"url_citation","url":"u"}}
               #1 .  {"item":{"status":"in_progress"}}
               #2 Refusal
               #2 + "b"
               #2 .
            4: #3 ToolCall "call_1" f  {"item":{"id":"fc_1"}}
               #3 + arguments "{}"
               #3 .
            5: Finished ToolUse
               Ended
            6: -
            > output_item.added {"output_index":0,"item":{"id":"rs_1","type":"reasoning","summary":[]}}
            > reasoning_summary_part.added {"item_id":"rs_1","output_index":0,"summary_index":0,"part":{"type":"summary_text","text":""}}
            > reasoning_summary_text.delta {"item_id":"rs_1","output_index":0,"summary_index":0,"delta":"think"}
            > reasoning_summary_text.done {"item_id":"rs_1","output_index":0,"summary_index":0,"text":"think"}
            > reasoning_summary_part.done {"item_id":"rs_1","output_index":0,"summary_index":0,"part":{"type":"summary_text","text":"think"}}
            > output_item.done {"output_index":0,"item":{"id":"rs_1","type":"reasoning","summary":[{"type":"summary_text","text":"think"}],"encrypted_content":"ENC"}}
            > output_item.added {"output_index":1,"item":{"id":"msg_1","type":"message","role":"assistant","status":"in_progress","content":[]}}
            > content_part.added {"item_id":"msg_1","output_index":1,"content_index":0,"part":{"type":"output_text","text":"","annotations":[],"logprobs":[]}}
            > output_text.delta {"item_id":"msg_1","output_index":1,"content_index":0,"delta":"a","logprobs":[]}
            > output_text.annotation.added {"item_id":"msg_1","output_index":1,"content_index":0,"annotation_index":0,"annotation":{"type":"url_citation","url":"u"}}
            > output_text.done {"item_id":"msg_1","output_index":1,"content_index":0,"text":"a","logprobs":[]}
            > content_part.done {"item_id":"msg_1","output_index":1,"content_index":0,"part":{"type":"output_text","text":"a","annotations":[{"type":"url_citation","url":"u"}],"logprobs":[]}}
            > content_part.added {"item_id":"msg_1","output_index":1,"content_index":1,"part":{"type":"refusal","refusal":""}}
            > refusal.delta {"item_id":"msg_1","output_index":1,"content_index":1,"delta":"b"}
            > refusal.done {"item_id":"msg_1","output_index":1,"content_index":1,"refusal":"b"}
            > content_part.done {"item_id":"msg_1","output_index":1,"content_index":1,"part":{"type":"refusal","refusal":"b"}}
            > output_item.done {"output_index":1,"item":{"id":"msg_1","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"a","annotations":[{"type":"url_citation","url":"u"}],"logprobs":[]},{"type":"refusal","refusal":"b"}]}}
            > output_item.added {"output_index":2,"item":{"id":"fc_1","type":"function_call","call_id":"call_1","name":"f","arguments":"","status":"in_progress"}}
            > function_call_arguments.delta {"item_id":"fc_1","output_index":2,"delta":"{}"}
            > function_call_arguments.done {"item_id":"fc_1","output_index":2,"arguments":"{}"}
            > output_item.done {"output_index":2,"item":{"id":"fc_1","type":"function_call","call_id":"call_1","name":"f","arguments":"{}","status":"completed"}}
        "#]],
    );
}

#[test]
fn what_only_the_end_of_something_says() {
    check_within(
        r#"
        output_item.added {"output_index":0,"item":{"id":"msg_1","type":"message","status":"in_progress","role":"assistant","content":[]}}
        content_part.added {"item_id":"msg_1","output_index":0,"content_index":0,"part":{"type":"output_text","annotations":[],"text":""}}
        output_text.delta {"item_id":"msg_1","output_index":0,"content_index":0,"delta":"a"}
        output_text.done {"item_id":"msg_1","output_index":0,"content_index":0,"text":"ab"}
        content_part.done {"item_id":"msg_1","output_index":0,"content_index":0,"part":{"type":"output_text","annotations":[{"x":1}],"text":"abc","mood":"calm"}}
        output_item.done {"output_index":0,"item":{"id":"msg_1","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","annotations":[{"x":1}],"text":"abcd","mood":"calm"}],"phase":"final_answer"}}
        output_item.added {"output_index":1,"item":{"id":"fc_1","type":"function_call","status":"in_progress","arguments":"","call_id":"call_1","name":"f"}}
        function_call_arguments.done {"item_id":"fc_1","output_index":1,"arguments":"{\"x\""}
        output_item.done {"output_index":1,"item":{"id":"fc_1","type":"function_call","status":"completed","arguments":"{\"x\":1}","call_id":"call_1","name":"f","strange":true}}
        "#,
        expect![[r#"
            2: -
            3: #0 Text  {"item":{"id":"msg_1"}}
            4: #0 + "a"
            5: #0 + "b"
            6: #0 + "c"
               #0 + opaque {"type":"response.output_text.annotation.added","annotation":{"x":1}}
               #0 + opaque {"type":"response.content_part.done","part":{"mood":"calm"}}
            7: #0 + "d"
               #0 + opaque {"type":"response.output_item.done","item":{"phase":"final_answer"}}
               #0 .
            8: #1 ToolCall "call_1" f  {"item":{"id":"fc_1"}}
            9: #1 + arguments "{\"x\""
            10: #1 + arguments ":1}"
               #1 + opaque {"type":"response.output_item.done","item":{"strange":true}}
               #1 .
            11: Finished ToolUse
               Ended
            12: -
            > output_item.added {"output_index":0,"item":{"id":"msg_1","type":"message","role":"assistant","status":"in_progress","content":[]}}
            > content_part.added {"item_id":"msg_1","output_index":0,"content_index":0,"part":{"type":"output_text","text":"","annotations":[],"logprobs":[]}}
            > output_text.delta {"item_id":"msg_1","output_index":0,"content_index":0,"delta":"a","logprobs":[]}
            > output_text.delta {"item_id":"msg_1","output_index":0,"content_index":0,"delta":"b","logprobs":[]}
            > output_text.delta {"item_id":"msg_1","output_index":0,"content_index":0,"delta":"c","logprobs":[]}
            > output_text.annotation.added {"item_id":"msg_1","output_index":0,"content_index":0,"annotation_index":0,"annotation":{"x":1}}
            > output_text.delta {"item_id":"msg_1","output_index":0,"content_index":0,"delta":"d","logprobs":[]}
            > output_text.done {"item_id":"msg_1","output_index":0,"content_index":0,"text":"abcd","logprobs":[]}
            > content_part.done {"item_id":"msg_1","output_index":0,"content_index":0,"part":{"type":"output_text","text":"abcd","annotations":[{"x":1}],"logprobs":[],"mood":"calm"}}
            > output_item.done {"output_index":0,"item":{"id":"msg_1","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"abcd","annotations":[{"x":1}],"logprobs":[],"mood":"calm"}],"phase":"final_answer"}}
            > output_item.added {"output_index":1,"item":{"id":"fc_1","type":"function_call","call_id":"call_1","name":"f","arguments":"","status":"in_progress"}}
            > function_call_arguments.delta {"item_id":"fc_1","output_index":1,"delta":"{\"x\""}
            > function_call_arguments.delta {"item_id":"fc_1","output_index":1,"delta":":1}"}
            > function_call_arguments.done {"item_id":"fc_1","output_index":1,"arguments":"{\"x\":1}"}
            > output_item.done {"output_index":1,"item":{"id":"fc_1","type":"function_call","call_id":"call_1","name":"f","arguments":"{\"x\":1}","status":"completed","strange":true}}
        "#]],
    );
}

#[test]
fn an_output_that_only_the_last_event_tells() {
    check(
        &[
            CREATED,
            r#"completed {"response":{$,"status":"completed","model":"m","output":[{"id":"msg_1","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","text":"a","annotations":[]}]}],"parallel_tool_calls":true,"tool_choice":"auto","tools":[]}}"#,
        ]
        .concat(),
        expect![[r#"
            0: Started resp_1 m created=7  {"response":{"parallel_tool_calls":true,"tool_choice":"auto","tools":[]}}
            1: -
            2: #0 Text  {"item":{"id":"msg_1"}}
               #0 + "a"
               #0 .
               Finished EndTurn
               Ended
            3: -
            > created {"response":{$,"status":"in_progress","error":null,"incomplete_details":null,"model":"m","output":[],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"usage":null}}
            > in_progress {"response":{$,"status":"in_progress","error":null,"incomplete_details":null,"model":"m","output":[],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"usage":null}}
            > output_item.added {"output_index":0,"item":{"id":"msg_1","type":"message","role":"assistant","status":"in_progress","content":[]}}
            > content_part.added {"item_id":"msg_1","output_index":0,"content_index":0,"part":{"type":"output_text","text":"","annotations":[],"logprobs":[]}}
            > output_text.delta {"item_id":"msg_1","output_index":0,"content_index":0,"delta":"a","logprobs":[]}
            > output_text.done {"item_id":"msg_1","output_index":0,"content_index":0,"text":"a","logprobs":[]}
            > content_part.done {"item_id":"msg_1","output_index":0,"content_index":0,"part":{"type":"output_text","text":"a","annotations":[],"logprobs":[]}}
            > output_item.done {"output_index":0,"item":{"id":"msg_1","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"a","annotations":[],"logprobs":[]}]}}
            > completed {"response":{$,"status":"completed","error":null,"incomplete_details":null,"model":"m","output":[{"id":"msg_1","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"a","annotations":[],"logprobs":[]}]}],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"usage":null}}
        "#]],
    );
}

#[test]
fn parts_of_a_message() {
    check_within(
        r#"
        output_item.added {"output_index":0,"item":{"id":"msg_1","type":"message","status":"in_progress","role":"assistant","content":[]}}
        content_part.added {"item_id":"msg_1","output_index":0,"content_index":0,"part":{"type":"output_text","annotations":[],"text":""}}
        output_text.delta {"item_id":"msg_1","output_index":0,"content_index":0,"delta":"a"}
        output_text.annotation.added {"item_id":"msg_1","output_index":0,"content_index":0,"annotation_index":0,"annotation":{"type":"url_citation","url":"u"}}
        output_text.done {"item_id":"msg_1","output_index":0,"content_index":0,"text":"a"}
        content_part.done {"item_id":"msg_1","output_index":0,"content_index":0,"part":{"type":"output_text","annotations":[{"type":"url_citation","url":"u"}],"text":"a"}}
        content_part.added {"item_id":"msg_1","output_index":0,"content_index":1,"part":{"type":"refusal","refusal":""}}
        refusal.delta {"item_id":"msg_1","output_index":0,"content_index":1,"delta":"No."}
        refusal.done {"item_id":"msg_1","output_index":0,"content_index":1,"refusal":"No."}
        content_part.done {"item_id":"msg_1","output_index":0,"content_index":1,"part":{"type":"refusal","refusal":"No."}}
        content_part.added {"item_id":"msg_1","output_index":0,"content_index":2,"part":{"type":"output_audio","data":""}}
        output_audio.delta {"item_id":"msg_1","output_index":0,"content_index":2,"delta":"QQ"}
        content_part.done {"item_id":"msg_1","output_index":0,"content_index":2,"part":{"type":"output_audio","data":"QQ"}}
        output_item.done {"output_index":0,"item":{"id":"msg_1","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","annotations":[{"type":"url_citation","url":"u"}],"text":"a"},{"type":"refusal","refusal":"No."},{"type":"output_audio","data":"QQ"}]}}
        output_item.added {"output_index":1,"item":{"id":"msg_2","type":"message","status":"in_progress","role":"assistant","content":[]}}
        output_item.done {"output_index":1,"item":{"id":"msg_2","type":"message","status":"completed","role":"assistant","content":[]}}
        "#,
        expect![[r#"
            2: -
            3: #0 Text  {"item":{"id":"msg_1"}}
            4: #0 + "a"
            5: #0 + opaque {"type":"response.output_text.annotation.added","annotation":{"type":"url_citation","url":"u"}}
            6: -
            7: -
            8: #0 .  {"item":{"status":"in_progress"}}
               #1 Refusal
            9: #1 + "No."
            10: -
            11: -
            12: #1 .  {"item":{"status":"in_progress"}}
               #2 Opaque {"type":"output_audio","data":""}  {"part":{}}
            13: #2 + opaque {"type":"response.output_audio.delta","delta":"QQ"}
            14: #2 + opaque {"type":"response.content_part.done","part":{"data":"QQ"}}
            15: #2 .
            16: -
            17: #3 Opaque {"id":"msg_2","type":"message","role":"assistant","status":"completed","content":[]}
               #3 .
            18: Finished Refusal
               Ended
            19: -
            > output_item.added {"output_index":0,"item":{"id":"msg_1","type":"message","role":"assistant","status":"in_progress","content":[]}}
            > content_part.added {"item_id":"msg_1","output_index":0,"content_index":0,"part":{"type":"output_text","text":"","annotations":[],"logprobs":[]}}
            > output_text.delta {"item_id":"msg_1","output_index":0,"content_index":0,"delta":"a","logprobs":[]}
            > output_text.annotation.added {"item_id":"msg_1","output_index":0,"content_index":0,"annotation_index":0,"annotation":{"type":"url_citation","url":"u"}}
            > output_text.done {"item_id":"msg_1","output_index":0,"content_index":0,"text":"a","logprobs":[]}
            > content_part.done {"item_id":"msg_1","output_index":0,"content_index":0,"part":{"type":"output_text","text":"a","annotations":[{"type":"url_citation","url":"u"}],"logprobs":[]}}
            > content_part.added {"item_id":"msg_1","output_index":0,"content_index":1,"part":{"type":"refusal","refusal":""}}
            > refusal.delta {"item_id":"msg_1","output_index":0,"content_index":1,"delta":"No."}
            > refusal.done {"item_id":"msg_1","output_index":0,"content_index":1,"refusal":"No."}
            > content_part.done {"item_id":"msg_1","output_index":0,"content_index":1,"part":{"type":"refusal","refusal":"No."}}
            > content_part.added {"item_id":"msg_1","output_index":0,"content_index":2,"part":{"type":"output_audio","data":""}}
            > output_audio.delta {"item_id":"msg_1","output_index":0,"content_index":2,"delta":"QQ"}
            > content_part.done {"item_id":"msg_1","output_index":0,"content_index":2,"part":{"type":"output_audio","data":"QQ"}}
            > output_item.done {"output_index":0,"item":{"id":"msg_1","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"a","annotations":[{"type":"url_citation","url":"u"}],"logprobs":[]},{"type":"refusal","refusal":"No."},{"type":"output_audio","data":"QQ"}]}}
            > output_item.added {"output_index":1,"item":{"id":"msg_2","type":"message","role":"assistant","status":"completed","content":[]}}
            > output_item.done {"output_index":1,"item":{"id":"msg_2","type":"message","role":"assistant","status":"completed","content":[]}}
        "#]],
    );
}

#[test]
fn tools_that_the_provider_runs_and_what_is_unknown() {
    check_within(
        r#"
        output_item.added {"output_index":0,"item":{"id":"ws_1","type":"web_search_call","status":"in_progress"}}
        web_search_call.in_progress {"output_index":0,"item_id":"ws_1"}
        web_search_call.searching {"output_index":0,"item_id":"ws_1","query":"q"}
        web_search_call.completed {"output_index":0,"item_id":"ws_1"}
        output_item.done {"output_index":0,"item":{"id":"ws_1","type":"web_search_call","status":"completed","action":{"type":"search","query":"q"}}}
        keepalive {"x":1}
        "#,
        expect![[r#"
            2: #0 Opaque {"id":"ws_1","type":"web_search_call","status":"in_progress"}
            3: #0 + opaque {"type":"response.web_search_call.in_progress"}
            4: #0 + opaque {"type":"response.web_search_call.searching","query":"q"}
            5: #0 + opaque {"type":"response.web_search_call.completed"}
            6: #0 + opaque {"type":"response.output_item.done","item":{"action":{"type":"search","query":"q"}}}
               #0 .
            7: Opaque {"type":"response.keepalive","x":1}
            8: Finished EndTurn
               Ended
            9: -
            > output_item.added {"output_index":0,"item":{"id":"ws_1","type":"web_search_call","status":"in_progress"}}
            > web_search_call.in_progress {"item_id":"ws_1","output_index":0}
            > web_search_call.searching {"item_id":"ws_1","output_index":0,"query":"q"}
            > web_search_call.completed {"item_id":"ws_1","output_index":0}
            > output_item.done {"output_index":0,"item":{"id":"ws_1","type":"web_search_call","status":"completed","action":{"type":"search","query":"q"}}}
            > keepalive {"x":1}
        "#]],
    );
}

#[test]
fn calls_of_the_clients_own_tools() {
    check_within(
        r#"
        output_item.added {"output_index":0,"item":{"id":"lsh_1","type":"local_shell_call","status":"in_progress","call_id":"c1","action":{"type":"exec","command":[]}}}
        output_item.done {"output_index":0,"item":{"id":"lsh_1","type":"local_shell_call","status":"completed","call_id":"c1","action":{"type":"exec","command":["ls"],"env":{}}}}
        output_item.done {"output_index":1,"item":{"id":"apc_1","type":"apply_patch_call","status":"completed","call_id":"c2","operation":{"type":"delete_file","path":"a"}}}
        output_item.done {"output_index":2,"item":{"id":"sh_1","type":"shell_call","status":"completed","call_id":"c3","action":{"commands":["ls"]},"environment":{"type":"container_reference","container_id":"x"}}}
        "#,
        expect![[r#"
            2: #0 ToolCall "c1" local_shell  {"item":{"id":"lsh_1","action":{"type":"exec","command":[]}}}
            3: #0 + arguments "{\"action\":{\"type\":\"exec\",\"command\":[\"ls\"],\"env\":{}}}"
               #0 .
            4: #1 ToolCall "c2" apply_patch  {"item":{"id":"apc_1"}}
               #1 + arguments "{\"operation\":{\"type\":\"delete_file\",\"path\":\"a\"}}"
               #1 .
            5: #2 Opaque {"id":"sh_1","type":"shell_call","status":"completed","call_id":"c3","action":{"commands":["ls"]},"environment":{"type":"container_reference","container_id":"x"}}
               #2 .
            6: Finished ToolUse
               Ended
            7: -
            > output_item.added {"output_index":0,"item":{"id":"lsh_1","type":"local_shell_call","call_id":"c1","status":"in_progress","action":{"type":"exec","command":[]}}}
            > output_item.done {"output_index":0,"item":{"id":"lsh_1","type":"local_shell_call","call_id":"c1","status":"completed","action":{"type":"exec","command":["ls"],"env":{}}}}
            > output_item.added {"output_index":1,"item":{"id":"apc_1","type":"apply_patch_call","call_id":"c2","status":"in_progress"}}
            > output_item.done {"output_index":1,"item":{"id":"apc_1","type":"apply_patch_call","call_id":"c2","status":"completed","operation":{"type":"delete_file","path":"a"}}}
            > output_item.added {"output_index":2,"item":{"id":"sh_1","type":"shell_call","status":"completed","call_id":"c3","action":{"commands":["ls"]},"environment":{"type":"container_reference","container_id":"x"}}}
            > output_item.done {"output_index":2,"item":{"id":"sh_1","type":"shell_call","status":"completed","call_id":"c3","action":{"commands":["ls"]},"environment":{"type":"container_reference","container_id":"x"}}}
        "#]],
    );
}

#[test]
fn ends_that_are_no_completion() {
    for (end, expected) in [
        (
            r#"incomplete {"response":{$,"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"model":"m","output":[]}}"#,
            expect![[r#"
            0: Started resp_1 m created=7  {"response":{"parallel_tool_calls":true,"tool_choice":"auto","tools":[]}}
            1: -
            2: Finished MaxTokens
               Ended
            3: -
            > created {"response":{$,"status":"in_progress","error":null,"incomplete_details":null,"model":"m","output":[],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"usage":null}}
            > in_progress {"response":{$,"status":"in_progress","error":null,"incomplete_details":null,"model":"m","output":[],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"usage":null}}
            > incomplete {"response":{$,"status":"incomplete","error":null,"incomplete_details":{"reason":"max_output_tokens"},"model":"m","output":[],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"usage":null}}
        "#]],
        ),
        (
            r#"incomplete {"response":{$,"status":"incomplete","incomplete_details":{"reason":"content_filter"},"model":"m","output":[]}}"#,
            expect![[r#"
            0: Started resp_1 m created=7  {"response":{"parallel_tool_calls":true,"tool_choice":"auto","tools":[]}}
            1: -
            2: Finished ContentFilter
               Ended
            3: -
            > created {"response":{$,"status":"in_progress","error":null,"incomplete_details":null,"model":"m","output":[],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"usage":null}}
            > in_progress {"response":{$,"status":"in_progress","error":null,"incomplete_details":null,"model":"m","output":[],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"usage":null}}
            > incomplete {"response":{$,"status":"incomplete","error":null,"incomplete_details":{"reason":"content_filter"},"model":"m","output":[],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"usage":null}}
        "#]],
        ),
        (
            r#"incomplete {"response":{$,"status":"incomplete","incomplete_details":{"reason":"steered","by":"me"},"model":"m","output":[]}}"#,
            expect![[r#"
            0: Started resp_1 m created=7  {"response":{"parallel_tool_calls":true,"tool_choice":"auto","tools":[]}}
            1: -
            2: Finished Other "steered"
               Ended  {"response":{"incomplete_details":{"by":"me"}}}
            3: -
            > created {"response":{$,"status":"in_progress","error":null,"incomplete_details":null,"model":"m","output":[],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"usage":null}}
            > in_progress {"response":{$,"status":"in_progress","error":null,"incomplete_details":null,"model":"m","output":[],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"usage":null}}
            > incomplete {"response":{$,"status":"incomplete","error":null,"incomplete_details":{"reason":"steered"},"model":"m","output":[],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"usage":null}}
        "#]],
        ),
        (
            r#"failed {"response":{$,"status":"failed","error":{"code":"server_is_overloaded","message":"Overloaded"},"model":"m","output":[],"usage":{"input_tokens":1,"output_tokens":0,"total_tokens":1}}}"#,
            expect![[r#"
            0: Started resp_1 m created=7  {"response":{"parallel_tool_calls":true,"tool_choice":"auto","tools":[]}}
            1: -
            2: Usage input=1 output=0
               Failed CallError { status: 0, type_: "", message: "Overloaded", code: "server_is_overloaded", param: "" }
            3: -
            > created {"response":{$,"status":"in_progress","error":null,"incomplete_details":null,"model":"m","output":[],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"usage":null}}
            > in_progress {"response":{$,"status":"in_progress","error":null,"incomplete_details":null,"model":"m","output":[],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"usage":null}}
            > failed {"response":{$,"status":"failed","error":{"code":"server_is_overloaded","message":"Overloaded"},"incomplete_details":null,"model":"m","output":[],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"usage":{"input_tokens":1,"output_tokens":0,"total_tokens":1}}}
        "#]],
        ),
        (
            r#"error {"code":"rate_limit_exceeded","message":"Slow down","param":null}"#,
            expect![[r#"
            0: Started resp_1 m created=7  {"response":{"parallel_tool_calls":true,"tool_choice":"auto","tools":[]}}
            1: -
            2: Failed CallError { status: 0, type_: "", message: "Slow down", code: "rate_limit_exceeded", param: "" }
            3: -
            > created {"response":{$,"status":"in_progress","error":null,"incomplete_details":null,"model":"m","output":[],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"usage":null}}
            > in_progress {"response":{$,"status":"in_progress","error":null,"incomplete_details":null,"model":"m","output":[],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"usage":null}}
            > failed {"response":{$,"status":"failed","error":{"code":"rate_limit_exceeded","message":"Slow down"},"incomplete_details":null,"model":"m","output":[],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"usage":null}}
        "#]],
        ),
        (
            r#"{"error":{"message":"Oh","type":"server_error","code":null}}"#,
            expect![[r#"
            0: Started resp_1 m created=7  {"response":{"parallel_tool_calls":true,"tool_choice":"auto","tools":[]}}
            1: -
            2: Failed CallError { status: 0, type_: "server_error", message: "Oh", code: "", param: "" }
            3: -
            > created {"response":{$,"status":"in_progress","error":null,"incomplete_details":null,"model":"m","output":[],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"usage":null}}
            > in_progress {"response":{$,"status":"in_progress","error":null,"incomplete_details":null,"model":"m","output":[],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"usage":null}}
            > failed {"response":{$,"status":"failed","error":{"code":"server_error","message":"Oh","type":"server_error"},"incomplete_details":null,"model":"m","output":[],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"usage":null}}
        "#]],
        ),
        (
            "[DONE]",
            expect![[r#"
            0: Started resp_1 m created=7  {"response":{"parallel_tool_calls":true,"tool_choice":"auto","tools":[]}}
            1: -
            2: Failed CallError { status: 0, type_: "", message: "the upstream's stream ended before the response was complete", code: "", param: "" }
            3: -
            > created {"response":{$,"status":"in_progress","error":null,"incomplete_details":null,"model":"m","output":[],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"usage":null}}
            > in_progress {"response":{$,"status":"in_progress","error":null,"incomplete_details":null,"model":"m","output":[],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"usage":null}}
            > failed {"response":{$,"status":"failed","error":{"code":"server_error","message":"the upstream's stream ended before the response was complete"},"incomplete_details":null,"model":"m","output":[],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"usage":null}}
        "#]],
        ),
        (
            "",
            expect![[r#"
            0: Started resp_1 m created=7  {"response":{"parallel_tool_calls":true,"tool_choice":"auto","tools":[]}}
            1: -
            2: Failed CallError { status: 0, type_: "", message: "the upstream's stream ended before the response was complete", code: "", param: "" }
            > created {"response":{$,"status":"in_progress","error":null,"incomplete_details":null,"model":"m","output":[],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"usage":null}}
            > in_progress {"response":{$,"status":"in_progress","error":null,"incomplete_details":null,"model":"m","output":[],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"usage":null}}
            > failed {"response":{$,"status":"failed","error":{"code":"server_error","message":"the upstream's stream ended before the response was complete"},"incomplete_details":null,"model":"m","output":[],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"usage":null}}
        "#]],
        ),
    ] {
        check(&[CREATED, end].concat(), expected);
    }
}

/// Steps of another dialect: nothing of them is OpenAI's own.
fn foreign(steps: impl IntoIterator<Item = Step>, expect: Expect) {
    let started = Step::Started(Started { id: "resp_1".to_owned(), model: "c".to_owned(), created: Some(7) });
    let events: Vec<Event> = [started].into_iter().chain(steps).map(Event::from).collect();
    let encoded = stream::encode(Dialect::OpenAiResponses, &events);
    let lines = String::from_utf8_lossy(&encoded);
    let data = lines.lines().filter_map(|line| line.strip_prefix("data: "));
    let listing = short(&data.map(|data| format!("> {data}\n")).collect::<String>());
    let told = |line: &&str| !line.starts_with("> created") && !line.starts_with("> in_progress");
    expect.assert_eq(&(listing.lines().filter(told).collect::<Vec<_>>().join("\n") + "\n"));
}

fn begin(block: u32, kind: BlockKind) -> Step {
    Step::BlockStarted(BlockStarted { block: BlockKey(block), choice: 0, kind })
}

fn piece(block: u32, delta: Delta) -> Step {
    Step::BlockDelta(BlockDelta { block: BlockKey(block), delta })
}

fn stop(block: u32) -> Step {
    Step::BlockStopped(BlockKey(block))
}

fn call(id: &str, name: &str, form: ToolForm) -> BlockKind {
    let [id, name] = [id, name].map(str::to_owned);
    BlockKind::ToolCall(ToolCall { id, name, namespace: String::new(), form, type_: String::new() })
}

fn thinking() -> BlockKind {
    BlockKind::Thinking { field: String::new(), id: String::new() }
}

fn text(text: &str) -> Delta {
    Delta::Text(text.to_owned())
}

fn arguments(text: &str) -> Delta {
    Delta::Arguments(text.to_owned())
}

fn finished(reason: FinishReason) -> Step {
    Step::Finished(Finished::new(0, reason))
}

#[test]
fn text_and_a_call_of_another_dialect() {
    foreign(
        [
            begin(0, BlockKind::Text),
            piece(0, text("Hi")),
            stop(0),
            begin(1, call("toolu_1", "shell", ToolForm::Function)),
            piece(1, arguments("{\"c\":")),
            piece(1, arguments("\"ls\"}")),
            stop(1),
            Step::Usage(Usage { input: Some(5), cache_read: Some(5), output: Some(20), ..Usage::default() }),
            finished(FinishReason::ToolUse),
            Step::Ended,
        ],
        expect![[r#"
            > output_item.added {"output_index":0,"item":{"id":"msg_1_0","type":"message","role":"assistant","status":"in_progress","content":[]}}
            > content_part.added {"item_id":"msg_1_0","output_index":0,"content_index":0,"part":{"type":"output_text","text":"","annotations":[],"logprobs":[]}}
            > output_text.delta {"item_id":"msg_1_0","output_index":0,"content_index":0,"delta":"Hi","logprobs":[]}
            > output_text.done {"item_id":"msg_1_0","output_index":0,"content_index":0,"text":"Hi","logprobs":[]}
            > content_part.done {"item_id":"msg_1_0","output_index":0,"content_index":0,"part":{"type":"output_text","text":"Hi","annotations":[],"logprobs":[]}}
            > output_item.done {"output_index":0,"item":{"id":"msg_1_0","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"Hi","annotations":[],"logprobs":[]}]}}
            > output_item.added {"output_index":1,"item":{"id":"fc_1_1","type":"function_call","call_id":"toolu_1","name":"shell","arguments":"","status":"in_progress"}}
            > function_call_arguments.delta {"item_id":"fc_1_1","output_index":1,"delta":"{\"c\":"}
            > function_call_arguments.delta {"item_id":"fc_1_1","output_index":1,"delta":"\"ls\"}"}
            > function_call_arguments.done {"item_id":"fc_1_1","output_index":1,"arguments":"{\"c\":\"ls\"}"}
            > output_item.done {"output_index":1,"item":{"id":"fc_1_1","type":"function_call","call_id":"toolu_1","name":"shell","arguments":"{\"c\":\"ls\"}","status":"completed"}}
            > completed {"response":{$,"status":"completed","error":null,"incomplete_details":null,"model":"c","output":[{"id":"msg_1_0","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"Hi","annotations":[],"logprobs":[]}]},{"id":"fc_1_1","type":"function_call","call_id":"toolu_1","name":"shell","arguments":"{\"c\":\"ls\"}","status":"completed"}],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"usage":{"input_tokens":10,"input_tokens_details":{"cached_tokens":5,"cache_write_tokens":0},"output_tokens":20,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":30}}}
        "#]],
    );
}

#[test]
fn a_custom_call_and_thinking_with_and_without_text() {
    foreign(
        [
            begin(0, thinking()),
            piece(0, text("hm")),
            piece(0, text("!")),
            piece(0, Delta::Signature("luth1.x".to_owned())),
            stop(0),
            begin(1, BlockKind::RedactedThinking { data: "luth1.y".to_owned() }),
            stop(1),
            begin(2, call("c1", "apply_patch", ToolForm::Custom)),
            piece(2, arguments("*** Begin\n")),
            stop(2),
            finished(FinishReason::ToolUse),
            Step::Ended,
        ],
        expect![[r#"
            > output_item.added {"output_index":0,"item":{"id":"rs_1_0","type":"reasoning","summary":[]}}
            > reasoning_summary_part.added {"item_id":"rs_1_0","output_index":0,"summary_index":0,"part":{"type":"summary_text","text":""}}
            > reasoning_summary_text.delta {"item_id":"rs_1_0","output_index":0,"summary_index":0,"delta":"hm"}
            > reasoning_summary_text.delta {"item_id":"rs_1_0","output_index":0,"summary_index":0,"delta":"!"}
            > reasoning_summary_text.done {"item_id":"rs_1_0","output_index":0,"summary_index":0,"text":"hm!"}
            > reasoning_summary_part.done {"item_id":"rs_1_0","output_index":0,"summary_index":0,"part":{"type":"summary_text","text":"hm!"}}
            > output_item.done {"output_index":0,"item":{"id":"rs_1_0","type":"reasoning","summary":[{"type":"summary_text","text":"hm!"}],"encrypted_content":"luth1.x"}}
            > output_item.added {"output_index":1,"item":{"id":"rs_1_1","type":"reasoning","summary":[],"encrypted_content":"luth1.y"}}
            > output_item.done {"output_index":1,"item":{"id":"rs_1_1","type":"reasoning","summary":[],"encrypted_content":"luth1.y"}}
            > output_item.added {"output_index":2,"item":{"id":"ctc_1_2","type":"custom_tool_call","call_id":"c1","name":"apply_patch","input":""}}
            > custom_tool_call_input.delta {"item_id":"ctc_1_2","output_index":2,"delta":"*** Begin\n"}
            > custom_tool_call_input.done {"item_id":"ctc_1_2","output_index":2,"input":"*** Begin\n"}
            > output_item.done {"output_index":2,"item":{"id":"ctc_1_2","type":"custom_tool_call","call_id":"c1","name":"apply_patch","input":"*** Begin\n"}}
            > completed {"response":{$,"status":"completed","error":null,"incomplete_details":null,"model":"c","output":[{"id":"rs_1_0","type":"reasoning","summary":[{"type":"summary_text","text":"hm!"}],"encrypted_content":"luth1.x"},{"id":"rs_1_1","type":"reasoning","summary":[],"encrypted_content":"luth1.y"},{"id":"ctc_1_2","type":"custom_tool_call","call_id":"c1","name":"apply_patch","input":"*** Begin\n"}],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"usage":null}}
        "#]],
    );
}

#[test]
fn parallel_calls_that_interleave_and_have_no_id_or_arguments() {
    foreign(
        [
            begin(0, call("", "a", ToolForm::Function)),
            begin(1, call("b", "b", ToolForm::Function)),
            piece(1, arguments("{\"x\":")),
            piece(0, arguments("")),
            piece(1, arguments("1}")),
            stop(1),
            stop(0),
            // A server's own call is not the client's to run.
            begin(2, call("s", "search", ToolForm::Server)),
            piece(2, arguments("{}")),
            stop(2),
            begin(3, BlockKind::Refusal),
            piece(3, text("no")),
            stop(3),
            finished(FinishReason::ContextWindow),
            Step::Ended,
        ],
        expect![[r#"
            > output_item.added {"output_index":0,"item":{"id":"fc_1_0","type":"function_call","call_id":"call_1_0","name":"a","arguments":"","status":"in_progress"}}
            > output_item.added {"output_index":1,"item":{"id":"fc_1_1","type":"function_call","call_id":"b","name":"b","arguments":"","status":"in_progress"}}
            > function_call_arguments.delta {"item_id":"fc_1_1","output_index":1,"delta":"{\"x\":"}
            > function_call_arguments.delta {"item_id":"fc_1_0","output_index":0,"delta":""}
            > function_call_arguments.delta {"item_id":"fc_1_1","output_index":1,"delta":"1}"}
            > function_call_arguments.done {"item_id":"fc_1_1","output_index":1,"arguments":"{\"x\":1}"}
            > output_item.done {"output_index":1,"item":{"id":"fc_1_1","type":"function_call","call_id":"b","name":"b","arguments":"{\"x\":1}","status":"completed"}}
            > function_call_arguments.done {"item_id":"fc_1_0","output_index":0,"arguments":"{}"}
            > output_item.done {"output_index":0,"item":{"id":"fc_1_0","type":"function_call","call_id":"call_1_0","name":"a","arguments":"{}","status":"completed"}}
            > output_item.added {"output_index":2,"item":{"id":"msg_1_2","type":"message","role":"assistant","status":"in_progress","content":[]}}
            > content_part.added {"item_id":"msg_1_2","output_index":2,"content_index":0,"part":{"type":"refusal","refusal":""}}
            > refusal.delta {"item_id":"msg_1_2","output_index":2,"content_index":0,"delta":"no"}
            > refusal.done {"item_id":"msg_1_2","output_index":2,"content_index":0,"refusal":"no"}
            > content_part.done {"item_id":"msg_1_2","output_index":2,"content_index":0,"part":{"type":"refusal","refusal":"no"}}
            > output_item.done {"output_index":2,"item":{"id":"msg_1_2","type":"message","role":"assistant","status":"completed","content":[{"type":"refusal","refusal":"no"}]}}
            > incomplete {"response":{$,"status":"incomplete","error":null,"incomplete_details":{"reason":"max_output_tokens"},"model":"c","output":[{"id":"fc_1_0","type":"function_call","call_id":"call_1_0","name":"a","arguments":"{}","status":"completed"},{"id":"fc_1_1","type":"function_call","call_id":"b","name":"b","arguments":"{\"x\":1}","status":"completed"},{"id":"msg_1_2","type":"message","role":"assistant","status":"completed","content":[{"type":"refusal","refusal":"no"}]}],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"usage":null}}
        "#]],
    );
}

#[test]
fn a_failure_amid_a_text() {
    let error =
        CallError { message: "Overloaded".to_owned(), code: "server_is_overloaded".to_owned(), ..CallError::default() };
    foreign(
        [begin(0, BlockKind::Text), piece(0, text("par")), Step::Failed(error)],
        expect![[r#"
            > output_item.added {"output_index":0,"item":{"id":"msg_1_0","type":"message","role":"assistant","status":"in_progress","content":[]}}
            > content_part.added {"item_id":"msg_1_0","output_index":0,"content_index":0,"part":{"type":"output_text","text":"","annotations":[],"logprobs":[]}}
            > output_text.delta {"item_id":"msg_1_0","output_index":0,"content_index":0,"delta":"par","logprobs":[]}
            > failed {"response":{$,"status":"failed","error":{"code":"server_is_overloaded","message":"Overloaded"},"incomplete_details":null,"model":"c","output":[],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"usage":null}}
        "#]],
    );
    let policys =
        CallError { status: 403, type_: "policy".to_owned(), message: "No".to_owned(), ..CallError::default() };
    foreign(
        [Step::Failed(policys)],
        expect![[r#"
        > failed {"response":{$,"status":"failed","error":{"code":"server_error","message":"No","type":"policy"},"incomplete_details":null,"model":"c","output":[],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"usage":null}}
    "#]],
    );
}

#[test]
fn a_failure_before_the_response_began_is_an_error_and_no_response() {
    let error =
        CallError { status: 503, type_: "policy".to_owned(), message: "Lost".to_owned(), ..CallError::default() };
    let told = stream::encode(Dialect::OpenAiResponses, &[Step::Failed(error).into()]);
    expect![[r#"
        event: error
        data: {"type":"error","sequence_number":0,"code":"server_is_overloaded","message":"Lost","param":null}

    "#]]
    .assert_eq(std::str::from_utf8(&told).unwrap());
}

#[test]
fn a_response_that_a_policy_made() {
    let events = stream::policys_own();
    let told = stream::encode(Dialect::OpenAiResponses, &events);
    let decoded = stream::decode(Dialect::OpenAiResponses, &told).unwrap().concat();
    let shown: Vec<_> = decoded.iter().map(show::step).collect();
    expect![[r#"
        Started x m created=0  {"response":{"parallel_tool_calls":true,"tool_choice":"auto","tools":[]}}
        #0 Text  {"item":{"id":"msg_x_0"}}
        #0 + "No."
        #0 .
        Finished EndTurn
        Ended"#]]
    .assert_eq(&shown.join("\n"));
    expect![[r#"{"id":"x","object":"response","created_at":0,"status":"completed","error":null,"incomplete_details":null,"model":"m","output":[{"id":"msg_x_0","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"No.","annotations":[],"logprobs":[]}]}],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"usage":null}"#]].assert_eq(&String::from_utf8_lossy(&encode_whole(Dialect::OpenAiResponses, &events)));
}

#[test]
fn a_whole_body() {
    let body = r#"{"id":"resp_1","object":"response","created_at":7,"status":"completed","background":false,"error":null,"incomplete_details":null,"instructions":"Be nice","model":"m","output":[{"id":"rs_1","type":"reasoning","summary":[{"type":"summary_text","text":"one"},{"type":"summary_text","text":"two"}],"encrypted_content":"ENC"},{"id":"msg_1","type":"message","status":"completed","content":[{"type":"output_text","annotations":[{"type":"url_citation","url":"u"}],"logprobs":[],"text":"a"},{"type":"refusal","refusal":"b"}],"role":"assistant"},{"id":"fc_1","type":"function_call","status":"completed","arguments":"{}","call_id":"call_1","name":"f","namespace":"n"},{"id":"ctc_1","type":"custom_tool_call","status":"completed","call_id":"call_2","name":"g","input":""},{"id":"ws_1","type":"web_search_call","status":"completed","action":{"query":"q"}}],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"usage":{"input_tokens":3,"output_tokens":4,"total_tokens":7},"metadata":{"k":"v"}}"#;
    let events = decode_whole(Dialect::OpenAiResponses, &Bytes::from(body)).unwrap();
    let shown: Vec<_> = events.iter().map(show::step).collect();
    expect![[r#"
        Started resp_1 m created=7  {"response":{"background":false,"instructions":"Be nice","parallel_tool_calls":true,"tool_choice":"auto","tools":[],"metadata":{"k":"v"}}}
        #0 Thinking rs_1
        #0 + "one"
        #0 + "\n\n"  {"part":"summary_text"}
        #0 + "two"
        #0 + signature "ENC"
        #0 .
        #1 Text  {"item":{"id":"msg_1"}}
        #1 + "a"
        #1 + opaque {"type":"response.output_text.annotation.added","annotation":{"type":"url_citation","url":"u"}}
        #1 .  {"item":{"status":"in_progress"}}
        #2 Refusal
        #2 + "b"
        #2 .
        #3 ToolCall "call_1" f of n  {"item":{"id":"fc_1"}}
        #3 + arguments "{}"
        #3 .
        #4 ToolCall "call_2" g custom  {"item":{"id":"ctc_1","status":"in_progress"}}
        #4 .
        #5 Opaque {"id":"ws_1","type":"web_search_call","status":"completed","action":{"query":"q"}}
        #5 .
        Usage input=3 output=4
        Finished ToolUse
        Ended"#]].assert_eq(&shown.join("\n"));
    let again = encode_whole(Dialect::OpenAiResponses, &events);
    let [mut known, mut again]: [Value; 2] =
        [body.as_bytes(), &again].map(|body| serde_json::from_slice(body).unwrap());
    sort(&mut known);
    sort(&mut again);
    assert_eq!(known, again);
}

/// Keys in one order.
fn sort(value: &mut Value) {
    value.sort_all_objects();
}

#[test]
fn whole_bodies_that_are_no_completion() {
    let mut out = String::new();
    for body in [
        r#"{"id":"r","object":"response","status":"failed","error":{"code":"server_error","message":"Oh"},"output":[]}"#,
        r#"{"error":{"message":"Oh","type":"server_error","code":null,"param":null}}"#,
        r#"{"id":"r","object":"response","model":"m","status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"output":null}"#,
        r#"{"id":"r","object":"response","model":"m","status":"queued","output":[]}"#,
        r#"{"id":"r","object":"response","model":"m","output":{}}"#,
        r#"{"id":"r","object":"response","model":"m","output":[{"type":"function_call","call_id":"c","arguments":"{}"}]}"#,
    ] {
        match decode_whole(Dialect::OpenAiResponses, &Bytes::from(body)) {
            Ok(events) => events.iter().for_each(|event| out.push_str(&format!("{}\n", show::step(event)))),
            Err(error) => out.push_str(&format!("error: {error}\n")),
        }
    }
    expect![[r#"
        Failed CallError { status: 0, type_: "", message: "Oh", code: "server_error", param: "" }  {"id":"r","object":"response","status":"failed","output":[]}
        Failed CallError { status: 0, type_: "server_error", message: "Oh", code: "", param: "" }
        Started r m
        Finished MaxTokens
        Ended
        Started r m
        Finished Other "queued"
        Ended
        error: response body: it has no list of output
        error: response body: a call without a name
    "#]].assert_eq(&out);
}

#[test]
fn what_breaks_the_grammar() {
    let mut out = String::new();
    for lines in [
        r#"output_text.delta {"output_index":0,"content_index":0,"delta":"a"}"#,
        &[CREATED, r#"created {"response":{"id":"x"}}"#].concat(),
        &[CREATED, r#"output_text.delta {"output_index":0,"content_index":0,"delta":"a"}"#].concat(),
        &[CREATED, r#"output_item.added {"output_index":"0","item":{}}"#].concat(),
        &[CREATED, "output_item.added {\"output_index\":0,\"item\":{\"type\":\"x\"}}\noutput_item.added {\"output_index\":0,\"item\":{\"type\":\"x\"}}"].concat(),
        &[CREATED, r#"output_item.added {"output_index":0,"item":{"type":"function_call","call_id":"c"}}"#].concat(),
        &[CREATED, r#"output_item.added {"output_index":0,"item":{"type":"function_call","name":"f"}}"#].concat(),
        &[CREATED, "output_item.added {\"output_index\":0,\"item\":{\"type\":\"reasoning\"}}\noutput_text.delta {\"output_index\":0,\"delta\":\"a\"}"].concat(),
        &[CREATED, "output_item.done {\"output_index\":0,\"item\":{\"type\":\"reasoning\"}}\nreasoning_text.delta {\"output_index\":0,\"delta\":\"a\"}"].concat(),
        &[CREATED, COMPLETED, r#"keepalive {"x":1}"#].concat(),
        // An empty message becomes a call, as does one that was done.
        &[CREATED, "output_item.added {\"output_index\":0,\"item\":{\"type\":\"message\",\"content\":[]}}\noutput_item.done {\"output_index\":0,\"item\":{\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"f\",\"arguments\":\"{}\"}}"].concat(),
        &[CREATED, "output_item.done {\"output_index\":0,\"item\":{\"type\":\"x\"}}\noutput_item.done {\"output_index\":0,\"item\":{\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"f\",\"arguments\":\"{}\"}}"].concat(),
        // Nothing but repetitions, for ever.
        &[
            CREATED,
            "output_item.added {\"output_index\":0,\"item\":{\"type\":\"reasoning\"}}\n",
            &"reasoning_text.done {\"output_index\":0}\n".repeat(65),
        ]
        .concat(),
    ] {
        let listing = stream::listing(Dialect::OpenAiResponses, &full(lines));
        out.push_str(listing.lines().next().unwrap());
        out.push('\n');
    }
    expect![[r#"
        error: SSE event response.output_text.delta: it comes before response.created
        error: SSE event response.created: it comes twice
        error: SSE event response.output_text.delta: its item is not known
        error: SSE event response.output_item.added: its output_index is no number
        error: SSE event response.output_item.added: its index was used before
        error: SSE event response.output_item.added: a call without a name
        error: SSE event response.output_item.added: a call without an id
        error: SSE event response.output_text.delta: it is not of its item's type
        error: SSE event response.reasoning_text.delta: its item is done
        error: SSE event of an unknown type: it comes after the end of the response
        error: SSE event response.output_item.done: it is not of its item's type
        error: SSE event response.output_item.done: it is not of its item's type
        error: SSE event of an unknown type: too much before it says nothing
    "#]]
    .assert_eq(&out);
}

#[test]
fn what_a_client_may_read_otherwise_is_written_anew() {
    let mut out = String::new();
    for lines in [
        // Numbered otherwise.
        r#"output_item.added {"output_index":1,"item":{"id":"fc","type":"function_call","call_id":"c","name":"f","arguments":""}}"#,
        // Begun within another.
        "output_item.added {\"output_index\":0,\"item\":{\"id\":\"fc\",\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"f\",\"arguments\":\"\"}}
        output_item.added {\"output_index\":1,\"item\":{\"id\":\"fd\",\"type\":\"function_call\",\"call_id\":\"d\",\"name\":\"f\",\"arguments\":\"\"}}",
        // Not what was said before.
        "output_item.added {\"output_index\":0,\"item\":{\"id\":\"fc\",\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"f\",\"arguments\":\"\"}}
        function_call_arguments.delta {\"output_index\":0,\"item_id\":\"fc\",\"delta\":\"{}\"}
        output_item.done {\"output_index\":0,\"item\":{\"id\":\"fc\",\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"g\",\"arguments\":\"[]\"}}",
        // Of another item, it says.
        "output_item.added {\"output_index\":0,\"item\":{\"id\":\"msg\",\"type\":\"message\",\"content\":[]}}
        content_part.added {\"output_index\":0,\"item_id\":\"other\",\"content_index\":0,\"part\":{\"type\":\"output_text\",\"text\":\"\"}}",
        // The last word on it.
        "output_item.done {\"output_index\":0,\"item\":{\"id\":\"fc\",\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"f\",\"arguments\":\"{}\"}}
        completed {\"response\":{\"id\":\"resp_1\",\"output\":[{\"id\":\"fc\",\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"f\",\"arguments\":\"{x}\"}]}}",
    ] {
        let mut decoder = ResponseDecoder::new(Dialect::OpenAiResponses);
        for (at, line) in full(&[CREATED, lines].concat()).lines().enumerate() {
            let steps = decoder.event(None, &Bytes::from(line.to_owned())).unwrap();
            if at >= 2 {
                let (count, amid, ambiguous) = (steps.len(), decoder.is_amid(), decoder.take_ambiguous());
                out.push_str(&format!("{count} steps, amid: {amid}, ambiguous: {ambiguous}\n"));
            }
        }
        out.push_str("-\n");
    }
    expect![[r#"
        1 steps, amid: false, ambiguous: true
        -
        1 steps, amid: false, ambiguous: false
        1 steps, amid: false, ambiguous: true
        -
        1 steps, amid: false, ambiguous: false
        1 steps, amid: false, ambiguous: false
        2 steps, amid: false, ambiguous: true
        -
        0 steps, amid: true, ambiguous: false
        1 steps, amid: false, ambiguous: true
        -
        3 steps, amid: false, ambiguous: false
        2 steps, amid: false, ambiguous: true
        -
    "#]]
    .assert_eq(&out);
}

/// A call that a policy takes out after the text before it has left as it came.
#[test]
fn numbers_go_on_where_bytes_left_as_they_came() {
    let lines = full(
        &[
            CREATED,
            r#"
            output_item.added {"output_index":0,"item":{"id":"msg_1","type":"message","status":"in_progress","role":"assistant","content":[]}}
            content_part.added {"item_id":"msg_1","output_index":0,"content_index":0,"part":{"type":"output_text","annotations":[],"text":""}}
            output_text.delta {"item_id":"msg_1","output_index":0,"content_index":0,"delta":"a"}
            output_text.done {"item_id":"msg_1","output_index":0,"content_index":0,"text":"a"}
            content_part.done {"item_id":"msg_1","output_index":0,"content_index":0,"part":{"type":"output_text","annotations":[],"text":"a"}}
            output_item.done {"output_index":0,"item":{"id":"msg_1","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","annotations":[],"text":"a"}]}}
            output_item.added {"output_index":1,"item":{"id":"fc_1","type":"function_call","status":"in_progress","arguments":"","call_id":"call_1","name":"f"}}
            "#,
        ]
        .concat(),
    );
    let frames = stream::frames(Dialect::OpenAiResponses, &lines);
    let steps = stream::decode(Dialect::OpenAiResponses, &frames).unwrap();
    let mut encoder = ResponseEncoder::new(Dialect::OpenAiResponses);
    let mut out = BytesMut::new();
    steps[..8].iter().flatten().for_each(|step| encoder.observe(step));
    let own = stream::policys_own();
    own[1..].iter().for_each(|step| encoder.encode(step, &mut out));
    let lines = String::from_utf8_lossy(&out);
    expect![[r#"
        {"type":"response.output_item.added","sequence_number":8,"output_index":1,"item":{"id":"msg_1_1","type":"message","role":"assistant","status":"in_progress","content":[]}}
        {"type":"response.content_part.added","sequence_number":9,"item_id":"msg_1_1","output_index":1,"content_index":0,"part":{"type":"output_text","text":"","annotations":[],"logprobs":[]}}
        {"type":"response.output_text.delta","sequence_number":10,"item_id":"msg_1_1","output_index":1,"content_index":0,"delta":"No.","logprobs":[]}
        {"type":"response.output_text.done","sequence_number":11,"item_id":"msg_1_1","output_index":1,"content_index":0,"text":"No.","logprobs":[]}
        {"type":"response.content_part.done","sequence_number":12,"item_id":"msg_1_1","output_index":1,"content_index":0,"part":{"type":"output_text","text":"No.","annotations":[],"logprobs":[]}}
        {"type":"response.output_item.done","sequence_number":13,"output_index":1,"item":{"id":"msg_1_1","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"No.","annotations":[],"logprobs":[]}]}}
        {"type":"response.completed","sequence_number":14,"response":{"id":"resp_1","object":"response","created_at":7,"status":"completed","error":null,"incomplete_details":null,"model":"m","output":[{"id":"msg_1","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"a","annotations":[],"logprobs":[]}]},{"id":"msg_1_1","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"No.","annotations":[],"logprobs":[]}]}],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"usage":null}}"#]].assert_eq(&lines.lines().filter_map(|line| line.strip_prefix("data: ")).collect::<Vec<_>>().join("\n"));
    assert_eq!(
        json!(8),
        serde_json::from_str::<Value>(lines.lines().nth(1).unwrap().strip_prefix("data: ").unwrap()).unwrap()["sequence_number"]
    );
}
