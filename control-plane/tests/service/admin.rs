//! What an operator is owed, and everybody else refused.

use luthien_control_plane::{
    continuation::Answered,
    record::{Batch, Period, Sqlite, Store as _, Summary, Tokens},
};
use luthien_proto::message::Outcome;
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use crate::harness::{Plane, TOKEN};

#[tokio::test]
async fn only_the_token_opens_the_api() {
    let plane = Plane::start("");
    let cases: [&[(&str, &str)]; 6] = [
        &[],
        &[("authorization", "Bearer ")],
        &[("authorization", "Bearer token-of-the-operato")],
        &[("authorization", "Bearer token-of-the-operator2")],
        &[("authorization", "Basic token-of-the-operator")],
        &[("cookie", "token=token-of-the-operator")],
    ];
    for path in ["/api/calls", "/api/calls/x", "/api/calls/x/diff", "/api/nothing"] {
        for headers in cases {
            let response = plane.send("GET", path, headers).await;
            assert_eq!(response.status(), 401, "{path} {headers:?}");
            assert_eq!(response.headers()["www-authenticate"], "Bearer");
            let body: Value = serde_json::from_slice(response.body()).unwrap();
            assert!(body["error"]["message"].as_str().unwrap().contains("token"), "{body}");
        }
    }
    let bearer = format!("bearer {TOKEN}");
    assert_eq!(
        plane.ask("/api/calls", &[("authorization", &bearer)]).await,
        (200, json!({ "calls": [], "next": null }))
    );
}

#[tokio::test]
async fn health_needs_no_token() {
    let plane = Plane::start("");
    assert_eq!(plane.ask("/healthz", &[]).await.0, 200);
    assert_eq!(plane.ask("/readyz", &[]).await.0, 200);
}

#[tokio::test]
async fn a_made_token_stands_in_a_file_beside_the_database() {
    let plane = Plane::start_in(TempDir::new().unwrap(), "");
    let file = plane.folder.path().join("luthien-admin-token");
    let running = plane.running.as_ref().unwrap();
    assert_eq!(running.admin_token_file(), Some(&file));
    let token = std::fs::read_to_string(file).unwrap();
    assert_eq!(running.admin_token().expose(), token);
    assert_eq!(plane.ask("/api/calls", &[("authorization", &format!("Bearer {token}"))]).await.0, 200);
}

#[tokio::test]
async fn pages_of_other_origins_are_refused() {
    let plane = Plane::start("");
    let token = format!("Bearer {TOKEN}");
    let same = format!("http://{}", plane.admin);
    let ask = async |headers: &[(&str, &str)]| plane.ask("/healthz", headers).await.0;
    assert_eq!(ask(&[("host", "evil.example")]).await, 403);
    assert_eq!(ask(&[("host", "evil.example"), ("authorization", &token)]).await, 403);
    assert_eq!(ask(&[("host", "localhost:8001")]).await, 200);
    assert_eq!(ask(&[("origin", "http://evil.example")]).await, 403);
    assert_eq!(ask(&[("origin", "null")]).await, 403);
    assert_eq!(ask(&[("origin", &same)]).await, 200);
}

#[tokio::test]
async fn every_response_keeps_browsers_from_doing_anything_with_it() {
    let plane = Plane::start("");
    for path in ["/healthz", "/api/calls", "/nothing"] {
        let response = plane.send("GET", path, &[]).await;
        assert_eq!(response.headers()["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(response.headers()["cache-control"], "no-store", "{path}");
        assert_eq!(response.headers()["content-security-policy"], "default-src 'none'; frame-ancestors 'none'");
    }
}

#[tokio::test]
async fn what_cannot_be_answered_says_why() {
    let plane = Plane::start("");
    let token = format!("Bearer {TOKEN}");
    for (method, path, status, said) in [
        ("GET", "/api/calls?modle=x", 400, "unknown parameter \"modle\""),
        ("GET", "/api/calls?limit=0", 400, "\"limit\""),
        ("GET", "/api/calls/nonsense", 400, "UUID"),
        ("GET", "/api/calls/0192f0c4-0000-7000-8000-000000000000", 404, "no call 0192f0c4"),
        ("GET", "/api/calls/nonsense/diff", 400, "UUID"),
        ("GET", "/api/calls/0192f0c4-0000-7000-8000-000000000000/diff", 404, "no call 0192f0c4"),
        ("GET", "/api/nothing", 404, "nothing at this path"),
        ("GET", "/nothing", 404, "nothing at this path"),
        ("DELETE", "/api/calls", 405, "method"),
        ("POST", "/healthz", 405, "method"),
    ] {
        let response = plane.send(method, path, &[("authorization", &token)]).await;
        let body: Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(response.status(), status, "{path}: {body}");
        assert!(body["error"]["message"].as_str().unwrap().contains(said), "{path}: {body}");
    }
}

#[tokio::test]
async fn calls_are_listed_newest_first_page_by_page() {
    let plane = Plane::start("");
    // Another control plane on the same file.
    let store = Sqlite::open(&plane.database()).await.unwrap();
    store.write(&Batch { summaries: (1..=5).map(call).collect(), ..Batch::default() }).await.unwrap();
    let done = Summary { outcome: Some(Outcome::Delivered), ..call(3) };
    store.write(&Batch { summaries: vec![done], ..Batch::default() }).await.unwrap();

    let first = plane.get("/api/calls?limit=2").await;
    assert_eq!(ids(&first), [5, 4]);
    let cursor = first["next"].as_str().unwrap();
    store.write(&Batch { summaries: vec![call(6)], ..Batch::default() }).await.unwrap();
    let second = plane.get(&format!("/api/calls?limit=9&cursor={cursor}")).await;
    assert_eq!((ids(&second), &second["next"]), (vec![3, 2, 1], &Value::Null));
    assert_eq!(ids(&plane.get("/api/calls?outcome=delivered").await), [3]);
    assert_eq!(ids(&plane.get("/api/calls?since=1970-01-01T00:00:05Z").await), [6, 5]);
}

fn ids(page: &Value) -> Vec<u128> {
    let id = |call: &Value| call["call_id"].as_str().unwrap().parse::<Uuid>().unwrap().as_u128();
    page["calls"].as_array().unwrap().iter().map(id).collect()
}

/// Began at `n` seconds.
fn call(n: u128) -> Summary {
    Summary {
        call_id: Uuid::from_u128(n),
        epoch: 0,
        session: None,
        started_at_us: i64::try_from(n).unwrap() * 1_000_000,
        ended_at_us: None,
        client: None,
        dialect: "openai-chat".into(),
        upstream_dialect: "openai-chat".into(),
        upstream: "openai".into(),
        route: "*".into(),
        model: "gpt".into(),
        upstream_model: "gpt".into(),
        stream: false,
        dropped: Vec::new(),
        omitted: Vec::new(),
        revision: None,
        pipeline: None,
        outcome: None,
        reason: None,
        status: None,
        upstream_status: None,
        tokens: Tokens::default(),
        severity: None,
        upstream_first_us: None,
        client_first_us: None,
        acted: Vec::new(),
        period: Period::default(),
        answered: Answered::default(),
    }
}
