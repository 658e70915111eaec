//! Faults of the service: each ends the call closed.

use luthien_proto::wire::{self, EnforceResponse, Verdict, admission, enforce_response, event, verdict};
use luthien_tests::{
    peers::policy::{Conversation, text_block},
    validate::Dialect,
};
use tonic::Status;

use super::bench::{Bench, Seqs};

/// A fault of the service, said when the first piece of text was passed; `None`: it closes the stream.
type Fault = (&'static str, fn(Seqs) -> Option<EnforceResponse>);

fn decided(through: u64, decision: Option<verdict::Decision>) -> Option<EnforceResponse> {
    let verdict = Verdict { through, decision, ..Verdict::default() };
    Some(EnforceResponse { message: Some(enforce_response::Message::Verdict(verdict)), seen: 0 })
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

/// Says it, with the count of what was seen as it is: that is no fault.
async fn commit(call: &mut Conversation, fault: Option<EnforceResponse>) {
    match fault {
        Some(EnforceResponse { message: Some(message), .. }) => call.say(message).await,
        Some(nothing) => call.say_raw(nothing).await,
        None => call.close(),
    }
}

#[tokio::test]
async fn every_fault_ends_the_call_closed() {
    let mut bench = Bench::start().await;
    for dialect in Dialect::ALL {
        for (name, fault) in FAULTS {
            let (answer, mut call, seqs) = bench.begun(dialect).await;
            commit(&mut call, fault(seqs)).await;
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
        // Where nothing was written, no seq is behind and no start is the second.
        for (name, fault) in FAULTS.iter().filter(|(name, _)| !matches!(*name, "a step back" | "a second start")) {
            let (asking, mut call, seqs) = bench.undecided(dialect).await;
            commit(&mut call, fault(seqs)).await;
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
