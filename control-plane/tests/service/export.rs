//! Whole calls, one per line.

use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use uuid::Uuid;

use crate::harness::{Plane, TOKEN};

async fn calls(plane: &Plane, n: usize) -> Vec<Uuid> {
    let mut ids = Vec::new();
    for _ in 0..n {
        ids.push(plane.call("s", &[("user", "Hello?")], "an answer").await);
    }
    // All of them began at the same moment.
    ids.sort();
    ids.reverse();
    ids
}

fn ids(lines: &[Value]) -> Vec<Uuid> {
    lines.iter().map(|line| line["call_id"].as_str().unwrap().parse().unwrap()).collect()
}

#[tokio::test]
async fn every_call_is_a_line_and_just_what_it_is_alone() {
    let plane = Plane::start("");
    let made = calls(&plane, 5).await;
    let lines = plane.lines("/api/export").await;
    assert_eq!(ids(&lines), made);
    for (line, id) in lines.iter().zip(&made) {
        assert_eq!(*line, plane.get(&format!("/api/calls/{id}?deltas=true")).await);
    }
    assert_eq!(ids(&plane.lines("/api/export?limit=2&model=gpt-fast").await), made[..2]);
    let cursor = plane.get("/api/calls?limit=2").await["next"].as_str().unwrap().to_owned();
    assert_eq!(ids(&plane.lines(&format!("/api/export?cursor={cursor}")).await), made[2..]);
    assert_eq!(plane.lines("/api/export?outcome=failed").await, [] as [Value; 0]);
    assert_eq!(plane.lines("/api/export?limit=0").await, [] as [Value; 0]);
    let token = format!("Bearer {TOKEN}");
    for query in ["colour=red", "limit=all", "limit=1&limit=1"] {
        let response = plane.send("GET", &format!("/api/export?{query}"), &[("authorization", &token)]).await;
        assert_eq!(response.status(), 400, "{query}");
    }
}

#[tokio::test]
async fn more_calls_than_one_page_are_all_there() {
    let plane = Plane::start("");
    let made = calls(&plane, 230).await;
    assert_eq!(ids(&plane.lines("/api/export").await), made);
    assert_eq!(ids(&plane.lines("/api/export?limit=150").await), made[..150]);
}

#[tokio::test]
async fn what_keeps_an_export_from_its_end_is_its_last_line() {
    let plane = Plane::start("");
    let made = calls(&plane, 3).await;
    let options = SqliteConnectOptions::new().filename(plane.database());
    let mut raw = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query("UPDATE entries SET body = x'ff' WHERE call_id = ?")
        .bind(made[1].as_bytes().as_slice())
        .execute(&mut raw)
        .await
        .unwrap();
    let lines = plane.lines("/api/export").await;
    let [first, last] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!(first["call_id"], json!(made[0]));
    assert_eq!(last.get("call_id"), None);
    assert!(last["error"]["message"].as_str().unwrap().contains("database"), "{last}");
}
