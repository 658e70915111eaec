//! `POST /v1/messages/count_tokens`.

use luthien_tests::{
    harness::{Ask, Setup},
    peers::upstream::Reply,
    validate::Dialect,
};
use serde_json::{Value, json};

use super::last_exchange;

fn count(model: &str) -> Ask {
    let body = json!({
        "model": model,
        "system": "be brief",
        "messages": [{"role": "user", "content": "how many?"}],
        "tools": [{"name": "look", "input_schema": {"type": "object", "properties": {}}}],
    });
    Ask::post(Dialect::Anthropic, body.to_string()).to("/v1/messages/count_tokens?beta=true")
}

async fn counted(ask: Ask, gateway: &luthien_tests::harness::Gateway) -> Value {
    let answer = gateway.ask(ask).await;
    assert_eq!(answer.status, 200, "{}", answer.so_far());
    serde_json::from_slice(&answer.complete().await).unwrap()
}

#[tokio::test]
async fn anthropic_counts_what_came_as_it_came() {
    let renamed = json!({"routes": [{"model": "mine", "upstream": "anthropic", "as": "claude-x"}]});
    let gateway = Setup::replacing_cool().with_data_plane(renamed).start().await;
    let theirs = json!({"input_tokens": 12, "context_management": {"original_input_tokens": 20}});
    gateway.upstream.answer(Reply::json(200, &theirs).header("request-id", "req_1"));
    assert_eq!(counted(count("mine"), &gateway).await, theirs);
    let exchange = last_exchange(&gateway).await;
    assert_eq!(exchange.path, "/v1/messages/count_tokens?beta=true");
    assert_eq!(exchange.json()["model"], "claude-x");
    assert_eq!(exchange.header("x-api-key"), "client-key-canary");
    gateway.upstream.answer(Reply::json(400, &json!({"type": "error", "error": {"type": "x", "message": "as it is"}})));
    let answer = gateway.ask(count("mine")).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.error(Dialect::Anthropic).await.message, "as it is");
}

#[tokio::test]
async fn openai_and_google_are_asked_in_their_own_words() {
    let gateway = Setup::noop().with_upstream_keys().start().await;
    gateway.upstream.answer(Reply::json(200, &json!({"object": "response.input_tokens", "input_tokens": 34})));
    assert_eq!(counted(count("codex-mini"), &gateway).await, json!({"input_tokens": 34}));
    let exchange = last_exchange(&gateway).await;
    assert_eq!(exchange.path, "/v1/responses/input_tokens");
    let body = exchange.json();
    assert_eq!(body["model"], "codex-mini");
    assert!(body["input"].is_array() || body["input"].is_string(), "{body}");
    assert_eq!(body["tools"][0]["name"], "look");
    assert!(body.get("stream").is_none() && body.get("store").is_none() && body.get("include").is_none(), "{body}");

    gateway.upstream.answer(Reply::json(200, &json!({"totalTokens": 56})));
    assert_eq!(counted(count("gemini-flash"), &gateway).await, json!({"input_tokens": 56}));
    let exchange = last_exchange(&gateway).await;
    assert_eq!(exchange.path, "/v1beta/models/gemini-flash:countTokens");
    let asked = &exchange.json()["generateContentRequest"];
    assert_eq!(asked["model"], "models/gemini-flash");
    assert!(asked["contents"].is_array(), "{asked}");
}

#[tokio::test]
async fn where_nobody_counts_the_client_is_told_and_estimates() {
    let gateway = Setup::noop().with_upstream_keys().start().await;
    let answer = gateway.ask(count("gpt-5-mini")).await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.error(Dialect::Anthropic).await.type_, "not_found_error");
    assert!(gateway.upstream.exchanges().is_empty());
    gateway
        .upstream
        .answer(Reply::json(503, &json!({"error": {"code": 503, "message": "Busy", "status": "UNAVAILABLE"}})));
    let answer = gateway.ask(count("gemini-flash")).await;
    assert_eq!(answer.status, 529);
    let failure = answer.error(Dialect::Anthropic).await;
    assert_eq!((failure.type_.as_str(), failure.message.as_str()), ("overloaded_error", "Busy"));
}
