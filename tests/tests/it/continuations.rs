//! Calls that go on from a response which the provider remembers: what policies changed in that one, the provider does not
//! know.

use luthien_tests::{
    fixtures,
    harness::{Answer, Ask, ControlPlane, DataPlane, Gateway, Setup, data_plane_section},
    peers::{
        Gate,
        upstream::{Reply, Upstream},
    },
    validate::{Dialect, sse},
};
use serde_json::{Value, json};
use tempfile::TempDir;

const RESPONSES: Dialect = Dialect::Responses;
const REFUSED: &str = "The call was refused by policy and was not run.";

/// A fixture as the response of that id.
fn named(dialect: Dialect, case: &str, id: &str, stream: bool) -> Reply {
    let body = match stream {
        true => fixtures::streamed(dialect, case),
        false => fixtures::whole(dialect, case),
    };
    let body = String::from_utf8(body).unwrap();
    let body =
        ["resp_68f1c2a0b7d4819a", "msg_01XyZabcDEFghiJKLmnoPQ"].iter().fold(body, |body, old| body.replace(old, id));
    match stream {
        true => Reply::stream(body.as_bytes()),
        false => Reply::bytes(200, "application/json", body.as_bytes()),
    }
}

fn denying_deletes() -> Value {
    let config = json!({"deny": [{"tool": "delete_*", "reason": "it deletes"}]});
    json!({"policies": [{"name": "rules", "kind": "tool_call_rules", "config": config}], "pipeline": ["rules"]})
}

fn answered(response: &str) -> Value {
    json!({"previous_response_id": response, "input": [{"role": "user", "content": "And now?"}]})
}

/// What the upstream was asked last.
fn asked(upstream: &Upstream) -> Value {
    upstream.exchanges().last().unwrap().json()
}

async fn is_refused(answer: Answer, status: u16, about: &str) {
    assert_eq!(answer.status, status);
    let error = answer.error(RESPONSES).await;
    assert!(error.message.contains(about), "{error:?}");
}

async fn first_turn(gateway: &Gateway, case: &str, id: &str, stream: bool) {
    gateway.upstream.answer(named(RESPONSES, case, id, stream));
    let answer = gateway.ask(Ask::call(RESPONSES, &json!({"stream": stream}))).await;
    match stream {
        true => answer.stream(RESPONSES).await,
        false => answer.whole(RESPONSES).await,
    };
}

#[tokio::test]
async fn a_refused_call_is_answered_where_the_client_goes_on() {
    let gateway = Setup::denying_deletes().start().await;
    for (stream, id) in [(true, "resp_streamed"), (false, "resp_whole")] {
        first_turn(&gateway, "tools_two", id, stream).await;
        gateway.upstream.answer(named(RESPONSES, "text", "resp_next", stream));
        let result = json!({"type": "function_call_output", "call_id": "call_read", "output": "notes"});
        let fields =
            json!({"stream": stream, "previous_response_id": id, "input": [result], "x_unknown": {"a": [1.50]}});
        gateway.ask(Ask::call(RESPONSES, &fields)).await.complete().await;

        let asked = asked(&gateway.upstream);
        let refused = json!({"type": "function_call_output", "call_id": "call_delete", "output": REFUSED});
        assert_eq!(asked["input"], json!([refused, result]));
        assert_eq!(asked["previous_response_id"], id);
        assert_eq!(asked["x_unknown"], fields["x_unknown"]);
    }
}

#[tokio::test]
async fn a_custom_tool_is_answered_in_its_own_form() {
    let gateway = Setup::denying(json!([{"reason": "none is wanted"}])).start().await;
    first_turn(&gateway, "custom_tool", "resp_1", true).await;
    let call = fixtures::whole(RESPONSES, "custom_tool");
    let call: Value = serde_json::from_slice(&call).unwrap();
    let mut items = call["output"].as_array().unwrap().iter();
    let id = &items.find(|item| item["type"] == "custom_tool_call").unwrap()["call_id"];

    gateway.upstream.answer(named(RESPONSES, "text", "resp_2", false));
    gateway.ask(Ask::call(RESPONSES, &answered("resp_1"))).await.whole(RESPONSES).await;
    let inserted = &asked(&gateway.upstream)["input"][0];
    assert_eq!(inserted, &json!({"type": "custom_tool_call_output", "call_id": id, "output": REFUSED}));
}

#[tokio::test]
async fn what_was_answered_once_is_the_providers_from_then_on() {
    let gateway = Setup::denying_deletes().start().await;
    first_turn(&gateway, "tool_only", "resp_1", true).await;
    // A turn that failed is made again: the provider has nothing of it.
    gateway.upstream.answer(Reply::json(500, &json!({"error": {"message": "no", "type": "server_error"}})));
    assert_eq!(gateway.ask(Ask::call(RESPONSES, &answered("resp_1"))).await.status, 500);
    gateway.upstream.answer(named(RESPONSES, "text", "resp_2", false));
    gateway.ask(Ask::call(RESPONSES, &answered("resp_1"))).await.whole(RESPONSES).await;
    assert_eq!(asked(&gateway.upstream)["input"][0]["call_id"], "call_delete");

    gateway.upstream.answer(named(RESPONSES, "text", "resp_3", false));
    let ask = Ask::call(RESPONSES, &answered("resp_2"));
    gateway.ask(ask.clone()).await.whole(RESPONSES).await;
    assert_eq!(gateway.upstream.exchanges().last().unwrap().body, ask.body());
}

#[tokio::test]
async fn an_unchanged_response_is_gone_on_from_byte_for_byte() {
    let gateway = Setup::denying_deletes().start().await;
    first_turn(&gateway, "text", "resp_1", true).await;
    gateway.upstream.answer(named(RESPONSES, "text", "resp_2", false));
    let body = r#" {"previous_response_id":"resp_1", "model" : "codex-mini","input":"Hi\u0021", "x":1.50}"#;
    gateway.ask(Ask::post(RESPONSES, body)).await.whole(RESPONSES).await;
    assert_eq!(gateway.upstream.exchanges().last().unwrap().body, body);
}

#[tokio::test]
async fn a_response_that_is_not_on_record_goes_nowhere_where_anything_is_gated() {
    let gateway = Setup::denying_deletes().start().await;
    let answer = gateway.ask(Ask::call(RESPONSES, &answered("resp_of_old"))).await;
    let id = answer.call_id();
    is_refused(answer, 400, "not on record").await;
    assert_eq!(gateway.upstream.exchanges().len(), 0);
    assert_eq!(gateway.record(&id).await.outcome(), "ended_by_policy");

    let ungated = Setup::noop().start().await;
    ungated.upstream.answer(named(RESPONSES, "text", "resp_1", false));
    ungated.ask(Ask::call(RESPONSES, &answered("resp_of_old"))).await.whole(RESPONSES).await;
}

#[tokio::test]
async fn the_response_of_another_client_is_not_on_record() {
    let keys = json!([{"name": "one", "key": "key-one"}, {"name": "two", "key": "key-two"}]);
    let section = json!({"auth": {"mode": "keys", "keys": keys}});
    let gateway = Setup::denying_deletes().with_upstream_keys().with_data_plane(section).start().await;
    let by = |ask: Ask, key: &str| ask.header("authorization", &format!("Bearer {key}"));
    gateway.upstream.answer(named(RESPONSES, "text", "resp_1", false));
    gateway.ask(by(Ask::whole(RESPONSES), "key-one")).await.whole(RESPONSES).await;
    is_refused(gateway.ask(by(Ask::call(RESPONSES, &answered("resp_1")), "key-two")).await, 400, "not on record").await;
    gateway.upstream.answer(named(RESPONSES, "text", "resp_2", false));
    gateway.ask(by(Ask::call(RESPONSES, &answered("resp_1")), "key-one")).await.whole(RESPONSES).await;
}

#[tokio::test]
async fn a_conversation_goes_on_until_a_policy_changed_something_in_it() {
    let gateway = Setup::denying_deletes().start().await;
    let turn = || Ask::call(RESPONSES, &json!({"conversation": {"id": "conv_1"}}));
    for case in ["text", "tools_two"] {
        gateway.upstream.answer(named(RESPONSES, case, "resp_1", false));
        gateway.ask(turn()).await.whole(RESPONSES).await;
    }
    is_refused(gateway.ask(turn()).await, 400, "begin another conversation").await;
    assert_eq!(gateway.upstream.exchanges().len(), 2);
}

#[tokio::test]
async fn what_nobody_judges_is_gone_on_from_for_ever() {
    for setup in [Setup::noop(), Setup::pipeline(&[]), Setup::replacing(json!({"replacements": [["unsaid", "x"]]}))] {
        let gateway = setup.start().await;
        let conversation = json!({"stream": true, "conversation": "conv_1"});
        for (turn, case) in ["tools_two", "tool_only", "reasoning_tools", "hosted_tools"].into_iter().enumerate() {
            for fields in [&conversation, &json!({"stream": true, "previous_response_id": format!("resp_{turn}")})] {
                if turn == 0 && fields["conversation"].is_null() {
                    continue;
                }
                gateway.upstream.answer(named(RESPONSES, case, &format!("resp_{}", turn + 1), true));
                let ask = Ask::call(RESPONSES, fields);
                gateway.ask(ask.clone()).await.complete().await;
                assert_eq!(gateway.upstream.exchanges().last().unwrap().body, ask.body());
            }
        }
    }
}

#[tokio::test]
async fn a_thread_of_anthropic_goes_on_with_the_results_that_it_lacks() {
    let gateway = Setup::denying_deletes().start().await;
    let dialect = Dialect::Anthropic;
    gateway.upstream.answer(named(dialect, "tools_two", "msg_1", true));
    let create = json!({"stream": true, "thread": {"type": "create"}});
    gateway.ask(Ask::call(dialect, &create)).await.stream(dialect).await;

    gateway.upstream.answer(named(dialect, "text", "msg_2", false));
    let result =
        json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_read", "content": "x"}]});
    let thread = json!({"type": "continue", "previous_message_id": "msg_1"});
    gateway.ask(Ask::call(dialect, &json!({"thread": thread, "messages": [result]}))).await.whole(dialect).await;
    let asked = asked(&gateway.upstream);
    let refused = json!([{"type": "tool_result", "tool_use_id": "toolu_delete", "is_error": true, "content": REFUSED}]);
    assert_eq!(asked["messages"], json!([{"role": "user", "content": refused}, result]));
    assert_eq!(asked["thread"], thread);
}

#[tokio::test]
async fn a_call_that_is_taken_over_keeps_the_answers_that_it_began_with() {
    let folder = TempDir::new().unwrap();
    let upstream = Upstream::start().await;
    let mut planes = vec![
        ControlPlane::start(folder.path(), "first", &denying_deletes()).await,
        ControlPlane::start(folder.path(), "second", &denying_deletes()).await,
    ];
    let section = data_plane_section(&upstream, &[planes[0].url(), planes[1].url()]);
    let data = DataPlane::start(folder.path(), "data-plane", &section).await;
    upstream.answer(named(RESPONSES, "tool_only", "resp_1", true));
    data.ask(Ask::streamed(RESPONSES)).await.stream(RESPONSES).await;

    let text = fixtures::streamed(RESPONSES, "text");
    let (begun, rest) = sse::split_behind(&text, "re, the");
    let gate = Gate::new();
    upstream.answer(Reply::sse().send(begun).wait(&gate).send(rest));
    let fields = json!({"stream": true, "previous_response_id": "resp_1", "input": "And now?"});
    let mut answer = data.ask(Ask::call(RESPONSES, &fields)).await;
    answer.until("re, the").await;
    let id = answer.call_id();
    planes.remove(0).process.kill();
    gate.open();
    answer.stream(RESPONSES).await;
    assert_eq!(upstream.exchanges().len(), 2);
    let record = planes[0].record(&id).await;
    assert_eq!(record.outcome(), "delivered");
    let admission = record.entries.iter().find(|entry| entry["type"] == "admission").unwrap();
    assert!(admission["sent"]["messages"][0].to_string().contains(REFUSED), "{admission}");
}

#[tokio::test]
async fn another_control_plane_goes_on_where_the_first_one_was() {
    let folder = TempDir::new().unwrap();
    let upstream = Upstream::start().await;
    let config = json!({"deny": [{"tool": "delete_*", "reason": "it deletes"}]});
    let section =
        json!({"policies": [{"name": "rules", "kind": "tool_call_rules", "config": config}], "pipeline": ["rules"]});
    let first = ControlPlane::start(folder.path(), "first", &section).await;
    let second = ControlPlane::start(folder.path(), "second", &section).await;
    let data = |name, control: &ControlPlane| {
        let (section, folder) = (data_plane_section(&upstream, &[control.url()]), folder.path());
        async move { DataPlane::start(folder, name, &section).await }
    };
    let (one, two) = (data("one", &first).await, data("two", &second).await);
    // Back and forth, without a wait between the turns.
    let (mut before, mut last): (Option<String>, _) = (None, String::new());
    for (turn, data) in [&one, &two, &one, &two].into_iter().enumerate() {
        let id = format!("resp_{turn}");
        upstream.answer(named(RESPONSES, "tools_two", &id, true));
        let fields = match &before {
            None => json!({"stream": true}),
            Some(before) => {
                let result = json!({"type": "function_call_output", "call_id": "call_read", "output": "notes"});
                json!({"stream": true, "previous_response_id": before, "input": [result]})
            }
        };
        let answer = data.ask(Ask::call(RESPONSES, &fields)).await;
        last = answer.call_id();
        answer.stream(RESPONSES).await;
        if before.is_some() {
            assert_eq!(asked(&upstream)["input"][0]["call_id"], "call_delete");
        }
        before = Some(id);
    }
    // And after both have ended: what is on record is all there is.
    first.record(&last).await;
    drop((first, second, one, two));
    let third = ControlPlane::start(folder.path(), "third", &section).await;
    let data = data("three", &third).await;
    upstream.answer(named(RESPONSES, "text", "resp_last", true));
    let fields = json!({"stream": true, "previous_response_id": "resp_3", "input": "And now?"});
    data.ask(Ask::call(RESPONSES, &fields)).await.stream(RESPONSES).await;
    let ids: Vec<Value> =
        asked(&upstream)["input"].as_array().unwrap().iter().map(|item| item["call_id"].clone()).collect();
    assert_eq!(ids, [json!("call_delete"), Value::Null]);
}
