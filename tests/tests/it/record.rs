//! The record, as operators read it.

use luthien_tests::{
    fixtures,
    harness::{Ask, Gateway, Setup},
    peers::upstream::Reply,
    validate::{Dialect, sse},
};
use serde_json::{Value, json};

use crate::leaves::missing;

async fn call(gateway: &Gateway, dialect: Dialect) -> String {
    gateway.upstream.answer(Reply::stream(&fixtures::streamed(dialect, "tools_two")));
    let answer = gateway.ask(Ask::streamed(dialect)).await;
    let id = answer.call_id();
    answer.stream(dialect).await;
    gateway.record(&id).await;
    id
}

fn ids(page: &Value) -> Vec<&str> {
    page["calls"].as_array().unwrap().iter().map(|call| call["call_id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn calls_are_listed_newest_first_in_pages_and_by_filters() {
    let gateway = Setup::noop().start().await;
    let mut made = Vec::new();
    for dialect in [Dialect::OpenAi, Dialect::Anthropic, Dialect::OpenAi] {
        made.insert(0, call(&gateway, dialect).await);
    }
    let all = gateway.control.api("/api/calls").await;
    assert_eq!(ids(&all), made);
    assert_eq!(all["next"], Value::Null);

    let first = gateway.control.api("/api/calls?limit=2").await;
    assert_eq!(ids(&first), made[..2]);
    let cursor = first["next"].as_str().unwrap();
    let second = gateway.control.api(&format!("/api/calls?limit=2&cursor={cursor}")).await;
    assert_eq!(ids(&second), made[2..]);

    for (filter, wanted) in [
        ("dialect=anthropic-messages", vec![made[1].as_str()]),
        ("model=gpt-5-mini", vec![made[0].as_str(), &made[2]]),
        ("upstream=anthropic", vec![made[1].as_str()]),
        ("outcome=delivered", made.iter().map(String::as_str).collect()),
        ("outcome=failed", Vec::new()),
    ] {
        assert_eq!(ids(&gateway.control.api(&format!("/api/calls?{filter}")).await), wanted, "{filter}");
    }
}

#[tokio::test]
async fn a_record_tells_the_whole_call() {
    let gateway = Setup::denying_deletes().start().await;
    for dialect in Dialect::ALL {
        let id = call(&gateway, dialect).await;
        let record = gateway.record(&id).await;
        let types: Vec<&str> = record.entries.iter().map(|entry| entry["type"].as_str().unwrap()).collect();
        assert_eq!(types[..2], ["request", "admission"]);
        assert_eq!(types.iter().filter(|type_| **type_ == "outcome").count(), 1);
        assert_eq!(types.last(), Some(&"outcome"));

        let request = record.of_type("request").next().unwrap();
        assert!(request["request"].to_string().contains("prompt-canary"), "{request}");
        assert_eq!(request["dialect"], dialect.name());
        let admission = record.of_type("admission").next().unwrap();
        assert_eq!((&admission["decision"], &admission["pipeline"]), (&json!("forward"), &json!(["rules"])));
        assert_eq!(admission["revision"].as_str().unwrap().len(), 64);
        assert_eq!(record.call["revision"], admission["revision"]);

        let coverage = record.of_type("coverage").next().unwrap();
        assert_eq!(coverage["policies"][0]["policy"], "rules");
        assert_eq!((&record.call["status"], &record.call["upstream_status"]), (&json!(200), &json!(200)));
        assert!(record.call["tokens"]["output"].as_u64().unwrap() > 0, "{}", record.call);
        assert_eq!(record.call["stream"], true);
        let steps: Vec<&Value> = record.of_type("step").map(|step| &step["step"]).collect();
        for step in ["started", "finished", "ended"] {
            assert!(steps.contains(&&json!(step)), "{step} is not in {steps:?}");
        }
    }
}

#[tokio::test]
async fn nobody_reads_the_record_without_the_token() {
    let gateway = Setup::noop().start().await;
    let id = call(&gateway, Dialect::OpenAi).await;
    for path in ["/api/calls", &format!("/api/calls/{id}"), "/api/nothing"] {
        for token in ["", "Bearer ", "Bearer wrong", "Bearer client-key-canary", "Basic eDp5"] {
            let ask = Ask::get(path).header("authorization", token);
            let answer = if token.is_empty() { ask.without("authorization") } else { ask };
            assert_eq!(answer.send(gateway.control.admin).await.status, 401, "{path} {token}");
        }
    }
    for (name, value) in [("origin", "http://evil.example"), ("origin", "null"), ("host", "evil.example")] {
        let ask = gateway.control.ask("/api/calls").header(name, value);
        assert_eq!(ask.send(gateway.control.admin).await.status, 403, "{name}: {value}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let gateway = Setup::noop().start().await;
    for (path, status) in [
        ("/api/calls/01890a5d-ac96-774b-bcce-b302099a8057", 404),
        ("/api/calls/nonsense", 400),
        ("/api/calls?limit=none", 400),
        ("/api/calls?colour=red", 400),
        ("/api/nothing", 404),
    ] {
        let answer = gateway.control.ask(path).send(gateway.control.admin).await;
        assert_eq!(answer.status, status, "{path}");
        let body: Value = serde_json::from_slice(&answer.complete().await).unwrap();
        assert!(!body["error"]["message"].as_str().unwrap().is_empty());
    }
}

/// What the record must hold of a response, given as the data of its SSE events or as its whole body.
async fn is_on_record(gateway: &Gateway, id: &str, case: &str, said: Vec<Value>) {
    let record = gateway.record(id).await;
    if let Some(leaf) = missing(&said, &record.entries) {
        panic!("{case}: {leaf:?} is not in {:#?}", record.entries);
    }
}

#[tokio::test]
async fn everything_that_the_upstream_said_is_on_record() {
    for setup in [Setup::noop(), Setup::replacing_cool(), Setup::denying_deletes()] {
        let gateway = setup.start().await;
        for dialect in Dialect::ALL {
            for fixture in fixtures::all_streamed(dialect) {
                gateway.upstream.answer(Reply::stream(&fixture.body));
                let answer = gateway.ask(Ask::streamed(dialect)).await;
                let id = answer.call_id();
                answer.complete().await;
                let events = sse::parse(&fixture.body, sse::Between::Anything).unwrap();
                let said = events.iter().filter_map(|event| serde_json::from_str(&event.data).ok()).collect();
                is_on_record(&gateway, &id, &fixture.case, said).await;
            }
            for fixture in fixtures::all_whole(dialect) {
                gateway.upstream.answer(Reply::bytes(200, "application/json", &fixture.body));
                let answer = gateway.ask(Ask::whole(dialect)).await;
                let id = answer.call_id();
                answer.complete().await;
                is_on_record(&gateway, &id, &fixture.case, vec![serde_json::from_slice(&fixture.body).unwrap()]).await;
            }
        }
    }
}

#[tokio::test]
async fn everything_that_the_client_asked_for_is_on_record() {
    let gateway = Setup::noop().start().await;
    for dialect in Dialect::ALL {
        let request = String::from_utf8(fixtures::request(dialect)).unwrap();
        gateway.upstream.answer(Reply::bytes(200, "application/json", &fixtures::whole(dialect, "text")));
        let answer = gateway.ask(Ask::post(dialect, request.clone())).await;
        let id = answer.call_id();
        answer.complete().await;
        assert_eq!(String::from_utf8_lossy(&gateway.upstream.exchanges().pop().unwrap().body), request);
        let record = gateway.record(&id).await;
        let entry = record.of_type("request").next().unwrap();
        let said = serde_json::from_str(&request).unwrap();
        assert_eq!(missing(&[said], std::slice::from_ref(entry)), None, "{entry:#}");
    }
}
