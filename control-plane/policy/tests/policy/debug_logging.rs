//! `debug_logging`: what it notes, and that it does nothing else.

use expect_test::expect;
use luthien_proto::{
    Event, Step,
    event::{BlockKind, Delta},
    json::Extras,
};
use serde_json::{Value, json};

use crate::{
    proxy::{Proxy, set},
    response::{delta, failed, opaque, piece, response, start, stop, text, thinking, tool},
};

fn logging(config: Value) -> Value {
    json!({ "name": "log", "kind": "debug_logging", "config": config })
}

fn brand() -> Value {
    let config = json!({ "replacements": [["cool", "radical"]] });
    json!({ "name": "brand", "kind": "string_replacement", "config": config })
}

fn played(policies: Value, events: &[Event]) -> (Proxy, Vec<Event>) {
    let mut proxy = Proxy::start(set(policies));
    proxy.respond(events, &[1]);
    let released = proxy.released.clone();
    (proxy, released)
}

/// The notes of `log`, wherever on record they stand.
fn notes(entries: &[Value]) -> Vec<Value> {
    let bodies = entries.iter().map(|entry| &entry["body"]);
    let all = bodies.flat_map(|body| match body["type"].as_str() {
        Some("note") => vec![body.clone()],
        _ => body["annotations"].as_array().cloned().unwrap_or_default(),
    });
    let mut notes: Vec<Value> = all.filter(|note| note["policy"] == "log").collect();
    notes.sort_by_key(|note| note["seq"].as_u64());
    notes
}

fn show(entries: &[Value]) -> String {
    let lines = notes(entries).into_iter().map(|note| {
        assert_eq!(note["severity"], "debug");
        format!("{} {}: {}\n", note["seq"], note["summary"].as_str().unwrap(), note["details"])
    });
    lines.collect()
}

fn contents(entries: &[Value]) -> String {
    let notes = notes(entries).into_iter().filter(|note| note["summary"] == "block_delta of text");
    notes.map(|note| note["details"]["content"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn each_chunk_is_noted_and_none_is_changed() {
    let mut started = start(4, BlockKind::RedactedThinking { data: "sealed".into() });
    started.extras = Extras::from_text(r#"{"cache":true}"#).unwrap();
    let events = response([
        thinking(0, &["hm"], Some("sig")),
        text(1, ["so ", "cool"]),
        tool(2, "search", &["{}"]),
        opaque(3, json!({ "type": "odd" }), []),
        vec![started, stop(4)],
        vec![start(5, BlockKind::Text), delta(5, Delta::Opaque(json!({ "cited": 1 }))), stop(5)],
        vec![Step::Opaque(json!({ "type": "ping" })).into()],
    ]);
    let (proxy, released) = played(json!([logging(json!({}))]), &events);
    assert_eq!(released, events);
    assert_eq!(proxy.verdicts, []);
    expect![[r#"
        0 the request: {"hook":"on_request","model":"fast","stream":true,"messages":1,"tools":0}
        0 the end of the call: {"hook":"on_response_completed","outcome":"delivered"}
        1 started: {"hook":"on_response_started","step":"started","content":"{\"id\":\"r1\",\"model\":\"gpt-5-mini-2026\",\"created\":1}"}
        2 block_started of thinking: {"hook":"on_thinking_chunk","step":"block_started","kind":"thinking","choice":0,"block":0}
        3 block_delta of thinking: {"hook":"on_thinking_chunk","step":"block_delta","kind":"thinking","choice":0,"block":0,"content":"hm"}
        4 block_delta of thinking: {"hook":"on_thinking_chunk","step":"block_delta","kind":"thinking","choice":0,"block":0,"content":"sig"}
        5 block_stopped of thinking: {"hook":"on_thinking_chunk","step":"block_stopped","kind":"thinking","choice":0,"block":0}
        6 block_started of text: {"hook":"on_content_chunk","step":"block_started","kind":"text","choice":0,"block":1}
        7 block_delta of text: {"hook":"on_content_chunk","step":"block_delta","kind":"text","choice":0,"block":1,"content":"so "}
        8 block_delta of text: {"hook":"on_content_chunk","step":"block_delta","kind":"text","choice":0,"block":1,"content":"cool"}
        9 block_stopped of text: {"hook":"on_content_completed","step":"block_stopped","kind":"text","choice":0,"block":1,"content":"so cool"}
        10 block_started of tool_call: {"hook":"on_tool_call_chunk","step":"block_started","kind":"tool_call","choice":0,"block":2,"tool":"search"}
        11 block_delta of tool_call: {"hook":"on_tool_call_chunk","step":"block_delta","kind":"tool_call","choice":0,"block":2,"tool":"search","content":"{}"}
        12 block_stopped of tool_call: {"hook":"on_tool_call_completed","step":"block_stopped","kind":"tool_call","choice":0,"block":2,"tool":"search","content":"{}"}
        13 block_started of opaque: {"hook":"on_opaque_chunk","step":"block_started","kind":"opaque","choice":0,"block":3,"content":"{\"type\":\"odd\"}"}
        14 block_stopped of opaque: {"hook":"on_opaque_chunk","step":"block_stopped","kind":"opaque","choice":0,"block":3}
        15 block_started of thinking: {"hook":"on_thinking_chunk","step":"block_started","kind":"thinking","choice":0,"block":4,"content":"sealed","extras":"{\"cache\":true}"}
        16 block_stopped of thinking: {"hook":"on_thinking_chunk","step":"block_stopped","kind":"thinking","choice":0,"block":4}
        17 block_started of text: {"hook":"on_content_chunk","step":"block_started","kind":"text","choice":0,"block":5}
        18 block_delta of text: {"hook":"on_opaque_chunk","step":"block_delta","kind":"text","choice":0,"block":5,"content":"{\"cited\":1}"}
        19 block_stopped of text: {"hook":"on_content_completed","step":"block_stopped","kind":"text","choice":0,"block":5,"content":""}
        20 opaque: {"hook":"on_opaque_chunk","step":"opaque","content":"{\"type\":\"ping\"}"}
        21 finished: {"hook":"on_finished","step":"finished","content":"{\"choice\":0,\"reason\":\"end_turn\"}"}
        22 usage: {"hook":"on_usage","step":"usage","content":"{\"input\":5,\"output\":7}"}
        23 ended: {"hook":"on_chunk_started","step":"ended"}
    "#]].assert_eq(&show(&proxy.end()));
}

#[test]
fn long_content_is_cut_between_characters() {
    let (proxy, _) = played(json!([logging(json!({ "max_chars": 3 }))]), &response([text(0, ["äöüß", "abc"])]));
    let entries = proxy.end();
    let seen: Vec<_> = notes(&entries)
        .into_iter()
        .filter(|note| note["details"]["kind"] == "text")
        .map(|note| (note["details"]["content"].clone(), note["details"]["content_chars"].clone()))
        .collect();
    let expected = [(Value::Null, Value::Null), (json!("äöü"), json!(4)), (json!("abc"), Value::Null)];
    assert_eq!(seen[..3], expected);
    assert_eq!(seen[3..], [(json!("äöü"), json!(7))]);
}

#[test]
fn it_sees_what_comes_to_its_place_in_the_pipeline() {
    let events = response([text(0, ["so co", "ol!"])]);
    let (proxy, _) = played(json!([logging(json!({})), brand()]), &events);
    assert_eq!(contents(&proxy.end()), "so cool!");
    let (proxy, _) = played(json!([brand(), logging(json!({}))]), &events);
    assert_eq!(contents(&proxy.end()), "so radical!");
}

#[test]
fn a_verdict_carries_no_notes_of_chunks_that_need_none() {
    let rules = json!({ "name": "rules", "kind": "tool_call_rules", "config": { "deny": [{ "tool": "x" }] } });
    let pieces = vec!["word "; 500];
    let (proxy, _) = played(json!([logging(json!({})), rules]), &response([text(0, pieces)]));
    assert!(proxy.annotations().len() < 10, "{:?}", proxy.annotations());
    assert_eq!(notes(&proxy.end()).len(), 508);
}

#[test]
fn a_block_that_is_cut_off_is_noted_as_such() {
    let events = [&response([])[..1], &[start(0, BlockKind::Text), piece(0, "so"), failed()]].concat();
    let (proxy, _) = played(json!([logging(json!({}))]), &events);
    let entries = proxy.end();
    let cut: Vec<Value> = notes(&entries).into_iter().filter(|note| note["details"]["stopped"] == false).collect();
    assert_eq!(cut.len(), 1);
    assert_eq!(cut[0]["details"]["hook"], "on_content_completed");
}
