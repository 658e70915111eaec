use super::*;

const START: &str = r#"message_start {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-haiku-4-5","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":10,"output_tokens":1}}}"#;
const TEXT: &str =
    r#"content_block_start {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#;
const HELLO: &str =
    r#"content_block_delta {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}"#;
const STOP_0: &str = r#"content_block_stop {"type":"content_block_stop","index":0}"#;
const STOP_1: &str = r#"content_block_stop {"type":"content_block_stop","index":1}"#;
const END_TURN: &str = r#"message_delta {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":5}}"#;
const TOOL_USE: &str = r#"message_delta {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":5}}"#;
const MAX_TOKENS: &str = r#"message_delta {"type":"message_delta","delta":{"stop_reason":"max_tokens","stop_sequence":null},"usage":{"output_tokens":5}}"#;
const STOP: &str = r#"message_stop {"type":"message_stop"}"#;
const PING: &str = r#"ping {"type":"ping"}"#;
const ERROR: &str = r#"error {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
const TOOL_1: &str = r#"content_block_start {"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"toolu_1","name":"f","input":{}}}"#;
const ARGS_1: &str = r#"content_block_delta {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\":1}"}}"#;
const CUT_ARGS_1: &str = r#"content_block_delta {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\":"}}"#;
const TOOL_0: &str = r#"content_block_start {"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"toolu_0","name":"f","input":{}}}"#;
const THINK: &str = r#"content_block_start {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#;
const THOUGHT: &str =
    r#"content_block_delta {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}"#;
const SIGNED: &str = r#"content_block_delta {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"SIG"}}"#;
const TEXT_1: &str =
    r#"content_block_start {"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}"#;

fn body(events: &[&str]) -> Vec<u8> {
    let frame = |event: &&str| {
        let (name, data) = event.split_once(' ').unwrap();
        format!("event: {name}\ndata: {data}\n\n")
    };
    events.iter().map(frame).collect::<String>().into_bytes()
}

#[test]
fn a_good_stream_is_understood() {
    let events = [START, PING, THINK, THOUGHT, SIGNED, STOP_0, TOOL_1, ARGS_1, STOP_1, TOOL_USE, STOP];
    let turn = stream(&body(&events)).unwrap();
    assert_eq!((turn.id.as_str(), turn.model.as_str()), ("msg_1", "claude-haiku-4-5"));
    assert_eq!(turn.choices[0].blocks[0], Block::Thinking { text: "hm".into(), signature: "SIG".into() });
    assert_eq!(turn.tool_calls()[0].arguments, r#"{"a":1}"#);
    assert_eq!(turn.finish(), "tool_use");
    assert_eq!(turn.usage.unwrap()["output_tokens"], 5);
}

#[test]
fn a_stream_may_end_in_an_error_at_any_point() {
    for events in [
        &[ERROR][..],
        &[PING, START, ERROR],
        &[START, TEXT, HELLO, ERROR],
        &[START, TEXT, STOP_0, TOOL_1, CUT_ARGS_1, ERROR],
    ] {
        let turn = stream(&body(events)).unwrap();
        assert_eq!(turn.failure.unwrap().message, "Overloaded");
        assert!(turn.choices.iter().all(|choice| choice.finish.is_empty()));
    }
}

#[test]
fn tokens_may_run_out_within_the_last_tool_call() {
    let cut = [START, TEXT, HELLO, STOP_0, TOOL_1, CUT_ARGS_1, STOP_1, MAX_TOKENS, STOP];
    assert_eq!(stream(&body(&cut)).unwrap().finish(), "max_tokens");
}

#[test]
fn each_broken_rule_is_named() {
    let wrong_name = START.replace("message_start {", "message {");
    let no_model = START.replace(r#""model":"claude-haiku-4-5","#, "");
    let with_content = START.replace(r#""content":[]"#, r#""content":[{}]"#);
    let no_usage = START.replace(r#""output_tokens":1"#, r#""output":1"#);
    let number = HELLO.replace(r#""Hello""#, "7");
    let bad_id = TOOL_1.replace("toolu_1", "tool 1");
    let same_id = TOOL_1.replace("toolu_1", "toolu_0");
    let list = ARGS_1.replace(r#"{\"a\":1}"#, r"[1]");
    let twice = HELLO.replace(r#""index":0"#, r#""index":0,"index":0"#);
    let no_reason = END_TURN.replace(r#""end_turn""#, "null");
    let bare_usage = END_TURN.replace(r#"{"output_tokens":5}"#, "{}");
    let bad_error = ERROR.replace("Overloaded", "");
    let no_string = TEXT.replace(r#","text":"""#, "");
    for (events, reason) in [
        (&[&wrong_name[..], STOP][..], "event: message, but its type is message_start"),
        (&[TEXT], "before message_start"),
        (&[START, START], "a second message_start"),
        (&[&no_model], "model is not a string"),
        (&[&with_content], "the content of message_start is not []"),
        (&[&no_usage], "usage: output_tokens is not a count"),
        (&[START, TOOL_1], "index 1 where 0 is due"),
        (&[START, TEXT, STOP_0, TEXT], "index 0 where 1 is due"),
        (&[START, TEXT, TOOL_1], "block 1 starts while another is open"),
        (&[START, TOOL_0, TEXT_1], "block 1 starts while another is open"),
        (&[START, &no_string], "text is not a string"),
        (&[START, HELLO], "block 0 was never started"),
        (&[START, TEXT, STOP_0, HELLO], "block 0 has stopped"),
        (&[START, TEXT, STOP_0, STOP_0], "block 0 has stopped"),
        (&[START, THINK, HELLO], "a text_delta of a thinking block"),
        (&[START, TEXT, THOUGHT], "a thinking_delta of a text block"),
        (&[START, TEXT, SIGNED], "a signature_delta of a text block"),
        (&[START, THINK, SIGNED, THOUGHT], "thinking behind its signature"),
        (&[START, THINK, SIGNED, SIGNED], "a second signature"),
        (&[START, TEXT, &number], "text is not a string"),
        (&[START, TEXT, &twice], "the key \"index\" comes twice"),
        (&[START, TEXT, END_TURN], "block 0 is open"),
        (&[START, TEXT, STOP_0, END_TURN, TEXT_1], "content behind message_delta"),
        (&[START, TEXT, STOP_0, END_TURN, TOOL_USE], "stop_reason tool_use behind end_turn"),
        (&[START, TEXT, STOP_0, &bare_usage], "usage: output_tokens is not a count"),
        (&[START, TEXT, STOP_0, STOP], "message_stop without a stop reason"),
        (&[START, TEXT, STOP_0, &no_reason, STOP], "message_stop without a stop reason"),
        (&[START, TEXT, STOP_0, END_TURN], "the stream ends without message_stop or error"),
        (&[START, TEXT, HELLO], "the stream ends without message_stop or error"),
        (&[], "the stream ends without message_stop or error"),
        (&[START, TEXT, STOP_0, END_TURN, STOP, PING], "something behind the end"),
        (&[START, TEXT, STOP_0, END_TURN, STOP, ERROR], "something behind the end"),
        (&[START, TEXT, ERROR, STOP], "something behind the end"),
        (&[START, &bad_error], "message is empty"),
        (&[START, TEXT, STOP_0, TOOL_USE, STOP], "stop_reason is tool_use, and no tool_use block is left"),
        (&[START, TOOL_0, STOP_0, END_TURN, STOP], "stop_reason is end_turn, and a tool_use block is left"),
        (&[START, TOOL_0, STOP_0, &bad_id], "has a character that Anthropic refuses"),
        (&[START, TOOL_0, STOP_0, &same_id, STOP_1, TOOL_USE, STOP], "two tool calls have the id \"toolu_0\""),
        (&[START, TOOL_0, STOP_0, TOOL_1, CUT_ARGS_1, STOP_1, TOOL_USE, STOP], "block 1: input: malformed JSON"),
        (&[START, TOOL_0, STOP_0, TOOL_1, &list, STOP_1, TOOL_USE, STOP], "block 1: input: not a JSON object"),
    ] {
        let error = stream(&body(events)).expect_err(reason);
        assert!(error.contains(reason), "wanted {reason:?}, got {error:?}");
    }
}

#[test]
fn framing_that_sdks_stumble_on_is_refused() {
    let good = String::from_utf8(body(&[START, TEXT, STOP_0, END_TURN, STOP])).unwrap();
    for (bad, reason) in [
        (good.replacen("event: message_start\n", "", 1), "no event: line"),
        (format!("{good}: end\n\n"), "a comment"),
        (good.replacen("data:", "id: 1\ndata:", 1), "not an event: or data: line"),
        (good[..good.len() - 1].to_owned(), "cut in the middle of an SSE event"),
        (good.replacen(r#"{"type":"message_stop"}"#, "{", 1), "malformed JSON"),
        (good.replacen(r#"{"type":"message_stop"}"#, "[]", 1), "not a JSON object"),
    ] {
        let error = stream(bad.as_bytes()).expect_err(reason);
        assert!(error.contains(reason), "wanted {reason:?}, got {error:?}");
    }
    relayed(format!(": hello\n\n{good}").as_bytes()).unwrap();
}

const WHOLE: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"Hi"},{"type":"tool_use","id":"toolu_1","name":"f","input":{"a":1}}],"stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":2}}"#;

#[test]
fn a_whole_message_is_understood() {
    let turn = whole(WHOLE.as_bytes()).unwrap();
    assert_eq!((turn.text().as_str(), turn.finish()), ("Hi", "tool_use"));
    assert_eq!(turn.tool_calls()[0].arguments, r#"{"a":1}"#);
}

#[test]
fn each_broken_rule_of_a_whole_message_is_named() {
    for (from, to, reason) in [
        (r#""type":"message","#, "", "type is not a string"),
        (r#""assistant""#, r#""user""#, "role is \"user\""),
        (r#""stop_reason":"tool_use""#, r#""stop_reason":null"#, "stop_reason is not a string"),
        (r#""stop_reason":"tool_use""#, r#""stop_reason":"end_turn""#, "a tool_use block is left"),
        (r#""input":{"a":1}"#, r#""input":"{}""#, "content[1]: input is not an object"),
        (r#""input_tokens":1,"#, "", "usage: input_tokens is not a count"),
        (r#""text":"Hi""#, r#""txt":"Hi""#, "content[0]: text is not a string"),
        (r#""model":"m","#, r#""model":"m","model":"n","#, "the key \"model\" comes twice"),
    ] {
        assert!(WHOLE.contains(from));
        let error = whole(WHOLE.replace(from, to).as_bytes()).expect_err(reason);
        assert!(error.contains(reason), "wanted {reason:?}, got {error:?}");
    }
}

#[test]
fn errors_are_read() {
    let failure = error(br#"{"type":"error","error":{"type":"api_error","message":"No."}}"#).unwrap();
    assert_eq!((failure.type_.as_str(), failure.message.as_str()), ("api_error", "No."));
    error(br#"{"error":{"type":"api_error","message":"No."}}"#).unwrap_err();
    error(br#"{"type":"error","error":{"message":"No."}}"#).unwrap_err();
    error(b"<html>").unwrap_err();
}

#[test]
fn a_next_turn_answers_every_tool_call() {
    let turn = whole(WHOLE.as_bytes()).unwrap();
    let messages = next_turn(&turn).unwrap();
    assert_eq!(messages[0]["content"][1]["input"]["a"], 1);
    assert_eq!(messages[1]["content"][0]["tool_use_id"], "toolu_1");
}

#[test]
fn what_the_next_request_would_be_refused_for_is_named() {
    let text = |text: &str| Block::Text(text.into());
    let call = |arguments: &str| {
        let (id, name) = ("toolu_1".into(), "f".into());
        Block::ToolCall(ToolCall { id, name, arguments: arguments.into(), form: Form::Function })
    };
    let thought = Block::Thinking { text: "hm".into(), signature: String::new() };
    for (blocks, reason) in [
        (vec![], "without content"),
        (vec![text(" \n")], "a text block without text"),
        (vec![call("{}"), text("Refused")], "stands behind the tool_use"),
        (vec![thought, text("Hi")], "thinking without a signature"),
        (vec![call("{")], "malformed JSON"),
    ] {
        let choices = vec![Choice { blocks, finish: "end_turn".into() }];
        let error = next_turn(&Turn { choices, ..Turn::default() }).expect_err(reason);
        assert!(error.contains(reason), "wanted {reason:?}, got {error:?}");
    }
}
