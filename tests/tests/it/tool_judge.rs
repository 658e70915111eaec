//! `tool_call_judge`: a call is held until a model has judged it, and a refused one leaves the turn usable.

use luthien_tests::{
    fixtures,
    harness::{Ask, ControlPlane, DataPlane, Gateway, Setup, data_plane_section},
    peers::{
        Gate,
        upstream::{Exchange, Reply, Upstream},
    },
    validate::{Block, Dialect, Turn},
};
use serde_json::{Value, json};
use tempfile::TempDir;

fn judge(config: Value) -> Value {
    let mut whole = json!({"model": "judge", "blocked_message_template": "{tool_name} was refused: {explanation}"});
    for (key, value) in config.as_object().unwrap() {
        whole[key] = value.clone();
    }
    json!({"name": "guard", "kind": "tool_call_judge", "config": whole})
}

fn judged(config: Value) -> Setup {
    Setup::pipeline(&[judge(config)]).with_upstream_keys()
}

pub(crate) fn is_question(exchange: &Exchange) -> bool {
    exchange.json()["model"] == "judge"
}

/// The judge's answer: a chat completion that says this.
fn says(text: &str) -> Reply {
    let message = json!({"role": "assistant", "content": text, "refusal": null});
    Reply::json(
        200,
        &json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "judge-1",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": null}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
        }),
    )
}

/// Thinks little of deletions.
pub(crate) fn opinion(exchange: &Exchange) -> Option<Reply> {
    let deletes = exchange.json().to_string().contains("delete_file");
    let (probability, explanation) = if deletes { (0.9, "it deletes") } else { (0.05, "it reads") };
    is_question(exchange).then(|| says(&json!({"probability": probability, "explanation": explanation}).to_string()))
}

async fn ask(gateway: &Gateway, dialect: Dialect, case: &str, streamed: bool) -> Turn {
    let body = if streamed { fixtures::streamed(dialect, case) } else { fixtures::whole(dialect, case) };
    gateway.upstream.answer_by(move |exchange| {
        let reply = || if streamed { Reply::stream(&body) } else { Reply::bytes(200, "application/json", &body) };
        Some(opinion(exchange).unwrap_or_else(reply))
    });
    match streamed {
        true => gateway.ask(Ask::streamed(dialect)).await.stream(dialect).await,
        false => gateway.ask(Ask::whole(dialect)).await.whole(dialect).await,
    }
}

#[tokio::test]
async fn of_two_calls_the_one_that_the_judge_dislikes_is_refused() {
    let gateway = judged(json!({})).start().await;
    for dialect in Dialect::ALL {
        for (case, streamed) in [("tools_two", true), ("tools_interleaved", true), ("tools_two", false)] {
            let turn = ask(&gateway, dialect, case, streamed).await;
            assert_eq!(turn.tool_names(), ["read_file"], "{turn:?}");
            assert!(turn.text().ends_with("delete_file was refused: it deletes"), "{turn:?}");
            assert!(matches!(turn.choices[0].blocks.last(), Some(Block::ToolCall(_))), "{turn:?}");
            dialect.next_turn(&turn).unwrap();
        }
    }
    let questions: Vec<Exchange> = gateway.upstream.exchanges().into_iter().filter(is_question).collect();
    assert_eq!(questions.len(), 2 * 9, "each call is asked about once");
    for question in questions {
        assert!(question.header("authorization").ends_with("upstream-key-openai"), "{:?}", question.headers);
    }
}

#[tokio::test]
async fn nothing_of_a_call_leaves_before_it_is_judged() {
    let gateway = judged(json!({})).start().await;
    for dialect in Dialect::ALL {
        let (gate, held) = (Gate::new(), fixtures::streamed(dialect, "tools_two"));
        let waits = gate.clone();
        gateway.upstream.answer_by(move |exchange| match opinion(exchange) {
            Some(reply) => Some(reply.hold_head(&waits)),
            None => Some(Reply::stream(&held)),
        });
        let mut answer = gateway.ask(Ask::streamed(dialect)).await;
        answer.until("delete.").await;
        answer.for_a_moment().await;
        let early = answer.so_far();
        assert!(!early.contains("read_file") && !early.contains("delete_file"), "{early}");
        gate.open();
        assert_eq!(answer.stream(dialect).await.tool_names(), ["read_file"]);
    }
}

#[tokio::test]
async fn equal_calls_of_a_session_are_asked_about_once() {
    let gateway = judged(json!({})).start().await;
    let dialect = Dialect::Anthropic;
    let stream = fixtures::streamed(dialect, "tools_two");
    gateway.upstream.answer_by(move |exchange| Some(opinion(exchange).unwrap_or_else(|| Reply::stream(&stream))));
    let mut records = Vec::new();
    // Whose call it is, and how many questions there have been then.
    for (session, key, asked) in
        [("a", "k", 2), ("a", "k", 2), ("b", "k", 4), ("a", "other", 6), ("a", "k", 6), ("", "k", 8)]
    {
        let ask = Ask::streamed(dialect).header("x-api-key", key);
        let ask = if session.is_empty() { ask } else { ask.header("x-session-id", session) };
        let answer = gateway.ask(ask).await;
        records.push(answer.call_id());
        let turn = answer.stream(dialect).await;
        assert_eq!(turn.tool_names(), ["read_file"], "{turn:?}");
        assert!(turn.text().ends_with("delete_file was refused: it deletes"), "{turn:?}");
        let questions = gateway.upstream.exchanges().iter().filter(|exchange| is_question(exchange)).count();
        assert_eq!(questions, asked, "session {session:?} of {key}");
    }
    for (call_id, reused) in records.iter().zip([None, Some(true)]) {
        let record = gateway.record(call_id).await;
        let told: Vec<_> = record.of_type("consult").map(|consult| consult["reused"].as_bool()).collect();
        assert_eq!(told, [reused; 2]);
    }
    let page = Ask::get("/metrics").send(gateway.data.address).await.complete().await;
    let page = String::from_utf8(page).unwrap();
    assert!(page.contains("luthien_data_plane_consults_total{outcome=\"reused\"} 4\n"), "{page}");
}

#[tokio::test]
async fn what_can_not_be_judged_is_refused_and_is_on_record() {
    let gateway = judged(json!({"retries": 1})).start().await;
    let stream = fixtures::streamed(Dialect::OpenAi, "tool_only");
    gateway.upstream.answer_by(move |exchange| {
        Some(if is_question(exchange) { says("Looks fine to me!") } else { Reply::stream(&stream) })
    });
    let answer = gateway.ask(Ask::streamed(Dialect::OpenAi)).await;
    let call_id = answer.call_id();
    let turn = answer.stream(Dialect::OpenAi).await;
    assert_eq!(turn.tool_names(), [""; 0]);
    assert!(turn.text().ends_with("was refused: it could not be judged"), "{turn:?}");
    let record = gateway.record(&call_id).await;
    let consults: Vec<&Value> = record.of_type("consult").collect();
    assert_eq!(consults.len(), 2);
    assert_eq!(consults[1]["id"], "guard/2");
    assert_eq!(consults[1]["answer"][0]["content"]["text"], "Looks fine to me!");
}

#[tokio::test]
async fn a_judge_that_is_thinking_while_its_control_plane_dies_is_heard_by_the_next_and_asked_once() {
    for dialect in Dialect::ALL {
        let (folder, upstream) = (TempDir::new().unwrap(), Upstream::start().await);
        let mut section = json!({"policies": [judge(json!({}))], "pipeline": ["guard"]});
        let mut control = ControlPlane::start(folder.path(), "control-plane", &section).await;
        let mut data = data_plane_section(&upstream, &[control.url()]);
        data["timeouts"] = json!({"takeover": "20s"});
        for (name, upstream) in data["upstreams"].as_object_mut().unwrap() {
            upstream["api_key"] = json!(format!("upstream-key-{name}"));
        }
        let data = DataPlane::start(folder.path(), "data-plane", &data).await;

        let (gate, stream) = (Gate::new(), fixtures::streamed(dialect, "tools_two"));
        let waits = gate.clone();
        upstream.answer_by(move |exchange| match opinion(exchange) {
            Some(reply) => Some(reply.hold_head(&waits)),
            None => Some(Reply::stream(&stream)),
        });
        let mut answer = data.ask(Ask::streamed(dialect)).await;
        answer.until("delete.").await;
        while upstream.exchanges().iter().filter(|exchange| is_question(exchange)).count() < 2 {
            answer.for_a_moment().await;
        }
        section["grpc_listen"] = json!(control.grpc.to_string());
        control.process.kill();
        control = ControlPlane::start(folder.path(), "control-plane", &section).await;
        gate.open();
        let call_id = answer.call_id();
        let turn = answer.stream(dialect).await;
        assert_eq!(turn.tool_names(), ["read_file"], "{turn:?}");
        assert!(turn.text().ends_with("delete_file was refused: it deletes"), "{turn:?}");
        assert_eq!(upstream.exchanges().iter().filter(|exchange| is_question(exchange)).count(), 2);
        let record = control.record(&call_id).await;
        let answered = record.of_type("consult").filter(|consult| consult["state"] == "answered").count();
        assert_eq!((record.outcome(), answered), ("delivered", 2));
    }
}
