//! The document of the API says what the API does.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Plane, TOKEN};

const BRAND: &str = "
  policies:
    - { name: brand, kind: string_replacement, config: { replacements: [[foo, bar]] } }
  pipeline: [brand]";
const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

/// The documented paths, each with its methods.
fn paths(document: &Value) -> Vec<(&str, &serde_json::Map<String, Value>)> {
    document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(path, item)| (path.as_str(), item.as_object().unwrap()))
        .collect()
}

#[tokio::test]
async fn every_documented_path_is_served_and_no_other_method() {
    let plane = Plane::start("");
    let document = plane.get("/api/openapi.json").await;
    assert_eq!(document["openapi"].as_str().unwrap().split('.').next(), Some("3"));
    let token = format!("Bearer {TOKEN}");
    for (path, item) in paths(&document) {
        let real = path.replace("{id}", &Uuid::now_v7().to_string());
        let needs_token = path.starts_with("/api/");
        for method in METHODS {
            let is_documented = item.contains_key(method);
            if is_documented && path == "/api/activity" {
                plane.watch("", &[]).await;
                continue;
            }
            let response = plane.send(&method.to_uppercase(), &real, &[("authorization", &token)]).await;
            let text = std::str::from_utf8(response.body()).unwrap();
            assert_eq!(response.status() != 405, is_documented, "{method} {path}: {text}");
            assert!(!text.contains("nothing at this path"), "{method} {path}: {text}");
            if is_documented {
                let status = plane.send(&method.to_uppercase(), &real, &[]).await.status();
                assert_eq!(status == 401, needs_token, "{method} {path}: {status}");
                assert_eq!(item[method].get("security").is_some(), needs_token, "{method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_written_for_people_names_the_same_paths() {
    let plane = Plane::start("");
    let document = plane.get("/api/openapi.json").await;
    let documented: BTreeSet<String> = paths(&document)
        .into_iter()
        .flat_map(|(path, item)| {
            METHODS
                .iter()
                .filter(|method| item.contains_key(**method))
                .map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect();
    let text = include_str!("../../../docs/api.md");
    let rows = text.lines().filter(|line| line.starts_with("| `GET /"));
    let written: BTreeSet<String> = rows
        .flat_map(|row| {
            row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(written, documented);
}

/// The schema of an answer.
fn schema(document: &Value, path: &str, method: &str, status: &str) -> Value {
    let responses = &document["paths"][path][method]["responses"];
    let response = responses.get(status).unwrap_or(&responses["default"]);
    let contents = response["content"].as_object().unwrap_or_else(|| panic!("{method} {path} {status}"));
    let (_, content) = contents.iter().next().unwrap();
    let mut schema = content["schema"].clone();
    assert!(schema.is_object(), "{method} {path} {status}");
    schema["components"] = document["components"].clone();
    // Nothing is answered that is not documented.
    if schema.get("$ref").is_some() {
        schema["unevaluatedProperties"] = json!(false);
    }
    schema
}

fn check(document: &Value, path: &str, method: &str, status: u16, answer: &Value) {
    let schema = schema(document, path, method, &status.to_string());
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<_> =
        validator.iter_errors(answer).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{method} {path} {status}: {errors:#?}");
}

#[tokio::test]
async fn real_answers_are_what_the_document_says() {
    let plane = Plane::start(BRAND);
    let document = plane.get("/api/openapi.json").await;
    let mut watch = plane.watch("", &[]).await;
    let id = plane.call("s", &[("user", "Hello?")], "a foo").await;
    plane.call("s", &[("user", "Hello?"), ("assistant", "a bar"), ("user", "And?")], "fine").await;

    for (path, real) in [
        ("/healthz", "/healthz".to_owned()),
        ("/readyz", "/readyz".to_owned()),
        ("/api/calls", "/api/calls".to_owned()),
        ("/api/calls", "/api/calls?limit=1".to_owned()),
        ("/api/calls/{id}", format!("/api/calls/{id}")),
        ("/api/calls/{id}", format!("/api/calls/{id}?deltas=true&epoch=0")),
        ("/api/calls/{id}/diff", format!("/api/calls/{id}/diff")),
        ("/api/sessions", "/api/sessions".to_owned()),
        ("/api/sessions/{id}", "/api/sessions/s".to_owned()),
        ("/api/sessions/{id}", "/api/sessions/s?limit=1".to_owned()),
        ("/api/policies", "/api/policies".to_owned()),
        ("/api/policies/kinds", "/api/policies/kinds".to_owned()),
        ("/api/openapi.json", "/api/openapi.json".to_owned()),
    ] {
        check(&document, path, "get", 200, &plane.get(&real).await);
    }
    for line in plane.lines("/api/export").await {
        check(&document, "/api/export", "get", 200, &line);
    }
    let mut seen = watch.until("outcome").await;
    seen.extend(watch.until("outcome").await);
    for seen in seen {
        check(&document, "/api/activity", "get", 200, &seen.data);
    }
    check(&document, "/api/activity", "get", 200, &json!({ "type": "gap", "reason": "slow" }));

    let token = format!("Bearer {TOKEN}");
    for (path, real, headers, status) in [
        ("/api/calls", "/api/calls", &[][..], 401),
        ("/api/calls", "/api/calls?colour=red", &[("authorization", token.as_str())], 400),
        ("/api/sessions/{id}", "/api/sessions/nobody", &[("authorization", &token)], 404),
        ("/api/export", "/api/export?limit=x", &[("authorization", &token)], 400),
    ] {
        let (answered, body) = plane.ask(real, headers).await;
        assert_eq!(answered, status);
        check(&document, path, "get", status, &body);
    }
    let current = plane.get("/api/policies").await;
    let (status, body) = plane.put("/api/policies", &[], current.to_string()).await;
    assert_eq!(status, 200, "{body}");
    check(&document, "/api/policies", "put", 200, &body);
    for (body, wanted) in
        [(json!({ "config": {} }), 428), (json!({ "revision": "x", "config": { "pipeline": ["no"] } }), 422)]
    {
        let (status, body) = plane.put("/api/policies", &[], body.to_string()).await;
        assert_eq!(status, wanted, "{body}");
        check(&document, "/api/policies", "put", status, &body);
    }
}
