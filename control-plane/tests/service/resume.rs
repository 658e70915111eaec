//! A call that goes on with another stream.

use luthien_proto::message::{Decision, Outcome, Reply};
use serde_json::{Value, json};
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use uuid::Uuid;

use crate::harness::{Plane, Stream, response, resumed, started, started_to_be_resumed};

const BRAND: &str = "
  policies:
    - { name: brand, kind: string_replacement, config: { replacements: [[foo, bar]] } }
  pipeline: [brand]";
/// With which a test ends that waits for the end of the wait.
const SHORT_WAIT: &str = "
  timeouts: { takeover_wait: 20ms }";

/// Reads verdicts up to that chunk; tells what was said of those behind `settled`.
async fn verdicts(stream: &mut Stream, through: u64) -> Vec<u64> {
    let mut seqs = Vec::new();
    while seqs.last() != Some(&through) {
        let Reply::Verdict(verdict) = stream.reply().await.message else { panic!("no verdict") };
        assert!(!matches!(verdict.decision, Decision::End { .. }));
        seqs.push(verdict.through);
    }
    seqs
}

fn types(record: &Value) -> Vec<&str> {
    record["entries"].as_array().unwrap().iter().map(|entry| entry["body"]["type"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn another_control_plane_takes_a_call_over_and_its_record_is_that_of_the_call() {
    let (one, id) = (Plane::start(BRAND), Uuid::now_v7());
    let two = one.beside(BRAND);
    let mut stream = one.enforce().await;
    stream.tell(started_to_be_resumed(id));
    let admission = stream.admission().await;
    stream.tell(response("a foo"));
    verdicts(&mut stream, 6).await;
    drop(stream);

    let mut stream = two.enforce().await;
    stream.tell(resumed(1, Some(admission), 2));
    stream.tell(started_to_be_resumed(id));
    stream.tell(response("a foo"));
    assert!(verdicts(&mut stream, 6).await.iter().all(|through| *through > 2));
    stream.end(Outcome::Delivered);
    stream.close().await.unwrap();

    let record = two.get(&format!("/api/calls/{id}")).await;
    assert_eq!((&record["outcome"], &record["epoch"]), (&json!("delivered"), &json!(1)));
    assert_eq!(types(&record)[..2], ["resumed", "request"]);
    assert_eq!(types(&record).last(), Some(&"outcome"));
    let metrics = two.send("GET", "/metrics", &[]).await;
    let page = String::from_utf8(metrics.body().to_vec()).unwrap();
    assert!(page.contains("luthien_control_plane_calls_resumed_total 1\n"), "{page}");
}

#[tokio::test]
async fn a_call_without_an_admission_is_owed_one_when_it_is_resumed() {
    let (plane, id) = (Plane::start(BRAND), Uuid::now_v7());
    let mut stream = plane.enforce().await;
    stream.tell(resumed(1, None, 0));
    stream.tell(started_to_be_resumed(id));
    assert_eq!(stream.admission().await.pipeline, ["brand"]);
    stream.end(Outcome::CutByClient);
    stream.close().await.unwrap();
    assert_eq!(plane.record(id).await["epochs"], json!([1]));
}

#[tokio::test]
async fn a_call_of_a_revision_that_is_not_known_is_left_to_others() {
    let plane = Plane::start(BRAND);
    let mut stream = plane.enforce().await;
    stream.tell(started_to_be_resumed(Uuid::now_v7()));
    let mut admission = stream.admission().await;
    stream.end(Outcome::CutByClient);
    stream.close().await.unwrap();

    admission.revision = "0".repeat(64);
    let id = Uuid::now_v7();
    let mut stream = plane.enforce().await;
    stream.tell(resumed(1, Some(admission), 0));
    stream.tell(started_to_be_resumed(id));
    assert_eq!(stream.close().await.unwrap_err().code(), Code::FailedPrecondition);
    let metrics = plane.send("GET", "/metrics", &[]).await;
    let page = String::from_utf8(metrics.body().to_vec()).unwrap();
    assert!(page.contains("luthien_control_plane_streams_failed_total{cause=\"unknown_revision\"} 1\n"), "{page}");
}

#[tokio::test]
async fn call_started_has_to_follow_call_resumed() {
    let plane = Plane::start("");
    let mut stream = plane.enforce().await;
    stream.tell(resumed(1, None, 0));
    stream.tell(response("hello"));
    let status = stream.close().await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::InvalidArgument, "CallStarted has to follow CallResumed"));
}

#[tokio::test]
async fn a_call_that_nobody_resumes_has_an_unknown_outcome_and_keeps_what_was_recorded() {
    let (plane, id) = (Plane::start(&format!("{BRAND}{SHORT_WAIT}")), Uuid::now_v7());
    let mut stream = plane.enforce().await;
    stream.tell(started_to_be_resumed(id));
    stream.admission().await;
    stream.tell(response("a foo"));
    verdicts(&mut stream, 6).await;
    drop(stream);
    let record = plane.record(id).await;
    assert_eq!(record["outcome"], "unknown");
    assert!(types(&record).contains(&"block"), "{record}");
}

#[tokio::test]
async fn a_call_that_is_resumed_here_is_waited_for_no_longer_and_ends_as_its_proxy_says() {
    // Longer than the test would be waited for.
    let (plane, id) = (Plane::start(&format!("{BRAND}\n  timeouts: {{ takeover_wait: 1h }}")), Uuid::now_v7());
    let mut stream = plane.enforce().await;
    stream.tell(started_to_be_resumed(id));
    let admission = stream.admission().await;
    drop(stream);

    let mut stream = plane.enforce().await;
    stream.tell(resumed(1, Some(admission), 0));
    stream.tell(started_to_be_resumed(id));
    stream.tell(response("a foo"));
    verdicts(&mut stream, 6).await;
    stream.end(Outcome::Delivered);
    stream.close().await.unwrap();
    let record = plane.record(id).await;
    assert_eq!((&record["outcome"], &record["epoch"]), (&json!("delivered"), &json!(1)));
    let metrics = plane.send("GET", "/metrics", &[]).await;
    let page = String::from_utf8(metrics.body().to_vec()).unwrap();
    assert!(page.contains("luthien_control_plane_open_calls 0\n"), "{page}");
}

#[tokio::test]
async fn a_stream_whose_call_goes_on_with_another_one_is_closed() {
    let (plane, id) = (Plane::start(BRAND), Uuid::now_v7());
    let mut lost = plane.enforce().await;
    lost.tell(started_to_be_resumed(id));
    let admission = lost.admission().await;
    let mut stream = plane.enforce().await;
    stream.tell(resumed(1, Some(admission), 0));
    stream.tell(started_to_be_resumed(id));
    assert_eq!(lost.close().await.unwrap_err().code(), Code::Aborted);
    stream.end(Outcome::Delivered);
    stream.close().await.unwrap();
    assert_eq!(plane.record(id).await["outcome"], "delivered");
}

#[tokio::test]
async fn a_stream_that_claims_what_another_one_has_is_refused_and_that_one_goes_on() {
    let (plane, id) = (Plane::start(BRAND), Uuid::now_v7());
    let mut first = plane.enforce().await;
    first.tell(resumed(2, None, 0));
    first.tell(started_to_be_resumed(id));
    let admission = first.admission().await;
    for (epoch, code) in [(2, Code::InvalidArgument), (1, Code::Aborted)] {
        let mut second = plane.enforce().await;
        second.tell(resumed(epoch, Some(admission.clone()), 0));
        second.tell(started_to_be_resumed(id));
        assert_eq!(second.close().await.unwrap_err().code(), code);
    }
    first.tell(response("a foo"));
    verdicts(&mut first, 6).await;
    first.end(Outcome::Delivered);
    first.close().await.unwrap();
    let record = plane.record(id).await;
    assert_eq!((&record["outcome"], &record["epochs"]), (&json!("delivered"), &json!([2])));
}

#[tokio::test]
async fn a_shutdown_hands_over_what_may_go_on_elsewhere_and_says_so_to_the_health_first() {
    let (one, id, waiting) = (Plane::start(BRAND), Uuid::now_v7(), Uuid::now_v7());
    let two = one.beside(BRAND);
    let mut watch = HealthClient::new(one.channel().await)
        .watch(HealthCheckRequest { service: "luthien.v1.PolicyService".into() })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let mut lost = one.enforce().await;
    lost.tell(started_to_be_resumed(waiting));
    lost.admission().await;
    drop(lost);
    let mut stream = one.enforce().await;
    stream.tell(started_to_be_resumed(id));
    let admission = stream.admission().await;
    stream.tell(response("a foo"));
    verdicts(&mut stream, 6).await;

    one.shutdown.begin();
    assert_eq!(stream.close().await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    let mut one = one;
    one.join().await;
    for call in [id, waiting] {
        let record = two.get(&format!("/api/calls/{call}")).await;
        assert_eq!((&record["outcome"], &record["epochs"]), (&Value::Null, &json!([0])), "what there was is on record");
    }

    let mut stream = two.enforce().await;
    stream.tell(resumed(1, Some(admission), 6));
    stream.tell(started_to_be_resumed(id));
    stream.tell(response("a foo"));
    stream.end(Outcome::Delivered);
    stream.close().await.unwrap();
    assert_eq!(two.record(id).await["outcome"], "delivered");
}

#[tokio::test]
async fn a_shutdown_without_anybody_to_hand_over_to_lets_calls_end_and_waits_for_no_other() {
    let (plane, id, lost) = (Plane::start_alone(BRAND), Uuid::now_v7(), Uuid::now_v7());
    let mut stream = plane.enforce().await;
    stream.tell(started_to_be_resumed(lost));
    stream.admission().await;
    drop(stream);
    let mut stream = plane.enforce().await;
    stream.tell(started_to_be_resumed(id));
    stream.admission().await;
    plane.shutdown.begin();
    stream.tell(response("a foo"));
    verdicts(&mut stream, 6).await;
    stream.end(Outcome::Delivered);
    stream.close().await.unwrap();
    let plane = plane.restarted(BRAND).await;
    assert_eq!(plane.record(id).await["outcome"], "delivered");
    assert_eq!(plane.record(lost).await["outcome"], "unknown");
}

#[tokio::test]
async fn no_new_call_is_taken_in_a_shutdown() {
    let plane = Plane::start(BRAND);
    let mut running = plane.enforce().await;
    running.tell(started(Uuid::now_v7()));
    running.admission().await;
    let mut silent = plane.enforce().await;
    plane.shutdown.begin();
    assert_eq!(silent.close().await.unwrap_err().code(), Code::Unavailable);
    running.end(Outcome::Delivered);
    running.close().await.unwrap();
}
