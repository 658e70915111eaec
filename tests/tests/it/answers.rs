//! Calls that a policy answers: the client gets a response of its dialect, and no upstream hears of it.

use luthien_tests::{
    harness::{Ask, Gateway, Setup},
    peers::upstream::Reply,
    validate::{Dialect, Turn},
};
use serde_json::{Value, json};

const TEXT: &str = "The gateway is up. Grüße 🦀!";

/// What a user says is answered if it is `/status`.
pub fn canned(fields: Value) -> Setup {
    let mut answer = json!({"text": TEXT});
    answer.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    Setup::pipeline(&[
        json!({"name": "words", "kind": "string_replacement", "config": {"replacements": [["cool", "radical"]]}}),
        json!({"name": "desk", "kind": "canned_answers", "config": {"answers": [answer]}}),
    ])
}

fn asks(dialect: Dialect, said: &str, stream: bool) -> Ask {
    let conversation = if dialect == Dialect::Responses { "input" } else { "messages" };
    Ask::call(dialect, &json!({"stream": stream, conversation: [{"role": "user", "content": said}]}))
}

async fn answered(gateway: &Gateway, dialect: Dialect, stream: bool) -> (String, Turn) {
    let answer = gateway.ask(asks(dialect, "/status, please", stream)).await;
    let id = answer.call_id();
    let turn = if stream { answer.stream(dialect).await } else { answer.whole(dialect).await };
    (id, turn)
}

fn is_the_answer(dialect: Dialect, turn: &Turn) {
    assert_eq!(turn.text(), TEXT, "{turn:?}");
    let finish = match dialect {
        Dialect::OpenAi => "stop",
        Dialect::Anthropic => "end_turn",
        Dialect::Responses => "completed",
    };
    assert_eq!(turn.finish(), finish);
    assert!(turn.tool_calls().is_empty() && turn.failure.is_none(), "{turn:?}");
    dialect.next_turn(turn).unwrap();
}

#[tokio::test]
async fn a_client_of_each_dialect_gets_the_answer_streamed_and_whole() {
    let gateway = canned(json!({"match": "^/status"})).start().await;
    for dialect in Dialect::ALL {
        for stream in [true, false] {
            let (id, turn) = answered(&gateway, dialect, stream).await;
            is_the_answer(dialect, &turn);
            assert!(gateway.upstream.exchanges().is_empty());
            let record = gateway.record(&id).await;
            assert_eq!((record.outcome(), record.text("text", "final").as_str()), ("ended_by_policy", TEXT));
            let admission = record.of_type("admission").next().unwrap();
            assert_eq!((&admission["decision"], &admission["policy"]), (&json!("answer"), &json!("desk")));
            assert!(record.blocks("text").all(|block| block["original"].is_null()));
        }
    }
}

#[tokio::test]
async fn a_client_of_another_dialect_than_its_upstream_gets_it_too() {
    let routes = json!({"routes": [{"model": "*", "upstream": "gemini"}]});
    let gateway = canned(json!({})).with_data_plane(routes).with_upstream_keys().start().await;
    for dialect in Dialect::ALL {
        for stream in [true, false] {
            let (_, turn) = answered(&gateway, dialect, stream).await;
            is_the_answer(dialect, &turn);
        }
    }
    assert!(gateway.upstream.exchanges().is_empty());
}

#[tokio::test]
async fn what_no_answer_fits_goes_upstream_and_is_judged() {
    let gateway = canned(json!({"match": "^/status"})).start().await;
    for dialect in Dialect::ALL {
        gateway.upstream.answer(Reply::stream(&luthien_tests::fixtures::streamed(dialect, "text")));
        let answer = gateway.ask(asks(dialect, "how is the weather?", true)).await;
        assert!(answer.stream(dialect).await.text().contains("radically radical"));
    }
    assert_eq!(gateway.upstream.exchanges().len(), 3);
}

#[tokio::test]
async fn under_strict_audit_an_answer_is_on_record_before_a_client_has_it() {
    let gateway = canned(json!({})).with_control_plane(json!({"audit": "strict"})).start().await;
    for dialect in Dialect::ALL {
        let mut answer = gateway.ask(asks(dialect, "hello", true)).await;
        let id = answer.call_id();
        answer.more().await;
        let call = gateway.control.api(&format!("/api/calls/{id}")).await;
        let entries = call["entries"].as_array().unwrap();
        let made = entries.iter().find(|entry| entry["body"]["type"] == "block").expect("the block is on record");
        assert_eq!(made["body"]["final"]["text"], TEXT);
        is_the_answer(dialect, &answer.stream(dialect).await);
    }
}

#[tokio::test]
async fn operators_see_what_was_answered_and_that_nothing_was_sent() {
    let gateway = canned(json!({})).start().await;
    let ask = asks(Dialect::Anthropic, "hello", true).header("x-luthien-session-id", "desk-1");
    let answer = gateway.ask(ask).await;
    let id = answer.call_id();
    answer.stream(Dialect::Anthropic).await;
    gateway.record(&id).await;

    let diff = gateway.control.api(&format!("/api/calls/{id}/diff")).await;
    assert_eq!((&diff["request"]["status"], &diff["response"]["status"]), (&json!("changed"), &json!("changed")));
    assert_eq!(diff["request"]["messages"][0]["status"], "withheld");
    let block = &diff["response"]["blocks"][0];
    assert_eq!((&block["status"], &block["final"]["text"]), (&json!("made"), &json!(TEXT)));

    let call = gateway.control.api(&format!("/api/calls/{id}")).await;
    assert_eq!((&call["acted"], &call["severity"]), (&json!(["desk"]), &json!("info")));
    assert_eq!((&call["status"], &call["upstream_status"]), (&json!(200), &Value::Null));
    let session = call["session"].as_str().map_or_else(|| id.clone(), str::to_owned);
    let turns = gateway.control.api(&format!("/api/sessions/{session}")).await;
    let response = &turns["turns"][0]["response"][0];
    assert_eq!((&response["status"], &response["final"]["text"]), (&json!("made"), &json!(TEXT)));

    let found = gateway.control.api("/api/calls?text=gateway").await;
    assert_eq!(found["calls"][0]["call_id"], *id);
}

#[tokio::test]
async fn nobody_goes_on_from_an_answer_that_no_provider_knows() {
    let gateway = canned(json!({"match": "^/status"})).start().await;
    let (_, turn) = answered(&gateway, Dialect::Responses, false).await;
    let ask = Ask::call(Dialect::Responses, &json!({"previous_response_id": turn.id}));
    let answer = gateway.ask(ask).await;
    assert_eq!(answer.status, 400);
    let failure = answer.error(Dialect::Responses).await;
    assert!(failure.message.contains("send the whole conversation"), "{failure:?}");
    assert!(gateway.upstream.exchanges().is_empty());
}
