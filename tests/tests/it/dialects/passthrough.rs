//! `passthrough_paths`.

use http::Method;
use luthien_tests::{
    harness::{Ask, Setup},
    peers::{Gate, upstream::Reply},
    validate::Dialect,
};
use serde_json::json;

use super::last_exchange;

fn setup() -> Setup {
    let paths =
        json!({"passthrough_paths": ["/v1/embeddings", "/v1/files/**", {"path": "/own/*", "upstream": "openai"}]});
    Setup::replacing_cool().with_upstream_keys().with_data_plane(paths)
}

#[tokio::test]
async fn a_listed_path_is_forwarded_as_it_came_and_judged_by_nobody() {
    let gateway = setup().start().await;
    gateway.upstream.answer(Reply::bytes(201, "text/weird", b"a cool answer").header("x-theirs", "1"));
    let body = b"\x00not json, cool".to_vec();
    let ask = Ask::new(Method::PUT, "/v1/files/a%20b?c=d", body.clone())
        .header("authorization", "Bearer client-key-canary")
        .header("content-type", "application/octet-stream");
    let answer = gateway.ask(ask).await;
    assert_eq!((answer.status, answer.header("x-theirs"), answer.header("content-type")), (201, "1", "text/weird"));
    assert_eq!(answer.complete().await, b"a cool answer");
    let exchange = last_exchange(&gateway).await;
    assert_eq!((exchange.method.as_str(), exchange.path.as_str()), ("PUT", "/v1/files/a%20b?c=d"));
    assert_eq!(exchange.body, body);
    assert_eq!(exchange.header("authorization"), "Bearer client-key-canary");
    assert_eq!(exchange.header("content-type"), "application/octet-stream");
}

#[tokio::test]
async fn headers_and_the_operator_say_which_upstream_it_is_for() {
    let gateway = setup().start().await;
    gateway.upstream.answer_always(Reply::text(200, "ok"));
    let files = Ask::get("/v1/files/f").header("anthropic-version", "2023-06-01").header("x-api-key", "mine");
    assert_eq!(gateway.ask(files).await.status, 200);
    assert_eq!(last_exchange(&gateway).await.header("x-api-key"), "mine");
    assert_eq!(gateway.ask(Ask::get("/own/thing")).await.status, 200);
    let exchange = last_exchange(&gateway).await;
    assert_eq!(
        (exchange.path.as_str(), exchange.header("authorization")),
        ("/v1/own/thing", "Bearer upstream-key-openai")
    );
}

#[tokio::test]
async fn an_answer_is_given_on_while_it_comes_and_a_client_that_leaves_ends_it() {
    let gateway = setup().start().await;
    let gate = Gate::new();
    gateway.upstream.answer(Reply::sse().send("data: one\n\n").wait(&gate).send("data: two\n\n"));
    let mut answer = gateway.ask(Ask::new(Method::POST, "/v1/embeddings", b"{}".to_vec())).await;
    answer.until("data: one").await;
    gate.open();
    assert_eq!(answer.complete().await, b"data: one\n\ndata: two\n\n");

    gateway.upstream.answer(Reply::sse().send("data: one\n\n").cut());
    let answer = gateway.ask(Ask::new(Method::POST, "/v1/embeddings", b"{}".to_vec())).await;
    assert_eq!(answer.broken_off().await, b"data: one\n\n");

    let gate = Gate::new();
    gateway.upstream.answer(Reply::sse().send("data: one\n\n").wait(&gate));
    let mut answer = gateway.ask(Ask::new(Method::POST, "/v1/embeddings", b"{}".to_vec())).await;
    answer.until("data: one").await;
    drop(answer);
    gateway.upstream.cancelled().await;
}

#[tokio::test]
async fn everything_else_is_not_there() {
    let gateway = setup().start().await;
    for (path, dialect) in [
        ("/v1/embeddings/more", Dialect::OpenAi),
        ("/v1/images", Dialect::OpenAi),
        ("/v1/files//f", Dialect::OpenAi),
        ("/v1/files/%2e%2e/messages", Dialect::OpenAi),
        ("/v1/messages/batches", Dialect::Anthropic),
        ("/v1/responses/resp_1", Dialect::Responses),
    ] {
        let answer = gateway.ask(Ask::get(path)).await;
        assert_eq!(answer.status, 404, "{path}");
        answer.error(dialect).await;
    }
    assert!(gateway.upstream.exchanges().is_empty());
}
