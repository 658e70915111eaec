//! The agent's own marker of its session, on the record.

use luthien_tests::{
    harness::{Ask, Setup},
    validate::Dialect,
};
use serde_json::{Value, json};

use super::{TARGETS, last_exchange, reply};

#[tokio::test]
async fn a_calls_session_is_on_record() {
    let gateway = Setup::noop().start().await;
    let claude = json!({"metadata": {"user_id": "user_1_account_2_session_abc"}});
    let table = [
        (Ask::whole(Dialect::Anthropic), Value::Null),
        (Ask::call(Dialect::Anthropic, &claude), json!("abc")),
        (Ask::call(Dialect::Anthropic, &claude).header("x-claude-code-session-id", "def"), json!("def")),
    ];
    for (ask, expected) in table {
        gateway.upstream.answer(reply(&TARGETS[1], false));
        let answer = gateway.ask(ask).await;
        let id = answer.call_id();
        answer.whole(Dialect::Anthropic).await;
        let record = gateway.record(&id).await;
        assert_eq!(record.call["session"], expected);
        let listed = gateway.control.api("/api/calls?limit=1").await;
        assert_eq!(listed["calls"][0]["session"], expected);
    }
    gateway.upstream.answer(reply(&TARGETS[0], false));
    let answer = gateway.ask(Ask::call(Dialect::OpenAi, &json!({"prompt_cache_key": "key"}))).await;
    let id = answer.call_id();
    answer.whole(Dialect::OpenAi).await;
    assert_eq!(gateway.record(&id).await.call["session"], "key");
}

#[tokio::test]
async fn the_calls_of_an_anthropic_session_share_a_cache_at_openai() {
    let gateway = Setup::noop().with_upstream_keys().start().await;
    gateway.upstream.answer(reply(&TARGETS[0], false));
    let ask = Ask::call(Dialect::Anthropic, &json!({"model": "gpt-5-mini"})).header("x-claude-code-session-id", "s1");
    gateway.ask(ask).await.whole(Dialect::Anthropic).await;
    assert_eq!(last_exchange(&gateway).await.json()["prompt_cache_key"], "s1");
}
