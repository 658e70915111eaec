//! What a proxy is owed.

use luthien_proto::{
    Event, Step,
    event::Delta,
    message::{AdmissionDecision, Decision, Outcome, Reply},
    wire::EnforceRequest,
};
use serde_json::{Value, json};
use tonic::Code;
use uuid::Uuid;

use crate::harness::{Plane, response, started};

const BRAND: &str = "
  policies:
    - { name: brand, kind: string_replacement, config: { replacements: [[foo, bar]] } }
  pipeline: [brand]";

#[tokio::test]
async fn a_call_is_admitted_and_judged_and_on_record_when_its_stream_closes() {
    let (plane, id) = (Plane::start(BRAND), Uuid::now_v7());
    let mut stream = plane.enforce().await;
    stream.tell(started(id));
    let Reply::Admission(admission) = stream.reply().await.message else { panic!("no Admission") };
    assert!(matches!(admission.decision, AdmissionDecision::Forward(_)));
    assert_eq!(admission.pipeline, ["brand"]);

    stream.tell(response("a foo"));
    let mut text = String::new();
    loop {
        let reply = stream.reply().await;
        let Reply::Verdict(verdict) = reply.message else { panic!("no verdict") };
        // Only the last of the answers counts the message.
        assert_eq!(reply.seen, u64::from(verdict.through == 6));
        if let Decision::Replace(events) = verdict.decision {
            text.extend(events.into_iter().filter_map(delta));
        }
        if verdict.through == 6 {
            break;
        }
    }
    assert_eq!(text, "a bar");

    stream.end(Outcome::Delivered);
    stream.close().await.unwrap();
    let record = plane.get(&format!("/api/calls/{id}")).await;
    assert_eq!(record["outcome"], "delivered");
    assert_eq!(record["started_at"], "2023-11-14T22:13:20Z");
    assert_eq!(record["ended_at"], "2023-11-14T22:13:20.00003Z");
    assert_eq!(record["revision"], *admission.revision);
    assert_eq!((&record["client"], &record["model"]), (&json!("ci"), &json!("gpt-fast")));
    assert_eq!(record["pipeline"], json!(["brand"]));
    let types = types(&record);
    assert_eq!(types.first(), Some(&"request"));
    assert_eq!(types.last(), Some(&"outcome"));
    assert!(types.contains(&"block") && types.contains(&"verdict"), "{types:?}");
    let seqs: Vec<_> = entries(&record).iter().map(|entry| entry["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (0..types.len() as u64).collect::<Vec<_>>());
}

#[tokio::test]
async fn without_a_pipeline_a_call_is_admitted_and_on_record() {
    let (plane, id) = (Plane::start(""), Uuid::now_v7());
    let mut stream = plane.enforce().await;
    stream.tell(started(id));
    assert!(matches!(stream.reply().await.message, Reply::Admission(_)));
    stream.tell(response("hello"));
    stream.end(Outcome::Delivered);
    stream.close().await.unwrap();
    let listed = plane.get("/api/calls").await;
    assert_eq!(listed["calls"][0]["call_id"], id.to_string());
    assert_eq!(listed["calls"][0]["outcome"], "delivered");
}

#[tokio::test]
async fn a_first_message_that_is_not_call_started_is_a_fault() {
    let plane = Plane::start("");
    let mut stream = plane.enforce().await;
    stream.tell(response("hello"));
    let status = stream.close().await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::InvalidArgument, "the first message is neither CallStarted nor CallResumed")
    );
}

#[tokio::test]
async fn a_message_out_of_order_is_a_fault_and_on_record() {
    let (plane, id) = (Plane::start(BRAND), Uuid::now_v7());
    let mut stream = plane.enforce().await;
    stream.tell(started(id));
    stream.reply().await;
    stream.tell(started(id));
    let status = stream.close().await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let record = plane.record(id).await;
    assert_eq!((&record["outcome"], &record["reason"]), (&json!("unknown"), &json!(status.message())));
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_a_fault_and_on_record() {
    let (plane, id) = (Plane::start(BRAND), Uuid::now_v7());
    let mut stream = plane.enforce().await;
    stream.tell(started(id));
    stream.reply().await;
    stream.requests.as_ref().unwrap().send(EnforceRequest { message: None }).unwrap();
    let status = stream.close().await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::InvalidArgument, "message: not set"));
    let record = plane.record(id).await;
    assert_eq!((&record["outcome"], &record["reason"]), (&json!("unknown"), &json!("message: not set")));
}

#[tokio::test]
async fn a_call_whose_proxy_is_lost_has_an_unknown_outcome() {
    let (plane, dropped, closed) = (Plane::start(BRAND), Uuid::now_v7(), Uuid::now_v7());
    let mut stream = plane.enforce().await;
    stream.tell(started(dropped));
    stream.reply().await;
    drop(stream);
    assert_eq!(plane.record(dropped).await["outcome"], "unknown");

    let mut stream = plane.enforce().await;
    stream.tell(started(closed));
    stream.reply().await;
    stream.requests = None;
    assert_eq!(stream.close().await.unwrap_err().code(), Code::Cancelled);
    assert_eq!(plane.record(closed).await["outcome"], "unknown");
}

#[tokio::test]
async fn a_call_that_begins_again_overwrites_nothing_and_is_counted() {
    let (plane, id) = (Plane::start(""), Uuid::now_v7());
    for outcome in [Outcome::Delivered, Outcome::CutByClient] {
        let mut stream = plane.enforce().await;
        stream.tell(started(id));
        stream.reply().await;
        stream.end(outcome);
        stream.close().await.unwrap();
    }
    let record = plane.get(&format!("/api/calls/{id}")).await;
    assert_eq!((&record["outcome"], &record["epochs"]), (&json!("delivered"), &json!([0])));
    assert_eq!(entries(&record).last().unwrap()["body"]["outcome"], "delivered");
    let metrics = plane.send("GET", "/metrics", &[]).await;
    let page = String::from_utf8(metrics.body().to_vec()).unwrap();
    assert!(page.contains("luthien_control_plane_record_conflicts_total 1\n"), "{page}");
}

#[tokio::test]
async fn a_silent_call_hears_that_the_service_lives() {
    let plane = Plane::start("  timeouts: { lease: 20ms }");
    let mut stream = plane.enforce().await;
    stream.tell(started(Uuid::now_v7()));
    while stream.any_reply().await.message != Reply::Working {}
}

#[tokio::test]
async fn a_message_above_the_limit_is_refused() {
    let plane = Plane::start("  limits: { message: 64KiB }");
    let mut stream = plane.enforce().await;
    stream.tell(started(Uuid::now_v7()));
    stream.reply().await;
    let _ = stream.requests.as_ref().unwrap().send(response(&"x".repeat(70_000)).into());
    assert!(stream.close().await.is_err());
}

fn delta(event: Event) -> Option<String> {
    match event.step {
        Step::BlockDelta(delta) => match delta.delta {
            Delta::Text(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

fn entries(record: &Value) -> &Vec<Value> {
    record["entries"].as_array().unwrap()
}

fn types(record: &Value) -> Vec<&str> {
    entries(record).iter().map(|entry| entry["body"]["type"].as_str().unwrap()).collect()
}
