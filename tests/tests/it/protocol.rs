//! The data plane against a policy service that does what none should: whatever it says, nothing undecided gets through.

use luthien_proto::wire::{
    self, Chunk, EnforceResponse, Interest, Level, Outcome, Reject, Verdict, admission, enforce_response, event,
    verdict,
};
use luthien_tests::{
    fixtures,
    harness::{Answer, Ask, DataPlane, data_plane_section},
    peers::{
        policy::{Conversation, PolicyService, text_block},
        upstream::{Reply, Upstream},
    },
    validate::Dialect,
};
use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tonic::Status;

const ORIGINAL: &str = "Hello there, the radically cool answer is 42. Grüße 🦀!";

/// A data plane between a scripted policy service and a scripted upstream.
struct Bench {
    service: PolicyService,
    upstream: Upstream,
    data: DataPlane,
    _folder: TempDir,
}

impl Bench {
    async fn start() -> Self {
        Self::with(json!({})).await
    }

    async fn with(timeouts: serde_json::Value) -> Self {
        let folder = TempDir::new().unwrap();
        let (service, upstream) = (PolicyService::start().await, Upstream::start().await);
        let mut section = data_plane_section(&upstream, &[service.url()]);
        section["timeouts"] = timeouts;
        let data = DataPlane::start(folder.path(), "data-plane", &section).await;
        Self { service, upstream, data, _folder: folder }
    }

    /// A call whose response is complete at the service, and of which nothing is decided.
    async fn undecided(&mut self, dialect: Dialect) -> (JoinHandle<Answer>, Conversation, Seqs) {
        self.upstream.answer(Reply::stream(&fixtures::streamed(dialect, "text")));
        let asking = self.data.begin(Ask::streamed(dialect));
        let (mut call, _) = self.service.call().await;
        call.admit().await;
        let seqs = Seqs::of(&call.all_chunks().await);
        (asking, call, seqs)
    }

    /// A call of which everything up to the first piece of text is passed: the client has that.
    async fn begun(&mut self, dialect: Dialect) -> (Answer, Conversation, Seqs) {
        let (asking, mut call, seqs) = self.undecided(dialect).await;
        call.pass(seqs.text).await;
        let mut answer = asking.await.unwrap();
        answer.until("Hel").await;
        (answer, call, seqs)
    }
}

/// Where what is in a response that begins with text.
#[derive(Clone, Copy)]
struct Seqs {
    /// The start of the first block.
    block: u64,
    /// Its first piece.
    text: u64,
    /// Its stop.
    stop: u64,
    /// The last chunk.
    last: u64,
}

impl Seqs {
    fn of(chunks: &[Chunk]) -> Self {
        let first = |wanted: fn(&event::Event) -> bool| {
            let is = |chunk: &&Chunk| chunk.event.as_ref().and_then(|event| event.event.as_ref()).is_some_and(wanted);
            chunks.iter().find(is).unwrap().seq
        };
        Self {
            block: first(|event| matches!(event, event::Event::BlockStarted(_))),
            text: first(|event| matches!(event, event::Event::BlockDelta(_))),
            stop: first(|event| matches!(event, event::Event::BlockStopped(_))),
            last: chunks.last().unwrap().seq,
        }
    }
}

/// A fault of the service, said when the first piece of text was passed; `None`: it closes the stream.
type Fault = (&'static str, fn(Seqs) -> Option<EnforceResponse>);

fn decided(through: u64, decision: Option<verdict::Decision>) -> Option<EnforceResponse> {
    let verdict = Verdict { through, decision, ..Verdict::default() };
    Some(EnforceResponse { message: Some(enforce_response::Message::Verdict(verdict)), seen: u64::MAX >> 1 })
}

fn with_events(through: u64, events: Vec<wire::Event>) -> Option<EnforceResponse> {
    decided(through, Some(verdict::Decision::Replace(wire::Replace { events })))
}

fn event(event: event::Event) -> wire::Event {
    wire::Event { event: Some(event), extras_json: String::new() }
}

const FAULTS: &[Fault] = &[
    ("a seq that was never sent", |seqs| decided(seqs.last + 1, Some(verdict::Decision::Pass(wire::Pass {})))),
    ("a step back", |seqs| decided(seqs.block, Some(verdict::Decision::Pass(wire::Pass {})))),
    ("a pass that settles nothing", |seqs| decided(seqs.text, Some(verdict::Decision::Pass(wire::Pass {})))),
    ("no decision", |seqs| decided(seqs.last, None)),
    ("no message", |_| Some(EnforceResponse { message: None, seen: 0 })),
    ("an event that says nothing", |seqs| {
        with_events(seqs.text + 1, vec![wire::Event { event: None, extras_json: String::new() }])
    }),
    ("extras that are no JSON", |seqs| {
        with_events(
            seqs.text + 1,
            vec![wire::Event { event: text_block(1 << 31, "x")[0].event.clone(), extras_json: "{".into() }],
        )
    }),
    ("a delta of a block that is not open", |seqs| with_events(seqs.text + 1, text_block(1 << 31, "x")[1..2].to_vec())),
    ("a second start", |seqs| with_events(seqs.text + 1, vec![event(event::Event::Started(wire::Started::default()))])),
    ("a second admission", |_| {
        let admission = wire::Admission {
            decision: Some(admission::Decision::Forward(wire::Forward::default())),
            ..wire::Admission::default()
        };
        Some(EnforceResponse { message: Some(enforce_response::Message::Admission(admission)), seen: 0 })
    }),
    ("a clean close", |_| None),
];

#[tokio::test]
async fn every_fault_ends_the_call_closed() {
    let mut bench = Bench::start().await;
    for dialect in Dialect::ALL {
        for (name, fault) in FAULTS {
            let (answer, mut call, seqs) = bench.begun(dialect).await;
            match fault(seqs) {
                Some(response) => call.say_raw(response).await,
                None => call.close(),
            }
            // What comes after a fault must not heal it.
            call.pass(seqs.last).await;
            let body = answer.complete().await;
            let text = String::from_utf8_lossy(&body);
            let turn = dialect.stream(&body).unwrap_or_else(|error| panic!("{name}: {error}\n{text}"));
            assert!(turn.failure.is_some(), "{name} did not end the response: {text}");
            assert!(!text.contains("radi"), "{name} released what was held: {text}");
        }
    }
}

#[tokio::test]
async fn every_fault_before_the_first_byte_gets_a_status() {
    let mut bench = Bench::start().await;
    for dialect in Dialect::ALL {
        for (name, fault) in
            FAULTS.iter().filter(|(name, _)| !matches!(*name, "a step back" | "a pass that settles nothing"))
        {
            let (asking, mut call, seqs) = bench.undecided(dialect).await;
            match fault(seqs) {
                Some(response) => call.say_raw(response).await,
                None => call.close(),
            }
            call.pass(seqs.last).await;
            let answer = asking.await.unwrap();
            assert!(answer.status >= 500 || answer.status == 200, "{name}: {}", answer.status);
            let status = answer.status;
            let body = answer.complete().await;
            let text = String::from_utf8_lossy(&body).into_owned();
            assert!(!text.contains("radi") && !text.contains("Hel"), "{name} released what was held: {text}");
            match status {
                200 => assert!(dialect.stream(&body).unwrap().failure.is_some(), "{name}: {text}"),
                _ => drop(dialect.error(&body).unwrap()),
            }
        }
    }
}

#[tokio::test]
async fn an_error_close_ends_the_call_closed() {
    let mut bench = Bench::start().await;
    for dialect in Dialect::ALL {
        let (answer, mut call, _) = bench.begun(dialect).await;
        call.fail(Status::internal("broken")).await;
        let (turn, failure) = answer.failed_stream(dialect).await;
        assert_eq!(turn.text(), "Hel");
        assert!(!failure.message.contains("broken"), "{failure:?}");
    }
}

#[tokio::test]
async fn a_silent_service_is_lost_after_two_leases() {
    let mut bench = Bench::with(json!({"lease": "200ms"})).await;
    for dialect in Dialect::ALL {
        let (answer, call, _) = bench.begun(dialect).await;
        let (turn, _) = answer.failed_stream(dialect).await;
        assert_eq!(turn.text(), "Hel");
        drop(call);
    }
}

#[tokio::test]
async fn a_service_that_only_says_to_be_at_it_runs_out_of_patience() {
    let mut bench = Bench::with(json!({"hold": "500ms"})).await;
    for dialect in Dialect::ALL {
        let (answer, mut call, _) = bench.begun(dialect).await;
        let working = tokio::spawn(async move {
            loop {
                call.working().await;
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        });
        let (turn, _) = answer.failed_stream(dialect).await;
        assert_eq!(turn.text(), "Hel");
        working.abort();
    }
}

#[tokio::test]
async fn passed_chunks_leave_in_order_and_once_however_verdicts_are_cut() {
    let mut bench = Bench::start().await;
    for dialect in Dialect::ALL {
        let body = fixtures::streamed(dialect, "text");
        let last = {
            let (asking, mut call, Seqs { last, .. }) = bench.undecided(dialect).await;
            call.pass(last).await;
            let answer = asking.await.unwrap();
            assert_eq!(String::from_utf8_lossy(&answer.complete().await), String::from_utf8_lossy(&body));
            assert_eq!(call.ended().await.outcome(), Outcome::Delivered);
            last
        };
        for stride in [1, 2, 3, 5] {
            let (asking, mut call, _) = bench.undecided(dialect).await;
            let mut through = 0;
            while through < last {
                through = last.min(through + stride);
                call.pass(through).await;
            }
            let answer = asking.await.unwrap().complete().await;
            assert_eq!(String::from_utf8_lossy(&answer), String::from_utf8_lossy(&body), "stride {stride}");
            let ended = call.ended().await;
            assert_eq!((ended.outcome(), ended.written, ended.status), (Outcome::Delivered, last, 200));
        }
    }
}

#[tokio::test]
async fn what_the_service_writes_instead_is_what_leaves() {
    let mut bench = Bench::start().await;
    for dialect in Dialect::ALL {
        let (asking, mut call, seqs) = bench.undecided(dialect).await;
        call.pass(seqs.block - 1).await;
        call.replace(seqs.block - 1, text_block(1 << 31, "Before. ")).await;
        call.replace(seqs.stop, text_block((1 << 31) + 1, "Instead.")).await;
        call.pass(seqs.last).await;
        let turn = asking.await.unwrap().stream(dialect).await;
        assert_eq!(turn.text().split_whitespace().collect::<Vec<_>>(), ["Before.", "Instead."]);
        dialect.next_turn(&turn).unwrap();
        assert_eq!(call.ended().await.outcome(), Outcome::Delivered);
    }
}

#[tokio::test]
async fn a_block_may_be_dropped_whole() {
    let mut bench = Bench::start().await;
    for dialect in Dialect::ALL {
        let (asking, mut call, seqs) = bench.undecided(dialect).await;
        call.pass(seqs.block - 1).await;
        call.replace(seqs.stop, Vec::new()).await;
        call.pass(seqs.last).await;
        let turn = asking.await.unwrap().stream(dialect).await;
        assert_eq!(turn.text(), "");
        assert_eq!(call.ended().await.outcome(), Outcome::Delivered);
    }
}

#[tokio::test]
async fn an_end_finishes_the_response_properly() {
    let mut bench = Bench::start().await;
    for dialect in Dialect::ALL {
        for pick in [
            |_| 0,
            |seqs: Seqs| seqs.block - 1,
            |seqs: Seqs| seqs.block,
            |seqs: Seqs| seqs.text,
            |seqs: Seqs| seqs.text + 1,
        ] {
            let (asking, mut call, seqs) = bench.undecided(dialect).await;
            let through = pick(seqs);
            if through > 0 {
                call.pass(through).await;
            }
            call.end(through, text_block(1 << 31, "That was enough.")).await;
            let turn = asking.await.unwrap().stream(dialect).await;
            assert!(turn.text().ends_with("That was enough."), "behind {through}: {turn:?}");
            assert!(!turn.text().contains("radi"), "behind {through}: {turn:?}");
            assert!(turn.failure.is_none());
            // A block that was let begin and was then given nothing is empty: that is what the service asked for.
            if through != seqs.block {
                dialect.next_turn(&turn).unwrap();
            }
            assert_eq!(call.ended().await.outcome(), Outcome::EndedByPolicy);
        }
    }
}

#[tokio::test]
async fn a_rejected_call_is_told_so_and_never_goes_upstream() {
    let mut bench = Bench::start().await;
    for dialect in Dialect::ALL {
        for ask in [Ask::streamed(dialect), Ask::whole(dialect)] {
            for (status, told) in [(0, 403), (451, 451), (400, 400)] {
                let asking = bench.data.begin(ask.clone());
                let (mut call, _) = bench.service.call().await;
                let reject = Reject { status, r#type: String::new(), message: "Not here.".into() };
                let decision = Some(admission::Decision::Reject(reject));
                let admission = wire::Admission { decision, revision: "ab".repeat(32), pipeline: Vec::new() };
                call.say(enforce_response::Message::Admission(admission)).await;
                let answer = asking.await.unwrap();
                assert_eq!(answer.status, told);
                assert_eq!(answer.error(dialect).await.message, "Not here.");
                assert_eq!(call.ended().await.outcome(), Outcome::EndedByPolicy);
            }
        }
    }
    assert!(bench.upstream.exchanges().is_empty());
}

#[tokio::test]
async fn a_faulty_admission_is_none() {
    let mut bench = Bench::start().await;
    for dialect in Dialect::ALL {
        let without_decision = enforce_response::Message::Admission(wire::Admission::default());
        let verdict = enforce_response::Message::Verdict(Verdict {
            through: 0,
            decision: Some(verdict::Decision::Pass(wire::Pass {})),
            ..Verdict::default()
        });
        for message in [Some(without_decision), Some(verdict), None] {
            let asking = bench.data.begin(Ask::whole(dialect));
            let (mut call, _) = bench.service.call().await;
            match message {
                Some(message) => call.say(message).await,
                None => call.close(),
            }
            let answer = asking.await.unwrap();
            assert_eq!(answer.status, 503);
            answer.error(dialect).await;
        }
    }
    assert!(bench.upstream.exchanges().is_empty());
}

#[tokio::test]
async fn a_forward_that_says_nothing_gates_everything() {
    let mut bench = Bench::start().await;
    for dialect in Dialect::ALL {
        bench.upstream.answer(Reply::stream(&fixtures::streamed(dialect, "text")));
        let asking = bench.data.begin(Ask::streamed(dialect));
        let (mut call, started) = bench.service.call().await;
        assert!(started.request.unwrap().stream);
        let decision = Some(admission::Decision::Forward(wire::Forward::default()));
        let admission = wire::Admission { decision, revision: "ab".repeat(32), pipeline: Vec::new() };
        call.say(enforce_response::Message::Admission(admission)).await;
        let last = call.all_chunks().await.last().unwrap().seq;
        assert!(!asking.is_finished());
        call.pass(last).await;
        assert_eq!(asking.await.unwrap().stream(dialect).await.text(), ORIGINAL);
    }
}

#[tokio::test]
async fn kinds_that_are_not_gated_flow_and_what_belongs_to_no_block_waits() {
    let mut bench = Bench::start().await;
    let (gate, observe) = (Level::Gate as i32, Level::Observe as i32);
    for dialect in Dialect::ALL {
        bench.upstream.answer(Reply::stream(&fixtures::streamed(dialect, "tools_two")));
        let asking = bench.data.begin(Ask::streamed(dialect));
        let (mut call, _) = bench.service.call().await;
        let interest = Interest { text: observe, thinking: observe, refusal: observe, tool_call: gate, opaque: gate };
        call.admit_with(interest).await;
        let seqs = Seqs::of(&call.all_chunks().await);
        assert!(!asking.is_finished(), "the start belongs to no block, and was not passed");
        call.pass(seqs.block - 1).await;
        let mut answer = asking.await.unwrap();
        answer.until("and then delete.").await;
        assert!(!answer.so_far().contains("read_file"), "{}", answer.so_far());
        call.pass(seqs.last).await;
        assert_eq!(answer.stream(dialect).await.tool_names(), ["read_file", "delete_file"]);
    }
}

#[tokio::test]
async fn a_client_that_waits_is_kept_alive_without_seeing_anything() {
    let mut bench = Bench::with(json!({"keepalive_first": "100ms", "keepalive_every": "100ms"})).await;
    for dialect in Dialect::ALL {
        let (asking, mut call, Seqs { last, .. }) = bench.undecided(dialect).await;
        let mut answer = asking.await.unwrap();
        assert_eq!(answer.status, 200);
        let sign = if dialect == Dialect::Anthropic { "event: ping" } else { ":" };
        answer.until(sign).await;
        assert!(!answer.so_far().contains("Hel"), "{}", answer.so_far());
        call.pass(last).await;
        assert_eq!(answer.stream(dialect).await.text(), ORIGINAL);
    }
}

#[tokio::test]
async fn a_cancelled_upstream_is_read_no_further() {
    let mut bench = Bench::start().await;
    for dialect in Dialect::ALL {
        let body = fixtures::streamed(dialect, "text");
        let pieces = luthien_tests::validate::sse::split(&body);
        let gate = luthien_tests::peers::Gate::new();
        bench.upstream.answer(Reply::sse().send(pieces[..6].concat()).wait(&gate));
        let asking = bench.data.begin(Ask::streamed(dialect));
        let (mut call, _) = bench.service.call().await;
        call.admit().await;
        call.chunks_until(|event| matches!(event, event::Event::BlockDelta(_))).await;
        let end = verdict::Decision::End(wire::End { events: text_block(1 << 31, "Stop."), reason: 0 });
        let verdict = Verdict { through: 1, decision: Some(end), cancel_upstream: true, ..Verdict::default() };
        call.say(enforce_response::Message::Verdict(verdict)).await;
        assert_eq!(asking.await.unwrap().stream(dialect).await.text(), "Stop.");
        bench.upstream.cancelled().await;
        assert_eq!(call.ended().await.outcome(), Outcome::EndedByPolicy);
    }
}
