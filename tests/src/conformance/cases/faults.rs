//! A proxy that breaks the protocol: its call ends with an error, and never with consent.

use std::cell::Cell;

use luthien_proto::wire::{
    BlockDelta, BlockStarted, CallResumed, CallStarted, Chunk, Chunks, Consultation, Dialect, EnforceRequest,
    EnforceResponse, Event, Outcome, Usage, admission::Decision, enforce_request::Message, enforce_response,
    event::Event as Step,
};
use prost::Message as _;
use tokio::time::Instant;
use tonic::Code;

use crate::conformance::{
    events::{self, told},
    findings::Findings,
    line::{Heard, Line, Service},
    rule::Rule,
    talk,
};

/// What is said before, and the fault.
struct Case {
    rule: Rule,
    name: &'static str,
    before: Vec<EnforceRequest>,
    fault: Vec<u8>,
    /// The chunks of the fault before what is wrong with it.
    sound: u64,
    expected: Expected,
}

#[derive(Clone, Copy, PartialEq)]
enum Expected {
    InvalidArgument,
    /// Of what is no message, the RPC library tells, not the service.
    AnyError,
    /// The stream may have been closed before.
    NothingJudged,
}

pub(super) async fn play(service: &Service, findings: &mut Findings) {
    for case in cases() {
        let checked = check(service, &case).await;
        findings.note(case.rule, case.name, checked);
    }
}

fn cases() -> Vec<Case> {
    let invalid = |rule, name, (before, fault): (Vec<EnforceRequest>, EnforceRequest)| {
        let fault = fault.encode_to_vec();
        Case { rule, name, before, fault, sound: 0, expected: Expected::InvalidArgument }
    };
    let at_once = |fault| (Vec::new(), fault);
    let begun = |fault| (vec![started(events::call()), chunks([1])], fault);
    let unset = |event| begun(told(Message::Chunks(Chunks { chunks: vec![Chunk { seq: 2, arrived_us: 0, event }] })));
    let of = |step| Some(Event { event: Some(step), extras_json: String::new() });
    let nobodys = Consultation { id: "nobody/1".into(), events: events::opinion(), reused: false };
    let resumed = CallResumed { epoch: 1, ..CallResumed::default() };
    let of_nothing = CallStarted { request: None, ..events::call() };
    let of_no_dialect = CallStarted { dialect: Dialect::Unspecified.into(), ..events::call() };
    let behind = vec![started(events::call()), chunks([1]), events::ended(Outcome::CutByClient, 0)];
    let garbage = invalid(Rule::F8, "bytes that are no message", begun(chunks([2])));
    vec![
        invalid(Rule::F1, "chunks before CallStarted", at_once(chunks([1]))),
        invalid(Rule::F1, "CallEnded before CallStarted", at_once(events::ended(Outcome::Delivered, 0))),
        invalid(Rule::F2, "CallStarted twice", begun(started(events::call()))),
        invalid(Rule::F2, "CallResumed in the middle of a call", begun(told(Message::CallResumed(resumed)))),
        invalid(Rule::F3, "a seq that comes again", begun(chunks([1]))),
        Case { sound: 1, ..invalid(Rule::F3, "a seq that comes again within a message", begun(chunks([2, 2]))) },
        invalid(Rule::F5, "a message that says nothing", begun(EnforceRequest { message: None })),
        invalid(Rule::F5, "CallStarted without a request", at_once(started(of_nothing))),
        invalid(Rule::F5, "CallStarted of no dialect", at_once(started(of_no_dialect))),
        invalid(Rule::F5, "a chunk without an event", unset(None)),
        invalid(Rule::F5, "an event that says nothing", unset(Some(Event::default()))),
        invalid(Rule::F5, "a block of no kind", unset(of(Step::BlockStarted(BlockStarted::default())))),
        invalid(Rule::F5, "a piece that is none", unset(of(Step::BlockDelta(BlockDelta::default())))),
        invalid(Rule::F6, "an answer to a question that nobody asked", begun(told(Message::Consultation(nobodys)))),
        invalid(Rule::F7, "no chunks", begun(chunks([]))),
        Case {
            expected: Expected::NothingJudged,
            ..invalid(Rule::F4, "chunks behind CallEnded", (behind, chunks([2])))
        },
        Case { expected: Expected::AnyError, fault: vec![0xFF; 7], ..garbage },
    ]
}

fn started(call: CallStarted) -> EnforceRequest {
    told(Message::CallStarted(call))
}

/// Chunks that belong to no block, so that they come as chunks whatever the service wants.
fn chunks<const N: usize>(seqs: [u64; N]) -> EnforceRequest {
    let step = |seq| match seq {
        1 => events::started(),
        _ => events::step(Step::Usage(Usage { input: Some(1), ..Usage::default() })),
    };
    let chunks = seqs.map(|seq| Chunk { seq, arrived_us: seq * 1000, event: Some(step(seq)) }).to_vec();
    told(Message::Chunks(Chunks { chunks }))
}

async fn check(service: &Service, case: &Case) -> Result<(), String> {
    let mut line = service.open();
    // The chunks before the fault may be judged.
    let mut may_settle = case.sound;
    let is_forwarded = Cell::new(true);
    for message in &case.before {
        // Of a call that goes nowhere there is no response.
        if matches!(message.message, Some(Message::Chunks(_))) && !is_forwarded.get() {
            continue;
        }
        line.say(message);
        let patience = service.options.lease * 2;
        let answered = match &message.message {
            Some(Message::CallStarted(_)) => {
                let is_admission = |said: &EnforceResponse| match &said.message {
                    Some(enforce_response::Message::Admission(admission)) => {
                        is_forwarded.set(matches!(admission.decision, Some(Decision::Forward(_))));
                        true
                    }
                    Some(_) | None => false,
                };
                line.until(patience, is_admission).await
            }
            Some(Message::Chunks(_)) => {
                may_settle += 1;
                line.until(patience, |said| said.seen == 1).await
            }
            Some(Message::Block(_) | Message::CallEnded(_) | Message::CallResumed(_) | Message::Consultation(_))
            | None => Ok(()),
        };
        if let Err(heard) = answered {
            return Err(format!("before the fault: {heard:?}"));
        }
    }
    line.say_bytes(case.fault.clone());
    ends(service, line, case.expected, may_settle).await
}

/// Waits for the end, and for a word that would be consent.
async fn ends(service: &Service, mut line: Line, expected: Expected, may_settle: u64) -> Result<(), String> {
    let until = Instant::now() + service.options.close;
    loop {
        match line.hear(until.saturating_duration_since(Instant::now())).await {
            Heard::Said(response) => {
                if let Some(enforce_response::Message::Verdict(verdict)) = &response.message
                    && verdict.through > may_settle
                {
                    return Err(format!("a Verdict through {} of what was a fault", verdict.through));
                }
            }
            Heard::Closed(status) => {
                let is_expected = match expected {
                    Expected::InvalidArgument => status.code() == Code::InvalidArgument,
                    Expected::AnyError => status.code() != Code::Ok,
                    Expected::NothingJudged => matches!(status.code(), Code::Ok | Code::InvalidArgument),
                };
                let how = talk::told(&status);
                return if is_expected { Ok(()) } else { Err(format!("the stream was closed with {how}")) };
            }
            Heard::Nothing => return Err("the stream is open, as if nothing had been".to_owned()),
        }
    }
}
