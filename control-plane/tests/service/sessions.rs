//! Sessions, as operators read them.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Plane, TOKEN};

const BRAND: &str = "
  policies:
    - { name: brand, kind: string_replacement, config: { replacements: [[foo, bar]] } }
  pipeline: [brand]";

#[tokio::test]
async fn a_conversation_is_told_once() {
    let plane = Plane::start(BRAND);
    let said =
        [("user", "Hello?"), ("assistant", "a bar"), ("user", "And now?"), ("assistant", "fine"), ("user", "Again!")];
    let mut ids = Vec::new();
    for (n, answer) in [(1, "a foo"), (3, "fine"), (5, "once more")] {
        ids.push(plane.call("s 1", &said[..n], answer).await);
    }
    plane.call("other", &said[..1], "a foo").await;

    let session = plane.get("/api/sessions/s%201").await;
    assert_eq!((&session["session"], &session["next"]), (&json!("s 1"), &Value::Null));
    let turns = session["turns"].as_array().unwrap();
    let told: Vec<_> = turns.iter().map(|turn| &turn["call"]["call_id"]).collect();
    assert_eq!(told, ids.iter().map(|id| json!(id)).collect::<Vec<_>>().iter().collect::<Vec<_>>());
    for (turn, text) in turns.iter().zip(["Hello?", "And now?", "Again!"]) {
        assert_eq!(turn["messages"], json!([{ "role": "user", "content": [{ "text": text }] }]));
    }
    let block = &turns[0]["response"][0];
    assert_eq!((&block["kind"], &block["status"]), (&json!("text"), &json!("changed")));
    assert_eq!((&block["final"]["text"], &block["original"]["text"]), (&json!("a bar"), &json!("a foo")));
    let beside = turns[0]["beside"].as_array().unwrap();
    let verdict = beside.iter().find(|entry| entry["body"]["type"] == "verdict").unwrap();
    assert_eq!(verdict["body"]["policies"], json!(["brand"]));
    let block = &turns[1]["response"][0];
    assert_eq!((&block["status"], &block["final"]["text"]), (&json!("unchanged"), &json!("fine")));
    assert_eq!(block.get("original"), None);
}

#[tokio::test]
async fn a_long_session_is_read_page_by_page() {
    let plane = Plane::start(BRAND);
    let mut said = Vec::new();
    let texts: Vec<String> = (0..5).map(|n| format!("question {n}")).collect();
    for text in &texts {
        said.push(("user", text.as_str()));
        plane.call("long", &said, "yes").await;
        said.push(("assistant", "yes"));
    }
    let (mut told, mut path) = (Vec::new(), "/api/sessions/long?limit=2".to_owned());
    loop {
        let page = plane.get(&path).await;
        for turn in page["turns"].as_array().unwrap() {
            told.extend(
                turn["messages"].as_array().unwrap().iter().map(|message| message["content"][0]["text"].clone()),
            );
        }
        let Some(cursor) = page["next"].as_str() else { break };
        path = format!("/api/sessions/long?limit=2&cursor={cursor}");
    }
    let questions: Vec<_> = told.iter().filter(|text| **text != json!("yes")).collect();
    assert_eq!(questions, texts.iter().map(|text| json!(text)).collect::<Vec<_>>().iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn sessions_are_listed_last_first_and_by_their_calls() {
    let plane = Plane::start(BRAND);
    for (session, answer) in [("one", "a foo"), ("two", "nothing"), ("one", "nothing")] {
        plane.call(session, &[("user", "Hello?")], answer).await;
    }
    let alone = plane.call("", &[("user", "Hello?")], "nothing").await;
    let ids = async |query: &str| {
        let page = plane.get(&format!("/api/sessions{query}")).await;
        let mut ids: Vec<_> = page["sessions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|session| session["id"].as_str().unwrap().to_owned())
            .collect();
        ids.sort();
        ids
    };
    let mut all = vec!["one".to_owned(), "two".to_owned(), alone.to_string()];
    all.sort();
    assert_eq!(ids("").await, all);
    assert_eq!(ids("?policy=brand").await, ["one"]);
    assert_eq!(ids("?session=two").await, ["two"]);
    let one = plane.get("/api/sessions?session=one").await["sessions"][0].clone();
    assert_eq!((&one["calls"], &one["running"], &one["models"]), (&json!(2), &json!(0), &json!(["gpt-fast"])));

    let token = format!("Bearer {TOKEN}");
    for (path, status) in [
        ("/api/sessions/nobody".to_owned(), 404),
        (format!("/api/sessions/{}", Uuid::now_v7()), 404),
        ("/api/sessions/one?limit=0".to_owned(), 400),
        ("/api/sessions?colour=red".to_owned(), 400),
    ] {
        assert_eq!(plane.send("GET", &path, &[("authorization", &token)]).await.status(), status, "{path}");
        assert_eq!(plane.send("GET", &path, &[]).await.status(), 401, "{path}");
    }
}
