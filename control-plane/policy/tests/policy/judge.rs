//! `tool_call_judge`, with a judge that the test plays.

use std::collections::BTreeSet;

use expect_test::expect;
use luthien_proto::{
    Event, Step,
    event::{BlockKind, Delta, ToolForm},
    message::{CallStarted, Consult, Credentials, Severity},
    request::{ContentBlock, Dialect, OutputFormat},
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    proxy::{Proxy, set},
    response::{
        arguments, block, delta, failed, opaque, piece, read, response, start, stop, text, tool, tool_kind, tool_of,
    },
};

fn judged(config: Value) -> Proxy {
    let mut whole =
        json!({ "model": "judge", "blocked_message_template": "no {tool_name} ({probability}): {explanation}" });
    whole.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    let set = set(json!([{ "name": "guard", "kind": "tool_call_judge", "config": whole }]));
    Proxy::start_with(set, Dialect::AnthropicMessages)
}

fn opinion(probability: f64) -> String {
    json!({ "probability": probability, "explanation": "it says so" }).to_string()
}

/// What the judge was told, as data.
pub fn data(consult: &Consult) -> Value {
    let [message] = consult.request.messages.as_slice() else { panic!("{consult:?}") };
    assert_eq!(message.role, "user");
    let ContentBlock::Text(text) = &message.content[0].block else { panic!("{message:?}") };
    let lines: Vec<&str> = text.split('\n').collect();
    let [_, before, data, behind] = lines.as_slice() else { panic!("{text}") };
    assert!(before == behind && before.starts_with("data-"), "{text}");
    serde_json::from_str(data).unwrap()
}

/// The consult about a call of that tool.
fn about(proxy: &Proxy, tool: &str) -> String {
    let found = proxy.running.iter().find(|id| data(&proxy.consults[*id])["tool"] == tool);
    found.unwrap_or_else(|| panic!("nobody asked about {tool}")).clone()
}

#[test]
fn text_flows_while_a_call_is_judged() {
    let mut proxy = judged(json!({}));
    let calls = [tool(0, "rm", &["{\"path\":", "\"/\"}"])];
    proxy.send(&response([])[..1]);
    proxy.send(&text(7, ["hello"]));
    proxy.send(&calls.concat());
    assert_eq!(read(&proxy.released), ["text: hello"]);
    proxy.answer("guard/1", &opinion(0.1));
    proxy.send(&response([])[1..]);
    assert_eq!(read(&proxy.released), ["text: hello", "call rm: {\"path\":\"/\"}"]);
    assert_eq!(proxy.held(), 0);
}

#[test]
fn the_judge_is_asked_as_it_is_configured() {
    let config = json!({
        "upstream": "ollama", "credentials": "caller", "temperature": 0.5, "max_tokens": 99, "deadline": "2s",
        "judge_instructions": "Be strict.",
    });
    let mut proxy = judged(config);
    proxy.respond(&response([tool(0, "rm", &["{\"path\": \"/\"}"])])[..4], &[9]);
    let consult = &proxy.consults["guard/1"];
    assert_eq!((consult.upstream.as_str(), consult.credentials), ("ollama", Credentials::Caller));
    assert_eq!((consult.request.model.as_str(), consult.deadline_ms), ("judge", Some(2000)));
    let sampling = &consult.request.sampling;
    assert_eq!((sampling.temperature, sampling.max_output_tokens), (Some(0.5), Some(99)));
    assert_eq!(consult.request.output, Some(OutputFormat::JsonObject));
    let ContentBlock::Text(system) = &consult.request.system[0].block else { panic!() };
    assert!(system.starts_with("Be strict.\n\nThe call is told as JSON, between two lines `data-"), "{system}");
    assert_eq!(data(consult), json!({ "tool": "rm", "arguments": "{\"path\": \"/\"}" }));
}

#[test]
fn a_call_that_is_too_likely_to_do_harm_becomes_a_text_and_the_others_stay() {
    let mut proxy = judged(json!({ "probability_threshold": 0.6 }));
    let events =
        response([text(0, ["Let me see."]), tool(1, "ls", &["{}"]), tool(2, "rm", &["{}"]), tool(3, "mv", &["{}"])]);
    proxy.respond(&events, &[1]);
    assert_eq!(proxy.running.len(), 3, "all calls of a turn are judged at once");
    for (tool, probability) in [("mv", 0.6), ("ls", 0.59), ("rm", 1.0)] {
        let id = about(&proxy, tool);
        proxy.answer(&id, &opinion(probability));
    }
    assert_eq!(
        read(&proxy.released),
        ["text: Let me see.", "call ls: {}", "text: no rm (1): it says so", "text: no mv (0.6): it says so"],
    );
    assert_eq!(proxy.held(), 0);
    let notes: Vec<_> =
        proxy.annotations().iter().map(|note| (note.seq, note.severity, note.summary.clone())).collect();
    assert_eq!(
        notes,
        [
            (7, Severity::Info, "passed a call of ls: probability of harm 0.59".to_owned()),
            (10, Severity::Warning, "refused a call of rm: probability of harm 1".to_owned()),
            (13, Severity::Warning, "refused a call of mv: probability of harm 0.6".to_owned()),
        ],
    );
    let details = proxy.annotations()[1].details.clone().unwrap();
    assert_eq!(details, json!({ "tool": "rm", "threshold": 0.6, "probability": 1.0, "explanation": "it says so" }));
    let outcome = proxy.end().pop().unwrap();
    let summary = &outcome["body"]["annotations"][0];
    assert_eq!(summary["summary"], "judged 3 tool calls and refused 2");
}

#[test]
fn calls_that_interleave_are_judged_each_by_itself() {
    let mut proxy = judged(json!({}));
    let calls = vec![
        start(0, tool_kind(0, "rm", ToolForm::Function)),
        start(1, tool_kind(1, "ls", ToolForm::Custom)),
        arguments(0, "{}"),
        arguments(1, "free text"),
        stop(0),
        stop(1),
    ];
    proxy.respond(&response([calls]), &[2]);
    let id = about(&proxy, "ls");
    proxy.answer(&id, &opinion(0.0));
    assert_eq!(read(&proxy.released), [""; 0]);
    let id = about(&proxy, "rm");
    proxy.answer(&id, &opinion(0.9));
    assert_eq!(read(&proxy.released), ["text: no rm (0.9): it says so", "call ls: free text"]);
}

#[test]
fn equal_calls_are_asked_about_once() {
    let mut proxy = judged(json!({}));
    let (same, other) = (["{\"a\": 1}"], ["{\"a\": 2}"]);
    let events = response([tool(0, "f", &same), tool(1, "f", &same), tool(2, "f", &other), tool(3, "f", &same)]);
    proxy.respond(&events[..10], &[1]);
    assert_eq!(proxy.consults.len(), 2);
    proxy.answer("guard/1", &opinion(0.9));
    assert_eq!(read(&proxy.released), ["text: no f (0.9): it says so", "text: no f (0.9): it says so"]);
    proxy.answer("guard/2", &opinion(0.0));
    proxy.respond(&events[10..], &[1]);
    assert_eq!(proxy.consults.len(), 2);
    assert_eq!(
        read(&proxy.released)[2..],
        ["call f: {\"a\": 2}", "text: no f (0.9): it says so"],
        "what is known is not asked again"
    );
}

#[test]
fn what_was_answered_before_will_do_but_not_for_what_is_asked_again() {
    let mut proxy = judged(json!({ "retries": 2 }));
    let calls = [tool(0, "rm", &["{}"]), tool(1, "ls", &["{}"])];
    proxy.respond(&response(calls), &[9]);
    let (rm, ls) = (about(&proxy, "rm"), about(&proxy, "ls"));
    proxy.answer_again(&rm, "well");
    proxy.answer(&ls, &opinion(0.1));
    let again = about(&proxy, "rm");
    let reuse = [&rm, &ls, &again].map(|id| proxy.consults[id].reuse);
    assert_eq!(reuse, [true, true, false]);
    proxy.answer(&again, &opinion(0.9));
    assert_eq!(read(&proxy.released), ["text: no rm (0.9): it says so", "call ls: {}"]);
    let entries = proxy.end();
    let consults = entries.iter().map(|entry| &entry["body"]).filter(|body| body["type"] == "consult");
    let told: Vec<_> = consults.map(|body| (body["id"].as_str().unwrap(), body["reused"].as_bool())).collect();
    assert_eq!(told, [(rm.as_str(), Some(true)), (ls.as_str(), None), (again.as_str(), None)]);
}

#[test]
fn an_answer_that_is_no_opinion_is_asked_for_again_and_then_counts_as_none() {
    let answers: [fn(&mut Proxy, &str); 4] = [
        |proxy, id| proxy.answer(id, "harmless, I promise"),
        |proxy, id| proxy.answer(id, "{\"probability\": 0, \"explanation\": \"\", \"more\": 1}"),
        |proxy, id| proxy.consulted(id, vec![failed()]),
        |proxy, id| proxy.consulted(id, response([])),
    ];
    for answer in answers {
        for (on_error, expected) in
            [("refuse", "text: no rm (unknown): it could not be judged"), ("pass", "call rm: {}")]
        {
            let mut proxy = judged(json!({ "retries": 2, "on_error": on_error }));
            proxy.respond(&response([tool(0, "rm", &["{}"])]), &[9]);
            for id in ["guard/1", "guard/2", "guard/3"] {
                assert_eq!(read(&proxy.released), [""; 0]);
                answer(&mut proxy, id);
            }
            assert_eq!(read(&proxy.released), [expected]);
            assert!(proxy.running.is_empty());
            assert_eq!(proxy.annotations().last().unwrap().severity, Severity::Error);
        }
    }
    let mut proxy = judged(json!({ "retries": 1 }));
    proxy.respond(&response([tool(0, "rm", &["{}"])]), &[9]);
    proxy.answer("guard/1", "well");
    proxy.answer("guard/2", &format!("```json\n{}\n```", opinion(0.2)));
    assert_eq!(read(&proxy.released), ["call rm: {}"]);
}

#[test]
fn what_a_judge_says_is_not_told_when_it_is_no_opinion() {
    let mut proxy = judged(json!({ "retries": 0 }));
    proxy.respond(&response([tool(0, "rm", &["{}"])]), &[9]);
    proxy.answer("guard/1", "SECRET");
    let notes = format!("{:?}", proxy.annotations());
    assert!(!notes.contains("SECRET"), "{notes}");
}

#[test]
fn a_call_that_breaks_off_is_not_let_through() {
    let mut proxy = judged(json!({}));
    let events = [&response([tool(0, "ls", &["{}"])])[..4], &tool(1, "rm", &["{\"path\":"])[..2], &[failed()]].concat();
    proxy.respond(&events, &[1]);
    assert_eq!(proxy.consults.len(), 1, "only what is whole is judged");
    proxy.answer("guard/1", &opinion(0.0));
    assert_eq!(read(&proxy.released), ["call ls: {}", "failed: overloaded"]);
}

#[test]
fn what_a_providers_own_tool_answers_goes_the_way_of_its_call() {
    let result =
        |key| opaque(key, json!({ "type": "web_search_tool_result", "tool_use_id": "call_0", "content": [] }), []);
    let events = response([tool_of(0, "web_search", ToolForm::Server, &["{\"query\":\"x\"}"]), result(1)]);
    for (probability, expected) in
        [(0.9, vec!["text: no web_search (0.9): it says so".to_owned()]), (0.0, read(&events))]
    {
        for early in [true, false] {
            let mut proxy = judged(json!({}));
            let at = if early { 4 } else { events.len() };
            proxy.respond(&events[..at], &[1]);
            proxy.answer("guard/1", &opinion(probability));
            proxy.respond(&events[at..], &[1]);
            assert_eq!(read(&proxy.released), expected);
            assert_eq!((proxy.held(), proxy.consults.len()), (0, 1));
        }
    }
}

#[test]
fn what_looks_like_a_call_is_judged_like_one_and_what_does_not_is_not_held_up() {
    let call = opaque(0, json!({ "type": "odd", "name": "rm" }), [json!({ "input": "-rf" })]);
    let typed = opaque(1, json!({ "type": "shell_call", "command": "rm" }), []);
    let other = opaque(2, json!({ "type": "image", "data": "…" }), []);
    let step: Event = Step::Opaque(json!({ "type": "odd_call", "tool": "mv" })).into();
    let mut proxy = judged(json!({}));
    proxy.respond(&response([other.clone(), call, typed, vec![step]]), &[3]);
    assert_eq!(read(&proxy.released), read(&other));
    assert_eq!(proxy.running.len(), 3);
    for id in ["guard/1", "guard/2", "guard/3"] {
        proxy.answer(id, &opinion(0.9));
    }
    assert_eq!(read(&proxy.released)[1..], ["text: no rm (0.9): it says so", "text: no a tool (0.9): it says so"]);
    assert_eq!(proxy.held(), 0);
}

#[test]
fn what_comes_with_a_call_is_told_with_it() {
    let pieces = [Delta::Arguments("{}".to_owned()), Delta::Opaque(json!({ "more": "rm -rf" }))];
    let mut proxy = judged(json!({}));
    proxy.respond(&response([block(0, tool_kind(0, "ls", ToolForm::Function), pieces)])[..5], &[9]);
    assert_eq!(data(&proxy.consults["guard/1"])["beside"], "{\"more\":\"rm -rf\"}");
}

#[test]
fn padding_beside_a_call_is_no_part_of_the_question() {
    let mut call = tool(0, "ls", &["{}"]);
    call[1].extras.insert("chunk", json!({ "obfuscation": "aZ3x" }));
    call[2].extras.insert("obfuscation", json!("x9"));
    let mut proxy = judged(json!({}));
    proxy.respond(&response([call]), &[9]);
    assert_eq!(data(&proxy.consults["guard/1"]), json!({ "tool": "ls", "arguments": "{}" }));
}

#[test]
fn the_mark_around_the_data_is_that_of_the_session() {
    let mark = |session: &str, call_id: &str| {
        let call_id = call_id.parse().unwrap();
        let started =
            CallStarted { session: session.to_owned(), call_id, ..crate::proxy::call(Dialect::AnthropicMessages) };
        let set = set(json!([{ "name": "guard", "kind": "tool_call_judge", "config": { "model": "judge" } }]));
        let mut proxy = Proxy::start_call(set, started);
        proxy.respond(&response([tool(0, "ls", &["{}"])]), &[9]);
        format!("{:?}", proxy.consults["guard/1"].request)
    };
    let (one, other) = ("0198c9a5-7e4c-7000-8000-000000000001", "0198c9a5-7e4c-7000-8000-000000000002");
    assert_eq!(mark("s", one), mark("s", other));
    assert_ne!(mark("s", one), mark("t", one));
    assert_ne!(mark("", one), mark("", other));
}

#[test]
fn a_call_beside_an_error_is_dropped() {
    let mut proxy = judged(json!({}));
    let mut failed = failed();
    failed.extras.insert("tool_call", json!({ "name": "rm" }));
    proxy.respond(&[&response([])[..1], &[failed]].concat(), &[9]);
    assert!(proxy.released.last().unwrap().extras.is_empty());
}

#[test]
fn the_answer_of_a_judge_does_not_change_with_a_takeover() {
    let mut proxy = judged(json!({}));
    let events = response([tool(0, "ls", &["{}"]), tool(1, "rm", &["{}"])]);
    proxy.respond(&events[..7], &[2]);
    proxy.answer("guard/1", &opinion(0.0));
    proxy.resume();
    assert_eq!(proxy.running.iter().collect::<Vec<_>>(), ["guard/2"]);
    proxy.answer("guard/2", &opinion(0.9));
    proxy.respond(&events[7..], &[2]);
    assert_eq!(read(&proxy.released), ["call ls: {}", "text: no rm (0.9): it says so"]);
}

#[test]
fn a_judged_call_is_on_record() {
    let mut proxy = judged(json!({}));
    proxy.respond(&response([tool(0, "rm", &["{}"])]), &[9]);
    proxy.answer("guard/1", &opinion(0.9));
    let entries = proxy.end();
    let kinds = ["consult", "verdict", "block"];
    let mut lines = String::new();
    for entry in entries.iter().filter(|entry| kinds.contains(&entry["body"]["type"].as_str().unwrap())) {
        let mut body = entry["body"].clone();
        body.as_object_mut().unwrap().remove("request");
        lines.push_str(&format!("{body}\n"));
    }
    expect![[r#"
        {"type":"consult","policy":"guard","id":"guard/1","state":"answered","model":"judge","credentials":"configured","usage":{"input":5,"output":7},"asked_us":4000,"answered_us":7000,"answer":[{"kind":"text","content":{"text":"{\"probability\":0.9,\"explanation\":\"it says so\"}"}}]}
        {"type":"verdict","first":2,"through":2,"chunks":1,"dropped":0,"decision":"replace","policies":["guard"],"cancel_upstream":false}
        {"type":"block","choice":0,"block":2147483648,"kind":"text","first":2,"last":2,"arrived_us":7000,"stopped":true,"unchanged":false,"original":null,"final":{"text":"no rm (0.9): it says so"}}
        {"type":"verdict","first":3,"through":4,"chunks":2,"dropped":2,"decision":"drop","policies":["guard"],"annotations":[{"policy":"guard","seq":4,"severity":"warning","summary":"refused a call of rm: probability of harm 0.9","details":{"tool":"rm","threshold":0.6,"probability":0.9,"explanation":"it says so"}}],"cancel_upstream":false}
        {"type":"block","choice":0,"block":0,"kind":"tool_call","tool":"rm","first":2,"last":4,"arrived_us":2000,"stopped":true,"unchanged":false,"original":{"id":"call_0","name":"rm","form":"function","arguments":"{}"},"final":null,"deltas":[[1,1000,2],[1,1000,"stop"]]}
    "#]].assert_eq(&lines);
}

/// A response of texts and calls, whose tools say what the judge is to think of them.
fn calls() -> impl Strategy<Value = Vec<Event>> {
    let tools = prop::sample::select(vec!["good", "bad", "odd", "broken"]);
    let one = prop_oneof![
        3 => (tools, "[ab]").prop_map(|(name, arguments)| (name, arguments)),
        1 => "[ab]{0,2}".prop_map(|text| ("", text)),
    ];
    prop::collection::vec(one, 0..6).prop_map(|blocks| {
        let blocks = blocks.into_iter().zip(0..).map(|((name, content), key)| match name {
            "" => text(key, [content.as_str()]),
            "broken" if key % 2 == 1 => {
                vec![start(key, BlockKind::Text), piece(key, &content), delta(key, Delta::Opaque(json!(1)))]
            }
            name => tool(key, name, &[content.as_str()]),
        });
        response(blocks)
    })
}

proptest! {
    #[test]
    fn whatever_the_order_of_answers_only_what_passed_gets_through(
        events in calls(),
        batches in prop::collection::vec(1_usize..6, 1..4),
        order in prop::collection::vec(any::<prop::sample::Index>(), 32),
        every in 1_usize..6,
    ) {
        let mut proxy = judged(json!({ "retries": 1 }));
        let mut order = order.into_iter().cycle();
        let mut answer = |proxy: &mut Proxy| {
            let running: Vec<String> = proxy.running.iter().cloned().collect();
            let Some(id) = running.get(order.next().unwrap().index(running.len().max(1))) else { return false };
            match data(&proxy.consults[id])["tool"].as_str().unwrap() {
                "good" => proxy.answer(id, &opinion(0.1)),
                "bad" => proxy.answer(id, &opinion(0.8)),
                _ => proxy.answer(id, "?"),
            }
            true
        };
        let mut batches = batches.iter().cycle();
        let (mut rest, mut sent) = (events.as_slice(), 0);
        while !rest.is_empty() {
            let (batch, after) = rest.split_at((*batches.next().unwrap()).min(rest.len()));
            proxy.send(batch);
            sent += 1;
            if sent % every == 0 {
                answer(&mut proxy);
            }
            rest = after;
        }
        while answer(&mut proxy) {}
        prop_assert_eq!(proxy.held(), 0);
        let expected: Vec<String> = read(&events)
            .into_iter()
            .map(|line| match line.split_once(':').unwrap().0 {
                "call bad" => "text: no bad (0.8): it says so".to_owned(),
                "call odd" => "text: no odd (unknown): it could not be judged".to_owned(),
                "call broken" => "text: no broken (unknown): it could not be judged".to_owned(),
                _ => line,
            })
            .collect();
        prop_assert_eq!(read(&proxy.released), expected);
        let asked: Vec<Value> = proxy.consults.values().map(data).collect();
        let judged = asked.iter().filter(|data| data["tool"] == "good" || data["tool"] == "bad");
        let once: BTreeSet<String> = judged.clone().map(Value::to_string).collect();
        prop_assert_eq!(judged.count(), once.len());
    }
}
