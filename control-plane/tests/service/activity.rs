//! What those are owed who watch.

use luthien_control_plane::record::{Batch, Entry, Sqlite, Store as _};
use luthien_proto::message::{Outcome, Reply};
use serde_json::json;
use uuid::Uuid;

use crate::harness::{Plane, Seen, TOKEN, response, started};

const BRAND: &str = "
  policies:
    - { name: brand, kind: string_replacement, config: { replacements: [[foo, bar]] } }
  pipeline: [brand]";

/// A call from its beginning to its end.
async fn call(plane: &Plane) -> Uuid {
    let id = Uuid::now_v7();
    let mut stream = plane.enforce().await;
    stream.tell(started(id));
    stream.admission().await;
    stream.tell(response("a foo"));
    stream.end(Outcome::Delivered);
    stream.close().await.unwrap();
    id
}

fn names(seen: &[Seen]) -> Vec<&str> {
    seen.iter().map(|seen| seen.name.as_str()).collect()
}

#[tokio::test]
async fn a_call_is_seen_while_it_runs() {
    let plane = Plane::start(BRAND);
    let mut watch = plane.watch("", &[]).await;
    let id = Uuid::now_v7();
    let mut stream = plane.enforce().await;
    stream.tell(started(id));
    let Reply::Admission(admission) = stream.reply().await.message else { panic!("no Admission") };

    let begun = watch.until("admission").await;
    assert_eq!(names(&begun), ["request", "admission"]);
    let [request, admitted] = [&begun[0].data, &begun[1].data];
    assert_eq!(request["call_id"], json!(id));
    assert_eq!((&request["type"], &request["model"]), (&json!("request"), &json!("gpt-fast")));
    assert_eq!((&request["upstream"], &request["client"]), (&json!("openai"), &json!("ci")));
    assert_eq!(request["session"], json!(id), "without a marker, the call itself");
    assert_eq!((&admitted["decision"], &admitted["revision"]), (&json!("forward"), &json!(&*admission.revision)));

    stream.tell(response("a foo"));
    let judged = watch.until("block").await;
    assert!(names(&judged).contains(&"verdict"), "{judged:?}");
    let verdict = &judged.iter().find(|seen| seen.name == "verdict").unwrap().data;
    assert_eq!((&verdict["decision"], &verdict["policies"]), (&json!("replace"), &json!(["brand"])));
    assert_eq!(plane.get(&format!("/api/calls/{id}")).await["outcome"], json!(null), "it runs");
    for seen in begun.iter().chain(&judged) {
        assert!(!seen.data.to_string().contains("foo") && !seen.data.to_string().contains("Hello"), "{seen:?}");
    }

    stream.end(Outcome::Delivered);
    let end = watch.until("outcome").await.pop().unwrap().data;
    assert_eq!((&end["outcome"], &end["received"], &end["status"]), (&json!("delivered"), &json!(6), &json!(200)));
    assert!(end["at"].as_str().unwrap().starts_with("2023-11-14T22:13:20.0000"), "{end}");
}

#[tokio::test]
async fn who_comes_back_goes_on_where_they_were() {
    let plane = Plane::start(BRAND);
    let mut watch = plane.watch("", &[]).await;
    call(&plane).await;
    call(&plane).await;
    let mut all = watch.until("outcome").await;
    all.extend(watch.until("outcome").await);
    drop(watch);
    let last = call(&plane).await;
    for (n, seen) in all.iter().enumerate() {
        let mut again = match n % 2 {
            0 => plane.watch("", &[("last-event-id", &seen.id)]).await,
            _ => plane.watch(&format!("?since={}", seen.id), &[]).await,
        };
        for wanted in &all[n + 1..] {
            assert_eq!(again.next().await, *wanted);
        }
        let rest = again.until("outcome").await;
        assert!(rest.iter().all(|seen| seen.data["call_id"] == json!(last)), "{rest:?}");
    }
}

#[tokio::test]
async fn calls_of_another_control_plane_are_seen() {
    let plane = Plane::start(BRAND);
    let other = plane.beside(BRAND);
    let mut watch = plane.watch("", &[]).await;
    let there = call(&other).await;
    let first = watch.until("outcome").await;
    assert!(first.iter().all(|seen| seen.data["call_id"] == json!(there)), "{first:?}");
    // And gone on with there.
    let here = call(&plane).await;
    let mut elsewhere = other.watch(&format!("?since={}", first.last().unwrap().id), &[]).await;
    let (one, two) = (watch.until("outcome").await, elsewhere.until("outcome").await);
    assert_eq!(one, two);
    assert!(one.iter().all(|seen| seen.data["call_id"] == json!(here)), "{one:?}");
}

#[tokio::test]
async fn viewers_see_what_they_ask_for() {
    let plane = Plane::start(BRAND);
    let begin = {
        let mut watch = plane.watch("", &[]).await;
        call(&plane).await;
        watch.next().await.id
    };
    let id = call(&plane).await;
    for (filter, name) in [
        ("policy=brand".to_owned(), "verdict"),
        ("outcome=delivered&model=gpt-fast".to_owned(), "outcome"),
        (format!("session={id}"), "request"),
    ] {
        let mut watch = plane.watch(&format!("?since={begin}&{filter}"), &[]).await;
        assert_eq!(watch.next().await.name, name, "{filter}");
    }
    let token = format!("Bearer {TOKEN}");
    for query in ["colour=red", "since=x", "severity=bad", "outcome=fine", "model=a&model=b"] {
        let response = plane.send("GET", &format!("/api/activity?{query}"), &[("authorization", &token)]).await;
        assert_eq!(response.status(), 400, "{query}");
    }
    let headers = [("authorization", &*token), ("last-event-id", "nonsense")];
    assert_eq!(plane.send("GET", "/api/activity", &headers).await.status(), 400);
    assert_eq!(plane.send("GET", "/api/activity", &[]).await.status(), 401);
}

#[tokio::test]
async fn a_viewer_that_is_too_slow_is_told_what_it_missed_and_goes_on() {
    const NOTES: u64 = 12_000;
    let plane = Plane::start(BRAND);
    let mut stuck = plane.watch("", &[]).await;
    let mut quick = plane.watch("?policy=flood", &[]).await;
    let id = call(&plane).await;
    let store = Sqlite::open(&plane.database()).await.unwrap();
    for batch in (0..NOTES).collect::<Vec<_>>().chunks(500) {
        let entries = batch.iter().map(|seq| note(id, *seq)).collect();
        store.write(&Batch { entries, ..Batch::default() }).await.unwrap();
        for wanted in batch {
            let seen = quick.next().await;
            assert_eq!((&*seen.name, seen.data["chunk"].as_u64()), ("note", Some(*wanted)));
        }
    }
    // It has read nothing so far.
    let seen = stuck.until("gap").await;
    assert_eq!(seen.last().unwrap().data, json!({ "type": "gap", "reason": "slow" }));
    let mut chunk = stuck.next().await.data["chunk"].as_u64().unwrap();
    assert!(chunk as usize > seen.len());
    while chunk < NOTES - 1 {
        let next = stuck.next().await.data["chunk"].as_u64().unwrap();
        assert_eq!(next, chunk + 1);
        chunk = next;
    }
}

/// A long one.
fn note(call_id: Uuid, seq: u64) -> Entry {
    let summary = "s".repeat(4_000);
    let body = json!({ "type": "note", "policy": "flood", "seq": seq, "severity": "debug", "summary": summary });
    Entry { call_id, epoch: 1, seq, at_us: 0, kind: "note".into(), body: body.to_string() }
}

#[tokio::test]
async fn a_crowd_that_does_not_read_is_in_nobodys_way() {
    let plane = Plane::start(BRAND);
    let mut crowd = Vec::new();
    for _ in 0..300 {
        crowd.push(plane.watch("", &[]).await);
    }
    for _ in 0..50 {
        call(&plane).await;
    }
    assert_eq!(plane.get("/api/calls?limit=1000&outcome=delivered").await["calls"].as_array().unwrap().len(), 50);
    for mut viewer in crowd {
        for _ in 0..50 {
            viewer.until("outcome").await;
        }
    }
}

#[tokio::test]
async fn those_who_watch_do_not_keep_a_control_plane_from_ending() {
    let mut plane = Plane::start(BRAND);
    let mut watch = plane.watch("", &[]).await;
    call(&plane).await;
    watch.until("outcome").await;
    plane.shutdown.begin();
    plane.join().await;
    assert_eq!(watch.any().await, None);
}
