//! The record of whole calls, as an operator reads it.

use expect_test::{Expect, expect};
use luthien_policy::Deltas;
use luthien_proto::{
    Event, Step,
    event::{BlockKind, Delta, ToolForm},
    json::Extras,
};
use serde_json::{Value, json};

use crate::{
    proxy::{Proxy, set},
    response::{delta, failed, piece, response, start, stop, text, thinking, tool, tool_of},
};

fn guarded() -> Proxy {
    Proxy::start(set(json!([
        { "name": "brand", "kind": "string_replacement", "config": { "replacements": [["cool", "radical"]], "apply_to": ["text"] } },
        { "name": "guard", "kind": "tool_call_rules", "config": { "deny": [{ "tool": "delete_*", "reason": "deletes" }] } },
    ])))
}

/// The entries, one to a line, without the revision.
fn show(entries: &[Value]) -> String {
    let lines = entries.iter().map(|entry| {
        let mut body = entry["body"].clone();
        // They have a test of their own.
        body.as_object_mut().unwrap().shift_remove("deltas");
        if let Some(revision) = body.get_mut("revision") {
            assert_eq!(revision.as_str().unwrap().len(), 64);
            *revision = json!("…");
        }
        format!("{} {body}\n", entry["at_us"])
    });
    lines.collect()
}

fn check(mut proxy: Proxy, events: &[Event], batches: &[usize], expected: Expect) {
    proxy.respond(events, batches);
    expected.assert_eq(&show(&proxy.end()));
}

fn events() -> Vec<Event> {
    let mut events = response([
        thinking(0, &["hm"], Some("sig")),
        text(1, ["This is co", "o", "l", " stuff"]),
        tool(2, "delete_all", &["{\"really\":", "true}"]),
        tool_of(3, "search", ToolForm::Server, &["{}"]),
    ]);
    events[0].extras = Extras::from_text(r#"{"service_tier":"default"}"#).unwrap();
    events
}

#[test]
fn a_call_with_a_replacement_and_a_refusal() {
    check(
        guarded(),
        &events(),
        &[3],
        expect![[r#"
        0 {"type":"request","dialect":"openai-chat","upstream_dialect":"openai-chat","upstream":"openai","route":"fast","model":"fast","upstream_model":"gpt-5-mini","request":{"stream":true,"messages":[{"role":"user","content":[{"text":"hello"}]}]}}
        0 {"type":"admission","decision":"forward","revision":"…","pipeline":["brand","guard"],"interest":{"text":"gate","thinking":"record","refusal":"record","tool_call":"gate","opaque":"gate"},"failure_mode":"closed"}
        1000 {"type":"step","seq":1,"step":"started","unchanged":true,"original":{"id":"r1","model":"gpt-5-mini-2026","created":1,"extras":{"service_tier":"default"}}}
        5000 {"type":"block","choice":0,"block":0,"kind":"thinking","first":2,"last":5,"arrived_us":2000,"stopped":true,"unchanged":true,"original":{"text":"hm","signature":"sig"},"final":{"text":"hm","signature":"sig"}}
        11000 {"type":"verdict","first":7,"through":9,"chunks":3,"dropped":1,"decision":"replace","policies":["brand"],"cancel_upstream":false}
        11000 {"type":"block","choice":0,"block":1,"kind":"text","first":6,"last":11,"arrived_us":6000,"stopped":true,"unchanged":false,"original":{"text":"This is cool stuff"},"final":{"text":"This is radical stuff"}}
        15000 {"type":"verdict","first":12,"through":12,"chunks":1,"dropped":0,"decision":"replace","policies":["guard"],"cancel_upstream":false}
        15000 {"type":"block","choice":0,"block":2147483648,"kind":"text","first":12,"last":12,"arrived_us":15000,"stopped":true,"unchanged":false,"original":null,"final":{"text":"The call of delete_all was refused: deletes"}}
        15000 {"type":"verdict","first":13,"through":15,"chunks":3,"dropped":3,"decision":"drop","policies":["guard"],"annotations":[{"policy":"guard","seq":15,"severity":"warning","summary":"refused a call of delete_all: deletes","details":{"tool":"delete_all","reason":"deletes","rule":0}}],"cancel_upstream":false}
        15000 {"type":"block","choice":0,"block":2,"kind":"tool_call","tool":"delete_all","first":12,"last":15,"arrived_us":12000,"stopped":true,"unchanged":false,"original":{"id":"call_2","name":"delete_all","form":"function","arguments":"{\"really\":true}"},"final":null}
        18000 {"type":"block","choice":0,"block":3,"kind":"tool_call","tool":"search","first":16,"last":18,"arrived_us":16000,"stopped":true,"unchanged":true,"original":{"id":"call_3","name":"search","form":"server","arguments":"{}"},"final":{"id":"call_3","name":"search","form":"server","arguments":"{}"}}
        19000 {"type":"step","seq":19,"step":"finished","unchanged":true,"original":{"choice":0,"reason":"end_turn"}}
        21000 {"type":"step","seq":21,"step":"ended","unchanged":true,"original":{}}
        22000 {"type":"coverage","revision":"…","policies":[{"policy":"brand","failed":false,"interest":{"text":"gate","thinking":"record","refusal":"record","tool_call":"record","opaque":"record"},"kinds":{"text":{"hooks":{"on_content_chunk":5,"on_content_completed":1},"passed":3,"replaced":2,"dropped":1},"thinking":{"unseen":1},"tool_call":{"unseen":7},"call":{"unseen":4}}},{"policy":"guard","failed":false,"interest":{"text":"record","thinking":"record","refusal":"record","tool_call":"gate","opaque":"gate"},"kinds":{"text":{"unseen":5},"thinking":{"unseen":1},"tool_call":{"hooks":{"on_tool_call_chunk":5,"on_tool_call_completed":2},"passed":3,"held":5,"replaced":1,"dropped":3},"call":{"hooks":{"on_finished":1},"unseen":3,"passed":1}}}]}
        22000 {"type":"outcome","outcome":"delivered","status":200,"upstream_status":200,"written":21,"upstream_first_us":900,"client_first_us":1100,"ended_us":22000,"usage":{"input":5,"output":7},"received":17,"passed":10,"replaced":3,"dropped":4,"held":0,"not_shown":0}
    "#]],
    );
}

#[test]
fn how_a_block_came_is_on_record() {
    let mut proxy = guarded();
    let mut events = events();
    // The start of the text has unknown fields, and its second piece others.
    events[5].extras = Extras::from_text(r#"{"a":1}"#).unwrap();
    events[7].extras = Extras::from_text(r#"{"b":2}"#).unwrap();
    proxy.respond(&events, &[3]);
    let blocks: Vec<_> = proxy.end().into_iter().filter(|entry| entry["body"]["type"] == "block").collect();
    let deltas = |block: &Value| (block["body"]["block"].clone(), block["body"]["deltas"].to_string());
    let shown: String = blocks.iter().map(deltas).map(|(block, deltas)| format!("{block} {deltas}\n")).collect();
    expect![[r#"
        0 [[3,3000,"stop"]]
        1 [[0,0,"start",0],[1,1000,10],[1,1000,1,1],[1,1000,1],[1,1000,6],[1,1000,"stop"]]
        2147483648 null
        2 [[1,1000,10],[1,1000,5],[1,1000,"stop"]]
        3 [[1,1000,2],[1,1000,"stop"]]
    "#]]
    .assert_eq(&shown);
    for block in &blocks {
        let Some(deltas) = block["body"].get("deltas") else { continue };
        let read: Deltas = serde_json::from_value(deltas.clone()).unwrap();
        assert_eq!(&serde_json::to_value(&read).unwrap(), deltas);
    }
}

#[test]
fn the_record_does_not_depend_on_the_batches() {
    let record = |batches: &[usize]| {
        let mut proxy = guarded();
        proxy.respond(&events(), batches);
        show(&proxy.end())
    };
    for batches in [&[2][..], &[5, 1], &[100]] {
        assert_eq!(record(&[1]), record(batches), "{batches:?}");
    }
}

#[test]
fn a_call_that_is_only_recorded() {
    let proxy = Proxy::start(set(json!([{ "name": "all", "kind": "noop" }])));
    check(
        proxy,
        &response([text(0, ["one ", "two"])]),
        &[1],
        expect![[r#"
        0 {"type":"request","dialect":"openai-chat","upstream_dialect":"openai-chat","upstream":"openai","route":"fast","model":"fast","upstream_model":"gpt-5-mini","request":{"stream":true,"messages":[{"role":"user","content":[{"text":"hello"}]}]}}
        0 {"type":"admission","decision":"forward","revision":"…","pipeline":["all"],"interest":{"text":"record","thinking":"record","refusal":"record","tool_call":"record","opaque":"record"},"failure_mode":"closed"}
        1000 {"type":"step","seq":1,"step":"started","unchanged":true,"original":{"id":"r1","model":"gpt-5-mini-2026","created":1}}
        5000 {"type":"block","choice":0,"block":0,"kind":"text","first":2,"last":5,"arrived_us":2000,"stopped":true,"unchanged":true,"original":{"text":"one two"},"final":{"text":"one two"}}
        6000 {"type":"step","seq":6,"step":"finished","unchanged":true,"original":{"choice":0,"reason":"end_turn"}}
        8000 {"type":"step","seq":8,"step":"ended","unchanged":true,"original":{}}
        9000 {"type":"coverage","revision":"…","policies":[{"policy":"all","failed":false,"interest":{"text":"record","thinking":"record","refusal":"record","tool_call":"record","opaque":"record"},"kinds":{"text":{"unseen":1},"call":{"unseen":4}}}]}
        9000 {"type":"outcome","outcome":"delivered","status":200,"upstream_status":200,"written":0,"upstream_first_us":900,"client_first_us":1100,"ended_us":9000,"usage":{"input":5,"output":7},"received":4,"passed":4,"replaced":0,"dropped":0,"held":0,"not_shown":0}
    "#]],
    );
}

#[test]
fn a_recorded_block_has_its_gated_pieces_on_record() {
    let citation = delta(0, Delta::Opaque(json!({ "cited_text": "cool" })));
    let events = response([vec![start(0, BlockKind::Text), piece(0, "see"), citation, piece(0, " that"), stop(0)]]);
    let config = json!({ "replacements": [["cool", "radical"]], "apply_to": ["opaque"] });
    let mut proxy = Proxy::start(set(json!([{ "name": "b", "kind": "string_replacement", "config": config }])));
    proxy.respond(&events, &[1]);
    let entries = proxy.end();
    let blocks: Vec<Value> = entries.into_iter().filter(|entry| entry["body"]["type"] == "block").collect();
    expect![[r#"
        6000 {"type":"block","choice":0,"block":0,"kind":"text","first":2,"last":6,"arrived_us":2000,"stopped":true,"unchanged":false,"original":{"text":"see that","opaque":[{"cited_text":"cool"}]},"final":{"text":"see that","opaque":[{"cited_text":"radical"}]}}
    "#]].assert_eq(&show(&blocks));
}

#[test]
fn a_call_that_breaks_off() {
    let events = [&response([])[..1], &[start(0, BlockKind::Text), piece(0, "so coo"), failed()]].concat();
    check(
        guarded(),
        &events,
        &[1],
        expect![[r#"
            0 {"type":"request","dialect":"openai-chat","upstream_dialect":"openai-chat","upstream":"openai","route":"fast","model":"fast","upstream_model":"gpt-5-mini","request":{"stream":true,"messages":[{"role":"user","content":[{"text":"hello"}]}]}}
            0 {"type":"admission","decision":"forward","revision":"…","pipeline":["brand","guard"],"interest":{"text":"gate","thinking":"record","refusal":"record","tool_call":"gate","opaque":"gate"},"failure_mode":"closed"}
            1000 {"type":"step","seq":1,"step":"started","unchanged":true,"original":{"id":"r1","model":"gpt-5-mini-2026","created":1}}
            4000 {"type":"verdict","first":3,"through":4,"chunks":2,"dropped":0,"decision":"replace","policies":["brand"],"cancel_upstream":false}
            4000 {"type":"step","seq":4,"step":"failed","unchanged":true,"original":{"message":"overloaded"}}
            5000 {"type":"block","choice":0,"block":0,"kind":"text","first":2,"last":4,"arrived_us":2000,"stopped":false,"unchanged":true,"original":{"text":"so coo"},"final":{"text":"so coo"}}
            5000 {"type":"coverage","revision":"…","policies":[{"policy":"brand","failed":false,"interest":{"text":"gate","thinking":"record","refusal":"record","tool_call":"record","opaque":"record"},"kinds":{"text":{"hooks":{"on_content_chunk":2,"on_content_completed":1},"passed":1,"replaced":1},"call":{"unseen":2}}},{"policy":"guard","failed":false,"interest":{"text":"record","thinking":"record","refusal":"record","tool_call":"gate","opaque":"gate"},"kinds":{"text":{"unseen":3},"call":{"hooks":{"on_failed":1},"unseen":1,"passed":1}}}]}
            5000 {"type":"outcome","outcome":"delivered","status":200,"upstream_status":200,"written":4,"upstream_first_us":900,"client_first_us":1100,"ended_us":5000,"received":4,"passed":2,"replaced":2,"dropped":0,"held":0,"not_shown":0}
        "#]],
    );
}

#[test]
fn a_call_that_is_lost_with_chunks_held() {
    let mut proxy = guarded();
    proxy.respond(&events()[..13], &[1]);
    proxy.session.lost();
    expect![[r#"
        0 {"type":"request","dialect":"openai-chat","upstream_dialect":"openai-chat","upstream":"openai","route":"fast","model":"fast","upstream_model":"gpt-5-mini","request":{"stream":true,"messages":[{"role":"user","content":[{"text":"hello"}]}]}}
        0 {"type":"admission","decision":"forward","revision":"…","pipeline":["brand","guard"],"interest":{"text":"gate","thinking":"record","refusal":"record","tool_call":"gate","opaque":"gate"},"failure_mode":"closed"}
        1000 {"type":"step","seq":1,"step":"started","unchanged":true,"original":{"id":"r1","model":"gpt-5-mini-2026","created":1,"extras":{"service_tier":"default"}}}
        5000 {"type":"block","choice":0,"block":0,"kind":"thinking","first":2,"last":5,"arrived_us":2000,"stopped":true,"unchanged":true,"original":{"text":"hm","signature":"sig"},"final":{"text":"hm","signature":"sig"}}
        11000 {"type":"verdict","first":7,"through":9,"chunks":3,"dropped":1,"decision":"replace","policies":["brand"],"cancel_upstream":false}
        11000 {"type":"block","choice":0,"block":1,"kind":"text","first":6,"last":11,"arrived_us":6000,"stopped":true,"unchanged":false,"original":{"text":"This is cool stuff"},"final":{"text":"This is radical stuff"}}
        13000 {"type":"block","choice":0,"block":2,"kind":"tool_call","tool":"delete_all","first":12,"last":13,"arrived_us":12000,"stopped":false,"unchanged":false,"original":{"id":"call_2","name":"delete_all","form":"function","arguments":"{\"really\":"},"final":null}
        13000 {"type":"coverage","revision":"…","policies":[{"policy":"brand","failed":false,"interest":{"text":"gate","thinking":"record","refusal":"record","tool_call":"record","opaque":"record"},"kinds":{"text":{"hooks":{"on_content_chunk":5,"on_content_completed":1},"passed":3,"replaced":2,"dropped":1},"thinking":{"unseen":1},"tool_call":{"unseen":2},"call":{"unseen":1}}},{"policy":"guard","failed":false,"interest":{"text":"record","thinking":"record","refusal":"record","tool_call":"gate","opaque":"gate"},"kinds":{"text":{"unseen":5},"thinking":{"unseen":1},"tool_call":{"hooks":{"on_tool_call_chunk":2},"held":2,"undecided":2},"call":{"unseen":1}}}]}
        13000 {"type":"outcome","outcome":"unknown","status":0,"upstream_status":0,"written":0,"upstream_first_us":0,"client_first_us":0,"ended_us":0,"received":9,"passed":4,"replaced":2,"dropped":1,"held":2,"not_shown":0}
    "#]].assert_eq(&show(&proxy.rest()));
}

#[test]
fn an_opaque_step_is_on_record_whole() {
    let step: Event = Step::Opaque(json!({ "type": "odd", "tool": "delete_x" })).into();
    let events = response([vec![step]]);
    check(
        guarded(),
        &events,
        &[1],
        expect![[r#"
        0 {"type":"request","dialect":"openai-chat","upstream_dialect":"openai-chat","upstream":"openai","route":"fast","model":"fast","upstream_model":"gpt-5-mini","request":{"stream":true,"messages":[{"role":"user","content":[{"text":"hello"}]}]}}
        0 {"type":"admission","decision":"forward","revision":"…","pipeline":["brand","guard"],"interest":{"text":"gate","thinking":"record","refusal":"record","tool_call":"gate","opaque":"gate"},"failure_mode":"closed"}
        1000 {"type":"step","seq":1,"step":"started","unchanged":true,"original":{"id":"r1","model":"gpt-5-mini-2026","created":1}}
        2000 {"type":"verdict","first":2,"through":2,"chunks":1,"dropped":1,"decision":"drop","policies":["guard"],"annotations":[{"policy":"guard","seq":2,"severity":"warning","summary":"refused a call of delete_x: deletes","details":{"tool":"delete_x","reason":"deletes","rule":0}}],"cancel_upstream":false}
        2000 {"type":"step","seq":2,"step":"opaque","unchanged":false,"original":{"json":{"type":"odd","tool":"delete_x"}},"final":null}
        3000 {"type":"verdict","first":3,"through":3,"chunks":1,"dropped":0,"decision":"replace","policies":["guard"],"cancel_upstream":false}
        3000 {"type":"step","seq":3,"step":"finished","unchanged":true,"original":{"choice":0,"reason":"end_turn"}}
        3000 {"type":"block","choice":0,"block":2147483648,"kind":"text","first":3,"last":3,"arrived_us":3000,"stopped":true,"unchanged":false,"original":null,"final":{"text":"The call of delete_x was refused: deletes"}}
        5000 {"type":"step","seq":5,"step":"ended","unchanged":true,"original":{}}
        6000 {"type":"coverage","revision":"…","policies":[{"policy":"brand","failed":false,"interest":{"text":"gate","thinking":"record","refusal":"record","tool_call":"record","opaque":"record"},"kinds":{"call":{"unseen":5}}},{"policy":"guard","failed":false,"interest":{"text":"record","thinking":"record","refusal":"record","tool_call":"gate","opaque":"gate"},"kinds":{"call":{"hooks":{"on_finished":1,"on_opaque_chunk":1},"unseen":3,"replaced":1,"dropped":1}}}]}
        6000 {"type":"outcome","outcome":"delivered","status":200,"upstream_status":200,"written":5,"upstream_first_us":900,"client_first_us":1100,"ended_us":6000,"usage":{"input":5,"output":7},"received":5,"passed":3,"replaced":1,"dropped":1,"held":0,"not_shown":0}
    "#]],
    );
}
