//! Strict audit: nothing is said of a call before it is on record, and a store that stands still holds calls, not more.

use luthien_proto::{
    Event, FromService, Step, ToService,
    event::{BlockDelta, BlockKey, BlockKind, BlockStarted, Chunk, Delta, Started},
    message::{AdmissionDecision, Decision, Interest, Level, Outcome, Reply},
};
use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection};
use tonic::Code;
use uuid::Uuid;

use crate::harness::{Plane, Stream, TOKEN, response, resumed, started, started_to_be_resumed};

const STRICT: &str = "
  audit: strict
  timeouts: { lease: 40ms, takeover_wait: 20ms }
  policies:
    - { name: brand, kind: string_replacement, config: { replacements: [[foo, bar]] } }
  pipeline: [brand]";
const STRICT_ALONE: &str = "
  audit: strict
  timeouts: { lease: 40ms }";

/// Someone else writes to the record, and does not come to an end.
struct Stall(SqliteConnection);

impl Stall {
    async fn begin(plane: &Plane) -> Self {
        let url = format!("sqlite://{}", plane.database().display());
        let mut connection = SqliteConnection::connect(&url).await.unwrap();
        sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await.unwrap();
        Self(connection)
    }

    async fn end(mut self) {
        sqlx::query("ROLLBACK").execute(&mut self.0).await.unwrap();
    }
}

fn chunk(seq: u64, step: Step) -> ToService {
    ToService::Chunks(vec![Chunk { seq, arrived_us: seq, event: Event::from(step) }])
}

/// The beginning of a response, of two chunks.
fn begun() -> [ToService; 2] {
    let started = Started { id: "r-1".into(), model: "gpt-5-mini-2026".into(), created: None };
    let block = BlockStarted { block: BlockKey(0), choice: 0, kind: BlockKind::Text };
    [chunk(1, Step::Started(started)), chunk(2, Step::BlockStarted(block))]
}

fn piece(seq: u64, text: &str) -> ToService {
    chunk(seq, Step::BlockDelta(BlockDelta { block: BlockKey(0), delta: Delta::Text(text.into()) }))
}

/// The next that is said, if it is said before the service has shown three times that it lives.
async fn soon(stream: &mut Stream) -> Option<FromService> {
    for _ in 0..3 {
        let reply = stream.any_reply().await;
        if reply.message != Reply::Working {
            return Some(reply);
        }
    }
    None
}

async fn through(stream: &mut Stream) -> u64 {
    match stream.reply().await.message {
        Reply::Verdict(verdict) => verdict.through,
        other => panic!("{other:?}"),
    }
}

/// The bodies of a call's entries, as far as they are durable.
async fn entries(plane: &Plane, id: Uuid) -> Vec<Value> {
    let (_, body) = plane.ask(&format!("/api/calls/{id}"), &[("authorization", &format!("Bearer {TOKEN}"))]).await;
    let entries = body["entries"].as_array().cloned().unwrap_or_default();
    entries.into_iter().map(|entry| entry["body"].clone()).collect()
}

/// The text of the block that was settled, by its parts.
fn settled(entries: &[Value]) -> String {
    let parts = entries.iter().filter(|body| body["type"] == "part");
    let side = |body: &Value| if body["unchanged"] == true { body["original"].clone() } else { body["final"].clone() };
    parts.map(|body| side(body)["text"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn without_a_policy_everything_is_gated_and_passed_when_it_is_on_record() {
    let (plane, id) = (Plane::start(STRICT_ALONE), Uuid::now_v7());
    let mut stream = plane.enforce().await;
    stream.tell(started(id));
    let AdmissionDecision::Forward(forward) = stream.admission().await.decision else { panic!("it was rejected") };
    assert_eq!(forward.interest, Interest::all(Level::Gate));
    assert_eq!(entries(&plane, id).await.len(), 2);
    for message in begun().into_iter().chain([piece(3, "Hello")]) {
        stream.tell(message);
        let Reply::Verdict(verdict) = stream.reply().await.message else { panic!("no verdict") };
        assert_eq!(verdict.decision, Decision::Pass);
    }
    assert_eq!(settled(&entries(&plane, id).await), "Hello");
    // Readers see the parts of a block as what is known of it.
    let diff = plane.get(&format!("/api/calls/{id}/diff")).await;
    assert_eq!(diff["response"]["blocks"][0]["final"]["text"], "Hello");
    stream.end(Outcome::CutByClient);
    stream.close().await.unwrap();
}

#[tokio::test]
async fn of_a_call_that_is_over_everything_is_counted_before_the_stream_is_closed() {
    let (plane, id) = (Plane::start(STRICT), Uuid::now_v7());
    let mut stream = plane.enforce().await;
    stream.tell(started_to_be_resumed(id));
    let admission = stream.admission().await;
    stream.tell(response("Hello"));
    while through(&mut stream).await < 6 {}
    drop(stream);

    let mut stream = plane.enforce().await;
    stream.tell(resumed(1, Some(admission), 6));
    stream.tell(started_to_be_resumed(id));
    let stall = Stall::begin(&plane).await;
    stream.tell(response("Hello"));
    stream.end(Outcome::Delivered);
    // What is heard by then is heard before anything is on record.
    plane.ask("/readyz", &[]).await;
    stall.end().await;
    let mut seen = 0;
    while let Some(reply) = stream.replies.message().await.unwrap() {
        seen = reply.seen;
    }
    assert_eq!(seen, 1);
}

#[tokio::test]
async fn what_is_said_waits_in_order_until_it_is_on_record_and_life_is_shown_meanwhile() {
    let (plane, id) = (Plane::start(STRICT), Uuid::now_v7());
    let mut stream = plane.enforce().await;
    stream.tell(started(id));
    stream.admission().await;
    for message in begun() {
        stream.tell(message);
        through(&mut stream).await;
    }
    assert_eq!(stream.any_reply().await.seen, 2);

    let stall = Stall::begin(&plane).await;
    for message in [piece(3, "a foo"), piece(4, " and "), piece(5, "more")] {
        stream.tell(message);
        assert_eq!(soon(&mut stream).await.map(|reply| reply.message), None);
    }
    // Nothing that waits counts as taken: the proxy must not think that its chunks were held on purpose.
    assert_eq!(stream.any_reply().await.seen, 2);
    assert_eq!(settled(&entries(&plane, id).await), "");
    stall.end().await;
    let mut last = 0;
    while last < 5 {
        let next = through(&mut stream).await;
        assert!(next > last && settled(&entries(&plane, id).await).starts_with("a bar"));
        last = next;
    }
    assert_eq!(settled(&entries(&plane, id).await), "a bar and more");
    stream.end(Outcome::Delivered);
    stream.close().await.unwrap();
    assert_eq!(plane.record(id).await["outcome"], "delivered");
}

#[tokio::test]
async fn while_nothing_can_be_put_on_record_calls_are_refused_and_it_is_told_why() {
    let (plane, id) = (Plane::start(STRICT), Uuid::now_v7());
    let mut running = plane.enforce().await;
    running.tell(started(id));
    running.admission().await;
    let stall = Stall::begin(&plane).await;
    running.tell(begun()[0].clone());
    let mut waiting = plane.enforce().await;
    waiting.tell(started(Uuid::now_v7()));
    // Its Admission is owed when the store says that it fails.
    assert_eq!(waiting.close().await.unwrap_err().code(), Code::Unavailable);
    let mut refused = plane.enforce().await;
    refused.tell(started(Uuid::now_v7()));
    assert_eq!(refused.close().await.unwrap_err().code(), Code::Unavailable);
    let (status, body) = plane.ask("/readyz", &[]).await;
    assert_eq!(status, 503);
    assert!(body.to_string().contains("the record can't be written since"), "{body}");

    assert_eq!(soon(&mut running).await.map(|reply| reply.message), None);
    stall.end().await;
    assert_eq!(through(&mut running).await, 1);
    running.end(Outcome::CutByClient);
    running.close().await.unwrap();
    assert_eq!(plane.ask("/readyz", &[]).await.0, 200);
    let mut next = plane.enforce().await;
    next.tell(started(Uuid::now_v7()));
    next.admission().await;
    next.end(Outcome::CutByClient);
    next.close().await.unwrap();
}

#[tokio::test]
async fn a_call_is_taken_over_as_strictly_as_it_began() {
    let (one, id) = (Plane::start(STRICT), Uuid::now_v7());
    let two = one.beside(STRICT);
    let mut stream = one.enforce().await;
    stream.tell(started_to_be_resumed(id));
    let admission = stream.admission().await;
    for message in begun() {
        stream.tell(message);
        through(&mut stream).await;
    }
    let stall = Stall::begin(&one).await;
    stream.tell(piece(3, "a foo "));
    assert_eq!(soon(&mut stream).await.map(|reply| reply.message), None);
    drop(stream);

    let mut stream = two.enforce().await;
    stream.tell(resumed(1, Some(admission), 2));
    stream.tell(started_to_be_resumed(id));
    begun().into_iter().chain([piece(3, "a foo ")]).for_each(|message| stream.tell(message));
    assert_eq!(soon(&mut stream).await.map(|reply| reply.message), None);
    stall.end().await;
    assert_eq!(through(&mut stream).await, 3);
    let (_, body) =
        two.ask(&format!("/api/calls/{id}?epoch=1"), &[("authorization", &format!("Bearer {TOKEN}"))]).await;
    assert!(body.to_string().contains("a bar"), "{body}");
    stream.end(Outcome::Delivered);
    stream.close().await.unwrap();
    assert_eq!(two.record(id).await["epochs"], json!([0, 1]));
}

#[tokio::test]
async fn a_whole_response_is_on_record_before_any_of_it_is_let_through() {
    let (plane, id) = (Plane::start(STRICT), Uuid::now_v7());
    let mut stream = plane.enforce().await;
    stream.tell(started(id));
    stream.admission().await;
    stream.tell(response("a foo"));
    through(&mut stream).await;
    let kept = entries(&plane, id).await;
    let block = kept.iter().find(|body| body["type"] == "block").unwrap();
    assert_eq!(block["final"]["text"], "a bar");
    assert!(kept.iter().all(|body| body["type"] != "part"), "{kept:#?}");
    stream.end(Outcome::Delivered);
    stream.close().await.unwrap();
}
