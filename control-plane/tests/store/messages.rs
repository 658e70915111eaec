//! Messages are taken out of requests, kept once, and put back.

use luthien_control_plane::record::{Batch, Store as _};
use luthien_policy::{AdmissionEntry, Entry, EntryBody, RequestEntry};
use serde_json::{Value, json};

use crate::{
    conformance::{call, id},
    faults::Plane,
};

/// A call with that request; tells what was written of it.
async fn record(plane: &Plane, n: u128, request: Value) -> Batch {
    let mut record = plane.recorder.call(call(n));
    record.push(Entry { at_us: 0, body: EntryBody::Request(entry(request)) });
    record.close().await.unwrap();
    let mut all = Batch::default();
    for batch in plane.store.written() {
        all.summaries.extend(batch.summaries);
        all.entries.extend(batch.entries);
        all.messages.extend(batch.messages);
        all.histories.extend(batch.histories);
        all.texts.extend(batch.texts);
    }
    all
}

pub fn entry(request: Value) -> RequestEntry {
    RequestEntry {
        dialect: "openai-chat",
        upstream_dialect: "openai-chat",
        upstream: String::new(),
        route: String::new(),
        model: String::new(),
        upstream_model: String::new(),
        client: String::new(),
        session: String::new(),
        dropped: Vec::new(),
        omitted: Vec::new(),
        request,
    }
}

async fn read(plane: &Plane, n: u128, seq: usize) -> Value {
    plane.store.call(id(n)).await.unwrap().unwrap().entries[seq].body.parse().unwrap()
}

fn user(text: &str) -> Value {
    json!({"role": "user", "content": [{"text": text}]})
}

#[tokio::test]
async fn whatever_a_request_is_it_is_read_as_it_was() {
    let plane = Plane::new().await;
    let reference = json!({"history": "0".repeat(64), "period": 1});
    let requests = [
        json!({"stream": true}),
        json!({"messages": [user("a"), user("a"), {"role": "user", "content": []}], "stream": false}),
        json!({"system": [{"text": "s"}], "messages": [user("\u{0}ü\"\\")], "tools": [{"name": "t", "function": {"schema": 1.5e300}}]}),
        json!({"messages": reference, "system": reference, "extras": {"messages": [1, 2.0], "é": reference}}),
        json!({"messages": {"message": "0".repeat(64), "period": 1}, "tools": "none"}),
        json!({"messages": [[], [reference], "text", null], "system": []}),
        Value::Null,
        json!([{"messages": [user("a")]}]),
    ];
    for (n, request) in (1..).zip(requests) {
        record(&plane, n, request.clone()).await;
        assert_eq!(read(&plane, n, 0).await["request"].to_string(), request.to_string());
    }
}

#[tokio::test]
async fn of_a_history_that_goes_on_what_is_new_is_written() {
    let plane = Plane::new().await;
    let (system, tools) = (json!([{"text": "be good"}]), json!([{"name": "bash"}]));
    let request = |messages: &[Value]| json!({"system": system, "messages": messages, "tools": tools});
    let messages: Vec<_> = ["one", "two", "three", "four"].map(user).into();
    let counts = |batch: &Batch| (batch.messages.len(), batch.histories.len());
    assert_eq!(counts(&record(&plane, 1, request(&messages[..1])).await), (3, 1));
    let more = record(&plane, 2, request(&messages[..3])).await;
    assert_eq!(counts(&more), (2, 2));
    assert_eq!(more.texts[0].text, "two three", "what is new is what it is found by");
    assert!(!more.entries[0].body.contains("two"), "{}", more.entries[0].body);
    assert_eq!(counts(&record(&plane, 3, request(&messages[..3])).await), (0, 0));
    // Another way on: the message is known, the history is not.
    let other = [messages[0].clone(), messages[2].clone()];
    assert_eq!(counts(&record(&plane, 4, request(&other)).await), (0, 1));
    assert_eq!(read(&plane, 2, 0).await["request"], request(&messages[..3]));
    assert_eq!(read(&plane, 4, 0).await["request"], request(&other));
}

#[tokio::test]
async fn a_request_that_policies_edited_is_kept_in_the_same_way() {
    let plane = Plane::new().await;
    let (as_it_was, sent) = (json!({"messages": [user("a"), user("b")]}), json!({"messages": [user("a"), user("c")]}));
    let mut record = plane.recorder.call(call(1));
    record.push(Entry { at_us: 0, body: EntryBody::Request(entry(as_it_was.clone())) });
    let admission = AdmissionEntry {
        decision: "forward",
        status: None,
        message: None,
        policy: None,
        revision: String::new(),
        pipeline: Vec::new(),
        interest: None,
        failure_mode: None,
        sent: Some(sent.clone()),
        annotations: Vec::new(),
    };
    record.push(Entry { at_us: 0, body: EntryBody::Admission(admission) });
    record.close().await.unwrap();
    let written: usize = plane.store.written().iter().map(|batch| batch.messages.len()).sum();
    assert_eq!(written, 3);
    assert_eq!(read(&plane, 1, 0).await["request"], as_it_was);
    assert_eq!(read(&plane, 1, 1).await["sent"], sent);
}
