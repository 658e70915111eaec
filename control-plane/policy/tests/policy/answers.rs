//! Calls that policies answer: by `canned_answers`, and by whatever says so in `on_request`.

use std::sync::Arc;

use luthien_policy::{
    Before, Hook, HookResult, Hooks, PolicySet, RequestOutput, Session,
    replay::{self, Next, Recorded, Replay},
};
use luthien_proto::{
    Chunk, Event, Step, ToService,
    event::{CallError, Started, ToolForm},
    json::Extras,
    message::{AdmissionDecision, CallStarted, Edit, FailureMode, Reject},
    request::{ContentBlock, Dialect, Message, Sampling},
};
use serde_json::{Value, json};

use crate::{
    proxy::{Proxy, call, set},
    response::{failed, read, response, start, text, tool, tool_kind},
    scripted::{OnRequest, Scripted, pass, scripted, set_of},
};

fn canned(answers: Value) -> Arc<PolicySet> {
    set(json!([{ "name": "canned", "kind": "canned_answers", "config": { "answers": answers } }]))
}

fn asking(on_request: OnRequest) -> Scripted {
    Scripted { hooks: Hooks::of(&[Hook::Request]), on_request, ..scripted("a", pass) }
}

fn say_hello(_: &CallStarted, out: &mut RequestOutput<'_>) -> HookResult {
    out.answer(text(7, ["hel", "lo"]));
    Ok(())
}

/// A call in which the last message is that.
fn said(role: &str, words: &[&str]) -> CallStarted {
    let content = words.iter().map(|words| ContentBlock::Text((*words).to_owned()).into()).collect();
    let mut started = call(Dialect::OpenAiChat);
    started.request.messages.push(Message { role: role.to_owned(), content, extras: Extras::NONE });
    started
}

/// What the client gets; `None`: the call goes upstream.
fn answered(proxy: &Proxy) -> Option<Vec<String>> {
    match &proxy.admission.decision {
        AdmissionDecision::Answer(answer) => Some(read(answer.events())),
        AdmissionDecision::Forward(_) => None,
        AdmissionDecision::Reject(reject) => panic!("{reject:?}"),
    }
}

fn rejected(proxy: &Proxy) -> (u16, &str) {
    let AdmissionDecision::Reject(reject) = &proxy.admission.decision else { panic!("{:?}", proxy.admission) };
    (reject.status, &reject.message)
}

#[test]
fn the_first_answer_that_fits_is_given_and_what_none_fits_goes_on() {
    let set = canned(json!([
        { "models": ["gpt-4*", "old"], "text": "retired" },
        { "match": "(?i)^/status\\b", "text": "up" },
        { "models": ["fast"], "match": "both", "text": "fast and both" },
    ]));
    for (model, call, expected) in [
        ("gpt-4-turbo", said("user", &["/status"]), Some("retired")),
        ("old", said("tool", &[]), Some("retired")),
        ("fast", said("user", &["/Status, please"]), Some("up")),
        ("fast", said("user", &["tell me: /status"]), None),
        ("fast", said("user", &["a", "both of it"]), Some("fast and both")),
        ("slow", said("user", &["both"]), None),
        ("fast", said("tool", &["both"]), None),
        ("fast", said("user", &[]), None),
    ] {
        let mut call = call;
        call.request.model = model.to_owned();
        let proxy = Proxy::start_call(set.clone(), call);
        assert_eq!(answered(&proxy), expected.map(|text| vec![format!("text: {text}")]));
    }
}

#[test]
fn a_configuration_that_would_answer_nothing_is_none() {
    for (answers, expected) in [
        (json!([]), "there are no answers: give at least one"),
        (json!([{ "models": ["a"] }]), "there is none: say what is answered"),
        (json!([{ "text": "" }]), "there is none: say what is answered"),
        (json!([{ "text": "a", "models": [] }]), "there are none: give at least one, or leave the key out"),
        (json!([{ "text": "a", "match": "(" }]), "unclosed group"),
        (json!([{ "text": "a", "models": ["["] }]), "unclosed character class"),
        (json!([{ "text": "a", "models": [7] }]), "expected a glob, found a number"),
        (json!([7]), "expected an answer with keys, found a number"),
    ] {
        let config = json!({
            "policies": [{ "name": "canned", "kind": "canned_answers", "config": { "answers": answers } }],
            "pipeline": ["canned"],
        });
        let error = PolicySet::build(serde_json::from_value(config).unwrap()).expect_err("an error").to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn the_record_shows_an_answer_as_a_response_that_a_policy_made() {
    let proxy = Proxy::start_call(canned(json!([{ "text": "up" }])), call(Dialect::OpenAiChat));
    let before_it_is_said: Vec<Value> = proxy.entries.iter().map(|entry| entry["body"]["type"].clone()).collect();
    assert_eq!(before_it_is_said, ["request", "admission", "block", "step"]);
    let entries = proxy.end();
    assert_eq!(
        entries[1]["body"],
        json!({
            "type": "admission", "decision": "answer", "policy": "canned", "pipeline": ["canned"],
            "revision": canned(json!([{ "text": "up" }])).revision(),
            "annotations": [{
                "policy": "canned", "seq": 0, "severity": "info", "summary": "answered without a model",
                "details": { "answer": 0 },
            }],
        }),
    );
    let block = &entries[2]["body"];
    assert_eq!((&block["original"], &block["final"]["text"]), (&Value::Null, &json!("up")));
    assert_eq!((&block["unchanged"], &block["stopped"], &block["first"]), (&json!(false), &json!(true), &json!(0)));
    let ended = &entries[3]["body"];
    assert_eq!((&ended["step"], &ended["original"], &ended["final"]), (&json!("ended"), &Value::Null, &json!({})));
    let outcome = &entries.last().unwrap()["body"];
    assert_eq!((&outcome["type"], &outcome["received"]), (&json!("outcome"), &json!(0)));
}

#[test]
fn an_answer_is_on_record_before_it_is_said() {
    let open = |_: &CallStarted, out: &mut RequestOutput<'_>| {
        out.answer([vec![start(7, tool_kind(7, "f", ToolForm::Function))], text(8, ["x"])].concat());
        Ok(())
    };
    let proxy = Proxy::start_strict(set_of([asking(open)]));
    let blocks: Vec<(&Value, &Value)> = proxy
        .entries
        .iter()
        .map(|entry| &entry["body"])
        .filter(|body| body["type"] == "block")
        .map(|body| (&body["kind"], &body["stopped"]))
        .collect();
    assert_eq!(blocks, [(&json!("text"), &json!(true)), (&json!("tool_call"), &json!(false))]);
}

#[test]
fn the_first_policy_that_answers_or_rejects_wins() {
    let refuse = |_: &CallStarted, out: &mut RequestOutput<'_>| {
        out.reject(Reject { status: 422, type_: String::new(), message: "be kind".to_owned() });
        Ok(())
    };
    let never = |_: &CallStarted, _: &mut RequestOutput<'_>| panic!("never asked");
    let both = |started: &CallStarted, out: &mut RequestOutput<'_>| {
        out.reject(Reject { status: 422, type_: String::new(), message: "be kind".to_owned() });
        say_hello(started, out)
    };
    let named = |name, on_request: OnRequest| Scripted { name, ..asking(on_request) };
    let first = Proxy::start(set_of([named("a", |_, _| Ok(())), named("b", say_hello), named("c", never)]));
    assert_eq!(answered(&first), Some(vec!["text: hello".to_owned()]));
    assert_eq!(first.entries[1]["body"]["policy"], "b");
    let second = Proxy::start(set_of([named("a", refuse), named("b", never)]));
    assert_eq!(rejected(&second), (422, "be kind"));
    assert_eq!(rejected(&Proxy::start(set_of([named("a", both)]))), (422, "be kind"));
}

#[test]
fn edits_of_a_request_that_goes_nowhere_do_not_matter() {
    let edit = |_: &CallStarted, out: &mut RequestOutput<'_>| {
        out.set_sampling(Sampling::default());
        Ok(())
    };
    let proxy = Proxy::start(set_of([Scripted { name: "e", ..asking(edit) }, asking(say_hello)]));
    assert_eq!(answered(&proxy), Some(vec!["text: hello".to_owned()]));
    assert_eq!(proxy.entries[1]["body"]["sent"], Value::Null);
}

#[test]
fn a_proxy_that_knows_no_answers_is_told_to_reject_the_call() {
    let mut started = call(Dialect::OpenAiChat);
    started.capabilities.retain(|capability| capability != "answer");
    let proxy = Proxy::start_call(set_of([asking(say_hello)]), started);
    assert_eq!(rejected(&proxy), (500, "a policy answers this call, and the proxy is not able to say that"));
    assert_eq!(proxy.entries[1]["body"]["policy"], "a");
}

#[test]
fn what_was_decided_before_any_policy_is_asked_stands_and_what_depends_on_gating_does_not() {
    let no = || Some(Reject { status: 400, type_: String::new(), message: "no".to_owned() });
    let begin = |before| {
        let (set, started) = (set_of([asking(say_hello)]), call(Dialect::OpenAiChat));
        Proxy::start_session(Session::begin_with(set.clone(), started.clone(), before), set, started)
    };
    assert_eq!(rejected(&begin(Before { reject: no(), ..Before::default() })), (400, "no"));
    let if_gated = begin(Before { reject_if_gated: no(), ..Before::default() });
    assert_eq!(answered(&if_gated), Some(vec!["text: hello".to_owned()]));
    let edits = vec![Edit::DropMessage(0)];
    assert!(answered(&begin(edits.into())).is_some());
}

#[test]
fn an_answer_that_is_none_is_a_failure_of_its_policy() {
    let started = |_: &CallStarted, out: &mut RequestOutput<'_>| {
        let started = Started { id: "r".to_owned(), model: "m".to_owned(), created: None };
        out.answer([text(0, ["a"]), vec![Step::Started(started).into()]].concat());
        Ok(())
    };
    let fails = |_: &CallStarted, out: &mut RequestOutput<'_>| {
        out.answer(vec![Step::Failed(CallError::default()).into()]);
        Ok(())
    };
    for on_request in [started as OnRequest, fails] {
        assert_eq!(rejected(&Proxy::start(set_of([asking(on_request)]))), (500, "policy a failed"));
        let open = Scripted { failure_mode: FailureMode::Open, ..asking(on_request) };
        assert_eq!(answered(&Proxy::start(set_of([open]))), None);
    }
}

#[test]
fn an_answer_stands_when_its_call_is_taken_over_and_the_record_is_the_same() {
    let mut proxy = Proxy::start(set_of([asking(say_hello)]));
    let before = proxy.entries.clone();
    // It would be answered otherwise now.
    let other: OnRequest = |_, out| {
        out.answer(text(1, ["goodbye"]));
        Ok(())
    };
    proxy.resume_with(set_of([asking(other)]));
    assert_eq!(
        (&proxy.entries[0]["body"]["type"], &proxy.entries[0]["body"]["admitted"]),
        (&json!("resumed"), &json!(true))
    );
    assert_eq!(proxy.entries[1..], before);
    let ended = proxy.end();
    assert_eq!(ended.last().unwrap()["body"]["type"], "outcome");
}

#[test]
fn a_part_of_a_response_to_an_answered_call_is_a_fault() {
    let mut proxy = Proxy::start(set_of([asking(say_hello)]));
    let chunk = Chunk { seq: 1, arrived_us: 0, event: failed() };
    let fault = proxy.session.handle(ToService::Chunks(vec![chunk])).unwrap_err();
    assert_eq!(fault.to_string(), "a part of a response came, although the call was not forwarded");
}

fn on_record(set: Arc<PolicySet>, events: &[Event]) -> Recorded {
    let mut proxy = Proxy::start(set);
    proxy.respond(events, &[3]);
    let call = json!({
        "call_id": "0198c9a5-7e4c-7000-8000-000000000001", "started_at": "2023-11-14T22:13:20Z", "entries": proxy.end(),
    });
    Recorded::read(&call).unwrap().unwrap()
}

fn differences(set: Arc<PolicySet>, recorded: &Recorded) -> Vec<Value> {
    let Next::Done(decided) = Replay::begin(set, recorded).poll().unwrap() else { panic!("nothing is asked") };
    replay::differences(&recorded.decided, &decided).into_iter().map(|difference| json!(difference)).collect()
}

#[test]
fn other_policies_over_an_answered_call_and_answers_over_others_are_told_apart() {
    let (answers, passes) = (canned(json!([{ "text": "up" }])), set(json!([{ "name": "n", "kind": "noop" }])));
    let answered = on_record(answers.clone(), &[]);
    assert!(answered.is_cut);
    assert_eq!(differences(answers.clone(), &answered), Vec::<Value>::new());
    let forwarded = differences(passes.clone(), &answered);
    assert_eq!(forwarded[0]["before"], json!({ "decision": "answer", "policies": ["canned"] }));
    assert_eq!(forwarded[0]["after"]["decision"], "forward");
    let block = &forwarded[1];
    assert_eq!(block["before"], json!({ "decision": "make", "policies": ["canned"], "content": { "text": "up" } }));
    assert_eq!(block["after"]["decision"], "none");

    let events = response([text(0, ["one"]), tool(1, "f", &["{}"])]);
    let judged = on_record(passes, &events);
    let now = differences(answers, &judged);
    assert_eq!((&now[0]["before"]["decision"], &now[0]["after"]["decision"]), (&json!("forward"), &json!("answer")));
    assert!(now.iter().any(|difference| difference["after"]["content"] == json!({ "text": "up" })), "{now:?}");
}
