//! Several planes, and the end of one.

use luthien_tests::{
    fixtures,
    harness::{Ask, ControlPlane, DataPlane, Setup, Signal, data_plane_section},
    peers::{Gate, eventually, upstream::Reply, upstream::Upstream, within},
    validate::{Dialect, sse},
};
use serde_json::json;
use tempfile::TempDir;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

const REPLACED: &str = "Hello there, the radically radical answer is 42. Grüße 🦀!";

fn replacing() -> serde_json::Value {
    json!({
        "policies": [{"name": "words", "kind": "string_replacement", "config": {"replacements": [["cool", "radical"]]}}],
        "pipeline": ["words"],
    })
}

/// The end of what the client of a begun response has.
const BEGUN: &str = "re, the radi";

#[tokio::test]
async fn two_data_planes_share_a_control_plane() {
    let gateway = Setup::replacing_cool().start().await;
    let section = data_plane_section(&gateway.upstream, &[gateway.control.url()]);
    let mut other = DataPlane::start(gateway.folder(), "other", &section).await;
    for dialect in Dialect::ALL {
        let body = fixtures::streamed(dialect, "text");
        let (begun, rest) = sse::split_behind(&body, BEGUN);
        let gate = Gate::new();
        gateway.upstream.answer(Reply::sse().send(begun).wait(&gate).send(rest));
        let mut first = gateway.ask(Ask::streamed(dialect)).await;
        first.until("re, the radi").await;
        gateway.upstream.answer(Reply::stream(&body));
        let second = other.ask(Ask::streamed(dialect)).await;
        let ids = [first.call_id(), second.call_id()];
        assert_eq!(second.stream(dialect).await.text(), REPLACED);
        gate.open();
        assert_eq!(first.stream(dialect).await.text(), REPLACED);
        for id in ids {
            assert_eq!(gateway.record(&id).await.outcome(), "delivered");
        }
    }
    other.process.kill();
    let dialect = Dialect::OpenAi;
    gateway.upstream.answer(Reply::stream(&fixtures::streamed(dialect, "text")));
    assert_eq!(gateway.ask(Ask::streamed(dialect)).await.stream(dialect).await.text(), REPLACED);
}

#[tokio::test]
async fn the_loss_of_a_data_plane_is_on_record() {
    let soon = json!({"timeouts": {"takeover_wait": "300ms"}});
    let mut gateway = Setup::replacing_cool().with_control_plane(soon).start().await;
    let dialect = Dialect::Anthropic;
    let body = fixtures::streamed(dialect, "text");
    gateway.upstream.answer(Reply::sse().send(sse::split_behind(&body, BEGUN).0).wait(&Gate::new()));
    let mut answer = gateway.ask(Ask::streamed(dialect)).await;
    answer.until(BEGUN).await;
    let id = answer.call_id();
    gateway.data.process.kill();
    assert_eq!(gateway.record(&id).await.outcome(), "unknown");
}

#[tokio::test]
async fn two_control_planes_share_a_record() {
    let folder = TempDir::new().unwrap();
    let upstream = Upstream::start().await;
    let first = ControlPlane::start(folder.path(), "first", &replacing()).await;
    let second = ControlPlane::start(folder.path(), "second", &replacing()).await;
    for control in [&first, &second] {
        let section = data_plane_section(&upstream, &[control.url()]);
        let data = DataPlane::start(folder.path(), "data-plane", &section).await;
        for dialect in Dialect::ALL {
            upstream.answer(Reply::stream(&fixtures::streamed(dialect, "text")));
            let answer = data.ask(Ask::streamed(dialect)).await;
            let id = answer.call_id();
            assert_eq!(answer.stream(dialect).await.text(), REPLACED);
            let [one, other] = [first.record(&id).await, second.record(&id).await];
            assert_eq!((&one.call, &one.entries), (&other.call, &other.entries));
        }
    }
}

#[tokio::test]
async fn many_calls_at_once_are_kept_apart() {
    let gateway = Setup::replacing_cool().start().await;
    let gate = Gate::new();
    let mut running = Vec::new();
    for number in 0..40 {
        let dialect = Dialect::ALL[number % Dialect::ALL.len()];
        let body = String::from_utf8(fixtures::streamed(dialect, "text")).unwrap();
        let body = body.replace(" is 4", &format!(" is number {number} 4"));
        let (begun, rest) = sse::split_behind(body.as_bytes(), BEGUN);
        gateway.upstream.answer(Reply::sse().send(begun).wait(&gate).send(rest));
        let mut answer = gateway.ask(Ask::streamed(dialect)).await;
        answer.until(BEGUN).await;
        running.push((dialect, number, answer));
    }
    gate.open();
    for (dialect, number, answer) in running {
        let turn = answer.stream(dialect).await;
        let wanted = REPLACED.replace(" is 4", &format!(" is number {number} 4"));
        assert_eq!(turn.text(), wanted);
    }
}

#[tokio::test]
async fn the_control_plane_tells_its_health_and_its_services_over_grpc() {
    let gateway = Setup::noop().start().await;
    let channel = tonic::transport::Endpoint::from_shared(gateway.control.url()).unwrap().connect().await.unwrap();
    let mut health = HealthClient::new(channel.clone());
    for service in ["", "luthien.v1.PolicyService"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let response = within("a health check", health.check(request)).await.unwrap().into_inner();
        assert_eq!(response.status(), ServingStatus::Serving, "{service:?}");
    }
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut reflection = ServerReflectionClient::new(channel);
    let responses = reflection.server_reflection_info(tokio_stream::once(request)).await.unwrap();
    let response = within("the list of services", responses.into_inner().message()).await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(services)) = response.message_response else {
        panic!("{response:?}");
    };
    let names: Vec<String> = services.service.into_iter().map(|service| service.name).collect();
    for name in ["luthien.v1.PolicyService", "grpc.health.v1.Health"] {
        assert!(names.iter().any(|other| other == name), "{name} is not in {names:?}");
    }
}

#[tokio::test]
async fn a_data_plane_that_is_asked_to_end_finishes_what_runs() {
    let mut gateway = Setup::replacing_cool().start().await;
    let dialect = Dialect::OpenAi;
    let body = fixtures::streamed(dialect, "text");
    let (begun, rest) = sse::split_behind(&body, BEGUN);
    let gate = Gate::new();
    gateway.upstream.answer(Reply::sse().send(begun).wait(&gate).send(rest));
    let mut answer = gateway.ask(Ask::streamed(dialect)).await;
    answer.until(BEGUN).await;
    let id = answer.call_id();
    gateway.data.process.signal(Signal::Term);
    eventually("new calls to be refused", async || match Ask::streamed(dialect).try_send(gateway.data.address).await {
        Ok(answer) => (answer.status == 503).then_some(()),
        Err(_) => Some(()),
    })
    .await;
    assert!(gateway.data.process.is_running());
    gate.open();
    assert_eq!(answer.stream(dialect).await.text(), REPLACED);
    assert_eq!(gateway.data.process.exit().await.code, Some(0));
    assert_eq!(gateway.record(&id).await.outcome(), "delivered");
}

#[tokio::test]
async fn a_second_signal_ends_a_data_plane_at_once() {
    let mut gateway = Setup::replacing_cool().start().await;
    let dialect = Dialect::OpenAi;
    let body = fixtures::streamed(dialect, "text");
    gateway.upstream.answer(Reply::sse().send(sse::split_behind(&body, BEGUN).0).wait(&Gate::new()));
    let mut answer = gateway.ask(Ask::streamed(dialect)).await;
    answer.until(BEGUN).await;
    gateway.data.process.signal(Signal::Term);
    gateway.data.process.line("word of the first signal", |line| line.field("message").contains("drain")).await;
    gateway.data.process.signal(Signal::Term);
    gateway.data.process.exit().await;
    let text = String::from_utf8_lossy(&answer.whatever_comes().await).into_owned();
    assert!(!text.contains("[DONE]"), "{text}");
}

#[tokio::test]
async fn a_data_plane_without_a_control_plane_is_alive_and_not_ready() {
    let mut gateway = Setup::noop().start().await;
    gateway.control.process.kill();
    let look = async || (gateway.ask(Ask::get("/readyz")).await.status == 503).then_some(());
    eventually("the data plane to be unready", look).await;
    assert_eq!(gateway.ask(Ask::get("/healthz")).await.status, 200);
}
