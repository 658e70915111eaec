//! OpenAI Responses through the gate: what is announced before it is said leaves with what is said.

use luthien_call::call::Content;
use luthien_proto::{
    event::{BlockKey, Kind, Step},
    message::{Decision, Interest, Level, Outcome},
    request::Dialect,
};
use serde_json::{Value, json};

use crate::rig::*;

fn sse(events: &[(&str, Value)], first: usize) -> String {
    let event = |(at, (type_, fields)): (usize, &(&str, Value))| {
        let mut event = json!({"type": format!("response.{type_}"), "sequence_number": first + at});
        event.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        format!("event: response.{type_}\ndata: {event}\n\n")
    };
    events.iter().enumerate().map(event).collect()
}

fn message(at: u64, text: &str) -> [(&'static str, Value); 6] {
    let part = |text: &str| json!({"type": "output_text", "annotations": [], "logprobs": [], "text": text});
    let item = |status: &str, content: Value| json!({"id": format!("msg_{at}"), "type": "message", "status": status, "role": "assistant", "content": content});
    let of = |key: &str, value: Value| json!({"item_id": format!("msg_{at}"), "output_index": at, "content_index": 0, key: value});
    [
        ("output_item.added", json!({"output_index": at, "item": item("in_progress", json!([]))})),
        ("content_part.added", of("part", part(""))),
        ("output_text.delta", of("delta", json!(text))),
        ("output_text.done", of("text", json!(text))),
        ("content_part.done", of("part", part(text))),
        ("output_item.done", json!({"output_index": at, "item": item("completed", json!([part(text)]))})),
    ]
}

fn call(at: u64, name: &str) -> [(&'static str, Value); 4] {
    let id = format!("fc_{at}");
    let item = |status: &str, arguments: &str| json!({"id": id, "type": "function_call", "status": status, "call_id": format!("call_{at}"), "name": name, "arguments": arguments});
    [
        ("output_item.added", json!({"output_index": at, "item": item("in_progress", "")})),
        ("function_call_arguments.delta", json!({"item_id": id, "output_index": at, "delta": "{}"})),
        ("function_call_arguments.done", json!({"item_id": id, "output_index": at, "arguments": "{}"})),
        ("output_item.done", json!({"output_index": at, "item": item("completed", "{}")})),
    ]
}

fn response() -> String {
    let response = |status: &str| json!({"response": {"id": "resp_1", "object": "response", "created_at": 7, "status": status, "model": "m", "output": []}});
    let mut events = vec![("created", response("in_progress")), ("in_progress", response("in_progress"))];
    events.extend(message(0, "hm"));
    events.extend(call(1, "bad"));
    events.extend(call(2, "good"));
    events.push(("completed", response("completed")));
    sse(&events, 0)
}

fn told(text: &str) -> Vec<String> {
    let line = |event: &Value| {
        let number = event["sequence_number"].as_u64().unwrap();
        let place = event["output_index"].as_u64().map(|index| format!(" {index}")).unwrap_or_default();
        format!("{number} {}{place}", event["type"].as_str().unwrap().strip_prefix("response.").unwrap())
    };
    events(text).iter().map(line).collect()
}

#[test]
fn what_passed_leaves_as_it_came() {
    for interest in [Interest::all(Level::Gate), Interest::all(Level::Observe).with(Kind::ToolCall, Level::Gate)] {
        let mut rig = Rig::streaming(Dialect::OpenAiResponses, interest);
        let response = response();
        let (first, second) = response.split_at(response.find("event: response.content_part.added").unwrap());
        rig.data(first);
        rig.pass_all();
        assert!(!rig.text().contains("output_item.added"), "it is not said yet");
        rig.data(second);
        rig.end();
        rig.pass_all();
        assert_eq!(rig.text(), response);
        assert_eq!(rig.call_ended().outcome, Outcome::Delivered);
    }
}

#[test]
fn what_a_policy_changes_is_written_anew_and_numbers_go_on() {
    let mut rig =
        Rig::streaming(Dialect::OpenAiResponses, Interest::all(Level::Observe).with(Kind::ToolCall, Level::Gate));
    rig.data(response());
    rig.end();
    let chunks: Vec<_> = rig.chunks().into_iter().cloned().collect();
    let refused = BlockKey(1);
    for chunk in chunks {
        match &chunk.event.step {
            Step::BlockStarted(started) if started.block == refused => {
                rig.verdict(chunk.seq, Decision::Replace(made_text(0, "refused")));
            }
            Step::BlockDelta(delta) if delta.block == refused => {
                rig.verdict(chunk.seq, Decision::Replace(Vec::new()));
            }
            Step::BlockStopped(block) if *block == refused => rig.verdict(chunk.seq, Decision::Replace(Vec::new())),
            _ => rig.pass(chunk.seq),
        }
    }
    rig.working();
    let expected = [
        "0 created",
        "1 in_progress",
        "2 output_item.added 0",
        "3 content_part.added 0",
        "4 output_text.delta 0",
        "5 output_text.done 0",
        "6 content_part.done 0",
        "7 output_item.done 0",
        "8 output_item.added 1",
        "9 content_part.added 1",
        "10 output_text.delta 1",
        "11 output_text.done 1",
        "12 content_part.done 1",
        "13 output_item.done 1",
        "14 output_item.added 2",
        "15 function_call_arguments.delta 2",
        "16 function_call_arguments.done 2",
        "17 output_item.done 2",
        "18 completed",
    ];
    assert_eq!(told(rig.text()), expected);
    let last = events(rig.text()).pop().unwrap();
    let output: Vec<_> = last["response"]["output"].as_array().unwrap().iter().map(|item| &item["type"]).collect();
    assert_eq!(output, ["message", "message", "function_call"]);
    assert!(!rig.text().contains("bad"));
}

#[test]
fn an_answer_without_a_time_has_that_of_its_call_where_it_is_written_anew() {
    for (dialect, body) in [
        (Dialect::OpenAiResponses, r#"{"id":"resp_1","model":"m","status":"completed","output":[]}"#),
        (
            Dialect::OpenAiChat,
            r#"{"id":"c","model":"m","choices":[{"index":0,"message":{"content":"Hi"},"finish_reason":"stop"}]}"#,
        ),
    ] {
        let mut rig = Rig::asking(dialect, false);
        rig.head(200, Content::Json);
        rig.data(body);
        rig.end();
        let started = rig.chunks()[0].clone();
        rig.verdict(started.seq, Decision::Replace(vec![started.event]));
        rig.pass_all();
        let told: Value = serde_json::from_str(rig.text()).unwrap();
        let time = if dialect == Dialect::OpenAiChat { &told["created"] } else { &told["created_at"] };
        assert_eq!(time, 1_700_000_000, "{told}");
    }
}
