//! Clients of one dialect and upstreams of another: what is asked, with which headers, and what comes back.

mod compressed;
mod counting;
mod headers;
mod models;
mod passthrough;
mod sessions;

use luthien_tests::{
    fixtures,
    harness::{Ask, Gateway, Setup},
    peers::upstream::{Exchange, Reply},
    validate::Dialect,
};
use serde_json::{Value, json};

/// An upstream that may be asked in another dialect than the client's: the model that leads there, its path for a call
/// that is streamed and one that is not.
struct Target {
    name: &'static str,
    model: &'static str,
    paths: [&'static str; 2],
}

const TARGETS: [Target; 4] = [
    Target { name: "openai", model: "gpt-5-mini", paths: ["/v1/chat/completions", "/v1/chat/completions"] },
    Target { name: "anthropic", model: "claude-haiku-4-5", paths: ["/v1/messages", "/v1/messages"] },
    Target { name: "responses", model: "codex-mini", paths: ["/v1/responses", "/v1/responses"] },
    Target {
        name: "gemini",
        model: "gemini-flash",
        paths: [
            "/v1beta/models/gemini-flash:streamGenerateContent?alt=sse",
            "/v1beta/models/gemini-flash:generateContent",
        ],
    },
];

const CLIENTS: [Dialect; 3] = [Dialect::OpenAi, Dialect::Anthropic, Dialect::Responses];

/// What these upstreams answer: a text with `cool` in it.
fn reply(target: &Target, streamed: bool) -> Reply {
    let dialect = match target.name {
        "openai" => Dialect::OpenAi,
        "anthropic" => Dialect::Anthropic,
        "responses" => Dialect::Responses,
        _ => return gemini(streamed),
    };
    if streamed {
        Reply::stream(&fixtures::streamed(dialect, "text"))
    } else {
        Reply::bytes(200, "application/json", &fixtures::whole(dialect, "text"))
    }
}

fn gemini(streamed: bool) -> Reply {
    let chunk = |text: &str, finish: Value| {
        json!({
            "candidates": [{"index": 0, "content": {"role": "model", "parts": [{"text": text}]}, "finishReason": finish}],
            "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 2, "totalTokenCount": 7},
            "modelVersion": "gemini-flash-001",
            "responseId": "r1",
        })
    };
    if !streamed {
        return Reply::json(200, &chunk("Hello there, the cool way.", json!("STOP")));
    }
    let data = |chunk: Value| format!("data: {chunk}\r\n\r\n");
    Reply::sse().send(data(chunk("Hello there, the co", Value::Null))).send(data(chunk("ol way.", json!("STOP"))))
}

/// Headers of the client's own dialect.
fn ask(client: Dialect, target: &Target, streamed: bool) -> Ask {
    let ask = Ask::call(client, &json!({"model": target.model, "stream": streamed}));
    match client {
        Dialect::Anthropic => ask.to("/v1/messages?beta=true").header("anthropic-beta", "some-beta"),
        Dialect::OpenAi | Dialect::Responses => ask.header("openai-organization", "org"),
    }
}

fn is_same(client: Dialect, target: &Target) -> bool {
    let names = match client {
        Dialect::OpenAi => "openai",
        Dialect::Anthropic => "anthropic",
        Dialect::Responses => "responses",
    };
    target.name == names
}

async fn last_exchange(gateway: &Gateway) -> Exchange {
    gateway.upstream.exchanges().pop().unwrap()
}

#[tokio::test]
async fn every_client_is_answered_by_every_upstream_in_its_own_dialect() {
    let gateway = Setup::noop().with_upstream_keys().start().await;
    for client in CLIENTS {
        for target in &TARGETS {
            for streamed in [true, false] {
                let place = format!("{} -> {}, streamed: {streamed}", client.name(), target.name);
                gateway.upstream.answer(reply(target, streamed));
                let answer = gateway.ask(ask(client, target, streamed)).await;
                let id = answer.call_id();
                let turn = if streamed { answer.stream(client).await } else { answer.whole(client).await };
                assert!(turn.text().contains("Hello there"), "{place}: {turn:?}");
                let exchange = last_exchange(&gateway).await;
                if is_same(client, target) {
                    continue;
                }
                assert_eq!(exchange.path, target.paths[usize::from(!streamed)], "{place}");
                assert_eq!(turn.model, target.model, "{place}");
                let record = gateway.record(&id).await;
                assert_eq!(record.outcome(), "delivered", "{place}");
                assert_eq!(record.call["dialect"], client.name(), "{place}");
                assert_ne!(record.call["upstream_dialect"], client.name(), "{place}");
                assert!(record.text("text", "original").contains("Hello there"), "{place}: {record:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_policy_judges_a_converted_answer_as_any_other() {
    let gateway = Setup::replacing_cool().with_upstream_keys().start().await;
    for client in CLIENTS {
        for target in &TARGETS {
            for streamed in [true, false] {
                gateway.upstream.answer(reply(target, streamed));
                let answer = gateway.ask(ask(client, target, streamed)).await;
                let turn = if streamed { answer.stream(client).await } else { answer.whole(client).await };
                let text = turn.text();
                assert!(text.contains("radical") && !text.contains("cool"), "{client:?} -> {}: {text}", target.name);
            }
        }
    }
}

#[tokio::test]
async fn the_form_is_the_one_that_the_client_asked_for() {
    let gateway = Setup::noop().with_upstream_keys().start().await;
    for target in &TARGETS {
        let client = if target.name == "anthropic" { Dialect::OpenAi } else { Dialect::Anthropic };
        gateway.upstream.answer(reply(target, false));
        let turn = gateway.ask(ask(client, target, true)).await.stream(client).await;
        assert!(turn.text().contains("Hello there"), "{}", target.name);
        gateway.upstream.answer(reply(target, true));
        let turn = gateway.ask(ask(client, target, false)).await.whole(client).await;
        assert!(turn.text().contains("Hello there"), "{}", target.name);
    }
}

#[tokio::test]
async fn an_error_of_the_upstream_is_told_in_the_clients_dialect() {
    let gateway = Setup::noop().with_upstream_keys().start().await;
    for client in CLIENTS {
        for target in &TARGETS {
            let error = match target.name {
                "anthropic" => json!({"type": "error", "error": {"type": "rate_limit_error", "message": "Too many"}}),
                "gemini" => json!({"error": {"code": 429, "message": "Too many", "status": "RESOURCE_EXHAUSTED"}}),
                _ => {
                    json!({"error": {"message": "Too many", "type": "requests", "param": null, "code": "rate_limit_exceeded"}})
                }
            };
            gateway.upstream.answer(Reply::json(429, &error).header("retry-after", "7"));
            let answer = gateway.ask(ask(client, target, true)).await;
            assert_eq!((answer.status, answer.header("retry-after")), (429, "7"), "{client:?} -> {}", target.name);
            let failure = answer.error(client).await;
            assert_eq!(failure.message, "Too many", "{client:?} -> {}", target.name);
            if client == Dialect::Anthropic {
                assert_eq!(failure.type_, "rate_limit_error");
            }
        }
    }
}

#[tokio::test]
async fn what_no_conversion_can_keep_true_is_refused_before_the_upstream_is_asked() {
    let gateway = Setup::noop().with_upstream_keys().start().await;
    let earlier = Ask::post(
        Dialect::Responses,
        json!({"model": "claude-haiku-4-5", "input": "go on", "previous_response_id": "resp_1"}).to_string(),
    );
    let answer = gateway.ask(earlier).await;
    assert_eq!(answer.status, 400);
    let failure = answer.error(Dialect::Responses).await;
    assert!(failure.message.contains("previous_response_id"), "{failure:?}");
    let choices = Ask::call(Dialect::OpenAi, &json!({"model": "claude-haiku-4-5", "n": 2}));
    assert_eq!(gateway.ask(choices).await.status, 400);
    assert!(gateway.upstream.exchanges().is_empty());
}

#[tokio::test]
async fn credentials_go_to_no_other_provider() {
    let gateway = Setup::noop().start().await;
    for (client, target) in [(Dialect::OpenAi, &TARGETS[1]), (Dialect::Anthropic, &TARGETS[3])] {
        let answer = gateway.ask(ask(client, target, true)).await;
        assert_eq!(answer.status, 401);
        let failure = answer.error(client).await;
        assert!(failure.message.contains("api_key"), "{failure:?}");
    }
    assert!(gateway.upstream.exchanges().is_empty());
    // The same provider's other dialect takes the same key.
    gateway.upstream.answer(reply(&TARGETS[2], false));
    gateway.ask(ask(Dialect::OpenAi, &TARGETS[2], false)).await.whole(Dialect::OpenAi).await;
    assert_eq!(last_exchange(&gateway).await.header("authorization"), "Bearer client-key-canary");
}
