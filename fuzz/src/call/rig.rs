//! A call in its driver's hands, and a log of all that was decided.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use bytes::Bytes;
use luthien_call::call::{
    Call, ConsultLimits, Content, Head, Input as Happening, Limits, Loss, Output, Setup, Times, UpstreamHead,
};
use luthien_proto::{
    Chunk, Step, ToService,
    event::Kind,
    message::{
        Admission, AdmissionDecision, CallStarted, Decision, FailureMode, Forward, FromService, Interest, Level,
        Limits as ServiceLimits, Outcome, Reject, Reply, Verdict,
    },
    request::{Dialect, Request},
};

use super::{failure_mode, upstream::Upstream};
use crate::input::Input;

pub struct Rig {
    call: Call,
    now: Instant,
    /// What the client has.
    pub written: Vec<u8>,
    pub head: Option<Head>,
    /// Whether the client's body is complete, or broken off.
    pub finished: Option<bool>,
    pub done: Option<Result<(), String>>,
    /// Whether the upstream was asked: it answers before that to no effect.
    is_asked: bool,
    pub content: Option<Content>,
    /// What the upstream has said behind its head.
    pub body: Vec<u8>,
    pub status_is_success: bool,
    /// Whether the client takes nothing by itself.
    pub is_slow: bool,
    untaken: usize,
    interest: Interest,
    is_admitted: bool,
    /// What was told of the response, by chunk.
    pub told: BTreeMap<u64, Chunk>,
    /// The Chunks and Block messages told, and those of them that were seen.
    messages: u64,
    seen: u64,
    outcome: Option<Outcome>,
    /// The last chunk that verdicts have settled.
    pub settled: u64,
    /// The policy service has said its last word, or one that can't be.
    is_unheeded: bool,
    /// A verdict has ended the response.
    has_end: bool,
    /// Failing opens the gate.
    is_open: bool,
    /// The marks that verdicts have let through.
    passed: BTreeSet<u32>,
    /// Whether verdicts have done nothing but pass.
    pub only_passed: bool,
}

const TIMES: Times = Times {
    lease: Duration::from_secs(5),
    hold: Duration::from_secs(60),
    first_byte: Duration::from_secs(600),
    idle: Duration::from_secs(300),
    keepalive_first: Duration::from_secs(8),
    keepalive_every: Duration::from_secs(10),
    close: Duration::from_secs(30),
    takeover: Duration::ZERO,
};

impl Rig {
    pub fn new(dialect: Dialect, interest: Interest, input: &mut Input<'_>) -> Self {
        let on_loss = failure_mode(input);
        let small = input.below(8);
        let limits = Limits {
            held: if small & 1 == 1 { 600 } else { 1 << 20 },
            sse_event: if small & 2 == 2 { 300 } else { 1 << 16 },
            body: if small & 4 == 4 { 400 } else { 1 << 20 },
            batch: if small == 7 { 1 } else { 1 << 12 },
            resume: 1 << 16,
            consults: ConsultLimits { per_call: 4, at_once: 2 },
        };
        let now = Instant::now();
        let started = started(dialect, input.flag());
        let mut rig = Self {
            call: Call::new(Setup { started, limits, times: TIMES, on_loss, conversion: None }, now),
            now,
            written: Vec::new(),
            head: None,
            finished: None,
            done: None,
            is_asked: false,
            content: None,
            body: Vec::new(),
            status_is_success: false,
            is_slow: false,
            untaken: 0,
            interest,
            is_admitted: false,
            told: BTreeMap::new(),
            messages: 0,
            seen: 0,
            outcome: None,
            settled: 0,
            is_unheeded: false,
            has_end: false,
            is_open: on_loss == FailureMode::Open,
            passed: BTreeSet::new(),
            only_passed: true,
        };
        rig.pump();
        rig
    }

    pub fn admit(&mut self, input: &mut Input<'_>) {
        let decision = if input.below(16) == 15 {
            AdmissionDecision::Reject(Reject {
                status: 300 + 2 * u16::from(input.byte()),
                type_: String::new(),
                message: "no".to_owned(),
            })
        } else {
            let failure_mode = failure_mode(input);
            self.is_open |= failure_mode == FailureMode::Open;
            let limits = match input.below(8) {
                7 => ServiceLimits { hold_ms: Some(0), held_bytes: Some(0) },
                6 => ServiceLimits { hold_ms: Some(100), held_bytes: Some(500) },
                _ => ServiceLimits::default(),
            };
            let unknown = input.below(16);
            let is_known = |kind: &Kind| unknown < 11 || unknown - 11 != *kind as u8;
            let known_kinds = Kind::ALL.into_iter().filter(is_known).collect();
            AdmissionDecision::Forward(Forward {
                interest: self.interest,
                failure_mode,
                limits,
                known_kinds,
                edits: Vec::new(),
            })
        };
        // A second one is a fault.
        self.is_unheeded |= std::mem::replace(&mut self.is_admitted, true);
        self.say(Reply::Admission(Admission {
            decision,
            revision: "r".to_owned(),
            pipeline: Vec::new(),
            capabilities: Vec::new(),
        }));
    }

    pub fn head(&mut self, status: u16, content: Content) {
        if self.is_asked && self.content.is_none() {
            self.content = Some(content);
            self.status_is_success = (200..300).contains(&status);
        }
        self.happen(Happening::UpstreamHead(UpstreamHead { status, content }));
    }

    pub fn data(&mut self, data: Vec<u8>) {
        if self.content.is_some() {
            self.body.extend_from_slice(&data);
        }
        self.happen(Happening::UpstreamData(Bytes::from(data)));
    }

    pub fn say(&mut self, message: Reply) {
        let seen = self.messages;
        self.said(FromService { message, seen });
    }

    pub fn said(&mut self, message: FromService) {
        self.is_unheeded |= message.seen > self.messages || message.seen < self.seen;
        self.seen = self.seen.max(message.seen).min(self.messages);
        self.happen(Happening::Service(message));
    }

    /// Logs a verdict, if it is one that counts, and says it.
    pub fn verdict(&mut self, through: u64, decision: Decision, cancel_upstream: bool) {
        let last = self.told.keys().next_back().copied().unwrap_or(0);
        self.is_unheeded |= !self.is_admitted || through > last || through < self.settled;
        if let (Decision::Replace(events), false) = (&decision, self.is_unheeded) {
            // An end stands only for an end.
            let mut covered = self.told.range(self.settled + 1..through + 1);
            self.is_unheeded = events.iter().any(|event| event.step == Step::Ended)
                && !covered.any(|(_, chunk)| chunk.event.step == Step::Ended);
        }
        if !self.is_unheeded {
            let covered = self.told.range(self.settled + 1..through + 1).map(|(_, chunk)| marks(&format!("{chunk:?}")));
            let covered: Vec<u32> = covered.flatten().collect();
            if decision == Decision::Pass {
                self.passed.extend(covered);
            }
            self.settled = through.max(self.settled);
        }
        self.only_passed &= decision == Decision::Pass && !cancel_upstream;
        self.has_end |= matches!(decision, Decision::End { .. });
        self.is_unheeded |= self.has_end;
        self.say(Reply::Verdict(Verdict { through, decision, annotations: Vec::new(), cancel_upstream }));
    }

    pub fn lose(&mut self, how: Result<(), Loss>) {
        self.is_unheeded = true;
        self.happen(Happening::ServiceClosed(how));
    }

    /// Time passes: up to the deadline, or not quite.
    pub fn tick(&mut self, all: bool) {
        let deadline = self.call.deadline().unwrap_or(self.now).max(self.now);
        self.now = if all { deadline } else { self.now + (deadline - self.now) / 2 };
        self.happen(Happening::Tick);
    }

    pub fn take(&mut self, bytes: usize) {
        let taken = bytes.min(self.untaken);
        self.untaken -= taken;
        self.happen(Happening::ClientTook(taken));
    }

    /// Nothing more happens but that time passes, and that the client takes what it is sent: the call ends.
    pub fn run_out(&mut self) {
        self.is_slow = false;
        self.take(self.untaken);
        for _ in 0..300 {
            if self.done.is_some() {
                return;
            }
            assert!(self.call.deadline().is_some(), "the call waits for nothing, and is not done: {:?}", self.call);
            self.tick(true);
        }
        panic!("the call does not end: {:?}", self.call);
    }

    pub fn happen(&mut self, what: Happening) {
        self.call.handle(what, self.now);
        self.pump();
    }

    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    /// Whether the upstream's response was told to have failed, and no verdict has ended it.
    pub fn has_failure_without_end(&self) -> bool {
        !self.has_end && self.told.values().any(|chunk| matches!(chunk.event.step, Step::Failed(_)))
    }

    fn pump(&mut self) {
        while let Some(output) = self.call.poll() {
            assert_eq!(self.done, None, "something follows Done: {output:?}");
            match output {
                Output::Tell(message) => self.take_told(message.decode().expect("what is told can be read")),
                Output::Forward(_) => self.is_asked = true,
                Output::OpenService
                | Output::CloseService
                | Output::DropService
                | Output::Ended(_)
                | Output::Report(_)
                | Output::Consult(_)
                | Output::CancelConsult(_)
                | Output::CancelUpstream => {}
                Output::Head(head) => assert_eq!(self.head.replace(head), None, "a second head"),
                Output::Write(bytes) => {
                    assert!(self.head.is_some() && self.finished.is_none(), "bytes outside of a body");
                    self.written.extend_from_slice(&bytes);
                    match self.is_slow {
                        true => self.untaken += bytes.len(),
                        false => self.call.handle(Happening::ClientTook(bytes.len()), self.now),
                    }
                }
                Output::Finish => self.finish(true),
                Output::Abort => self.finish(false),
                Output::Done(how) => self.done = Some(how),
            }
        }
    }

    fn finish(&mut self, completely: bool) {
        assert!(self.head.is_some(), "a body without a head");
        assert_eq!(self.finished.replace(completely), None, "a body ends once");
    }

    fn take_told(&mut self, message: ToService) {
        assert_eq!(self.outcome, None, "something follows CallEnded: {message:?}");
        match message {
            ToService::CallStarted(_) => assert!(self.told.is_empty(), "CallStarted is first"),
            ToService::Chunks(chunks) => {
                self.messages += 1;
                assert!(!chunks.is_empty(), "an empty batch");
                for chunk in chunks {
                    let last = self.told.keys().next_back().copied().unwrap_or(0);
                    assert!(chunk.seq > last, "chunk {} after {last}", chunk.seq);
                    self.told.insert(chunk.seq, chunk);
                }
            }
            ToService::Block(_) => self.messages += 1,
            other @ (ToService::CallResumed(_) | ToService::Consultation(_)) => panic!("nobody can take {other:?}"),
            ToService::CallEnded(ended) => self.outcome = Some(ended.outcome),
        }
        assert!(self.messages - self.seen <= 1, "two messages under way");
    }

    /// Nothing was written that is gated and was not let through; nothing was written twice.
    pub fn check_written(&self, upstream: &Upstream) {
        if !self.interest.gates() {
            return;
        }
        let mut seen = BTreeSet::new();
        for mark in marks(&String::from_utf8_lossy(&self.written)) {
            let sort = upstream.sort_of(mark);
            let gated = sort.kind.is_none_or(|kind| self.interest.of(kind) == Level::Gate);
            let may = !gated || self.passed.contains(&mark) || self.is_open;
            assert!(may, "<{mark}> was written undecided: {}", String::from_utf8_lossy(&self.written));
            assert!(
                seen.insert(mark) || sort.is_repeated,
                "<{mark}> was written twice: {}",
                String::from_utf8_lossy(&self.written)
            );
        }
    }

    pub fn check_all_passed_was_written(&self) {
        let written: BTreeSet<u32> = marks(&String::from_utf8_lossy(&self.written)).into_iter().collect();
        let lost: Vec<&u32> = self.passed.difference(&written).collect();
        assert!(lost.is_empty(), "passed, and not written: {lost:?} in {}", String::from_utf8_lossy(&self.written));
    }
}

fn started(dialect: Dialect, stream: bool) -> CallStarted {
    CallStarted {
        session: String::new(),
        dropped: Vec::new(),
        omitted: Vec::new(),
        capabilities: Vec::new(),
        headers: Vec::new(),
        call_id: "018f0000-0000-7000-8000-000000000001".parse().expect("a UUID"),
        started_at_us: 1_700_000_000_000_000,
        dialect,
        upstream_dialect: dialect,
        upstream: "up".to_owned(),
        route: "*".to_owned(),
        upstream_model: "m".to_owned(),
        client: String::new(),
        request: Request { model: "m".to_owned(), stream, choices: 1, ..Request::default() },
    }
}

/// The marks in a text, in order.
fn marks(text: &str) -> Vec<u32> {
    text.split('<').skip(1).filter_map(|rest| rest.split_once('>')?.0.parse().ok()).collect()
}
