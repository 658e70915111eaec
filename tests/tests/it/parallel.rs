//! `parallel`: judges that work at once; the first that refuses decides, and nobody waits for the others.

use luthien_tests::{
    fixtures,
    harness::{Ask, ControlPlane, DataPlane, Gateway, Setup, data_plane_section},
    peers::{
        Gate,
        upstream::{Exchange, Reply, Upstream},
    },
    validate::{Block, Dialect},
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A judge of calls and one with instructions, each asking a model of its own.
fn judges() -> Value {
    json!({"name": "both", "kind": "parallel", "config": {"policies": [
        {"name": "harm", "kind": "tool_call_judge",
            "config": {"model": "judge-harm", "blocked_message_template": "{tool_name} was refused: {explanation}"}},
        {"name": "reader", "kind": "llm_judge",
            "config": {"model": "judge-reader", "instructions": "Read only.", "kinds": ["tool_call"]}},
    ]}})
}

fn model(exchange: &Exchange) -> String {
    exchange.json()["model"].as_str().unwrap_or_default().to_owned()
}

fn is_question(exchange: &Exchange) -> bool {
    model(exchange).starts_with("judge-")
}

fn deletes(exchange: &Exchange) -> bool {
    exchange.json().to_string().contains("delete_file")
}

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

fn opinion(exchange: &Exchange) -> Reply {
    match (model(exchange).as_str(), deletes(exchange)) {
        ("judge-harm", true) => says(r#"{"probability": 0.9, "explanation": "it deletes"}"#),
        ("judge-harm", false) => says(r#"{"probability": 0.1, "explanation": "it reads"}"#),
        _ => says(r#"{"decision": "pass"}"#),
    }
}

fn questions(upstream: &Upstream) -> Vec<Exchange> {
    upstream.exchanges().into_iter().filter(is_question).collect()
}

/// The judges are asked at once, and none of them answers before the gate opens.
async fn asked(gateway: &Gateway, dialect: Dialect, gate: &Gate, waits: fn(&Exchange) -> bool) {
    let (gate, stream) = (gate.clone(), fixtures::streamed(dialect, "tools_two"));
    gateway.upstream.answer_by(move |exchange| {
        Some(match is_question(exchange) {
            false => Reply::stream(&stream),
            true if waits(exchange) => opinion(exchange).hold_head(&gate),
            true => opinion(exchange),
        })
    });
}

#[tokio::test]
async fn all_are_asked_at_once_and_each_call_gets_its_outcome() {
    let gateway = Setup::pipeline(&[judges()]).with_upstream_keys().start().await;
    for dialect in Dialect::ALL {
        let (gate, before) = (Gate::new(), questions(&gateway.upstream).len());
        asked(&gateway, dialect, &gate, |_| true).await;
        let mut answer = gateway.ask(Ask::streamed(dialect)).await;
        while questions(&gateway.upstream).len() < before + 4 {
            answer.for_a_moment().await;
        }
        assert!(!answer.so_far().contains("read_file"), "{}", answer.so_far());
        gate.open();
        let turn = answer.stream(dialect).await;
        assert_eq!(turn.tool_names(), ["read_file"], "{turn:?}");
        assert!(turn.text().ends_with("delete_file was refused: it deletes"), "{turn:?}");
        assert!(matches!(turn.choices[0].blocks.last(), Some(Block::ToolCall(_))), "{turn:?}");
        dialect.next_turn(&turn).unwrap();
        assert_eq!(questions(&gateway.upstream).len(), before + 4);
    }
}

#[tokio::test]
async fn nobody_waits_for_a_judge_of_what_is_refused() {
    let gateway = Setup::pipeline(&[judges()]).with_upstream_keys().start().await;
    for dialect in Dialect::ALL {
        let gate = Gate::new();
        asked(&gateway, dialect, &gate, |exchange| model(exchange) == "judge-reader" && deletes(exchange)).await;
        let answer = gateway.ask(Ask::streamed(dialect)).await;
        let call_id = answer.call_id();
        let turn = answer.stream(dialect).await;
        assert_eq!(turn.tool_names(), ["read_file"], "{turn:?}");
        assert!(turn.text().ends_with("delete_file was refused: it deletes"), "{turn:?}");
        let record = gateway.record(&call_id).await;
        let cancelled: Vec<&Value> =
            record.of_type("consult").filter(|consult| consult["state"] == "cancelled").collect();
        assert_eq!(cancelled.len(), 1, "{cancelled:?}");
        assert_eq!((&cancelled[0]["policy"], &cancelled[0]["id"]), (&json!("reader"), &json!("reader/2")));
        gate.open();
    }
}

#[tokio::test]
async fn judges_whose_control_plane_dies_are_heard_by_the_next_and_asked_once() {
    let dialect = Dialect::Anthropic;
    let (folder, upstream) = (TempDir::new().unwrap(), Upstream::start().await);
    let mut section = json!({"policies": [judges()], "pipeline": ["both"]});
    let mut control = ControlPlane::start(folder.path(), "control-plane", &section).await;
    let mut data = data_plane_section(&upstream, &[control.url()]);
    data["timeouts"] = json!({"takeover": "20s"});
    for (name, upstream) in data["upstreams"].as_object_mut().unwrap() {
        upstream["api_key"] = json!(format!("upstream-key-{name}"));
    }
    let data = DataPlane::start(folder.path(), "data-plane", &data).await;
    let (gate, stream) = (Gate::new(), fixtures::streamed(dialect, "tools_two"));
    let waits = gate.clone();
    upstream.answer_by(move |exchange| {
        Some(match is_question(exchange) {
            false => Reply::stream(&stream),
            true if model(exchange) == "judge-reader" => opinion(exchange).hold_head(&waits),
            true => opinion(exchange),
        })
    });
    let mut answer = data.ask(Ask::streamed(dialect)).await;
    answer.until("delete.").await;
    while questions(&upstream).len() < 4 {
        answer.for_a_moment().await;
    }
    section["grpc_listen"] = json!(control.grpc.to_string());
    control.process.kill();
    control = ControlPlane::start(folder.path(), "control-plane", &section).await;
    gate.open();
    let call_id = answer.call_id();
    let turn = answer.stream(dialect).await;
    assert_eq!(turn.tool_names(), ["read_file"], "{turn:?}");
    assert_eq!(questions(&upstream).len(), 4);
    assert_eq!(control.record(&call_id).await.outcome(), "delivered");
}
