//! The data plane against a policy service that does what none should: whatever it says, nothing undecided gets through.

mod bench;
mod echo;
mod faults;

use luthien_proto::wire::{
    self, Interest, Level, Outcome, Reject, Verdict, admission, enforce_request, enforce_response, event, verdict,
};
use luthien_tests::{
    fixtures,
    harness::{Ask, Signal},
    peers::{Gate, policy::text_block, upstream::Reply},
    validate::{Dialect, sse},
};
use serde_json::json;
use tonic::Status;

use bench::{Bench, Seqs};

const ORIGINAL: &str = "Hello there, the radically cool answer is 42. Grüße 🦀!";

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
                let admission = wire::Admission {
                    decision,
                    revision: "ab".repeat(32),
                    pipeline: Vec::new(),
                    capabilities: Vec::new(),
                };
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
        let admission =
            wire::Admission { decision, revision: "ab".repeat(32), pipeline: Vec::new(), capabilities: Vec::new() };
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
async fn a_service_that_takes_a_call_over_at_its_end_may_close_without_a_word() {
    let mut bench = Bench::with(json!({"takeover": "20s"})).await;
    for dialect in Dialect::ALL {
        let (asking, mut call, seqs) = bench.undecided(dialect).await;
        call.pass(seqs.last).await;
        assert_eq!(asking.await.unwrap().stream(dialect).await.text(), ORIGINAL);
        call.ended().await;
        call.fail(Status::unavailable("killed")).await;

        let mut call = bench.service.stream().await;
        let mut told = Vec::new();
        while let Some(message) = call.hear().await {
            told.push(message);
        }
        assert!(matches!(told.first(), Some(enforce_request::Message::CallResumed(_))), "{told:?}");
        assert!(matches!(told.last(), Some(enforce_request::Message::CallEnded(_))), "{told:?}");
        call.close();
    }
    bench.data.process.signal(Signal::Term);
    assert_eq!(bench.data.process.exit().await.code, Some(0));
    assert!(bench.service.is_idle(), "it was asked again, or told that nobody had the end");
}

#[tokio::test]
async fn a_cancelled_upstream_is_read_no_further() {
    let mut bench = Bench::start().await;
    for dialect in Dialect::ALL {
        let body = fixtures::streamed(dialect, "text");
        let pieces = sse::split(&body);
        let gate = Gate::new();
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
