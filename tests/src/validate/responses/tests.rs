use serde_json::{Value, json};

use super::*;
use crate::{fixtures, validate::Dialect};

/// The events of a streamed fixture, without their framing.
fn events(case: &str) -> Vec<Value> {
    let text = String::from_utf8(fixtures::streamed(Dialect::Responses, case)).unwrap();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap()).collect()
}

/// As a provider would send them, numbered.
fn body(events: &[Value]) -> Vec<u8> {
    let mut out = String::new();
    for (number, event) in events.iter().enumerate() {
        let mut event = event.clone();
        event["sequence_number"] = number.into();
        out += &format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap());
    }
    out.into_bytes()
}

fn at(events: &[Value], type_: &str) -> usize {
    events.iter().position(|event| event["type"] == type_).unwrap()
}

#[test]
fn a_good_stream_is_understood() {
    let turn = stream(&body(&events("reasoning_tools"))).unwrap();
    assert_eq!((turn.id.as_str(), turn.finish()), ("resp_68f1c2a0b7d4819a", "completed"));
    assert_eq!(turn.thinking(), "First thought.\n\nSecond, cooler one.");
    assert_eq!(turn.tool_calls()[0].arguments, r#"{"path":"/tmp/notes.txt"}"#);
    assert_eq!(turn.usage.unwrap()["total_tokens"], 55);
    assert_eq!(stream(&body(&events("incomplete"))).unwrap().finish(), "max_output_tokens");
}

#[test]
fn a_stream_says_the_same_as_the_whole() {
    for case in ["text", "tools_two", "custom_tool", "refusal", "two_parts", "hosted_tools", "reasoning"] {
        let whole = whole(&fixtures::whole(Dialect::Responses, case)).unwrap();
        assert_eq!(stream(&body(&events(case))).unwrap(), whole, "{case}");
    }
}

#[test]
fn a_failure_ends_a_stream_at_any_point() {
    let turn = stream(&body(&events("error_in_stream"))).unwrap();
    assert_eq!((turn.text().as_str(), turn.finish()), ("Half an ans", ""));
    assert_eq!(turn.failure.unwrap().type_, "server_error");
    let error = json!({"type": "error", "code": "server_error", "message": "no", "param": null});
    assert!(stream(&body(std::slice::from_ref(&error))).is_ok());
    assert!(stream(&body(&[events("text")[0].clone(), error])).is_ok());
}

#[test]
fn broken_streams_are_refused() {
    let good = events("tools_two");
    let without = |type_: &str| {
        let mut events = good.clone();
        events.remove(at(&good, type_));
        events
    };
    for type_ in [
        "response.created",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.function_call_arguments.delta",
        "response.completed",
    ] {
        assert!(stream(&body(&without(type_))).is_err(), "without {type_}");
    }
    let changed = |type_: &str, change: &dyn Fn(&mut Value)| {
        let mut events = good.clone();
        change(&mut events[at(&good, type_)]);
        body(&events)
    };
    for (type_, change) in [
        (
            "response.in_progress",
            &(|event: &mut Value| event["response"]["id"] = "other".into()) as &dyn Fn(&mut Value),
        ),
        ("response.output_item.added", &|event| event["output_index"] = 1.into()),
        ("response.output_text.delta", &|event| event["item_id"] = "other".into()),
        ("response.output_text.delta", &|event| event["content_index"] = 1.into()),
        ("response.output_text.done", &|event| event["text"] = "other".into()),
        ("response.output_item.done", &|event| event["item"]["content"][0]["text"] = "other".into()),
        ("response.function_call_arguments.done", &|event| event["arguments"] = "{}".into()),
        ("response.completed", &|event| event["response"]["output"] = json!([])),
        ("response.completed", &|event| event["response"]["status"] = "in_progress".into()),
        ("response.completed", &|event| event["response"]["usage"]["total_tokens"] = 1.into()),
        ("response.completed", &|event| drop(event["response"].as_object_mut().unwrap().remove("tools"))),
    ] {
        assert!(stream(&changed(type_, change)).is_err(), "{type_}");
    }
    let mut skipped = body(&good);
    skipped = String::from_utf8(skipped).unwrap().replace("\"sequence_number\":3", "\"sequence_number\":30").into();
    assert!(stream(&skipped).is_err());
    let mut more = good.clone();
    more.push(good[3].clone());
    assert!(stream(&body(&more)).is_err(), "something behind the end");
}

#[test]
fn the_next_turn_answers_every_call() {
    let turn = stream(&body(&events("custom_tool"))).unwrap();
    let next = next_turn(&turn).unwrap();
    assert_eq!(next[1], json!({"type": "custom_tool_call_output", "call_id": "call_patch", "output": "done"}));
}
