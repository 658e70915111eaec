//! `GET /v1/models`.

use luthien_tests::{
    harness::{Ask, Gateway, Setup},
    peers::upstream::Reply,
    validate::Dialect,
};
use serde_json::{Value, json};

async fn gateway() -> Gateway {
    let section = json!({"routes": [
        {"model": "fast", "upstream": "openai", "as": "gpt-5-mini"},
        {"model": "claude-*", "upstream": "anthropic"},
        {"model": "gemini-*", "upstream": "gemini"},
        {"model": "*", "upstream": "openai"},
    ]});
    let gateway = Setup::noop().with_upstream_keys().with_data_plane(section).start().await;
    gateway.upstream.answer_by(|exchange| match exchange.path.as_str() {
        "/v1/models" => Some(Reply::json(
            200,
            &json!({"object": "list", "data": [{"id": "gpt-5", "object": "model", "created": 7, "owned_by": "openai"}]}),
        )),
        "/v1/models?limit=1000" => Some(Reply::json(
            200,
            &json!({"data": [
                {"type": "model", "id": "claude-a", "display_name": "Claude A", "created_at": "2026-01-01T00:00:00Z", "max_tokens": 5},
                {"type": "model", "id": "other", "display_name": "Other", "created_at": "2026-01-01T00:00:00Z"},
            ]}),
        )),
        "/v1beta/models?pageSize=1000" => Some(Reply::text(500, "down")),
        _ => None,
    });
    gateway
}

async fn json_of(gateway: &Gateway, ask: Ask) -> Value {
    let answer = gateway.ask(ask).await;
    assert_eq!(answer.status, 200);
    serde_json::from_slice(&answer.complete().await).unwrap()
}

#[tokio::test]
async fn models_are_what_routes_name_and_upstreams_list() {
    let gateway = gateway().await;
    let list = json_of(&gateway, Ask::get("/v1/models")).await;
    assert_eq!(list["object"], "list");
    let ids: Vec<&str> = list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["fast", "claude-a", "gpt-5"]);
    assert_eq!(list["data"][2], json!({"id": "gpt-5", "object": "model", "created": 7, "owned_by": "openai"}));

    let asked = gateway.upstream.exchanges();
    assert_eq!(asked.len(), 3, "{asked:?}");
    let key = |path: &str, name: &str| asked.iter().find(|it| it.path == path).unwrap().header(name).to_owned();
    assert_eq!(key("/v1/models", "authorization"), "Bearer upstream-key-openai");
    assert_eq!(key("/v1/models?limit=1000", "x-api-key"), "upstream-key-anthropic");
    assert_eq!(key("/v1beta/models?pageSize=1000", "x-goog-api-key"), "upstream-key-gemini");

    // Lists are kept for a while.
    json_of(&gateway, Ask::get("/v1/models")).await;
    assert!(gateway.upstream.exchanges().len() <= 4, "{:?}", gateway.upstream.exchanges());
}

#[tokio::test]
async fn a_client_of_anthropics_dialect_reads_its_own_shape_in_pages() {
    let gateway = gateway().await;
    let ask = |path: &str| Ask::get(path).header("anthropic-version", "2023-06-01");
    let page = json_of(&gateway, ask("/v1/models?limit=2")).await;
    assert_eq!(page["has_more"], true);
    assert_eq!((&page["first_id"], &page["last_id"]), (&json!("fast"), &json!("claude-a")));
    assert_eq!(page["data"][0]["type"], "model");
    assert_eq!(page["data"][1]["max_tokens"], 5);
    let page = json_of(&gateway, ask("/v1/models?limit=2&after_id=claude-a")).await;
    assert_eq!((&page["has_more"], &page["data"][0]["id"]), (&json!(false), &json!("gpt-5")));
}

#[tokio::test]
async fn one_model_can_be_asked_for() {
    let gateway = gateway().await;
    let model = json_of(&gateway, Ask::get("/v1/models/claude-a")).await;
    assert_eq!((&model["id"], &model["object"]), (&json!("claude-a"), &json!("model")));
    let answer = gateway.ask(Ask::get("/v1/models/gemini-x")).await;
    assert_eq!(answer.status, 404);
    answer.error(Dialect::OpenAi).await;
    let answer = gateway.ask(Ask::get("/v1/models/other").header("anthropic-version", "2023-06-01")).await;
    assert_eq!(answer.status, 404);
    answer.error(Dialect::Anthropic).await;
}

#[tokio::test]
async fn in_mode_keys_a_key_is_needed_for_them() {
    let auth =
        json!({"auth": {"mode": "keys", "keys": ["luthien-key"]}, "routes": [{"model": "m", "upstream": "openai"}]});
    let gateway = Setup::noop().with_data_plane(auth).start().await;
    assert_eq!(gateway.ask(Ask::get("/v1/models")).await.status, 401);
    let list = json_of(&gateway, Ask::get("/v1/models").header("authorization", "Bearer luthien-key")).await;
    assert_eq!(list["data"][0]["id"], "m");
    assert!(gateway.upstream.exchanges().is_empty());
}
