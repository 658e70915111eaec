use serde_json::json;

use super::*;
use crate::{harness::Ask, peers::Gate, validate::Dialect};

#[tokio::test]
async fn it_answers_by_its_script_and_remembers_what_it_was_asked() {
    let upstream = Upstream::start().await;
    upstream.answer(Reply::text(418, "short").header("x-a", "b"));
    let answer = Ask::whole(Dialect::Anthropic).send(upstream.address()).await;
    assert_eq!((answer.status, answer.header("x-a"), answer.header("content-length")), (418, "b", "5"));
    assert_eq!(answer.complete().await, b"short");
    let exchange = upstream.only_exchange();
    assert_eq!((exchange.path.as_str(), exchange.header("anthropic-version")), ("/v1/messages", "2023-06-01"));
    assert_eq!(exchange.json()["max_tokens"], 256);
    assert_eq!(Ask::get("/").send(upstream.address()).await.status, 599);
}

#[tokio::test]
async fn a_gate_holds_the_script_until_it_is_opened() {
    let upstream = Upstream::start().await;
    let gate = Gate::new();
    upstream.answer(Reply::sse().send("one").wait(&gate).send("two"));
    let mut answer = Ask::get("/").send(upstream.address()).await;
    gate.reached().await;
    answer.until("one").await;
    assert_eq!(answer.so_far(), "one");
    gate.open();
    assert_eq!(answer.complete().await, b"onetwo");
    assert!(!upstream.only_exchange().was_cancelled());
}

#[tokio::test]
async fn a_cut_comes_behind_what_was_sent() {
    let upstream = Upstream::start().await;
    upstream.answer(Reply::sse().send("one").cut());
    let mut answer = Ask::get("/").send(upstream.address()).await;
    answer.until("one").await;
    assert_eq!(answer.whatever_comes().await, b"one");
}

#[tokio::test]
async fn it_notices_when_the_other_side_goes_away() {
    let upstream = Upstream::start().await;
    let gate = Gate::new();
    upstream.answer(Reply::sse().send("one").wait(&gate));
    let mut answer = Ask::get("/").send(upstream.address()).await;
    answer.until("one").await;
    drop(answer);
    upstream.cancelled().await;
}

#[tokio::test]
async fn it_speaks_gemini_and_refuses_what_google_would() {
    let upstream = Upstream::start().await;
    let turn = vec![
        json!({"candidates": [{"content": {"parts": [{"text": "a"}], "role": "model"}, "index": 0}], "responseId": "R"}),
        json!({"candidates": [{"content": {"parts": [{"text": "b"}]}, "finishReason": "STOP", "index": 0}], "responseId": "R"}),
    ];
    upstream.speak_gemini("secret", [turn.clone(), turn.clone()]);
    let ask = |method: &str, body: &Value| {
        let path = format!("/v1beta/models/gemini-2.5-flash:{method}");
        Ask::new(Method::POST, &path, body.to_string().into())
            .header("content-type", "application/json")
            .header("x-goog-api-key", "secret")
    };
    let body = json!({"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]});
    let sent = async |ask: Ask| {
        let answer = ask.send(upstream.address()).await;
        (answer.status, String::from_utf8(answer.complete().await).expect("UTF-8"))
    };
    let (status, text) = sent(ask("generateContent", &body)).await;
    assert_eq!(
        (status, text.as_str()),
        (
            200,
            r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"ab"}]},"index":0,"finishReason":"STOP"}],"responseId":"R"}"#
        )
    );
    let (status, text) = sent(ask("streamGenerateContent?alt=sse", &body)).await;
    assert_eq!((status, text), (200, format!("data: {}\r\n\r\ndata: {}\r\n\r\n", turn[0], turn[1])));
    assert_eq!(sent(ask("generateContent", &body)).await.0, 500);
    assert_eq!(sent(ask("generateContent", &json!({"messages": []}))).await.0, 400);
    let (status, text) = sent(ask("generateContent", &body).header("x-goog-api-key", "other")).await;
    assert_eq!((status, text.contains("API key not valid")), (400, true));
}
