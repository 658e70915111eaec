//! Control planes are killed under a call, or the server in Python is.

use luthien_tests::{
    fixtures,
    harness::{Answer, Ask},
    peers::{Gate, eventually, upstream::Reply},
    validate::{Dialect, sse},
};
use serde_json::json;
use tempfile::TempDir;

use super::{Behind, REDACTED, Service, check_ended, one_that_ends, policy, with_secret};
use crate::takeover::{Going, Pair};

const TEXT: &str = "Hello there, the radically cool answer is 42. Grüße 🦀!";
const BEGUN: &str = "re, the radi";

/// Two control planes behind which that one is, with a policy of theirs before it.
async fn pair(service: &Service) -> Pair {
    let greeting =
        json!({"name": "greeting", "kind": "string_replacement", "config": {"replacements": [["Hello", "Good day"]]}});
    let theirs = policy(&service.url(), "closed", json!({}));
    Pair::with(json!({"policies": [greeting, theirs], "pipeline": ["greeting", "theirs"]})).await
}

/// Begins a call of each dialect whose upstream says a body up to some place, and no more until the gate is open.
async fn begin(
    pair: &Pair,
    gate: &Gate,
    body: impl Fn(Dialect) -> Vec<u8>,
    at: &str,
    until: &str,
) -> Vec<(Dialect, Answer)> {
    let mut answers = Vec::new();
    for dialect in Dialect::ALL {
        let body = body(dialect);
        let (begun, rest) = sse::split_behind(&body, at);
        pair.upstream.answer(Reply::sse().send(begun).wait(gate).send(rest));
        let mut answer = pair.data.ask(Ask::streamed(dialect)).await;
        answer.until(until).await;
        answers.push((dialect, answer));
    }
    answers
}

/// How often the control planes that are there now have asked somebody else.
async fn asked(pair: &Pair) -> u64 {
    let mut all = 0;
    for control in &pair.controls {
        let page = Ask::get("/metrics").send(control.admin).await.complete().await;
        let page = String::from_utf8(page).unwrap();
        let count = page
            .lines()
            .find_map(|line| line.strip_prefix("luthien_control_plane_remote_calls_total{policy=\"theirs\"} "));
        all += count.map_or(0, |count| count.parse().unwrap());
    }
    all
}

#[tokio::test]
async fn when_control_planes_are_killed_it_is_asked_again_and_says_nothing_twice() {
    let Some(service) = Service::example("redact").await else { return };
    let (mut pair, gate) = (pair(&service).await, Gate::new());
    // A part of the secret is held, and the text before it has left.
    let answers = begin(&pair, &gate, |dialect| with_secret(dialect).into_bytes(), "sk-abcd", "cally ").await;
    pair.roll(Going::Killed).await;
    gate.open();
    for (dialect, answer) in answers {
        let id = answer.call_id();
        assert_eq!(answer.stream(dialect).await.text(), REDACTED.replace("Hello", "Good day"), "{dialect:?}");
        pair.check_record(&id).await;
    }
    assert!(asked(&pair).await >= 3, "by the control planes that took the calls over");
}

#[tokio::test]
async fn when_control_planes_are_killed_it_ends_what_it_would_have_ended() {
    let folder = TempDir::new().unwrap();
    let Some(service) = one_that_ends(&folder).await else { return };
    let (mut pair, gate) = (pair(&service).await, Gate::new());
    let tools = |dialect| fixtures::streamed(dialect, "tools_two");
    let answers = begin(&pair, &gate, tools, "/tmp", "and then delete.").await;
    pair.roll(Going::Killed).await;
    gate.open();
    for (dialect, answer) in answers {
        let id = answer.call_id();
        check_ended(&answer.stream(dialect).await, dialect);
        for control in &pair.controls {
            assert_eq!(control.record(&id).await.outcome(), "ended_by_policy");
        }
    }
}

#[tokio::test]
async fn when_its_server_is_killed_its_failure_mode_decides_and_the_next_call_finds_it_back() {
    for on_failure in ["closed", "open"] {
        let Some(mut behind) = Behind::start("redact", on_failure, json!({})).await else { return };
        let upstream = &behind.gateway.upstream;
        let gate = Gate::new();
        let mut answers = Vec::new();
        for dialect in Dialect::ALL {
            let body = fixtures::streamed(dialect, "text");
            let (begun, rest) = sse::split_behind(&body, BEGUN);
            upstream.answer(Reply::sse().send(begun).wait(&gate).send(rest));
            let mut answer = behind.gateway.ask(Ask::streamed(dialect)).await;
            answer.until(BEGUN).await;
            answers.push((dialect, answer));
        }
        behind.service.kill();
        gate.open();
        for (dialect, answer) in answers {
            let id = answer.call_id();
            let mut turn = answer.stream(dialect).await;
            let failure = turn.failure.take().map(|failure| failure.message);
            match on_failure {
                "open" => assert_eq!((turn.text(), failure), (TEXT.to_owned(), None), "{dialect:?}"),
                _ => {
                    assert!(TEXT.starts_with(&turn.text()) && turn.text().ends_with(BEGUN), "{turn:?}");
                    assert_eq!(failure.as_deref(), Some("policy theirs failed"), "{dialect:?}");
                }
            }
            let record = behind.gateway.record(&id).await;
            assert!(
                record.entries.iter().any(|entry| entry.to_string().contains("policy theirs failed")),
                "{record:?}"
            );
            begins_without_it(&behind, dialect, on_failure).await;
        }
        behind.service.start_again().await;
        for dialect in Dialect::ALL {
            behind.gateway.upstream.answer(Reply::stream(with_secret(dialect).as_bytes()));
            eventually("it to be asked again", async || {
                let answer = behind.gateway.ask(Ask::streamed(dialect)).await;
                let body = String::from_utf8(answer.complete().await).unwrap();
                body.contains("[redacted]").then_some(())
            })
            .await;
        }
    }
}

/// A call that begins while nobody serves it.
async fn begins_without_it(behind: &Behind, dialect: Dialect, on_failure: &str) {
    for streamed in [true, false] {
        let answer = behind.asked(dialect, "text", streamed).await;
        match on_failure {
            "open" => assert_eq!(super::read(answer, dialect, streamed).await.text(), TEXT),
            _ => {
                assert_eq!(answer.status, 500);
                assert_eq!(answer.error(dialect).await.message, "policy theirs failed");
            }
        }
    }
}
