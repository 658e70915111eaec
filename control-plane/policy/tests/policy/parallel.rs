//! `parallel`: judges that work at once, with models that the test plays.

use std::{collections::BTreeSet, sync::Arc};

use luthien_policy::{HookOutput, HookResult, Policy, PolicySet, Seen};
use luthien_proto::{
    Event, Step,
    event::ToolForm,
    message::{AdmissionDecision, Decision, FailureMode},
    request::Dialect,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    judge::data,
    proxy::{Proxy, set},
    response::{arguments, failed, opaque, read, response, start, stop, text, tool, tool_kind, tool_of},
    resume::blocks,
    scripted::{Act, Acting, Answered, Scripted, Together, question, scripted},
};

fn group(policies: Value) -> Value {
    json!({ "name": "all", "kind": "parallel", "config": { "policies": policies } })
}

fn grouped(policies: Value) -> Proxy {
    Proxy::start_with(set(json!([group(policies)])), Dialect::AnthropicMessages)
}

fn judge(name: &str) -> Value {
    json!({ "name": name, "kind": "tool_call_judge",
        "config": { "model": "m", "blocked_message_template": format!("{name}: no {{tool_name}}") } })
}

fn reader(name: &str) -> Value {
    json!({ "name": name, "kind": "llm_judge", "config": { "model": "m", "instructions": "Be kind." } })
}

fn rules(name: &str, deny: Value) -> Value {
    json!({ "name": name, "kind": "tool_call_rules",
        "config": { "deny": deny, "message": format!("{name}: no {{tool_name}}") } })
}

fn opinion(probability: f64) -> String {
    json!({ "probability": probability, "explanation": "so" }).to_string()
}

const PASS: &str = r#"{"decision":"pass"}"#;

#[test]
fn all_must_agree_and_the_call_waits_for_the_slowest() {
    let mut proxy = grouped(json!([judge("a"), judge("b"), reader("c")]));
    let events = response([tool(0, "ls", &["{}"])]);
    proxy.respond(&events, &[1]);
    assert_eq!(proxy.running.iter().collect::<Vec<_>>(), ["a/1", "b/1", "c/1"], "all are asked at once");
    proxy.answer("b/1", &opinion(0.1));
    proxy.answer("c/1", PASS);
    assert_eq!(proxy.released, events[..1]);
    proxy.answer("a/1", &opinion(0.2));
    assert_eq!(proxy.released, events);
    assert_eq!((proxy.held(), proxy.cancelled.len()), (0, 0));
}

#[test]
fn the_first_that_refuses_decides_and_the_others_are_asked_no_more() {
    let mut proxy = grouped(json!([judge("a"), judge("b"), judge("c")]));
    proxy.respond(&response([tool(0, "rm", &["{}"])]), &[1]);
    proxy.answer("a/1", &opinion(0.1));
    proxy.answer("b/1", &opinion(0.9));
    assert_eq!(read(&proxy.released), ["text: b: no rm"]);
    assert_eq!((proxy.held(), &proxy.cancelled), (0, &vec!["c/1".to_owned()]));
    let changes = proxy.verdicts.iter().filter(|verdict| !verdict.annotations.is_empty());
    assert!(changes.flat_map(|verdict| &verdict.annotations).all(|note| ["a", "b"].contains(&note.policy.as_str())));
}

#[test]
fn each_call_of_a_turn_has_its_own_outcome() {
    let mut proxy = grouped(json!([judge("a"), judge("b")]));
    let about = |proxy: &Proxy, policy: &str, tool: &str| {
        let mut ids = proxy.consults.keys().filter(|id| id.starts_with(policy));
        ids.find(|id| data(&proxy.consults[*id])["tool"] == tool).unwrap().clone()
    };
    let events = response([tool(0, "one", &["{}"]), tool(1, "two", &["{}"]), tool(2, "three", &["{}"])]);
    proxy.respond(&events, &[2]);
    let [b_three, a_one, b_two] = [("b", "three"), ("a", "one"), ("b", "two")].map(|(by, of)| about(&proxy, by, of));
    proxy.answer(&b_three, &opinion(0.9));
    assert_eq!(proxy.cancelled, [about(&proxy, "a", "three")], "whatever else is undecided");
    proxy.answer(&a_one, &opinion(0.9));
    assert_eq!(proxy.cancelled.len(), 2);
    assert_eq!(read(&proxy.released), ["text: a: no one"]);
    proxy.answer(&b_two, &opinion(0.0));
    assert_eq!(read(&proxy.released), ["text: a: no one"]);
    let a_two = about(&proxy, "a", "two");
    proxy.answer(&a_two, &opinion(0.0));
    assert_eq!(read(&proxy.released), ["text: a: no one", "call two: {}", "text: b: no three"]);
}

#[test]
fn what_is_written_anew_waits_for_those_who_may_refuse_it() {
    let events = response([text(0, ["one"]), tool(1, "rm", &["{}"])]);
    let arguments = r#"{"decision":"replace","arguments":{"a":1}}"#;
    let mut proxy = grouped(json!([reader("r"), judge("a")]));
    proxy.respond(&events, &[1]);
    proxy.answer("r/1", &json!({ "decision": "replace", "text": "two" }).to_string());
    assert_eq!(read(&proxy.released), ["text: two"], "nobody else reads texts");
    proxy.answer("r/2", arguments);
    assert_eq!(read(&proxy.released), ["text: two"]);
    assert!(proxy.cancelled.is_empty());
    proxy.answer("a/1", &opinion(0.9));
    assert_eq!(read(&proxy.released), ["text: two", "text: a: no rm"]);

    let mut proxy = grouped(json!([reader("r"), judge("a")]));
    proxy.respond(&events[4..], &[1]);
    proxy.answer("a/1", &opinion(0.1));
    proxy.answer("r/1", arguments);
    assert_eq!(read(&proxy.released), ["call rm: {\"a\":1}"]);
}

#[test]
fn of_several_that_write_a_text_anew_the_first_in_order_stands() {
    let replace = |text: &str| json!({ "decision": "replace", "text": text }).to_string();
    for order in [["r/1", "s/1"], ["s/1", "r/1"]] {
        for (of_s, expected) in
            [(replace("of s"), "text: of r"), ("?".to_owned(), "text: This text was refused: it could not be judged")]
        {
            let mut s = reader("s");
            s["config"]["retries"] = json!(0);
            let mut proxy = grouped(json!([reader("r"), s]));
            proxy.respond(&response([text(0, ["one"])]), &[1]);
            for id in order {
                if proxy.running.contains(id) {
                    proxy.answer(id, if id == "r/1" { "{\"decision\":\"replace\",\"text\":\"of r\"}" } else { &of_s });
                }
            }
            assert_eq!(read(&proxy.released), [expected]);
        }
    }
}

#[test]
fn a_rule_that_refuses_spares_the_judges() {
    for policies in [
        json!([judge("a"), rules("r", json!([{ "tool": "rm" }]))]),
        json!([rules("r", json!([{ "tool": "rm" }])), judge("a")]),
    ] {
        let mut proxy = grouped(policies);
        proxy.respond(&response([tool(0, "rm", &["{}"]), tool(1, "ls", &["{}"])]), &[1]);
        assert_eq!(proxy.consults.len() - proxy.cancelled.len(), 1, "only ls is asked about");
        let last = proxy.running.first().unwrap().clone();
        proxy.answer(&last, &opinion(0.0));
        assert_eq!(read(&proxy.released), ["text: r: no rm", "call ls: {}"]);
        assert_eq!(proxy.held(), 0);
    }
}

#[test]
fn rules_refuse_what_any_of_them_denies_and_say_so_once() {
    let all = [
        tool(0, "rm", &["{}"]),
        tool(1, "mv", &["{}"]),
        tool(2, "ls", &["{}"]),
        tool(3, "rm", &["mv"]),
        tool_of(4, "web_search", ToolForm::Server, &["{}"]),
        opaque(5, json!({ "type": "result", "tool_use_id": "call_4" }), [json!({ "more": 1 })]),
    ];
    let mut proxy = grouped(json!([
        rules("a", json!([{ "tool": "rm" }])),
        rules("b", json!([{ "tool": "mv" }, { "arguments": "mv" }, { "tool": "web_*" }])),
    ]));
    proxy.respond(&response(all), &[3]);
    let expected = ["text: a: no rm", "text: b: no mv", "call ls: {}", "text: a: no rm", "text: b: no web_search"];
    assert_eq!(read(&proxy.released), expected);
    assert_eq!(proxy.held(), 0);
}

#[test]
fn what_several_say_of_steps_is_all_said() {
    let step = |tool: &str| vec![Step::Opaque(json!({ "tool": tool })).into()];
    let mut proxy = grouped(json!([rules("a", json!([{ "tool": "rm" }])), rules("b", json!([{ "tool": "mv" }]))]));
    proxy.respond(&response([step("rm"), step("mv"), step("ls")]), &[1]);
    assert_eq!(read(&proxy.released), ["text: a: no rm", "text: b: no mv", "step {\"tool\":\"ls\"}"]);
}

#[test]
fn only_what_a_judge_wants_is_held_for_it() {
    let mut proxy = grouped(json!([judge("a"), rules("r", json!([{ "tool": "x" }]))]));
    proxy.send(&response([text(0, ["hello"])])[..4]);
    assert_eq!(read(&proxy.released), ["text: hello"]);
    assert_eq!(proxy.verdicts.len(), 1, "texts need no verdict");
}

#[test]
fn calls_that_interleave_are_each_settled() {
    let mut proxy = grouped(json!([judge("a"), judge("b")]));
    let calls = vec![
        start(0, tool_kind(0, "rm", ToolForm::Function)),
        start(1, tool_kind(1, "ls", ToolForm::Function)),
        arguments(0, "{}"),
        stop(0),
        arguments(1, "{}"),
    ];
    proxy.respond(&response([])[..1], &[1]);
    proxy.respond(&calls, &[1]);
    proxy.answer("a/1", &opinion(0.9));
    proxy.send(&[stop(1)]);
    proxy.send(&response([])[1..]);
    assert_eq!(read(&proxy.released), ["text: a: no rm"]);
    proxy.answer("a/2", &opinion(0.0));
    proxy.answer("b/2", &opinion(0.0));
    assert_eq!(read(&proxy.released), ["text: a: no rm", "call ls: {}"]);
    assert_eq!(proxy.held(), 0);
}

#[test]
fn what_breaks_off_is_let_through_by_nobody() {
    let mut proxy = grouped(json!([judge("a"), reader("b"), rules("r", json!([{ "tool": "x" }]))]));
    let events = [&response([text(0, ["one"])])[..4], &tool(1, "rm", &["{"])[..2], &[failed()]].concat();
    proxy.respond(&events, &[1]);
    proxy.answer("b/1", PASS);
    assert_eq!(read(&proxy.released), ["text: one", "failed: overloaded"]);
    assert_eq!(proxy.held(), 0);
}

#[test]
fn equal_calls_are_asked_about_until_nobody_waits() {
    let mut proxy = grouped(json!([judge("a"), judge("b")]));
    proxy.respond(&response([tool(0, "rm", &["{}"]), tool(1, "rm", &["{}"])]), &[9]);
    assert_eq!(proxy.consults.len(), 2, "each asks once");
    proxy.answer("b/1", &opinion(0.9));
    assert_eq!(proxy.cancelled, ["a/1"]);
    assert_eq!(read(&proxy.released), ["text: b: no rm", "text: b: no rm"]);
}

#[test]
fn closed_wins() {
    let member = |on_failure: &str| json!([{ "name": "a", "kind": "block_web_requests", "on_failure": on_failure }, { "name": "b", "kind": "prefer_uv", "on_failure": "open" }]);
    for (of_group, of_member, expected) in [
        ("open", "open", FailureMode::Open),
        ("open", "closed", FailureMode::Closed),
        ("closed", "open", FailureMode::Closed),
    ] {
        let mut policy = group(member(of_member));
        policy["on_failure"] = json!(of_group);
        let proxy = Proxy::start(set(json!([policy])));
        let AdmissionDecision::Forward(forward) = &proxy.admission.decision else { panic!() };
        assert_eq!(forward.failure_mode, expected, "{of_group} {of_member}");
    }
}

#[test]
fn a_judge_that_can_not_ask_fails_the_call_or_is_left_out() {
    for (on_failure, expected) in
        [("closed", vec!["failed: policy a failed"]), ("open", vec!["text: r: no rm", "call ls: {}"])]
    {
        let mut a = judge("a");
        a["on_failure"] = json!(on_failure);
        let mut r = rules("r", json!([{ "tool": "rm" }]));
        r["on_failure"] = json!(on_failure);
        let mut policy = group(json!([a, r]));
        policy["on_failure"] = json!(on_failure);
        let mut started = crate::proxy::call(Dialect::AnthropicMessages);
        started.capabilities.retain(|capability| capability != "consult");
        let mut proxy = Proxy::start_call(set(json!([policy])), started);
        proxy.respond(&response([tool(0, "rm", &["{}"]), tool(1, "ls", &["{}"])]), &[99]);
        assert_eq!(read(&proxy.released), expected);
    }
}

#[test]
fn coverage_notes_and_verdicts_name_the_member() {
    let mut proxy = grouped(json!([judge("a"), rules("r", json!([{ "tool": "rm" }]))]));
    assert_eq!(proxy.admission.pipeline, ["a", "r"]);
    proxy.respond(&response([tool(0, "rm", &["{}"])]), &[1]);
    let entries = proxy.end();
    let bodies: Vec<&Value> = entries.iter().map(|entry| &entry["body"]).collect();
    let verdicts = bodies.iter().filter(|body| body["type"] == "verdict");
    assert!(verdicts.clone().count() > 0 && verdicts.clone().all(|verdict| verdict["policies"] == json!(["r"])));
    let coverage = bodies.iter().find(|body| body["type"] == "coverage").unwrap();
    let of =
        |index: usize| (&coverage["policies"][index]["policy"], &coverage["policies"][index]["kinds"]["tool_call"]);
    assert_eq!(of(0).0, "a");
    assert_eq!((&of(0).1["held"], &of(0).1["undecided"], &of(0).1["dropped"]), (&json!(3), &json!(3), &Value::Null));
    assert_eq!((of(1).0, &of(1).1["replaced"], &of(1).1["dropped"]), (&json!("r"), &json!(1), &json!(2)));
    let consult = bodies.iter().find(|body| body["type"] == "consult").unwrap();
    assert_eq!(
        (&consult["policy"], &consult["id"], &consult["state"]),
        (&json!("a"), &json!("a/1"), &json!("cancelled"))
    );
}

fn together(members: impl IntoIterator<Item = Scripted>) -> Proxy {
    let group: Arc<dyn Policy> = Arc::new(Together::of("all", members));
    Proxy::start(Arc::new(PolicySet::of("rev".to_owned(), vec![group]).unwrap()))
}

/// Holds each block from its start, and asks about it when it has stopped.
fn hold_and_ask(acting: &mut Acting, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
    if seen.block.is_some() {
        acting.held.push(out.hold());
    }
    if matches!(seen.event.step, Step::BlockStopped(_)) {
        acting.asked.push(out.consult(question(&format!("chunk {}?", seen.seq))));
    }
    Ok(())
}

#[test]
fn one_that_ends_the_response_ends_it_for_all() {
    let ends: Act = |_, seen, out| {
        if seen.block.is_none() && !matches!(seen.event.step, Step::Started(_)) {
            let events = text(out.new_block().0, ["That is all."]);
            out.end(events, None, true);
        }
        Ok(())
    };
    let passes: Answered = |acting, _, out| {
        acting.held.drain(..).for_each(|held| out.pass_held(held));
        Ok(())
    };
    let asks = |name| Scripted { answered: passes, ..scripted(name, hold_and_ask) };
    let mut proxy = together([asks("a"), scripted("b", ends), asks("c")]);
    proxy.respond(&response([text(0, ["one"])])[..5], &[1]);
    assert_eq!(read(&proxy.released), [""; 0], "what comes before it waits for all");
    proxy.answer("a/1", "yes");
    proxy.answer("c/1", "yes");
    assert_eq!(read(&proxy.released), ["text: one", "text: That is all."]);
    assert!(proxy.ended_by_policy);
    let end = proxy.verdicts.last().unwrap();
    assert!(matches!(end.decision, Decision::End { .. }) && end.cancel_upstream);

    let ends_at_once: Act = |_, seen, out| {
        if matches!(seen.event.step, Step::BlockStopped(_)) {
            out.end(Vec::new(), None, false);
        }
        Ok(())
    };
    let mut proxy = together([asks("a"), scripted("b", ends_at_once)]);
    proxy.respond(&response([text(0, ["one"])])[..4], &[1]);
    assert!(proxy.ended_by_policy);
    assert!(proxy.running.is_empty(), "nobody is asked any more");
}

#[test]
fn one_that_fails_when_it_hears_that_a_block_is_moot_fails_like_any_other() {
    let drops: Act = |_, seen, out| {
        if seen.block.is_some() {
            out.drop_chunk();
        }
        Ok(())
    };
    // It decides about what it does not hold any more.
    let late: Act = |acting, seen, out| {
        if matches!(seen.event.step, Step::BlockStarted(_)) {
            acting.held.push(out.hold());
        }
        if let Step::Finished(_) = seen.event.step {
            acting.held.drain(..).for_each(|held| out.pass_held(held));
        }
        Ok(())
    };
    for (failure_mode, expected) in
        [(FailureMode::Closed, vec!["failed: policy a failed"]), (FailureMode::Open, vec![])]
    {
        let late = Scripted { failure_mode, ..scripted("a", late) };
        let mut proxy = together([late, scripted("b", drops)]);
        proxy.respond(&response([text(0, ["one"])]), &[1]);
        assert_eq!(read(&proxy.released), expected);
    }
}

#[test]
fn a_group_goes_on_with_another_service() {
    let mut proxy = grouped(json!([judge("a"), judge("b")]));
    let events = response([tool(0, "ls", &["{}"]), tool(1, "rm", &["{}"])]);
    proxy.respond(&events[..7], &[2]);
    proxy.answer("a/1", &opinion(0.0));
    proxy.answer("b/2", &opinion(0.9));
    proxy.resume();
    assert_eq!(proxy.running.iter().collect::<Vec<_>>(), ["b/1"]);
    proxy.answer("b/1", &opinion(0.0));
    proxy.respond(&events[7..], &[2]);
    assert_eq!(read(&proxy.released), ["call ls: {}", "text: b: no rm"]);
}

#[test]
fn a_group_that_can_not_be_is_told_with_its_key() {
    let noop = json!({ "name": "n", "kind": "noop" });
    let brand = json!({ "name": "n", "kind": "string_replacement", "config": { "replacements": [["a", "b"]] } });
    let cases = [
        (json!({}), "config.policies: there are none"),
        (json!({ "policies": [] }), "config.policies: there are none"),
        (json!({ "policies": [judge("a"), noop] }), "config.policies[1].kind: \"noop\" is no kind of judge"),
        (json!({ "policies": [brand] }), "config.policies[0].kind: \"string_replacement\" is no kind of judge"),
        (
            json!({ "policies": [group(json!([judge("a")]))] }),
            "config.policies[0].kind: \"parallel\" is no kind of judge",
        ),
        (json!({ "policies": [judge("")] }), "config.policies[0].name: it is empty"),
        (
            json!({ "policies": [judge("a"), judge("a")] }),
            "config.policies[1].name: there is another policy of that name",
        ),
        (json!({ "policies": [judge("all")] }), "config.policies[0].name: there is another policy of that name"),
        (
            json!({ "policies": [{ "name": "a", "kind": "llm_judge" }] }),
            "config.policies[0].config.instructions: they are missing",
        ),
        (
            json!({ "policies": [{ "name": "a", "kind": "prefer_uv", "x": 1 }] }),
            "config.policies[0]: unknown field `x`",
        ),
        (json!({ "policies": [1] }), "config.policies[0]: invalid type"),
        (json!({ "policies": [judge("a")], "mode": 1 }), "config.mode: unknown key; there are: policies"),
    ];
    for (config, expected) in cases {
        let set = json!({ "policies": [{ "name": "all", "kind": "parallel", "config": config }] });
        let error = PolicySet::build(serde_json::from_value(set).unwrap()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("policies[0] (all).{expected}")), "{error}");
    }
    let set = json!({ "policies": [judge("a"), group(json!([judge("a")]))], "pipeline": ["a", "all"] });
    let error = PolicySet::build(serde_json::from_value(set).unwrap()).unwrap_err().to_string();
    assert_eq!(error, "pipeline[1]: policy \"a\" is in the pipeline already");
}

/// What a client gets of a response, and in which chunks it was settled.
fn play(policies: Value, events: &[Event], batches: &[usize]) -> (Vec<Event>, usize) {
    let mut proxy = Proxy::start_with(set(policies), Dialect::AnthropicMessages);
    proxy.respond(events, batches);
    let held = proxy.held();
    (proxy.released, held)
}

/// Answers what runs, in that order, until nothing does. `bad`: what those about each block think of it.
fn answer_all(proxy: &mut Proxy, order: &[prop::sample::Index], bad: impl Fn(&str, &Value) -> bool) {
    let mut order = order.iter().cycle();
    while !proxy.running.is_empty() {
        let running: Vec<String> = proxy.running.iter().cloned().collect();
        let id = &running[order.next().unwrap().index(running.len())];
        let is_bad = bad(&id[..1], &data(&proxy.consults[id]));
        let is_reader = id.starts_with(['r', 's']);
        let is_call = data(&proxy.consults[id])["tool"].is_string();
        let answer = match (is_reader, is_bad) {
            (true, true) if id.starts_with('s') => match is_call {
                true => json!({ "decision": "replace", "arguments": { "of": "s" } }).to_string(),
                false => json!({ "decision": "replace", "text": "of s" }).to_string(),
            },
            (false, is_bad) => opinion(if is_bad { 0.9 } else { 0.1 }),
            (true, false) => PASS.to_owned(),
            (true, true) => json!({ "decision": "replace", "text": "no" }).to_string(),
        };
        proxy.answer(id, &answer);
    }
}

proptest! {
    #[test]
    fn rules_that_deny_nothing_change_nothing(events in blocks(), batches in prop::collection::vec(1_usize..6, 1..4)) {
        let never = |name| rules(name, json!([{ "tool": "never" }]));
        let (released, held) = play(json!([group(json!([never("a"), never("b")]))]), &events, &batches);
        prop_assert_eq!(&released, &events);
        prop_assert_eq!(held, 0);
    }

    #[test]
    fn a_group_of_one_is_that_one(events in blocks(), batches in prop::collection::vec(1_usize..6, 1..4)) {
        let one = rules("a", json!([{ "tool": "d*" }, { "arguments": "cc" }]));
        let alone = play(json!([one]), &events, &batches);
        prop_assert_eq!(play(json!([group(json!([one]))]), &events, &batches), alone);
    }

    #[test]
    fn rules_in_a_group_refuse_the_union(events in blocks(), batches in prop::collection::vec(1_usize..6, 1..4)) {
        let (of_a, of_b) = (json!({ "tool": "d*" }), json!({ "arguments": "b" }));
        let say = |name: &str, deny: Value| json!({ "name": name, "kind": "tool_call_rules", "config": { "deny": deny, "message": "no" } });
        let union = play(json!([say("u", json!([of_a, of_b]))]), &events, &batches);
        let both = group(json!([say("a", json!([of_a])), say("b", json!([of_b]))]));
        let (released, held) = play(json!([both]), &events, &batches);
        prop_assert_eq!(read(&released), read(&union.0));
        prop_assert_eq!(held, union.1);
    }

    /// What is refused depends on no order; which text stands may.
    #[test]
    fn whatever_the_order_of_answers_the_same_is_refused(
        events in blocks(),
        batches in prop::collection::vec(1_usize..6, 1..4),
        orders in prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 24), 2),
        early in any::<bool>(),
    ) {
        let bad = |policy: &str, data: &Value| {
            let content = data["arguments"].as_str().or(data["text"].as_str()).unwrap_or_default();
            match policy {
                "a" => content.contains('a'),
                "b" => content.contains("b"),
                "s" => content.contains("c"),
                _ => content.contains("cc"),
            }
        };
        let outcome = |order: &[prop::sample::Index]| {
            let mut proxy = grouped(json!([judge("a"), judge("b"), reader("r"), reader("s")]));
            if early {
                let (first, rest) = events.split_at(events.len() / 2);
                proxy.respond(first, &batches);
                answer_all(&mut proxy, order, bad);
                proxy.respond(rest, &batches);
            } else {
                proxy.respond(&events, &batches);
            }
            answer_all(&mut proxy, order, bad);
            assert_eq!(proxy.held(), 0);
            let refused = |line: String| if line.starts_with("text: a: no ") || line.starts_with("text: b: no ") { "text: no".to_owned() } else { line };
            read(&proxy.released).into_iter().map(refused).collect::<Vec<_>>()
        };
        let outcomes: BTreeSet<Vec<String>> = orders.iter().map(|order| outcome(order)).collect();
        prop_assert_eq!(outcomes.len(), 1, "{:?}", outcomes);
        let expected: Vec<String> = read(&events).into_iter().map(|line| {
            let content = line.split_once(": ").map(|(_, content)| content).unwrap_or_default();
            let asked = |policies: &str| policies.chars().any(|policy| bad(&policy.to_string(), &json!({ "text": content })));
            match line.split_once(' ').unwrap().0 {
                "call" if asked("abr") => "text: no".to_owned(),
                "call" if asked("s") => format!("{}: {{\"of\":\"s\"}}", line.split_once(':').unwrap().0),
                "text:" if asked("r") => "text: no".to_owned(),
                "text:" if asked("s") => "text: of s".to_owned(),
                _ => line,
            }
        }).collect();
        prop_assert_eq!(&outcomes.into_iter().next().unwrap(), &expected);
    }
}
