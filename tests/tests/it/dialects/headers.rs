//! Headers of converted calls, in both directions.

use luthien_tests::{
    harness::{Ask, Setup},
    validate::Dialect,
};
use serde_json::json;

use super::{CLIENTS, TARGETS, ask, is_same, last_exchange, reply};

#[tokio::test]
async fn a_request_carries_the_upstreams_words_and_not_the_clients() {
    let gateway = Setup::noop().with_upstream_keys().start().await;
    for client in CLIENTS {
        for target in TARGETS.iter().filter(|target| !is_same(client, target)) {
            gateway.upstream.answer(reply(target, true));
            let ask = ask(client, target, true).header("x-stainless-lang", "python").header("x-title", "mine");
            gateway.ask(ask).await.stream(client).await;
            let exchange = last_exchange(&gateway).await;
            let place = format!("{client:?} -> {}: {exchange:?}", target.name);
            let key = format!("upstream-key-{}", target.name);
            let one_provider = client != Dialect::Anthropic && ["openai", "responses"].contains(&target.name);
            let (name, value) = match target.name {
                _ if one_provider => ("authorization", "Bearer client-key-canary".to_owned()),
                "anthropic" => ("x-api-key", key),
                "gemini" => ("x-goog-api-key", key),
                _ => ("authorization", format!("Bearer {key}")),
            };
            for header in ["authorization", "x-api-key", "x-goog-api-key"] {
                assert_eq!(exchange.header(header), if header == name { &value } else { "" }, "{place}");
            }
            let version = if target.name == "anthropic" { "2023-06-01" } else { "" };
            assert_eq!(exchange.header("anthropic-version"), version, "{place}");
            for header in ["anthropic-beta", "openai-organization", "x-stainless-lang"] {
                assert_eq!(exchange.header(header), "", "{place}");
            }
            assert_eq!(exchange.header("x-title"), "mine", "{place}");
            assert_eq!(exchange.header("accept-encoding"), "identity", "{place}");
        }
    }
}

#[tokio::test]
async fn limits_and_ids_come_back_in_the_clients_words() {
    let gateway = Setup::noop().with_upstream_keys().start().await;
    let anthropic = reply(&TARGETS[1], true)
        .header("request-id", "req_1")
        .header("anthropic-ratelimit-requests-remaining", "49")
        .header("anthropic-ratelimit-requests-reset", "2020-01-01T00:00:00Z")
        .header("anthropic-organization-id", "o")
        .header("set-cookie", "c=1");
    gateway.upstream.answer(anthropic);
    let answer = gateway.ask(ask(Dialect::OpenAi, &TARGETS[1], true)).await;
    for (name, expected) in [
        ("x-request-id", "req_1"),
        ("x-ratelimit-remaining-requests", "49"),
        ("x-ratelimit-reset-requests", "0ms"),
        ("anthropic-organization-id", ""),
        ("set-cookie", ""),
    ] {
        assert_eq!(answer.header(name), expected, "{name}");
    }
    answer.stream(Dialect::OpenAi).await;

    let openai = reply(&TARGETS[0], true).header("x-request-id", "req_2").header("x-ratelimit-limit-tokens", "9");
    gateway.upstream.answer(openai.header("x-ratelimit-reset-tokens", "6m0s"));
    let answer = gateway.ask(ask(Dialect::Anthropic, &TARGETS[0], true)).await;
    assert_eq!((answer.header("request-id"), answer.header("anthropic-ratelimit-tokens-limit")), ("req_2", "9"));
    assert!(answer.header("anthropic-ratelimit-tokens-reset").ends_with('Z'), "{:?}", answer.headers);
    answer.stream(Dialect::Anthropic).await;
}

#[tokio::test]
async fn what_was_dropped_is_named_to_the_client_and_on_the_record() {
    let gateway = Setup::noop().with_upstream_keys().start().await;
    let fields = json!({"model": "claude-haiku-4-5", "seed": 5, "logit_bias": {"1": 2}, "stream": true});
    gateway.upstream.answer(reply(&TARGETS[1], true));
    let answer = gateway.ask(Ask::call(Dialect::OpenAi, &fields)).await;
    let (id, dropped) = (answer.call_id(), answer.header("x-luthien-dropped").to_owned());
    answer.stream(Dialect::OpenAi).await;
    let named: Vec<&str> = dropped.split(", ").collect();
    assert!(named.contains(&"seed") && named.contains(&"logit_bias"), "{dropped}");
    let record = gateway.record(&id).await;
    assert_eq!(record.call["dropped"], json!(named));
    assert_eq!(record.of_type("request").next().unwrap()["dropped"], json!(named));

    gateway.upstream.answer(reply(&TARGETS[0], true));
    let same = gateway.ask(Ask::call(Dialect::OpenAi, &json!({"seed": 5, "stream": true}))).await;
    assert_eq!(same.header("x-luthien-dropped"), "");
    same.stream(Dialect::OpenAi).await;
}
