//! `tool_call_rules`, over every form of call.

use expect_test::{Expect, expect};
use luthien_proto::{
    Event, Step,
    event::{BlockKind, Delta, ToolForm},
    message::Decision,
    request::Dialect,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    proxy::{Proxy, set},
    response::{arguments, delta, failed, opaque, piece, read, response, start, stop, text, tool, tool_kind, tool_of},
};

fn guard(config: Value) -> Proxy {
    let set = set(json!([{ "name": "guard", "kind": "tool_call_rules", "config": config }]));
    Proxy::start_with(set, Dialect::AnthropicMessages)
}

fn destruction() -> Value {
    json!({
        "deny": [
            { "tool": "delete_*", "reason": "deletes" },
            { "tool": "Bash", "arguments": r"rm\s+-rf", "reason": "deletes recursively" },
        ],
        "message": "Refused {tool_name}({tool_arguments}): {reason}",
    })
}

fn check(config: Value, blocks: impl IntoIterator<Item = Vec<Event>>, expected: Expect) {
    let mut proxy = guard(config);
    proxy.respond(&response(blocks), &[1]);
    assert_eq!(proxy.held(), 0);
    expected.assert_eq(&read(&proxy.released).join("\n"));
}

#[test]
fn a_refused_call_becomes_a_text_and_the_others_stay() {
    check(
        destruction(),
        [
            text(0, ["Let me ", "see."]),
            tool(1, "Bash", &["{\"command\": \"ls\"}"]),
            tool(2, "Bash", &["{\"command\": \"rm ", " -rf /\"}"]),
            tool(3, "delete_user", &["{}"]),
            tool(4, "Read", &["{\"path\": \"rm -rf\"}"]),
        ],
        expect![[r#"
            text: Let me see.
            call Bash: {"command": "ls"}
            text: Refused Bash({"command": "rm  -rf /"}): deletes recursively
            text: Refused delete_user({}): deletes
            call Read: {"path": "rm -rf"}"#]],
    );
}

#[test]
fn calls_that_interleave_are_judged_each_by_itself() {
    let mut proxy = guard(destruction());
    let calls = vec![
        start(0, tool_kind(0, "Bash", ToolForm::Function)),
        start(1, tool_kind(1, "Bash", ToolForm::Function)),
        arguments(0, "{\"command\": \"rm "),
        arguments(1, "{\"command\": "),
        arguments(0, "-rf /\"}"),
        arguments(1, "\"ls\"}"),
        stop(0),
        stop(1),
    ];
    let events = response([calls]);
    proxy.respond(&events[..7], &[1]);
    assert_eq!(read(&proxy.released), [""; 0], "nothing before the first call is whole");
    proxy.respond(&events[7..], &[1]);
    let expected =
        ["text: Refused Bash({\"command\": \"rm -rf /\"}): deletes recursively", "call Bash: {\"command\": \"ls\"}"];
    assert_eq!(read(&proxy.released), expected);
    assert_eq!(proxy.held(), 0);
}

#[test]
fn text_needs_no_verdict_and_waits_for_none() {
    let mut proxy = guard(destruction());
    proxy.respond(&response([])[..1], &[1]);
    proxy.send(&[start(0, BlockKind::Text), piece(0, "hello")]);
    assert_eq!(read(&proxy.released), ["text: hello…"]);
    assert_eq!(proxy.verdicts.len(), 1);
}

#[test]
fn arguments_are_searched_without_their_escapes_and_as_they_came() {
    let deny = |arguments: &str| json!({ "deny": [{ "arguments": arguments }], "message": "no" });
    let cases = [
        (r"rm\s+-rf", r#"{"a": ["x", {"b": "\u0072m\t-rf"}]}"#),
        ("^secret$", r#"{"secret": 1}"#),
        ("^secret$", r#"{"\u0073ecret": 1}"#),
        (r#""n":\s*7"#, r#"{"n": 7}"#),
        ("rm -rf", r#"{"cmd": "\u0072m -rf"#),
        ("rm -rf", r"\u0072m -rf"),
        ("rm -rf", r#"{"a":1,"a":"rm -rf"}"#),
    ];
    for (regex, arguments) in cases {
        let mut proxy = guard(deny(regex));
        proxy.respond(&response([tool(0, "f", &[arguments])]), &[1]);
        assert_eq!(read(&proxy.released), ["text: no"], "{regex} in {arguments}");
    }
    let mut proxy = guard(deny("rm -rf"));
    proxy.respond(&response([tool_of(0, "sh", ToolForm::Custom, &["rm ", "-rf"])]), &[1]);
    assert_eq!(read(&proxy.released), ["text: no"]);
}

#[test]
fn every_form_of_call_is_in_reach() {
    check(
        json!({ "deny": [{ "tool": "x*" }], "message": "no {tool_name}" }),
        [
            tool_of(0, "x-custom", ToolForm::Custom, &["a"]),
            tool_of(1, "x-legacy", ToolForm::Legacy, &["{}"]),
            tool_of(2, "x-server", ToolForm::Server, &["{}"]),
            opaque(3, json!({ "type": "x_result", "tool_use_id": "call_2", "content": [] }), [json!({ "more": 1 })]),
            opaque(4, json!({ "type": "other_result", "tool_use_id": "call_9" }), []),
            opaque(5, json!({ "type": "odd_call", "function": { "name": "x-odd" } }), []),
            vec![Step::Opaque(json!({ "tool": "x-step" })).into()],
            vec![Step::Opaque(json!({ "tool": "y-step" })).into()],
        ],
        expect![[r#"
            text: no x-custom
            text: no x-legacy
            text: no x-server
            opaque {"type":"other_result","tool_use_id":"call_9"}
            text: no x-odd
            text: no x-step
            step {"tool":"y-step"}"#]],
    );
}

#[test]
fn the_pieces_of_an_opaque_call_are_put_together() {
    let piece = |text: &str| json!({ "type": "input_json_delta", "partial_json": text });
    check(
        json!({ "deny": [{ "tool": "odd", "arguments": "rm -rf" }], "message": "no" }),
        [
            opaque(0, json!({ "type": "odd_use", "name": "odd" }), [piece("{\"c\":\"r"), piece("m -rf\"}")]),
            opaque(1, json!({ "type": "odd_use", "name": "odd" }), [piece("{\"c\":\"r"), piece("m\"}")]),
        ],
        expect![[r#"
            text: no
            opaque {"type":"odd_use","name":"odd"} {"type":"input_json_delta","partial_json":"{\"c\":\"r"} {"type":"input_json_delta","partial_json":"m\"}"}"#]],
    );
}

#[test]
fn pieces_are_put_together_wherever_in_an_opaque_call_they_stand() {
    let shell = |command: &str| json!({ "shell": { "command": command } });
    let named = |name: &str| json!({ "call": { "name": name } });
    for (deny, begins, goes_on) in [
        (json!({ "arguments": "rm -rf" }), shell("r"), shell("m -rf")),
        (json!({ "arguments": "rm -rf" }), shell("{\"c\":\"r\\u006"), shell("d -rf\"}")),
        (json!({ "tool": "shell" }), named("she"), named("ll")),
    ] {
        check(json!({ "deny": [deny], "message": "no" }), [opaque(0, begins, [goes_on])], expect!["text: no"]);
    }
}

#[test]
fn what_stands_beside_a_call_is_a_part_of_it() {
    let beside = |mut event: Event, fields: Value| {
        event.extras.insert("tool_call", fields);
        event
    };
    let odd = |fields: Value| delta(0, Delta::Opaque(fields));
    let safe = || start(0, tool_kind(0, "Read", ToolForm::Function));
    let custom = |input: &str| json!({ "custom": { "input": input } });
    for call in [
        vec![beside(safe(), custom("rm -rf")), stop(0)],
        vec![beside(safe(), custom("rm ")), beside(arguments(0, "{}"), custom("-rf")), stop(0)],
        vec![safe(), beside(stop(0), custom("rm -rf"))],
        vec![safe(), odd(custom("rm ")), odd(custom("-rf")), stop(0)],
        vec![safe(), odd(json!({ "function": { "arguments": ["rm -rf"] } })), stop(0)],
        vec![beside(safe(), json!({ "name": "shell" })), stop(0)],
    ] {
        let deny = json!([{ "arguments": "rm -rf" }, { "tool": "shell" }]);
        check(json!({ "deny": deny, "message": "no" }), [call], expect!["text: no"]);
    }
}

#[test]
fn a_call_that_stands_beside_an_error_is_refused() {
    let mut proxy = guard(json!({ "deny": [{ "arguments": "rm -rf" }] }));
    let call = json!([{ "message": { "tool_calls": [{ "function": { "arguments": "{\"c\":\"\\u0072m -rf\"}" } }] } }]);
    let mut error = failed();
    error.extras.insert("choices", call);
    proxy.respond(&[error], &[1]);
    assert_eq!(proxy.released, [failed()]);
}

#[test]
fn a_rule_without_conditions_denies_every_call_and_nothing_else() {
    check(
        json!({ "deny": [{}] }),
        [text(0, ["hi"]), tool(1, "f", &["{}"]), opaque(2, json!({ "type": "container" }), [])],
        expect![[r#"
            text: hi
            text: The call of f was refused: policy guard does not allow it
            opaque {"type":"container"}"#]],
    );
}

#[test]
fn opaque_pieces_go_the_way_of_their_block() {
    let odd = |key| delta(key, Delta::Opaque(json!({ "type": "odd" })));
    check(
        destruction(),
        [
            vec![start(0, tool_kind(0, "delete_x", ToolForm::Function)), odd(0), stop(0)],
            vec![start(1, tool_kind(1, "Read", ToolForm::Function)), odd(1), stop(1)],
        ],
        expect![[r#"
            text: Refused delete_x(): deletes
            call Read:  {"type":"odd"}"#]],
    );
}

#[test]
fn a_call_that_broke_off_is_not_let_through() {
    let mut proxy = guard(destruction());
    proxy.respond(&response([])[..1], &[1]);
    proxy.respond(&[start(0, tool_kind(0, "Bash", ToolForm::Function)), arguments(0, "{\"command\": \"l")], &[1]);
    proxy.respond(&[start(1, BlockKind::Opaque(json!({ "type": "odd" }))), failed()], &[1]);
    assert_eq!(read(&proxy.released), ["failed: overloaded"]);
    assert_eq!(proxy.held(), 0);
}

#[test]
fn a_refusal_is_noted_with_its_rule() {
    let mut proxy = guard(destruction());
    proxy.respond(&response([tool(0, "Bash", &["{\"c\":\"rm -rf\"}"])]), &[9]);
    let notes = proxy.annotations();
    assert_eq!(notes.len(), 1);
    assert_eq!(notes[0].summary, "refused a call of Bash: deletes recursively");
    assert_eq!(notes[0].details, Some(json!({ "tool": "Bash", "reason": "deletes recursively", "rule": 1 })));
}

proptest! {
    /// Calls, and in which order their parts come.
    #[test]
    fn whatever_the_order_every_chunk_is_settled_once_and_only_what_is_denied_is_missing(
        denied in prop::collection::vec(any::<bool>(), 1..5),
        order in prop::collection::vec(any::<prop::sample::Index>(), 40),
        batches in prop::collection::vec(1_usize..5, 1..4),
    ) {
        let mut calls: Vec<Vec<Event>> = denied.iter().zip(0..).map(|(denied, key)| {
            let arguments = if *denied { ["{\"c\":\"rm", " -rf\"}"] } else { ["{\"c\":", "\"ls\"}"] };
            tool(key, "Bash", &arguments)
        }).collect();
        let mut parts = Vec::new();
        for index in order {
            let left: Vec<usize> = (0..calls.len()).filter(|call| !calls[*call].is_empty()).collect();
            if !left.is_empty() {
                parts.push(calls[left[index.index(left.len())]].remove(0));
            }
        }
        let mut proxy = guard(destruction());
        let events = response([parts]);
        proxy.respond(&events, &batches);
        prop_assert_eq!(proxy.held(), 0);
        let is_passed = |event: &&Event| proxy.released.contains(event);
        prop_assert!(denied.iter().any(|denied| *denied) || events.iter().all(|event| is_passed(&event)));
        let left = read(&proxy.released);
        prop_assert_eq!(left.len(), denied.len());
        let calls = left.iter().filter(|line| line.starts_with("call")).count();
        prop_assert_eq!(calls, denied.iter().filter(|denied| !**denied).count());
        prop_assert!(left.iter().all(|line| line.starts_with("text") || line.ends_with("{\"c\":\"ls\"}")), "{left:?}");
        let passes = proxy.verdicts.iter().all(|verdict| verdict.decision == Decision::Pass);
        prop_assert_eq!(passes, !denied.iter().any(|denied| *denied));
    }
}
