//! Which policies a call goes through, and that it keeps them while the operator changes them.

use std::time::Duration;

use http::Method;
use luthien_tests::{
    fixtures,
    harness::{Ask, ControlPlane, DataPlane, Setup, data_plane_section},
    peers::{Gate, eventually, upstream::Reply, upstream::Upstream},
    validate::{Dialect, sse},
};
use serde_json::{Value, json};
use tempfile::TempDir;

const REPLACED: &str = "Hello there, the radically radical answer is 42. Grüße 🦀!";
const UNCHANGED: &str = "Hello there, the radically cool answer is 42. Grüße 🦀!";
const BEGUN: &str = "re, the radi";

fn words() -> Value {
    json!({"name": "words", "kind": "string_replacement", "config": {"replacements": [["cool", "radical"]]}})
}

fn set(bindings: Value) -> Value {
    let policies = json!([words(), {"name": "quiet", "kind": "noop"}]);
    json!({"policies": policies, "pipeline": ["words"], "bindings": bindings})
}

#[tokio::test]
async fn a_binding_picks_the_policies_by_what_the_client_asked_and_how() {
    let bindings = json!([
        {"when": {"route": "codex-*"}, "pipeline": ["quiet"]},
        {"when": {"header": {"X-Stage": "stage-canary"}, "model": "gpt-*"}, "pipeline": ["quiet"]},
    ]);
    let gateway = Setup::noop().with_control_plane(set(bindings)).start().await;
    let staged = |dialect| Ask::streamed(dialect).header("x-stage", "stage-canary");
    for (ask, dialect, pipeline) in [
        (Ask::streamed(Dialect::OpenAi), Dialect::OpenAi, "words"),
        (staged(Dialect::OpenAi), Dialect::OpenAi, "quiet"),
        (staged(Dialect::OpenAi).header("x-stage", "other"), Dialect::OpenAi, "words"),
        (staged(Dialect::Anthropic), Dialect::Anthropic, "words"),
        (Ask::streamed(Dialect::Responses), Dialect::Responses, "quiet"),
    ] {
        gateway.upstream.answer(Reply::stream(&fixtures::streamed(dialect, "text")));
        let answer = gateway.ask(ask).await;
        let id = answer.call_id();
        let expected = if pipeline == "words" { REPLACED } else { UNCHANGED };
        assert_eq!(answer.stream(dialect).await.text(), expected, "{dialect:?} {pipeline}");
        let record = gateway.record(&id).await;
        assert_eq!(record.call["pipeline"], json!([pipeline]));
        assert!(!json!(record.entries).to_string().contains("stage-canary"), "headers are not on record");
    }
}

#[tokio::test]
async fn a_call_keeps_its_policies_while_they_are_changed_and_its_control_planes_are_killed() {
    let (folder, upstream) = (TempDir::new().unwrap(), Upstream::start().await);
    let before = set(json!([]));
    let mut controls = [
        ControlPlane::start(folder.path(), "first", &before).await,
        ControlPlane::start(folder.path(), "second", &before).await,
    ];
    let mut section = data_plane_section(&upstream, &[controls[0].url(), controls[1].url()]);
    section["timeouts"] = json!({"takeover": "20s"});
    let data = DataPlane::start(folder.path(), "data-plane", &section).await;
    let body = fixtures::streamed(Dialect::OpenAi, "text");
    let (begun, rest) = sse::split_behind(&body, BEGUN);
    let gate = Gate::new();
    upstream.answer(Reply::sse().send(begun).wait(&gate).send(rest));
    let mut running = data.ask(Ask::streamed(Dialect::OpenAi)).await;
    running.until(BEGUN).await;

    let shown = controls[0].api("/api/policies").await;
    let config = json!({"policies": [{"name": "quiet", "kind": "noop"}], "pipeline": ["quiet"]});
    put(&controls[0], &json!({"revision": shown["revision"], "config": config})).await;
    let told = async || (controls[1].api("/api/policies").await["source"] == "api").then_some(());
    tokio::time::timeout(Duration::from_secs(10), eventually("the change", told)).await.unwrap();
    upstream.answer(Reply::stream(&body));
    let next = data.ask(Ask::streamed(Dialect::OpenAi)).await;
    assert_eq!(next.stream(Dialect::OpenAi).await.text(), UNCHANGED);

    for (control, name) in controls.iter_mut().zip(["first", "second"]) {
        control.process.kill();
        let mut section = before.clone();
        section["grpc_listen"] = json!(control.grpc.to_string());
        *control = ControlPlane::start(folder.path(), name, &section).await;
    }
    gate.open();
    let id = running.call_id();
    assert_eq!(running.stream(Dialect::OpenAi).await.text(), REPLACED);
    let record = controls[0].record(&id).await;
    assert_eq!((&record.call["revision"], record.outcome()), (&shown["revision"], "delivered"));
    assert_eq!(controls[1].api("/api/policies").await["config"]["pipeline"], json!(["quiet"]));
}

async fn put(control: &ControlPlane, body: &Value) {
    let mut ask = Ask::new(Method::PUT, "/api/policies", body.to_string().into_bytes());
    ask = ask.header("authorization", &format!("Bearer {}", luthien_tests::harness::ADMIN_TOKEN));
    let answer = ask.send(control.admin).await;
    let (status, body) = (answer.status, answer.complete().await);
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
}
