//! One conversation: what a proxy says of a call, and what it does with what it hears.

mod hearing;

use std::{collections::BTreeMap, time::Duration};

use luthien_proto::wire::{
    self, Admission, CallResumed, CallStarted, Chunks, Consult, Consultation, EnforceRequest, Event, Outcome,
    admission::Decision, enforce_request::Message,
};
use prost::Message as _;
use tokio::time::Instant;
use tonic::Code;

use super::{
    events,
    findings::Findings,
    gate::{Applied, Gate, Telling},
    line::{Heard, Line, Service},
    rule::Rule,
};

/// What is played.
#[derive(Clone)]
pub(super) struct Play {
    /// For people.
    pub case: String,
    pub call: CallStarted,
    pub response: Vec<Event>,
    /// How many events go into a message.
    pub batch: usize,
    /// Each message has a field that nobody knows yet.
    pub with_unknown_fields: bool,
    pub cut: Option<Cut>,
    /// How the call ends; `None`: as it did.
    pub outcome: Option<i32>,
    /// The service is left waiting, once, where it owes something.
    pub lingers: bool,
}

/// Where the stream breaks, and another one goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    BeforeAdmission,
    /// Behind so many verdicts.
    AfterVerdicts(usize),
    AfterEnd,
}

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::BeforeAdmission => f.write_str("before Admission"),
            Self::AfterVerdicts(verdicts) => write!(f, "after {verdicts} verdicts"),
            Self::AfterEnd => f.write_str("behind CallEnded"),
        }
    }
}

impl Play {
    pub fn new(case: impl Into<String>, response: &[Event]) -> Self {
        Self {
            case: case.into(),
            call: events::call(),
            response: response.to_vec(),
            batch: 1,
            with_unknown_fields: false,
            cut: None,
            outcome: None,
            lingers: false,
        }
    }
}

/// What came of it.
pub(super) struct Played {
    pub findings: Findings,
    /// What the client got.
    pub released: Vec<Event>,
    pub verdicts: usize,
    pub admission: Option<Admission>,
}

impl Played {
    /// What went wrong first, if anything did.
    pub fn problem(&self) -> Option<String> {
        let rule = *self.findings.broken_rules().first()?;
        self.findings.broken_of(rule).first().map(|broken| format!("{}: {}", rule.id(), broken.what))
    }

    /// Whether all went well, and the client got the same.
    pub fn same_as(&self, other: &Self) -> Result<(), String> {
        if let Some(problem) = self.problem() {
            return Err(problem);
        }
        let at = self.released.iter().zip(&other.released).position(|(one, other)| one != other);
        let lengths = (self.released.len(), other.released.len());
        match at {
            None if lengths.0 == lengths.1 => Ok(()),
            None => Err(format!("the client got {} events instead of {}", lengths.0, lengths.1)),
            Some(at) => Err(format!("event {at} differs: {:?} instead of {:?}", self.released[at], other.released[at])),
        }
    }
}

/// The conversation can't go on: why is among the findings.
pub(super) struct Stop;

/// A conversation.
pub(super) struct Talk<'a> {
    service: &'a Service,
    play: Play,
    findings: Findings,
    line: Line,
    /// All that was said, to be said again.
    told: Vec<EnforceRequest>,
    epoch: u32,
    /// The Chunks, Block and Consultation messages on this stream, and how many of them the service counted.
    count: u64,
    seen: u64,
    admission: Option<Admission>,
    gate: Option<Gate>,
    consults: BTreeMap<String, Consult>,
    /// Those that wait for their answer.
    unanswered: Vec<String>,
    cancelled: bool,
    /// Whether CallEnded was said.
    ended: bool,
}

/// Plays a whole conversation.
pub(super) async fn play(service: &Service, play: Play) -> Played {
    let mut talk = Talk::begin(service, play);
    let _ = talk.run().await;
    talk.played()
}

impl<'a> Talk<'a> {
    pub fn begin(service: &'a Service, play: Play) -> Self {
        let line = service.open();
        Self {
            service,
            play,
            findings: Findings::default(),
            line,
            told: Vec::new(),
            epoch: 0,
            count: 0,
            seen: 0,
            admission: None,
            gate: None,
            consults: BTreeMap::new(),
            unanswered: Vec::new(),
            cancelled: false,
            ended: false,
        }
    }

    pub fn played(self) -> Played {
        let (released, verdicts) = match self.gate {
            Some(gate) => (gate.released, gate.applied.verdicts),
            None => (answered(self.admission.as_ref()), 0),
        };
        Played { findings: self.findings, released, verdicts, admission: self.admission }
    }

    async fn run(&mut self) -> Result<(), Stop> {
        self.start().await?;
        for batch in self.play.response.clone().chunks(self.play.batch.max(1)) {
            self.respond(batch).await?;
        }
        self.settle().await?;
        self.finish().await
    }

    /// Up to the Admission.
    pub async fn start(&mut self) -> Result<(), Stop> {
        let started = events::told(Message::CallStarted(self.play.call.clone()));
        self.tell(started);
        if self.play.cut == Some(Cut::BeforeAdmission) {
            self.play.cut = None;
            self.reopen();
        }
        let since = Instant::now();
        while self.admission.is_none() {
            let heard = self.hear().await;
            let is_late = since.elapsed() > self.service.options.hold;
            match self.epoch {
                1.. if heard.is_err() || (is_late && self.admission.is_none()) => {
                    return self.broken(Rule::R2, "no Admission was said of a call that was resumed without one");
                }
                0 if is_late && self.admission.is_none() => return self.broken(Rule::A1, "no Admission is said"),
                _ => heard?,
            }
        }
        if self.epoch > 0 {
            self.findings.kept(Rule::R2);
        }
        Ok(())
    }

    /// The upstream says something.
    pub async fn respond(&mut self, events: &[Event]) -> Result<(), Stop> {
        let mut chunks = Vec::new();
        for event in events {
            if self.cancelled || self.is_complete() {
                break;
            }
            match self.arrive(event)? {
                Some(Telling::Chunk(chunk)) => chunks.push(chunk),
                Some(Telling::Block(block)) => {
                    self.chunks(&mut chunks).await?;
                    self.counted(Message::Block(block)).await?;
                }
                Some(Telling::Later) | None => {}
            }
        }
        self.chunks(&mut chunks).await?;
        if self.play.lingers && self.owes() {
            self.linger().await?;
        }
        Ok(())
    }

    /// All that is gated gets its verdict.
    pub async fn settle(&mut self) -> Result<(), Stop> {
        if self.cancelled && !self.is_complete() && !self.is_over() {
            // What a cancelled upstream would have said last.
            self.respond_as_cancelled().await?;
        }
        let patience = self.hold();
        let since = Instant::now();
        while self.is_holding() {
            if self.play.lingers {
                self.linger().await?;
                continue;
            }
            if since.elapsed() > patience {
                return self.broken(Rule::L2, format!("chunks are held {patience:?} after the end of the response"));
            }
            self.hear().await?;
        }
        if self.gate.is_some() {
            self.findings.kept(Rule::L2);
        }
        Ok(())
    }

    /// Tells the end, and waits for the close.
    pub async fn finish(&mut self) -> Result<(), Stop> {
        let written = self.gate.as_ref().map_or(0, Gate::last);
        let mut ended = events::ended(self.outcome(), written);
        if let (Some(outcome), Some(Message::CallEnded(ended))) = (self.play.outcome, &mut ended.message) {
            ended.outcome = outcome;
        }
        self.tell(ended);
        self.ended = true;
        if self.play.cut.take() == Some(Cut::AfterEnd) {
            self.reopen();
        }
        self.line.close();
        self.hear_close().await
    }

    /// What was said as it was, on another stream.
    fn reopen(&mut self) {
        self.epoch += 1;
        self.line = self.service.open();
        let Applied { settled, injected, ended, .. } = self.gate.as_ref().map(|gate| gate.applied).unwrap_or_default();
        let admission = self.admission.clone();
        let resumed = CallResumed { epoch: self.epoch, admission, settled, injected, ended };
        self.say(&events::told(Message::CallResumed(resumed)));
        self.told.clone().iter().for_each(|message| self.say(message));
        let is_counted = |message: &&EnforceRequest| {
            matches!(message.message, Some(Message::Chunks(_) | Message::Block(_) | Message::Consultation(_)))
        };
        self.count = self.told.iter().filter(is_counted).count() as u64;
        self.seen = 0;
    }

    fn tell(&mut self, message: EnforceRequest) {
        self.say(&message);
        self.told.push(message);
    }

    fn say(&self, message: &EnforceRequest) {
        let bytes = message.encode_to_vec();
        self.line.say_bytes(if self.play.with_unknown_fields { events::with_unknown_field(bytes) } else { bytes });
    }

    async fn chunks(&mut self, chunks: &mut Vec<wire::Chunk>) -> Result<(), Stop> {
        if chunks.is_empty() {
            return Ok(());
        }
        self.counted(Message::Chunks(Chunks { chunks: std::mem::take(chunks) })).await
    }

    /// Says what is counted, and waits until it was.
    async fn counted(&mut self, message: Message) -> Result<(), Stop> {
        self.count += 1;
        self.tell(events::told(message));
        let since = Instant::now();
        while self.seen < self.count {
            if since.elapsed() > self.service.options.hold {
                let (count, seen) = (self.count, self.seen);
                return self.broken(Rule::S2, format!("{count} messages were told, and {seen} are counted"));
            }
            self.hear().await?;
        }
        self.findings.kept(Rule::S2);
        Ok(())
    }

    async fn respond_as_cancelled(&mut self) -> Result<(), Stop> {
        let ended = events::step(wire::event::Event::Ended(wire::Ended {}));
        self.cancelled = false;
        Box::pin(self.respond(&[ended])).await
    }

    fn arrive(&mut self, event: &Event) -> Result<Option<Telling>, Stop> {
        let Some(gate) = &mut self.gate else { return Ok(None) };
        gate.arrive(event).map(Some).or_else(|fault| self.fault(fault).map(|()| None))
    }

    /// Nothing is said for so long that a service which does not show life is lost.
    async fn linger(&mut self) -> Result<(), Stop> {
        let until = Instant::now() + self.service.options.lease.mul_f64(2.5);
        while Instant::now() < until && self.owes() {
            self.hear().await?;
        }
        if !self.owes() {
            return Ok(());
        }
        self.play.lingers = false;
        self.findings.kept(Rule::L1);
        for id in std::mem::take(&mut self.unanswered) {
            self.answer(id).await?;
        }
        Ok(())
    }

    /// Answers a question, and waits until that was counted.
    async fn answer(&mut self, id: String) -> Result<(), Stop> {
        let consultation = Consultation { id, events: events::opinion(), reused: false };
        Box::pin(self.counted(Message::Consultation(consultation))).await
    }

    fn is_complete(&self) -> bool {
        self.gate.as_ref().is_none_or(|gate| gate.is_complete)
    }

    fn is_over(&self) -> bool {
        self.gate.as_ref().is_none_or(Gate::is_over)
    }

    pub fn is_holding(&self) -> bool {
        self.gate.as_ref().is_some_and(Gate::is_holding)
    }

    fn owes(&self) -> bool {
        self.is_holding() || !self.unanswered.is_empty()
    }

    fn hold(&self) -> Duration {
        let of_service = match self.admission.as_ref().and_then(|admission| admission.decision.as_ref()) {
            Some(Decision::Forward(forward)) => forward.limits.map_or(0, |limits| limits.hold_ms),
            Some(Decision::Reject(_) | Decision::Answer(_)) | None => 0,
        };
        let own = self.service.options.hold;
        if of_service == 0 { own } else { own.min(Duration::from_millis(of_service)) }
    }

    fn outcome(&self) -> Outcome {
        match &self.gate {
            None => Outcome::EndedByPolicy,
            Some(gate) if gate.applied.ended => Outcome::EndedByPolicy,
            Some(gate) if gate.has_failed() => Outcome::Failed,
            Some(_) => Outcome::Delivered,
        }
    }

    fn broken(&mut self, rule: Rule, what: impl Into<String>) -> Result<(), Stop> {
        self.findings.broken(rule, &self.play.case, what);
        Err(Stop)
    }

    /// Waits until the stream is closed, with OK.
    async fn hear_close(&mut self) -> Result<(), Stop> {
        let until = Instant::now() + self.service.options.close;
        loop {
            let rest = until.saturating_duration_since(Instant::now());
            match self.line.hear(rest).await {
                Heard::Said(_) => {}
                Heard::Closed(status) if status.code() == Code::Ok => {
                    self.findings.kept(Rule::E1);
                    self.findings.kept(Rule::E2);
                    return Ok(());
                }
                Heard::Closed(status) => {
                    return self.broken(Rule::E2, format!("the stream was closed with {}", told(&status)));
                }
                Heard::Nothing => {
                    let close = self.service.options.close;
                    return self.broken(Rule::E2, format!("the stream is open {close:?} behind CallEnded"));
                }
            }
        }
    }
}

/// What the client gets of a call that was answered.
fn answered(admission: Option<&Admission>) -> Vec<Event> {
    match admission.and_then(|admission| admission.decision.as_ref()) {
        Some(Decision::Answer(answer)) => answer.events.clone(),
        Some(Decision::Forward(_) | Decision::Reject(_)) | None => Vec::new(),
    }
}

pub(super) fn told(status: &tonic::Status) -> String {
    match status.message() {
        "" => format!("{:?}", status.code()),
        message => format!("{:?} ({message})", status.code()),
    }
}
