//! Golden cases of gemini: the data of each SSE event, and its steps.

use bytes::Bytes;
use expect_test::{Expect, expect};
use luthien_call::{
    dialect::{ResponseDecoder, decode_error, decode_whole},
    sse,
};
use luthien_proto::{Event, Step, request::Dialect};
use proptest::{collection::vec, prelude::*, sample::Index};
use serde_json::Value;

use crate::{grammar, show, stream};

/// `parts[…]` stands for a chunk of candidate 0 with those parts; `$` for what every chunk repeats.
fn check(lines: &str, expect: Expect) {
    expect.assert_eq(&stream::listing(Dialect::Gemini, &full(lines)));
}

fn full(lines: &str) -> String {
    let line = |line: &str| match line.trim().strip_prefix("parts") {
        Some(rest) => {
            let (parts, word) = rest
                .split_once(" finish ")
                .map_or((rest, String::new()), |(parts, word)| (parts, format!(",\"finishReason\":\"{word}\"")));
            format!(r#"{{$,"candidates":[{{"content":{{"role":"model","parts":{parts}}}{word},"index":0}}]}}"#)
        }
        None => line.to_owned(),
    };
    lines.lines().map(line).collect::<Vec<_>>().join("\n").replace('$', r#""modelVersion":"g","responseId":"R""#)
}

fn check_whole(body: &str, expect: Expect) {
    let text = match decode_whole(Dialect::Gemini, &Bytes::copy_from_slice(body.as_bytes())) {
        Ok(events) => events.iter().map(|event| show::step(event) + "\n").collect(),
        Err(error) => format!("error: {error}\n"),
    };
    expect.assert_eq(&text);
}

#[test]
fn a_thought_and_parallel_calls_of_which_the_first_is_signed_and_the_stop_comes_later() {
    check(
        r#"
        {"candidates":[{"content":{"role":"model","parts":[{"text":"hm","thought":true}]},"index":0}],"usageMetadata":{"promptTokenCount":20},"modelVersion":"g","responseId":"R"}
        {"candidates":[{"content":{"parts":[{"functionCall":{"name":"a","args":{"x":1}},"thoughtSignature":"U0lH"},{"functionCall":{"name":"b"}}]}}]}
        {"candidates":[{"content":{"parts":[{"text":""}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":20,"candidatesTokenCount":6,"thoughtsTokenCount":4,"totalTokenCount":30}}
        "#,
        expect![[r#"
            0: Started R g
               #0 Thinking
               #0 + "hm"
            1: #0 + signature "call:U0lH"
               #0 .
               #1 ToolCall "call_R_0" a
               #1 + arguments "{\"x\":1}"
               #1 .
               #2 ToolCall "call_R_1" b
               #2 .
            2: -
            3: Finished ToolUse
               Usage input=20 output=10 thinking=4
               Ended
        "#]],
    );
}

#[test]
fn text_in_pieces_with_running_usage() {
    check(
        r#"
        {$,"candidates":[{"content":{"role":"model","parts":[{"text":"Hé"}]},"index":0}],"usageMetadata":{"promptTokenCount":100,"candidatesTokenCount":1,"totalTokenCount":101,"cachedContentTokenCount":75,"promptTokensDetails":[{"modality":"TEXT","tokenCount":100}]}}
        parts[{"text":""}]
        parts[{"text":"l"},{"text":"lo"}]
        {$,"candidates":[{"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":100,"candidatesTokenCount":3,"toolUsePromptTokenCount":8,"totalTokenCount":111}}
        "#,
        expect![[r#"
            0: Started R g
               #0 Text
               #0 + "Hé"
            1: -
            2: #0 + "l"
               #0 + "lo"
            3: -
            4: #0 .
               Finished EndTurn
               Usage input=33 cache_read=75 output=3
               Ended
        "#]],
    );
}

#[test]
fn a_signature_on_text_is_thinking_behind_it() {
    check(
        r#"
        parts[{"text":"plan","thought":true},{"text":"a"}]
        parts[{"text":"b","thoughtSignature":"UzE="}]
        parts[{"text":"c"}]
        parts[{"text":"","thoughtSignature":"UzI="}] finish STOP
        "#,
        expect![[r#"
            0: Started R g
               #0 Thinking
               #0 + "plan"
               #0 .
               #1 Text
               #1 + "a"
            1: #1 + "b"
               #1 .
               #2 Thinking
               #2 + signature "text:UzE="
               #2 .
            2: #3 Text
               #3 + "c"
            3: #3 .
               #4 Thinking
               #4 + signature "text:UzI="
               #4 .
            4: Finished EndTurn
               Ended
        "#]],
    );
}

#[test]
fn a_signed_thought_is_whole_and_further_thoughts_are_another() {
    check(
        r#"
        parts[{"text":"a","thought":true},{"text":"b","thought":true,"thoughtSignature":"UzE="},{"text":"c","thought":true}]
        parts[{"functionCall":{"name":"f","args":{}},"thoughtSignature":"UzI="}] finish STOP
        "#,
        expect![[r#"
            0: Started R g
               #0 Thinking
               #0 + "a"
               #0 + "b"
               #0 + signature "thought:UzE="
               #0 .
               #1 Thinking
               #1 + "c"
            1: #1 + signature "call:UzI="
               #1 .
               #2 ToolCall "call_R_0" f
               #2 .
            2: Finished ToolUse
               Ended
        "#]],
    );
}

#[test]
fn a_signed_call_behind_text_and_calls_with_ids_of_their_own() {
    check(
        r#"
        parts[{"text":"I look."},{"functionCall":{"id":"own1","name":"read","args":{"path":"x","n":[1.50,null]}},"thoughtSignature":"UzE="}]
        parts[{"functionCall":{"name":"read","args":{"path":"y"}}},{"text":"Then."}] finish STOP
        "#,
        expect![[r#"
            0: Started R g
               #0 Text
               #0 + "I look."
               #0 .
               #1 Thinking
               #1 + signature "call:UzE="
               #1 .
               #2 ToolCall "own1" read
               #2 + arguments "{\"path\":\"x\",\"n\":[1.5,null]}"
               #2 .
            1: #3 ToolCall "call_R_0" read
               #3 + arguments "{\"path\":\"y\"}"
               #3 .
               #4 Text
               #4 + "Then."
            2: #4 .
               Finished ToolUse
               Ended
        "#]],
    );
}

#[test]
fn a_call_is_never_hidden_by_a_reason_to_stop_but_a_limit_is_never_hidden_by_a_call() {
    check(
        r#"
        parts[{"functionCall":{"name":"f","args":{"a":1}}}]
        parts[] finish MAX_TOKENS
        "#,
        expect![[r#"
            0: Started R g
               #0 ToolCall "call_R_0" f
               #0 + arguments "{\"a\":1}"
               #0 .
            1: -
            2: Finished MaxTokens
               Ended
        "#]],
    );
}

#[test]
fn servers_that_say_stop_with_every_chunk() {
    check(
        r#"
        parts[{"text":"a"}] finish STOP
        parts[{"functionCall":{"name":"f"}}] finish STOP
        [DONE]
        "#,
        expect![[r#"
            0: Started R g
               #0 Text
               #0 + "a"
            1: #0 .
               #1 ToolCall "call_R_0" f
               #1 .
            2: -
            3: Finished ToolUse
               Ended
        "#]],
    );
}

#[test]
fn reasons_to_finish() {
    let words = "STOP MAX_TOKENS SAFETY RECITATION LANGUAGE OTHER BLOCKLIST PROHIBITED_CONTENT SPII IMAGE_SAFETY \
                 NO_IMAGE MODEL_ARMOR CONTINUATION ESCALATION MALFORMED_FUNCTION_CALL UNEXPECTED_TOOL_CALL \
                 TOO_MANY_TOOL_CALLS MISSING_THOUGHT_SIGNATURE MALFORMED_RESPONSE X_NEW";
    let mut out = String::new();
    for word in words.split_whitespace() {
        let line = format!(r#"parts[{{"text":"a"}}] finish {word}"#);
        let steps = stream::decode(Dialect::Gemini, &stream::frames(Dialect::Gemini, &full(&line))).unwrap();
        let is_reason = |event: &&Event| matches!(event.step, Step::Finished(_) | Step::Failed(_));
        let reasons = steps.iter().flatten().filter(is_reason).map(show::step);
        out.push_str(&format!("{word}: {}\n", reasons.collect::<Vec<_>>().join(", ")));
    }
    expect![[r#"
        STOP: Finished EndTurn
        MAX_TOKENS: Finished MaxTokens
        SAFETY: Finished ContentFilter "SAFETY"
        RECITATION: Finished ContentFilter "RECITATION"
        LANGUAGE: Finished ContentFilter "LANGUAGE"
        OTHER: Finished Other "OTHER"
        BLOCKLIST: Finished ContentFilter "BLOCKLIST"
        PROHIBITED_CONTENT: Finished ContentFilter "PROHIBITED_CONTENT"
        SPII: Finished ContentFilter "SPII"
        IMAGE_SAFETY: Finished ContentFilter "IMAGE_SAFETY"
        NO_IMAGE: Finished Other "NO_IMAGE"
        MODEL_ARMOR: Finished ContentFilter "MODEL_ARMOR"
        CONTINUATION: Finished Pause
        ESCALATION: Finished Other "ESCALATION"
        MALFORMED_FUNCTION_CALL: Failed CallError { status: 502, type_: "", message: "The model gave no answer that can be used: MALFORMED_FUNCTION_CALL", code: "", param: "" }
        UNEXPECTED_TOOL_CALL: Failed CallError { status: 502, type_: "", message: "The model gave no answer that can be used: UNEXPECTED_TOOL_CALL", code: "", param: "" }
        TOO_MANY_TOOL_CALLS: Failed CallError { status: 502, type_: "", message: "The model gave no answer that can be used: TOO_MANY_TOOL_CALLS", code: "", param: "" }
        MISSING_THOUGHT_SIGNATURE: Failed CallError { status: 502, type_: "", message: "The model gave no answer that can be used: MISSING_THOUGHT_SIGNATURE", code: "", param: "" }
        MALFORMED_RESPONSE: Failed CallError { status: 502, type_: "", message: "The model gave no answer that can be used: MALFORMED_RESPONSE", code: "", param: "" }
        X_NEW: Finished Other "X_NEW"
    "#]]
    .assert_eq(&out);
}

#[test]
fn a_malformed_call_fails_the_response_and_says_why() {
    check(
        r#"
        parts[{"text":"I"}]
        {$,"candidates":[{"content":{},"finishReason":"MALFORMED_FUNCTION_CALL","finishMessage":"Malformed function call: f(","index":0}],"usageMetadata":{"promptTokenCount":1}}
        "#,
        expect![[r#"
            0: Started R g
               #0 Text
               #0 + "I"
            1: Opaque {"candidates":[{"finishMessage":"Malformed function call: f(","index":0}]}
               Usage input=1
               Failed CallError { status: 502, type_: "", message: "The model gave no answer that can be used: MALFORMED_FUNCTION_CALL: Malformed function call: f(", code: "", param: "" }
            2: -
        "#]],
    );
}

#[test]
fn a_prompt_that_does_not_pass_has_no_candidates() {
    check(
        r#"
        {"promptFeedback":{"blockReason":"PROHIBITED_CONTENT","safetyRatings":[]},"usageMetadata":{"promptTokenCount":9,"totalTokenCount":9},"modelVersion":"g","responseId":"R"}
        "#,
        expect![[r#"
            0: Started R g  {"chunk":{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT","safetyRatings":[]}}}
            1: Finished ContentFilter "PROHIBITED_CONTENT"
               Usage input=9 output=0
               Ended
        "#]],
    );
}

#[test]
fn several_candidates_are_choices() {
    check(
        r#"
        {$,"candidates":[{"content":{"parts":[{"text":"a"}]},"index":0},{"content":{"parts":[{"text":"b"}]},"index":1}]}
        {$,"candidates":[{"content":{"parts":[{"functionCall":{"name":"f"}}]},"finishReason":"STOP","index":1},{"content":{"parts":[{"text":"c"}]},"finishReason":"STOP"}]}
        "#,
        expect![[r#"
            0: Started R g
               #0 Text
               #0 + "a"
               #1 choice=1 Text
               #1 + "b"
            1: #1 .
               #2 choice=1 ToolCall "call_R_0" f
               #2 .
               #0 + "c"
            2: #0 .
               Finished EndTurn
               Finished choice=1 ToolUse
               Ended
        "#]],
    );
    check(
        r#"
        {$,"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP","index":0},{"content":{"parts":[{"text":"b"}]},"index":1}]}
        "#,
        expect![[r#"
            0: Started R g
               #0 Text
               #0 + "a"
               #1 choice=1 Text
               #1 + "b"
            1: Failed CallError { status: 0, type_: "", message: "the upstream's stream ended before the response was complete", code: "", param: "" }
        "#]],
    );
}

#[test]
fn a_stream_without_a_reason_to_finish_was_cut() {
    check(
        r#"parts[{"text":"a"}]"#,
        expect![[r#"
        0: Started R g
           #0 Text
           #0 + "a"
        1: Failed CallError { status: 0, type_: "", message: "the upstream's stream ended before the response was complete", code: "", param: "" }
    "#]],
    );
    check(
        r#"{$,"usageMetadata":{"promptTokenCount":1}}"#,
        expect![[r#"
            0: Started R g
            1: Usage input=1
               Failed CallError { status: 0, type_: "", message: "the upstream's stream ended before the response was complete", code: "", param: "" }
        "#]],
    );
    check(
        "",
        expect![[r#"
        0: Failed CallError { status: 0, type_: "", message: "the upstream's stream ended before the response was complete", code: "", param: "" }
    "#]],
    );
}

#[test]
fn errors_within_a_stream_alone_or_in_a_list() {
    check(
        r#"
        parts[{"text":"par"}]
        {"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE","details":[{"x":1}]}}
        "#,
        expect![[r#"
            0: Started R g
               #0 Text
               #0 + "par"
            1: Failed CallError { status: 503, type_: "UNAVAILABLE", message: "The model is overloaded.", code: "", param: "" }  {"error":{"details":[{"x":1}]}}
            2: -
        "#]],
    );
    check(
        r#"[{"error":{"code":429,"message":"Quota","status":"RESOURCE_EXHAUSTED"}}]"#,
        expect![[r#"
        0: Failed CallError { status: 429, type_: "RESOURCE_EXHAUSTED", message: "Quota", code: "", param: "" }
        1: -
    "#]],
    );
}

#[test]
fn snake_case_says_the_same() {
    check(
        r#"
        {"candidates":[{"content":{"role":"model","parts":[{"function_call":{"name":"f","args":{"snake_case":{"in_args":1}}},"thought_signature":"UzE="}]},"finish_reason":"STOP"}],"usage_metadata":{"prompt_token_count":5,"candidates_token_count":2},"model_version":"g","response_id":"R"}
        "#,
        expect![[r#"
            0: Started R g
               #0 Thinking
               #0 + signature "call:UzE="
               #0 .
               #1 ToolCall "call_R_0" f
               #1 + arguments "{\"snake_case\":{\"in_args\":1}}"
               #1 .
            1: Finished ToolUse
               Usage input=5 output=2
               Ended
        "#]],
    );
}

#[test]
fn what_the_model_has_no_place_for_stays_visible() {
    check(
        r#"
        {$,"createTime":"t","candidates":[{"content":{"role":"model","parts":[{"text":"a","partMetadata":{"k":1}}]},"index":0,"safetyRatings":[{"category":"c"}],"groundingMetadata":{"q":"w"}}]}
        parts[{"executableCode":{"language":"PYTHON","code":"1"}},{"inlineData":{"mimeType":"image/png","data":"AA=="},"thoughtSignature":"UzE="}]
        {"modelVersion":"other","responseId":"R","candidates":[{"citationMetadata":{"citations":[]},"index":0}]}
        parts[] finish STOP
        "#,
        expect![[r#"
            0: Started R g  {"chunk":{"createTime":"t"}}
               #0 Text  {"candidate":{"safetyRatings":[{"category":"c"}],"groundingMetadata":{"q":"w"}}}
               #0 + "a"  {"part":{"partMetadata":{"k":1}}}
            1: #0 .
               #1 Opaque {"executableCode":{"language":"PYTHON","code":"1"}}
               #1 .
               #2 Opaque {"inlineData":{"mimeType":"image/png","data":"AA=="},"thoughtSignature":"UzE="}
               #2 .
            2: Opaque {"modelVersion":"other","candidates":[{"citationMetadata":{"citations":[]},"index":0}]}
            3: -
            4: Finished EndTurn
               Ended
        "#]],
    );
}

#[test]
fn ids_of_calls_without_the_id_of_the_response() {
    let of = |prompt: u64| {
        let body = format!(
            r#"{{"candidates":[{{"content":{{"parts":[{{"functionCall":{{"name":"f"}}}},{{"functionCall":{{"name":"f"}}}}]}},"finishReason":"STOP"}}],"usageMetadata":{{"promptTokenCount":{prompt}}}}}"#
        );
        let events = decode_whole(Dialect::Gemini, &Bytes::from(body)).unwrap();
        events.iter().map(show::step).filter(|step| step.contains("ToolCall")).collect::<Vec<_>>()
    };
    assert_ne!(of(1), of(2), "the next turn's calls have other ids");
    expect![[r##"
        [
            "#0 ToolCall \"call_9e09d04d53114cd2_0\" f",
            "#1 ToolCall \"call_9e09d04d53114cd2_1\" f",
        ]
    "##]]
    .assert_debug_eq(&of(1));
}

#[test]
fn what_is_no_response() {
    for line in [
        "nonsense",
        "[1]",
        r#"{$,"candidates":{}}"#,
        r#"{$,"candidates":[1]}"#,
        r#"{$,"candidates":[{"index":"x"}]}"#,
        r#"{$,"candidates":[{"content":{"parts":{}}}]}"#,
        r#"parts[1]"#,
        r#"parts[{"functionCall":{"args":{}}}]"#,
    ] {
        let listing = stream::listing(Dialect::Gemini, &full(line));
        assert!(listing.starts_with("error: "), "{line}: {listing}");
    }
    check_whole(
        "{}",
        expect![[r#"
        error: response body: it has no candidates
    "#]],
    );
    check_whole(
        r#"{"candidates":[]}"#,
        expect![[r#"
        error: response body: it has no candidates
    "#]],
    );
}

#[test]
fn whole_bodies() {
    check_whole(
        r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"t","thought":true},{"text":"a"},{"functionCall":{"name":"f","args":{"x":1}},"thoughtSignature":"UzE="}]},"finishReason":"STOP","avgLogprobs":-0.5,"index":0}],"usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":5,"thoughtsTokenCount":2},"modelVersion":"g","responseId":"R/1"}"#,
        expect![[r#"
            Started R/1 g
            #0 Thinking  {"candidate":{"avgLogprobs":-0.5}}
            #0 + "t"
            #0 .
            #1 Text
            #1 + "a"
            #1 .
            #2 Thinking
            #2 + signature "call:UzE="
            #2 .
            #3 ToolCall "call_R_1_0" f
            #3 + arguments "{\"x\":1}"
            #3 .
            Finished ToolUse
            Usage input=10 output=7 thinking=2
            Ended
        "#]],
    );
    check_whole(
        r#"{"promptFeedback":{"blockReason":"SAFETY"}}"#,
        expect![[r#"
        Started    {"chunk":{"promptFeedback":{"blockReason":"SAFETY"}}}
        Finished ContentFilter "SAFETY"
        Ended
    "#]],
    );
    check_whole(
        r#"{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"MALFORMED_FUNCTION_CALL"}]}"#,
        expect![[r#"
            Failed CallError { status: 502, type_: "", message: "The model gave no answer that can be used: MALFORMED_FUNCTION_CALL", code: "", param: "" }
        "#]],
    );
    check_whole(
        r#"{"candidates":[{"content":{"parts":[{"text":"a"}]}}],"responseId":"R"}"#,
        expect![[r#"
        Started R 
        #0 Text
        #0 + "a"
        #0 .
        Finished EndTurn
        Ended
    "#]],
    );
    check_whole(
        r#"[{"error":{"code":500,"message":"m","status":"INTERNAL"}}]"#,
        expect![[r#"
        Failed CallError { status: 500, type_: "INTERNAL", message: "m", code: "", param: "" }
    "#]],
    );
}

#[test]
fn errors_in_bodies_of_any_kind() {
    let mut out = String::new();
    for (status, body) in [
        (400, r#"{"error":{"code":400,"message":"Bad","status":"INVALID_ARGUMENT","details":[{"@type":"t"}]}}"#),
        (429, r#"[{"error":{"code":429,"message":"Quota","status":"RESOURCE_EXHAUSTED"}}]"#),
        (
            400,
            r#"{"error":{"code":400,"message":"The input token count (9) exceeds the maximum number of tokens allowed (8).","status":"INVALID_ARGUMENT"}}"#,
        ),
        (500, r#"{"error":"plain"}"#),
        (502, "<html>Bad Gateway</html>"),
        (503, "[]"),
    ] {
        let event = decode_error(Dialect::Gemini, status, &Bytes::copy_from_slice(body.as_bytes()));
        out.push_str(&format!("{}\n", show::step(&event)));
    }
    expect![[r#"
        Failed CallError { status: 400, type_: "INVALID_ARGUMENT", message: "Bad", code: "", param: "" }  {"error":{"details":[{"@type":"t"}]}}
        Failed CallError { status: 429, type_: "RESOURCE_EXHAUSTED", message: "Quota", code: "", param: "" }
        Failed CallError { status: 400, type_: "INVALID_ARGUMENT", message: "The input token count (9) exceeds the maximum number of tokens allowed (8).", code: "context_length_exceeded", param: "" }
        Failed CallError { status: 500, type_: "", message: "plain", code: "", param: "" }
        Failed CallError { status: 502, type_: "", message: "<html>Bad Gateway</html>", code: "", param: "" }
        Failed CallError { status: 503, type_: "", message: "[]", code: "", param: "" }
    "#]]
    .assert_eq(&out);
}

const STREAM: &str = r#"
{"candidates":[{"content":{"role":"model","parts":[{"text":"hé","thought":true}]},"index":0}],"usageMetadata":{"promptTokenCount":20},"modelVersion":"g","responseId":"R"}
{"candidates":[{"content":{"parts":[{"text":"Δ😀"},{"functionCall":{"name":"a","args":{"x":"ü"}},"thoughtSignature":"U0lH"}]}}]}
{"candidates":[{"content":{"parts":[{"text":"","thoughtSignature":"UzI="}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":20,"candidatesTokenCount":6}}
"#;

fn frames(separator: &str) -> Vec<u8> {
    STREAM.trim().lines().map(|line| format!("data: {line}{separator}")).collect::<String>().into_bytes()
}

/// The steps of pieces of a stream.
fn pieces(pieces: &[&[u8]]) -> Vec<Event> {
    let mut frames = sse::Decoder::new(1 << 20);
    let mut decoder = ResponseDecoder::new(Dialect::Gemini);
    let mut steps = Vec::new();
    for piece in pieces {
        frames.push(Bytes::copy_from_slice(piece));
        while let Some(frame) = frames.next().unwrap() {
            steps.extend(decoder.event(frame.name().unwrap(), &frame.data).unwrap());
        }
    }
    let tail = frames.finish();
    if let Some(frame) = tail.event {
        steps.extend(decoder.event(frame.name().unwrap(), &frame.data).unwrap());
    }
    steps.extend(if tail.cut { decoder.cut("cut") } else { decoder.end() });
    steps
}

proptest! {
    #[test]
    fn however_the_bytes_are_split_the_steps_are_the_same(cuts in vec(any::<Index>(), 0..12), crlf in any::<bool>()) {
        let bytes = frames(if crlf { "\r\n\r\n" } else { "\n\n" });
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        cuts.sort_unstable();
        let mut at = 0;
        let mut split = Vec::new();
        for cut in cuts.into_iter().chain([bytes.len()]) {
            split.push(&bytes[at..cut]);
            at = cut;
        }
        prop_assert_eq!(pieces(&split), pieces(&[&frames("\n\n")]));
    }

    #[test]
    fn wherever_the_stream_is_cut_it_fails_or_is_complete(cut in any::<Index>()) {
        let bytes = frames("\r\n\r\n");
        let steps = pieces(&[&bytes[..cut.index(bytes.len())]]);
        prop_assert_eq!(steps.iter().filter(|event| event.step.is_last()).count(), 1);
        let finished = steps.iter().any(|event| matches!(event.step, Step::Finished(_)));
        let ended = matches!(steps.last().map(|event| &event.step), Some(Step::Ended));
        prop_assert_eq!(finished, ended);
    }

    #[test]
    fn whatever_an_upstream_says_the_steps_are_grammatical(changes in vec((any::<Index>(), any::<Index>(), 0..6), 1..8)) {
        let mut lines: Vec<Value> = STREAM.trim().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for (line, node, how) in changes {
            let at = line.index(lines.len());
            if how == 0 {
                lines.push(lines[at].clone());
                continue;
            }
            let mut node = node.index(count(&lines[at]));
            let node = find(&mut lines[at], &mut node).unwrap();
            *node = match how {
                1 => Value::Null,
                2 => serde_json::json!({}),
                3 => serde_json::json!([{"text": "a"}, {"functionCall": {"name": "f"}, "thought_signature": "UzE="}]),
                4 => serde_json::json!(1),
                _ => "SAFETY".into(),
            };
        }
        let whole = lines[0].to_string();
        let mut decoder = ResponseDecoder::new(Dialect::Gemini);
        let mut steps = Vec::new();
        for line in lines {
            match decoder.event(None, &Bytes::from(line.to_string())) {
                Ok(events) => steps.extend(events),
                Err(_) => {
                    grammar::check(&steps);
                    return Ok(());
                }
            }
            if steps.iter().any(|event| event.step.is_last()) {
                break;
            }
        }
        steps.extend(decoder.end());
        grammar::check_whole(&steps);
        if let Ok(steps) = decode_whole(Dialect::Gemini, &Bytes::from(whole)) {
            grammar::check_whole(&steps);
        }
    }

    #[test]
    fn nothing_that_an_upstream_says_is_invisible(at in any::<Index>(), how in 0..3) {
        let mut lines: Vec<Value> = STREAM.trim().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        // Of the tokens, the last word counts.
        if let Some(first) = lines[0].as_object_mut() {
            first.shift_remove("usageMetadata");
        }
        let total: usize = lines.iter().map(count).sum();
        let mut node = at.index(total);
        let found = lines.iter_mut().find_map(|line| find(line, &mut node)).unwrap();
        match (how, &mut *found) {
            (0, Value::Object(object)) => drop(object.insert("x".to_owned(), "<mark>".into())),
            (1, node) => *node = serde_json::json!({"k": "<mark>"}),
            (_, node) => *node = "<mark>".into(),
        }
        let mut decoder = ResponseDecoder::new(Dialect::Gemini);
        let mut steps = Vec::new();
        for line in &lines {
            match decoder.event(None, &Bytes::from(line.to_string())) {
                Ok(events) => steps.extend(events),
                Err(_) => return Ok(()),
            }
            if steps.iter().any(|event| event.step.is_last()) {
                break;
            }
        }
        steps.extend(decoder.end());
        // A stream that broke off tells no tokens.
        prop_assert!(format!("{steps:?}").contains("<mark>"), "{lines:?} {steps:#?}");
    }
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(map) => map.values().map(count).sum(),
        _ => 0,
    }
}

fn find<'a>(value: &'a mut Value, number: &mut usize) -> Option<&'a mut Value> {
    if *number == 0 {
        return Some(value);
    }
    *number -= 1;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|item| find(item, number)),
        Value::Object(map) => map.values_mut().find_map(|item| find(item, number)),
        _ => None,
    }
}
