//! What a proxy reports of calls that no control plane had at their end.

use luthien_proto::{
    message::{CallEnded, CallReport, Opened, Outcome, ServiceFailure},
    wire::{self, policy_service_client::PolicyServiceClient},
};
use serde_json::{Value, json};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::harness::{Plane, call_ended, call_started, response, started_to_be_resumed};

const WAITING: &str = "
  policies:
    - { name: brand, kind: string_replacement, config: { replacements: [[foo, bar]] } }
  pipeline: [brand]
  timeouts: { takeover_wait: 1h }";

fn report(call_id: Uuid, epoch: u32) -> CallReport {
    let (cause, reason) = (ServiceFailure::Lost, "it was gone".to_owned());
    let opened = Opened { first: 3, last: 6, chunks: 4, cause, reason: reason.clone() };
    CallReport {
        epoch,
        started: Box::new(call_started(call_id)),
        request_left_out: false,
        ended: CallEnded { opened: Some(opened), ..call_ended(Outcome::Delivered) },
        cause,
        reason,
        revision: "abc".to_owned(),
        pipeline: vec!["brand".to_owned()],
        usage: None,
    }
}

async fn tell(plane: &Plane, report: impl Into<wire::CallReport>) -> Result<(), Status> {
    PolicyServiceClient::new(plane.channel().await).report(report.into()).await.map(|_| ())
}

fn types(record: &Value) -> Vec<&str> {
    record["entries"].as_array().unwrap().iter().map(|entry| entry["body"]["type"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_call_that_no_control_plane_knew_is_on_record_by_its_report() {
    let (plane, id) = (Plane::start(""), Uuid::now_v7());
    tell(&plane, report(id, 1)).await.unwrap();
    let record = plane.get(&format!("/api/calls/{id}")).await;
    assert_eq!((&record["outcome"], &record["epochs"]), (&json!("delivered"), &json!([1])));
    assert_eq!(
        (&record["reason"], &record["revision"]),
        (&json!("4 chunks passed unjudged: it was gone"), &json!("abc"))
    );
    assert_eq!(types(&record), ["request", "report"]);
    let told = &record["report"]["body"];
    assert_eq!((&told["cause"], &told["why"], &told["status"]), (&json!("lost"), &json!("it was gone"), &json!(200)));
    let opened = json!({"first": 3, "last": 6, "chunks": 4, "cause": "lost", "reason": "it was gone"});
    assert_eq!(told["opened"], opened);
    let metrics = plane.send("GET", "/metrics", &[]).await;
    let page = String::from_utf8(metrics.body().to_vec()).unwrap();
    assert!(page.contains("luthien_control_plane_reports_total{cause=\"lost\"} 1\n"), "{page}");
}

#[tokio::test]
async fn a_report_stands_beside_what_was_on_record_and_ends_the_wait_for_the_proxy() {
    let (plane, id) = (Plane::start(WAITING), Uuid::now_v7());
    let mut stream = plane.enforce().await;
    stream.tell(started_to_be_resumed(id));
    stream.admission().await;
    stream.tell(response("a foo"));
    stream.reply().await;
    drop(stream);

    tell(&plane, report(id, 1)).await.unwrap();
    let record = plane.record(id).await;
    assert_eq!(
        (&record["outcome"], &record["epoch"], &record["epochs"]),
        (&json!("delivered"), &json!(0), &json!([0, 1]))
    );
    assert!(types(&record).contains(&"admission"), "{record}");
    assert_eq!((&record["report"]["epoch"], &record["report"]["body"]["outcome"]), (&json!(1), &json!("delivered")));
    // Nobody waits an hour for it.
    drop(plane);
}

#[tokio::test]
async fn a_stream_that_ended_in_the_dark_takes_nothing_back() {
    let plane = Plane::start("");
    let id = Uuid::now_v7();
    let mut stream = plane.enforce().await;
    // Of a proxy that can't resume: the end is written as unknown at once.
    stream.tell(crate::harness::started(id));
    stream.admission().await;
    drop(stream);
    assert_eq!(plane.record(id).await["outcome"], "unknown");
    tell(&plane, report(id, 1)).await.unwrap();
    let record = plane.record(id).await;
    assert_eq!(
        (&record["outcome"], &record["reason"]),
        (&json!("delivered"), &json!("4 chunks passed unjudged: it was gone"))
    );
}

#[tokio::test]
async fn a_report_may_be_told_twice() {
    let (plane, id) = (Plane::start(""), Uuid::now_v7());
    for _ in 0..2 {
        tell(&plane, report(id, 2)).await.unwrap();
    }
    let record = plane.record(id).await;
    assert_eq!((&record["outcome"], types(&record)), (&json!("delivered"), vec!["request", "report"]));
    let metrics = plane.send("GET", "/metrics", &[]).await;
    let page = String::from_utf8(metrics.body().to_vec()).unwrap();
    assert!(page.contains("luthien_control_plane_record_conflicts_total 0\n"), "{page}");
}

#[tokio::test]
async fn a_stream_that_heard_the_end_knows_more_than_a_report_of_it() {
    let (plane, id) = (Plane::start(WAITING), Uuid::now_v7());
    let mut stream = plane.enforce().await;
    stream.tell(started_to_be_resumed(id));
    let admission = stream.admission().await;
    stream.tell(response("a foo"));
    stream.end(Outcome::Delivered);
    stream.close().await.unwrap();
    // The proxy did not hear the close.
    tell(&plane, report(id, 1)).await.unwrap();
    let record = plane.record(id).await;
    assert_eq!((&record["epoch"], &record["revision"]), (&json!(0), &json!(admission.revision)));
    assert_eq!(record["report"]["body"]["outcome"], "delivered");
}

#[tokio::test]
async fn a_report_that_can_not_be_read_or_is_too_large_is_told_to_be() {
    let plane = Plane::start("\n  limits: { message: 64KiB }");
    let lacking = wire::CallReport { epoch: 1, ..Default::default() };
    assert_eq!(tell(&plane, lacking).await.unwrap_err().code(), Code::InvalidArgument);
    let mut large = report(Uuid::now_v7(), 1);
    large.reason = "long ".repeat(20_000);
    assert_eq!(tell(&plane, large).await.unwrap_err().code(), Code::OutOfRange);
}
