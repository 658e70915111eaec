//! Other policies over calls that are on record.

use std::sync::Arc;

use luthien_policy::{
    PolicySet,
    replay::{self, Decided, Next, Recorded, Replay},
};
use luthien_proto::{Event, event::ToolForm};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    proxy::{Proxy, set},
    response::{failed, opaque, response, text, thinking, tool, tool_of},
};

fn brand(instead: &str) -> Value {
    json!({ "name": "brand", "kind": "string_replacement", "config": { "replacements": [["cool", instead]] } })
}

fn guard(tools: &str) -> Value {
    json!({
        "name": "guard", "kind": "tool_call_rules", "config": { "deny": [{ "tool": tools, "reason": "deletes" }] },
    })
}

fn judge() -> Arc<PolicySet> {
    set(json!([{ "name": "judge", "kind": "tool_call_judge", "config": { "model": "judge" } }]))
}

/// The call as the API would show it.
fn on_record(proxy: Proxy) -> Recorded {
    let entries: Vec<Value> = proxy.end();
    let call = json!({
        "call_id": "0198c9a5-7e4c-7000-8000-000000000001", "started_at": "2023-11-14T22:13:20Z", "entries": entries,
    });
    Recorded::read(&call).unwrap().unwrap()
}

fn recorded(set: Arc<PolicySet>, events: &[Event]) -> Recorded {
    let mut proxy = Proxy::start(set);
    proxy.respond(events, &[3]);
    on_record(proxy)
}

/// What the policies decide, where no model is asked anything that is not on record.
fn decided(set: Arc<PolicySet>, recorded: &Recorded) -> Decided {
    match Replay::begin(set, recorded).poll().unwrap() {
        Next::Done(decided) => *decided,
        Next::Ask(consult) => panic!("{consult:?}"),
    }
}

fn differences(set: Arc<PolicySet>, recorded: &Recorded) -> Value {
    json!(replay::differences(&recorded.decided, &decided(set, recorded)))
}

fn events() -> Vec<Event> {
    response([
        thinking(0, &["hm, coo", "l"], None),
        text(1, ["This is co", "o", "l", " stuff"]),
        tool(2, "delete_all", &["{\"path\":", "\"cool\"}"]),
        tool_of(3, "search", ToolForm::Server, &["{}"]),
        opaque(4, json!({ "type": "later" }), [json!({ "piece": "cool" })]),
    ])
}

#[test]
fn the_same_policies_decide_the_same() {
    let set = set(json!([brand("radical"), guard("delete_*")]));
    assert_eq!(differences(set.clone(), &recorded(set, &events())), json!([]));
}

#[test]
fn other_policies_differ_where_they_decide_otherwise() {
    let recorded = recorded(set(json!([brand("radical")])), &events());
    let differences = differences(set(json!([brand("radical"), guard("delete_*")])), &recorded);
    assert_eq!(
        differences,
        json!([
            {
                "at": "block", "kind": "tool_call", "tool": "delete_all", "seq": 12,
                "before": {
                    "decision": "replace", "policies": ["brand"],
                    "content": {
                        "id": "call_2", "name": "delete_all", "form": "function", "arguments": "{\"path\":\"radical\"}",
                    },
                },
                "after": { "decision": "withhold", "policies": ["brand", "guard"] },
            },
            {
                "at": "block", "kind": "text",
                "before": { "decision": "none" },
                "after": {
                    "decision": "make", "policies": ["guard"],
                    "content": { "text": "The call of delete_all was refused: deletes" },
                },
            },
        ])
    );
}

#[test]
fn a_response_that_failed_and_one_that_was_refused_are_judged_as_far_as_they_came() {
    let set = set(json!([brand("radical")]));
    let mut broken = events()[..8].to_vec();
    broken.push(failed());
    assert_eq!(differences(set.clone(), &recorded(set.clone(), &broken)), json!([]));
    assert!(!recorded(set, &broken).is_cut);
}

#[test]
fn what_a_model_was_asked_is_answered_from_the_record() {
    let mut proxy = Proxy::start(judge());
    proxy.send(&events());
    let asked: Vec<String> = proxy.running.iter().cloned().collect();
    for id in asked {
        proxy.answer(&id, r#"{"probability":0.9,"explanation":"it deletes"}"#);
    }
    let recorded = on_record(proxy);
    assert_eq!(differences(judge(), &recorded), json!([]));
}

#[test]
fn a_question_that_is_not_on_record_is_put_to_whoever_replays() {
    let recorded = recorded(set(json!([])), &events());
    let mut replay = Replay::begin(judge(), &recorded);
    let mut asked = 0;
    let decided = loop {
        match replay.poll().unwrap() {
            Next::Ask(consult) => {
                asked += 1;
                let opinion = r#"{"probability":0.9,"explanation":"it deletes"}"#;
                replay.answer(&consult.id, response([text(0, [opinion])])).unwrap();
            }
            Next::Done(decided) => break *decided,
        }
    };
    assert!(asked > 0);
    let differences = json!(replay::differences(&recorded.decided, &decided));
    assert_eq!(differences[0]["tool"], "delete_all");
    assert_eq!(differences[0]["after"], json!({ "decision": "withhold", "policies": ["judge"] }));
}

#[test]
fn a_call_that_no_policy_was_asked_about_is_not_compared() {
    let report = json!({ "body": { "type": "report", "outcome": "failed" } });
    assert!(Recorded::read(&json!({ "entries": [report] })).unwrap().is_none());
}

#[test]
fn a_record_that_cannot_be_read_is_refused_with_the_place() {
    let admission = json!({ "body": { "type": "admission", "decision": "forward" } });
    for (call, named) in [
        (json!([]), "call"),
        (json!({ "entries": [admission] }), "a call without its request"),
        (json!({ "entries": [admission, { "body": { "type": "request", "dialect": "morse" } }] }), "call.call_id"),
        (
            json!({
                "call_id": "0198c9a5-7e4c-7000-8000-000000000001",
                "entries": [admission, { "body": { "type": "request", "dialect": "morse", "request": {} } }],
            }),
            "request.dialect",
        ),
    ] {
        let error = Recorded::read(&call).unwrap_err().to_string();
        assert!(error.starts_with(named), "{error}");
    }
}

proptest! {
    #[test]
    fn whatever_was_said_in_whatever_pieces_the_same_policies_decide_the_same(
        pieces in prop::collection::vec("[col ]{1,4}", 1..12),
        arguments in "[col]{0,6}",
        batch in 1..5_usize,
        policies in prop::sample::subsequence(vec![brand("radical"), guard("delete_*")], 0..=2),
    ) {
        let arguments = json!({ "path": arguments }).to_string();
        let (head, tail) = arguments.split_at(arguments.len() / 2);
        let events = response([
            thinking(0, &["c", "ool"], Some("proof")),
            text(1, pieces.iter().map(String::as_str)),
            tool(2, "delete_all", &[head, tail]),
            tool(3, "read", &[head, tail]),
        ]);
        let set = set(json!(policies));
        let mut proxy = Proxy::start(set.clone());
        proxy.respond(&events, &[batch]);
        prop_assert_eq!(differences(set, &on_record(proxy)), json!([]));
    }
}
