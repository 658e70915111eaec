use serde_json::json;

use super::*;

const ROLE: &str = r#"{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}"#;
const HELLO: &str = r#"{"index":0,"delta":{"content":"Hello"},"finish_reason":null}"#;
const STOP: &str = r#"{"index":0,"delta":{},"finish_reason":"stop"}"#;
const TOOL_CALLS: &str = r#"{"index":0,"delta":{},"finish_reason":"tool_calls"}"#;
const LENGTH: &str = r#"{"index":0,"delta":{},"finish_reason":"length"}"#;
const CALL_0: &str = r#"{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_0","type":"function","function":{"name":"f","arguments":""}}]}}"#;
const ARGS_0: &str = r#"{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":1}"}}]}}"#;
const CUT_ARGS_0: &str = r#"{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":"}}]}}"#;
const CALL_1: &str = r#"{"index":0,"delta":{"tool_calls":[{"index":1,"id":"call_1","type":"custom","custom":{"name":"g","input":""}}]}}"#;
const INPUT_1: &str = r#"{"index":0,"delta":{"tool_calls":[{"index":1,"custom":{"input":"*** Begin"}}]}}"#;
const FUNCTION: &str = r#"{"index":0,"delta":{"function_call":{"name":"f","arguments":""}}}"#;
const FUNCTION_ARGS: &str = r#"{"index":0,"delta":{"function_call":{"arguments":"{}"}}}"#;
const FUNCTION_CALL: &str = r#"{"index":0,"delta":{},"finish_reason":"function_call"}"#;
const ROLE_1: &str = r#"{"index":1,"delta":{"role":"assistant","refusal":"No"},"finish_reason":null}"#;
const STOP_1: &str = r#"{"index":1,"delta":{},"finish_reason":"stop"}"#;
const USAGE: &str = "usage";
const DONE: &str = "[DONE]";
const ERROR: &str = r#"{"error":{"message":"Broken","type":"server_error","param":null,"code":null}}"#;

fn body(events: &[&str]) -> Vec<u8> {
    events.iter().map(|event| format!("data: {}\n\n", data(event))).collect::<String>().into_bytes()
}

fn data(event: &str) -> String {
    let mut chunk = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 7, "model": "m"});
    match event {
        DONE | ERROR => return event.to_owned(),
        USAGE => {
            chunk["choices"] = json!([]);
            chunk["usage"] = json!({"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3});
        }
        choice => chunk["choices"] = json!([serde_json::from_str::<Value>(choice).unwrap()]),
    }
    chunk.to_string()
}

#[test]
fn a_good_stream_is_understood() {
    let events = [ROLE, HELLO, CALL_0, CALL_1, ARGS_0, INPUT_1, TOOL_CALLS, USAGE, DONE];
    let turn = stream(&body(&events)).unwrap();
    assert_eq!((turn.id.as_str(), turn.model.as_str()), ("chatcmpl-1", "m"));
    assert_eq!((turn.text().as_str(), turn.finish()), ("Hello", "tool_calls"));
    let calls = turn.tool_calls();
    assert_eq!((calls[0].arguments.as_str(), calls[0].form), (r#"{"a":1}"#, Form::Function));
    assert_eq!((calls[1].arguments.as_str(), calls[1].form), ("*** Begin", Form::Custom));
    assert_eq!(turn.usage.unwrap()["total_tokens"], 3);
}

#[test]
fn choices_are_read_apart() {
    let turn = stream(&body(&[ROLE, ROLE_1, HELLO, STOP_1, STOP, DONE])).unwrap();
    assert_eq!(turn.choices[0].text(), "Hello");
    assert_eq!(turn.choices[1].refusal(), "No");
}

#[test]
fn a_legacy_function_call_is_understood() {
    let turn = stream(&body(&[ROLE, FUNCTION, FUNCTION_ARGS, FUNCTION_CALL, DONE])).unwrap();
    assert_eq!(turn.tool_calls()[0].form, Form::Legacy);
}

#[test]
fn a_stream_may_end_in_an_error_at_any_point() {
    for events in [&[ERROR][..], &[ROLE, ERROR], &[ROLE, CALL_0, CUT_ARGS_0, ERROR], &[ROLE, STOP, ERROR]] {
        assert_eq!(stream(&body(events)).unwrap().failure.unwrap().message, "Broken");
    }
}

#[test]
fn tokens_may_run_out_within_a_tool_call() {
    assert_eq!(stream(&body(&[ROLE, CALL_0, CUT_ARGS_0, LENGTH, DONE])).unwrap().finish(), "length");
}

#[test]
fn each_broken_rule_is_named() {
    let no_id = CALL_0.replace(r#""id":"call_0","#, "");
    let no_name = CALL_0.replace(r#""name":"f","#, "");
    let no_type = CALL_0.replace(r#""type":"function","#, "");
    let id_again = ARGS_0.replace(r#""index":0,"function""#, r#""index":0,"id":"call_0","function""#);
    let name_again = ARGS_0.replace(r#""arguments""#, r#""name":"f","arguments""#);
    let type_again = ARGS_0.replace(r#""index":0,"function""#, r#""index":0,"type":"function","function""#);
    let same_id = CALL_1.replace("call_1", "call_0");
    let user = ROLE.replace("assistant", "user");
    let number = HELLO.replace(r#""Hello""#, "7");
    let function_again = FUNCTION_ARGS.replace(r#""arguments""#, r#""name":"f","arguments""#);
    for (events, reason) in [
        (&[HELLO, STOP, DONE][..], "choice 0: the first delta has no role"),
        (&[ROLE, ROLE], "the role comes twice"),
        (&[&user], "the role is \"user\""),
        (&[ROLE, &number], "content is not a string"),
        (&[ROLE, &no_id], "id is not a string"),
        (&[ROLE, &no_name], "name is not a string"),
        (&[ROLE, &no_type], "type is not a string"),
        (&[ROLE, CALL_1], "tool call 1 where 0 is due"),
        (&[ROLE, ARGS_0], "tool call 0: id is not a string"),
        (&[ROLE, CALL_0, &id_again], "its id comes twice"),
        (&[ROLE, CALL_0, &name_again], "its name comes twice"),
        (&[ROLE, CALL_0, &type_again], "its type comes twice"),
        (&[ROLE, FUNCTION, &function_again], "the name of the function_call comes twice"),
        (&[ROLE, STOP, HELLO], "something behind its finish_reason"),
        (&[ROLE, STOP, STOP], "something behind its finish_reason"),
        (&[ROLE, HELLO, USAGE, STOP, DONE], "the usage before every choice has finished"),
        (&[ROLE, STOP, USAGE, USAGE, DONE], "a chunk behind the usage"),
        (&[ROLE, HELLO, DONE], "[DONE], and choice 0 has not finished"),
        (&[ROLE, ROLE_1, STOP, DONE], "[DONE], and choice 1 has not finished"),
        (&[ROLE_1, STOP_1, DONE], "[DONE], and choice 0 has not finished"),
        (&[ROLE_1, STOP_1, ERROR], "choice 0 is missing"),
        (&[DONE], "[DONE] without any choice"),
        (&[ROLE, STOP, DONE, DONE], "something behind the end"),
        (&[ROLE, ERROR, DONE], "something behind the end"),
        (&[ROLE, HELLO, STOP], "the stream ends without [DONE] or an error"),
        (&[], "the stream ends without [DONE] or an error"),
        (&[ROLE, TOOL_CALLS, DONE], "finish_reason is tool_calls, and no tool call is left"),
        (&[ROLE, FUNCTION_CALL, DONE], "finish_reason is function_call, and there is none"),
        (&[ROLE, CALL_0, ARGS_0, STOP, DONE], "finish_reason is stop, and a tool call is left"),
        (&[ROLE, FUNCTION, FUNCTION_ARGS, STOP, DONE], "finish_reason is stop, and a function_call is left"),
        (&[ROLE, CALL_0, CUT_ARGS_0, TOOL_CALLS, DONE], "the arguments of f: malformed JSON"),
        (&[ROLE, CALL_0, TOOL_CALLS, DONE], "the arguments of f: malformed JSON"),
        (&[ROLE, CALL_0, ARGS_0, &same_id, TOOL_CALLS, DONE], "two tool calls have the id \"call_0\""),
    ] {
        let error = stream(&body(events)).expect_err(reason);
        assert!(error.contains(reason), "wanted {reason:?}, got {error:?}");
    }
}

#[test]
fn framing_and_envelopes_that_sdks_stumble_on_are_refused() {
    let good = String::from_utf8(body(&[ROLE, HELLO, STOP, DONE])).unwrap();
    for (bad, reason) in [
        (good.replacen("data:", "event: chunk\ndata:", 1), "an event: line"),
        (good.replacen("data:", "id: 1\ndata:", 1), "not an event: or data: line"),
        (good.replacen("chatcmpl-1", "chatcmpl-2", 1), "id, model or created changed"),
        (good.replacen(r#""created":7"#, r#""created":8"#, 1), "id, model or created changed"),
        (good.replacen(r#""model":"m""#, r#""model":"n""#, 1), "id, model or created changed"),
        (good.replacen("completion.chunk", "completion", 1), "object is \"chat.completion\""),
        (good.replacen(r#""choices":["#, r#""choices":null,"x":["#, 1), "choices is not a list"),
        (good.replacen("[DONE]", "{", 1), "malformed JSON"),
        (good[..good.len() - 1].to_owned(), "cut in the middle of an SSE event"),
    ] {
        assert_ne!(bad, good, "{reason}");
        let error = stream(bad.as_bytes()).expect_err(reason);
        assert!(error.contains(reason), "wanted {reason:?}, got {error:?}");
    }
    stream(format!(": keepalive\n\n{good}").as_bytes()).unwrap();
    relayed(format!("id: 1\n{good}").as_bytes()).unwrap();
}

const WHOLE: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":7,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hi","refusal":null,"tool_calls":[{"id":"call_0","type":"function","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}"#;

#[test]
fn a_whole_completion_is_understood() {
    let turn = whole(WHOLE.as_bytes()).unwrap();
    assert_eq!((turn.text().as_str(), turn.finish()), ("Hi", "tool_calls"));
    assert_eq!(turn.tool_names(), ["f"]);
}

#[test]
fn each_broken_rule_of_a_whole_completion_is_named() {
    for (from, to, reason) in [
        (r#""chat.completion""#, r#""chat.completion.chunk""#, "object is"),
        (r#""index":0"#, r#""index":1"#, "index 1 where 0 is due"),
        (r#""content":"Hi","#, "", "the message has no content, not even null"),
        (r#""finish_reason":"tool_calls""#, r#""finish_reason":null"#, "finish_reason is not a string"),
        (r#""finish_reason":"tool_calls""#, r#""finish_reason":"stop""#, "a tool call is left"),
        (r#""arguments":"{}""#, r#""arguments":"{""#, "the arguments of f: malformed JSON"),
        (r#""arguments":"{}""#, r#""arguments":{}"#, "arguments is not a string"),
        (r#""total_tokens":3"#, r#""total":3"#, "usage: total_tokens is not a count"),
        (r#""model":"m","#, r#""model":"m","model":"m","#, "the key \"model\" comes twice"),
    ] {
        assert!(WHOLE.contains(from));
        let error = whole(WHOLE.replacen(from, to, 1).as_bytes()).expect_err(reason);
        assert!(error.contains(reason), "wanted {reason:?}, got {error:?}");
    }
}

#[test]
fn errors_are_read() {
    assert_eq!(error(ERROR.as_bytes()).unwrap().type_, "server_error");
    error(br#"{"error":"no"}"#).unwrap_err();
    error(br#"{"error":{"message":"m","type":"t"}}"#).unwrap_err();
    error(b"<html>").unwrap_err();
}

#[test]
fn a_next_turn_answers_every_tool_call() {
    let messages = next_turn(&whole(WHOLE.as_bytes()).unwrap()).unwrap();
    assert_eq!(messages[0]["tool_calls"][0]["id"], "call_0");
    assert_eq!(messages[1]["tool_call_id"], "call_0");
}

#[test]
fn what_the_next_request_would_be_refused_for_is_named() {
    let call = |name: &str, arguments: &str| {
        let (id, form) = ("call_0".into(), Form::Function);
        Block::ToolCall(ToolCall { id, name: name.into(), arguments: arguments.into(), form })
    };
    for (blocks, reason) in [
        (vec![], "without content or tool_calls"),
        (vec![call("f g", "{}")], "a tool can't be called"),
        (vec![call("f", "{")], "malformed JSON"),
    ] {
        let choices = vec![Choice { blocks, finish: "stop".into() }];
        let error = next_turn(&Turn { choices, ..Turn::default() }).expect_err(reason);
        assert!(error.contains(reason), "wanted {reason:?}, got {error:?}");
    }
}
