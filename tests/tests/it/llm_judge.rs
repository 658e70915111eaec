//! `llm_judge`: texts and calls are held until a model has read them, and what stands in their place leaves the turn usable.

use luthien_tests::{
    fixtures,
    harness::{Ask, Gateway, Setup},
    peers::{
        Gate,
        upstream::{Exchange, Reply},
    },
    validate::{Block, Dialect, Turn},
};
use serde_json::{Value, json};

fn judged(config: Value) -> Setup {
    let mut whole = json!({"model": "judge", "instructions": "Nothing may be deleted. Searches stay in /srv."});
    for (key, value) in config.as_object().unwrap() {
        whole[key] = value.clone();
    }
    Setup::pipeline(&[json!({"name": "reader", "kind": "llm_judge", "config": whole})]).with_upstream_keys()
}

/// What the judge is told, if it is a question to it.
fn question(exchange: &Exchange) -> Option<Value> {
    let body = exchange.json();
    (body["model"] == "judge").then_some(())?;
    let told = body["messages"].as_array()?.last()?["content"].clone();
    let text = told.as_str().map_or_else(|| told[0]["text"].as_str().unwrap().to_owned(), str::to_owned);
    Some(serde_json::from_str(text.lines().nth(2).unwrap()).unwrap())
}

/// A chat completion that says this.
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

fn decision(exchange: &Exchange) -> Option<Reply> {
    let asked = question(exchange)?;
    let decision = match (asked["tool"].as_str(), asked["text"].as_str()) {
        (Some("delete_file"), _) => json!({"decision": "replace", "text": "Nothing is deleted here."}),
        (Some("read_file"), _) => json!({"decision": "replace", "arguments": {"path": "/srv/notes.txt"}}),
        (_, Some(text)) if text.contains("delete") => json!({"decision": "replace", "text": "I will only read."}),
        _ => json!({"decision": "pass"}),
    };
    Some(says(&format!("```json\n{decision}\n```")))
}

async fn ask(gateway: &Gateway, dialect: Dialect, case: &str, streamed: bool) -> Turn {
    let body = if streamed { fixtures::streamed(dialect, case) } else { fixtures::whole(dialect, case) };
    gateway.upstream.answer_by(move |exchange| {
        let reply = || if streamed { Reply::stream(&body) } else { Reply::bytes(200, "application/json", &body) };
        Some(decision(exchange).unwrap_or_else(reply))
    });
    match streamed {
        true => gateway.ask(Ask::streamed(dialect)).await.stream(dialect).await,
        false => gateway.ask(Ask::whole(dialect)).await.whole(dialect).await,
    }
}

#[tokio::test]
async fn each_block_is_passed_or_replaced_and_the_next_turn_is_accepted() {
    let gateway = judged(json!({})).start().await;
    for dialect in Dialect::ALL {
        for (case, streamed) in [("tools_two", true), ("tools_two", false)] {
            let turn = ask(&gateway, dialect, case, streamed).await;
            assert_eq!(turn.tool_names(), ["read_file"], "{turn:?}");
            assert_eq!(turn.tool_calls()[0].arguments.replace(' ', ""), r#"{"path":"/srv/notes.txt"}"#);
            assert!(turn.text().starts_with("I will only read."), "{turn:?}");
            assert!(turn.text().ends_with("Nothing is deleted here."), "{turn:?}");
            assert!(matches!(turn.choices[0].blocks.last(), Some(Block::ToolCall(_))), "{turn:?}");
            dialect.next_turn(&turn).unwrap();
        }
    }
    let questions = gateway.upstream.exchanges().iter().filter_map(question).collect::<Vec<_>>();
    assert_eq!(questions.len(), 3 * 6, "each block is asked about once");
    assert!(questions.iter().all(|asked| asked.get("beside").is_none()), "{questions:?}");
}

#[tokio::test]
async fn nothing_of_a_judged_block_leaves_before_its_decision() {
    let gateway = judged(json!({"kinds": ["text"]})).start().await;
    for dialect in Dialect::ALL {
        let (gate, held) = (Gate::new(), fixtures::streamed(dialect, "text"));
        let waits = gate.clone();
        gateway.upstream.answer_by(move |exchange| match question(exchange) {
            Some(_) => Some(says(r#"{"decision":"replace","text":"Something else."}"#).hold_head(&waits)),
            None => Some(Reply::stream(&held)),
        });
        let mut answer = gateway.ask(Ask::streamed(dialect)).await;
        while !gateway.upstream.exchanges().iter().any(|exchange| question(exchange).is_some()) {
            answer.for_a_moment().await;
        }
        answer.for_a_moment().await;
        let early = answer.so_far();
        assert!(!early.contains("delta\":\"") && !early.contains("content\":\"H"), "{early}");
        gate.open();
        let turn = answer.stream(dialect).await;
        assert_eq!(turn.text(), "Something else.");
        dialect.next_turn(&turn).unwrap();
    }
}

#[tokio::test]
async fn what_can_not_be_judged_is_refused_and_is_on_record() {
    let gateway = judged(json!({"retries": 1})).start().await;
    for dialect in Dialect::ALL {
        let stream = fixtures::streamed(dialect, "tools_two");
        gateway.upstream.answer_by(move |exchange| {
            Some(if question(exchange).is_some() { says("Looks fine to me!") } else { Reply::stream(&stream) })
        });
        let answer = gateway.ask(Ask::streamed(dialect)).await;
        let call_id = answer.call_id();
        let turn = answer.stream(dialect).await;
        assert_eq!(turn.tool_names(), [""; 0]);
        assert!(turn.text().starts_with("This text was refused: it could not be judged"), "{turn:?}");
        assert!(turn.text().ends_with("The call of delete_file was refused: it could not be judged"), "{turn:?}");
        dialect.next_turn(&turn).unwrap();
        let record = gateway.record(&call_id).await;
        assert_eq!(record.of_type("consult").count(), 6);
    }
}
