//! A proxy that keeps the rules of the gate in the simplest way there is.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use luthien_policy::{Audit, Before, Output, PolicySet, PolicySetConfig, Session};
use luthien_proto::{
    Chunk, Event, FromService, Request, Step, ToService,
    event::{BlockKey, Delta, Kind},
    json::Extras,
    message::{
        Admission, AdmissionDecision, Annotation, Applied, Block, CallEnded, CallResumed, CallStarted, Consult,
        Consultation, Decision, Interest, Level, Outcome, Reply, Verdict, Waited,
    },
    request::{ContentBlock, Dialect, Message},
};
use serde_json::{Value, json};

use crate::{
    audit::is_on_record,
    peers::Peers,
    response::{response, text},
};

pub struct Proxy {
    pub session: Session,
    set: Arc<PolicySet>,
    started: CallStarted,
    audit: Audit,
    /// What was told, for the next service.
    told: Vec<ToService>,
    /// After how many verdicts each service is lost.
    losses: VecDeque<usize>,
    /// How chunks are batched for the next service; empty: as they were.
    anew: Vec<usize>,
    epoch: u32,
    /// The entries of the services that were lost.
    pub lost: Vec<Vec<Value>>,
    /// The events injected behind the frontier.
    injected: u64,
    pub admission: Admission,
    pub verdicts: Vec<Verdict>,
    /// What the client has, and whether the response was ended by a verdict.
    pub released: Vec<Event>,
    pub ended_by_policy: bool,
    /// Whether that was by an end, and not by an error that was injected.
    ended: bool,
    pub entries: Vec<Value>,
    interest: Interest,
    /// Whether anything was gated when the call began.
    gated: bool,
    /// The consults that were asked, by their ids; those that run; and what is to be said to each, if anything.
    pub consults: BTreeMap<String, Consult>,
    pub running: BTreeSet<String>,
    pub cancelled: Vec<String>,
    /// Not released yet, in order: seq, event, whether it needs a verdict.
    held: VecDeque<(u64, Event, bool)>,
    open: Vec<(BlockKey, Kind, Recorded)>,
    sent: u64,
    seq: u64,
    frontier: u64,
    messages: u64,
    /// How many of them the session said that it had taken.
    pub seen: u64,
    /// Those who serve remote policies.
    peers: Peers,
}

struct Recorded {
    /// What was wanted of the block when it began.
    level: Level,
    first: u64,
    started: Event,
    deltas: Vec<Event>,
}

pub fn call(dialect: Dialect) -> CallStarted {
    let content = vec![ContentBlock::Text("hello".to_owned()).into()];
    let message = Message { role: "user".to_owned(), content, extras: Extras::NONE };
    let request =
        Request { model: "fast".to_owned(), stream: true, choices: 1, messages: vec![message], ..Request::default() };
    CallStarted {
        session: String::new(),
        dropped: Vec::new(),
        omitted: Vec::new(),
        capabilities: ["answer", "consult", "edits", "interest", "resume"].map(str::to_owned).to_vec(),
        headers: Vec::new(),
        call_id: "0198c9a5-7e4c-7000-8000-000000000001".parse().unwrap(),
        started_at_us: 1_700_000_000_000_000,
        dialect,
        upstream_dialect: dialect,
        upstream: "openai".to_owned(),
        route: "fast".to_owned(),
        upstream_model: "gpt-5-mini".to_owned(),
        client: String::new(),
        request,
    }
}

/// Polls the session up to its Admission.
fn admitted(session: &mut Session, peers: &mut Peers) -> (Admission, Vec<Value>) {
    let mut entries = Vec::new();
    loop {
        let Some(output) = session.poll() else {
            let (stage, said) = peers.next().expect("an admission is owed");
            session.heard(stage, said).unwrap();
            continue;
        };
        match output {
            Output::Tell { stage, message } => peers.tell(stage, message),
            Output::Leave { stage } => peers.leave(stage),
            Output::Record(entry) => entries.push(json!(entry)),
            Output::Say(FromService { message: Reply::Admission(admission), seen: 0 }) => return (admission, entries),
            other => panic!("{other:?}"),
        }
    }
}

pub fn set(policies: Value) -> Arc<PolicySet> {
    let pipeline: Vec<Value> = policies.as_array().unwrap().iter().map(|policy| policy["name"].clone()).collect();
    let config: PolicySetConfig =
        serde_json::from_value(json!({ "policies": policies, "pipeline": pipeline })).unwrap();
    Arc::new(PolicySet::build(config).unwrap())
}

impl Proxy {
    pub fn start(set: Arc<PolicySet>) -> Self {
        Self::start_with(set, Dialect::OpenAiChat)
    }

    pub fn start_with(set: Arc<PolicySet>, dialect: Dialect) -> Self {
        Self::start_call(set, call(dialect))
    }

    pub fn start_call(set: Arc<PolicySet>, started: CallStarted) -> Self {
        Self::start_session(Session::begin(set.clone(), started.clone()), set, started)
    }

    /// Those who serve its remote policies answer.
    pub fn start_with_peers(set: Arc<PolicySet>, started: CallStarted, peers: Peers) -> Self {
        Self::start_served(Session::begin(set.clone(), started.clone()), set, started, peers)
    }

    /// What it says is on record before it is said, or the test fails.
    pub fn start_strict(set: Arc<PolicySet>) -> Self {
        let (started, before) = (call(Dialect::OpenAiChat), Before { audit: Audit::Strict, ..Before::default() });
        let session = Session::begin_with(set.clone(), started.clone(), before);
        Self { audit: Audit::Strict, ..Self::start_session(session, set, started) }
    }

    pub fn start_session(session: Session, set: Arc<PolicySet>, started: CallStarted) -> Self {
        Self::start_served(session, set, started, Peers::default())
    }

    fn start_served(mut session: Session, set: Arc<PolicySet>, started: CallStarted, mut peers: Peers) -> Self {
        let (admission, entries) = admitted(&mut session, &mut peers);
        let interest = match &admission.decision {
            AdmissionDecision::Forward(forward) => forward.interest,
            AdmissionDecision::Reject(_) | AdmissionDecision::Answer(_) => Interest::all(Level::Record),
        };
        Self {
            session,
            set,
            started,
            audit: Audit::Relaxed,
            told: Vec::new(),
            losses: VecDeque::new(),
            anew: Vec::new(),
            epoch: 0,
            lost: Vec::new(),
            injected: 0,
            admission,
            interest,
            gated: interest.gates(),
            consults: BTreeMap::new(),
            running: BTreeSet::new(),
            cancelled: Vec::new(),
            verdicts: Vec::new(),
            released: Vec::new(),
            ended_by_policy: false,
            ended: false,
            entries,
            held: VecDeque::new(),
            open: Vec::new(),
            sent: 0,
            seq: 0,
            frontier: 0,
            messages: 0,
            seen: 0,
            peers,
        }
    }

    /// The service is lost once it has said so many verdicts; the next one, after so many of its own.
    pub fn lose_after(&mut self, verdicts: &[usize]) {
        self.losses = verdicts.iter().copied().collect();
    }

    fn is_lost(&self) -> bool {
        self.losses.front() == Some(&0)
    }

    /// When a service takes over it is told the same chunks in other batches.
    pub fn batch_anew(&mut self, batches: &[usize]) {
        self.anew = batches.to_vec();
    }

    /// Another service takes over, which has other policies.
    pub fn resume_with(&mut self, set: Arc<PolicySet>) {
        self.set = set;
        self.resume();
    }

    /// Another service takes over: it is told what the lost one was.
    pub fn resume(&mut self) {
        self.losses.pop_front();
        self.epoch += 1;
        let applied = Applied { settled: self.frontier, injected: self.injected, ended: self.ended };
        let resumed = CallResumed { epoch: self.epoch, admission: Some(self.admission.clone()), applied };
        let before = Before { audit: self.audit, ..Before::default() };
        self.session = Session::resume_with(self.set.clone(), resumed, self.started.clone(), before);
        self.lost.push(std::mem::take(&mut self.entries));
        (self.messages, self.seen) = (0, 0);
        self.peers.restart();
        self.drain();
        for message in rebatched(self.told.clone(), &self.anew) {
            self.handle(message);
            if self.is_lost() {
                return self.resume();
            }
        }
    }

    /// Sends a response, as many events to a message as `batches` says, over and over.
    pub fn respond(&mut self, events: &[Event], batches: &[usize]) {
        let mut batches = batches.iter().cycle();
        let mut rest = events;
        while !rest.is_empty() {
            let (batch, after) = rest.split_at((*batches.next().unwrap()).clamp(1, rest.len()));
            self.send(batch);
            rest = after;
        }
    }

    /// The same; and each consult is answered when so many messages more have been sent, or at the end: to equal questions, the same.
    pub fn respond_and_answer(&mut self, events: &[Event], batches: &[usize], delay: usize) {
        let mut batches = batches.iter().cycle();
        let (mut rest, mut due) = (events, Vec::new());
        loop {
            let (batch, after) = rest.split_at((*batches.next().unwrap()).min(rest.len()));
            self.send(batch);
            due.push(self.running.iter().cloned().collect::<Vec<_>>());
            let asked =
                if rest.is_empty() { due.pop() } else { due.len().checked_sub(delay + 1).map(|at| due[at].clone()) };
            for id in asked.into_iter().flatten().filter(|id| self.running.contains(id)).collect::<Vec<_>>() {
                if self.running.contains(&id) {
                    let answers = [
                        "no",
                        r#"{"probability":0.1,"explanation":""}"#,
                        r#"{"decision":"pass"}"#,
                        r#"{"probability":0.9,"explanation":""}"#,
                        r#"{"decision":"replace","text":"so ab"}"#,
                        r#"{"decision":"replace","arguments":{"a":"ab"}}"#,
                    ];
                    let asked = format!("{:?}", self.consults[&id].request);
                    let which = asked.bytes().map(usize::from).sum::<usize>();
                    self.answer(&id, answers[which % answers.len()]);
                }
            }
            if rest.is_empty() && self.running.is_empty() {
                return;
            }
            rest = after;
        }
    }

    /// Sends events: those that are only recorded as a block, when it stops; the others at once.
    pub fn send(&mut self, events: &[Event]) {
        let mut chunks = Vec::new();
        for event in events {
            self.seq += 1;
            let chunk = Chunk { seq: self.seq, arrived_us: self.seq * 1000, event: event.clone() };
            let level = self.level(event);
            self.held.push_back((chunk.seq, event.clone(), level == Level::Gate));
            match self.record(&chunk, level) {
                Take::Chunk => chunks.push(chunk),
                Take::Nothing => {}
                Take::Block(block) => {
                    self.chunks(std::mem::take(&mut chunks));
                    self.tell(ToService::Block(block));
                }
            }
        }
        self.chunks(chunks);
    }

    fn chunks(&mut self, chunks: Vec<Chunk>) {
        if let Some(last) = chunks.last() {
            self.sent = last.seq;
            self.tell(ToService::Chunks(chunks));
        }
        self.release();
    }

    fn tell(&mut self, message: ToService) {
        self.told.push(message.clone());
        self.handle(message);
        if self.is_lost() {
            self.resume();
        }
    }

    fn handle(&mut self, message: ToService) {
        self.session.handle(message).unwrap();
        self.messages += 1;
        self.peers.tick();
        self.drain();
        assert!(self.seen == self.messages || self.is_lost() || !self.peers.is_empty(), "the last answer counts it");
    }

    /// All who serve remote policies answer.
    pub fn flush(&mut self) {
        while let Some((stage, said)) = self.peers.next() {
            self.session.heard(stage, said).unwrap();
            self.drain();
            if self.is_lost() {
                self.resume();
            }
        }
        self.release();
    }

    /// The same, and models as [`Self::respond_and_answer`] has them.
    pub fn flush_and_answer(&mut self) {
        self.flush();
        while !self.running.is_empty() {
            self.respond_and_answer(&[], &[1], 0);
            self.flush();
        }
    }

    fn drain(&mut self) {
        while !self.is_lost() {
            let Some(output) = self.session.poll() else {
                let Some((stage, said)) = self.peers.due() else { break };
                self.session.heard(stage, said).unwrap();
                continue;
            };
            match output {
                Output::Tell { stage, message } => self.peers.tell(stage, message),
                Output::Leave { stage } => self.peers.leave(stage),
                Output::Record(entry) => self.entries.push(json!(entry)),
                Output::Say(FromService { message, seen }) => {
                    assert!(self.seen <= seen && seen <= self.messages);
                    self.seen = seen;
                    match message {
                        Reply::Verdict(verdict) => {
                            self.apply(verdict);
                            if self.audit == Audit::Strict {
                                is_on_record(&self.released, &self.entries);
                            }
                        }
                        Reply::Working => {}
                        Reply::Admission(_) => panic!("a second admission"),
                        Reply::Interest(interest) => {
                            assert!(self.can("interest"));
                            self.interest = self.interest.meet(interest);
                        }
                        Reply::Consult(consult) => self.ask(*consult),
                        Reply::CancelConsult(id) => {
                            if self.running.remove(&id) {
                                self.cancelled.push(id);
                            }
                        }
                    }
                }
                Output::Ended => panic!("ended too early"),
            }
        }
    }

    fn can(&self, what: &str) -> bool {
        self.started.capabilities.iter().any(|capability| capability == what)
    }

    /// A question that is known is not asked again.
    fn ask(&mut self, consult: Consult) {
        assert!(self.can("consult"));
        match self.consults.get(&consult.id) {
            Some(known) => assert_eq!(*known, consult),
            None => {
                self.running.insert(consult.id.clone());
                self.consults.insert(consult.id.clone(), consult);
            }
        }
    }

    /// A model answers a consult.
    pub fn consulted(&mut self, id: &str, events: Vec<Event>) {
        assert!(self.running.remove(id), "{id} does not run");
        self.tell(ToService::Consultation(Consultation { id: id.to_owned(), events, reused: false }));
        self.release();
    }

    /// What a model answered with a text to an equal question is the answer.
    pub fn answer_again(&mut self, id: &str, answer: &str) {
        assert!(self.running.remove(id), "{id} does not run");
        let events = response([text(0, [answer])]);
        self.tell(ToService::Consultation(Consultation { id: id.to_owned(), events, reused: true }));
        self.release();
    }

    /// A model answers with a text.
    pub fn answer(&mut self, id: &str, answer: &str) {
        self.consulted(id, response([text(0, [answer])]));
    }

    fn apply(&mut self, verdict: Verdict) {
        assert!(self.gated, "nothing was gated: {verdict:?}");
        assert!(!self.ended_by_policy, "after the end: {verdict:?}");
        assert!(verdict.through <= self.sent, "never sent: {verdict:?}");
        let injects = verdict.through == self.frontier;
        assert!(verdict.through > self.frontier || (injects && verdict.decision != Decision::Pass), "{verdict:?}");
        if let Some(verdicts) = self.losses.front_mut() {
            *verdicts -= 1;
        }
        self.frontier = verdict.through;
        let (mut events, ends, passes) = match verdict.decision.clone() {
            Decision::Pass => (Vec::new(), false, true),
            Decision::Replace(events) => (events, false, false),
            Decision::End { events, .. } => (events, true, false),
        };
        self.injected = if injects { self.injected + events.len() as u64 } else { 0 };
        if injects {
            self.released.append(&mut events);
        }
        while self.held.front().is_some_and(|(seq, ..)| *seq <= verdict.through) {
            match self.held.pop_front().unwrap() {
                (_, event, gated) if passes || !gated => self.released.push(event),
                _ => self.released.append(&mut events),
            }
        }
        assert!(events.is_empty(), "a replacement of nothing gated: {verdict:?}");
        let fails = self.released.last().is_some_and(|event| matches!(event.step, Step::Failed(_)));
        self.ended = ends;
        self.ended_by_policy = ends || (verdict.cancel_upstream && fails);
        self.verdicts.push(verdict);
        self.release();
    }

    /// What needs no verdict goes on, once nothing before it waits.
    fn release(&mut self) {
        while !self.ended_by_policy && self.held.front().is_some_and(|(_, _, gated)| !gated) {
            self.released.extend(self.held.pop_front().map(|(_, event, _)| event));
        }
    }

    /// How many chunks wait for their verdict.
    pub fn held(&self) -> usize {
        self.held.iter().filter(|(_, _, gated)| *gated).count()
    }

    /// The call is over; the whole record.
    pub fn end(mut self) -> Vec<Value> {
        let ended = CallEnded {
            outcome: if self.ended_by_policy { Outcome::EndedByPolicy } else { Outcome::Delivered },
            written: self.frontier,
            reason: String::new(),
            status: 200,
            upstream_status: 200,
            upstream_first_us: 900,
            client_first_us: 1100,
            ended_us: (self.seq + 1) * 1000,
            opened: None,
            waited: Waited::default(),
        };
        self.session.handle(ToService::CallEnded(ended)).unwrap();
        self.rest()
    }

    /// What comes out behind the last message.
    pub fn rest(mut self) -> Vec<Value> {
        loop {
            match self.session.poll().expect("an end") {
                Output::Record(entry) => self.entries.push(json!(entry)),
                Output::Ended => break,
                Output::Tell { .. } | Output::Leave { .. } => {}
                Output::Say(said) => panic!("{said:?}"),
            }
        }
        assert!(self.session.poll().is_none());
        self.entries
    }

    pub fn annotations(&self) -> Vec<&Annotation> {
        self.verdicts.iter().flat_map(|verdict| &verdict.annotations).collect()
    }

    /// Of a block that was gated when it began, what comes is at least observed.
    fn level(&self, event: &Event) -> Level {
        let of = |key: &BlockKey| {
            let open = self.open.iter().find(|(open, ..)| open == key).expect("an open block");
            match open.2.level {
                Level::Gate => self.interest.of(open.1).max(Level::Observe),
                level @ (Level::Observe | Level::Record) => level,
            }
        };
        match &event.step {
            Step::BlockStarted(started) => self.interest.of(started.kind.kind()),
            Step::BlockDelta(delta) if matches!(delta.delta, Delta::Opaque(_)) => {
                self.interest.of(Kind::Opaque).max(of(&delta.block).min(Level::Observe))
            }
            Step::BlockDelta(delta) => of(&delta.block),
            Step::BlockStopped(key) => of(key),
            _ => self.interest.strictest().max(Level::Observe),
        }
    }

    fn record(&mut self, chunk: &Chunk, level: Level) -> Take {
        let key = match &chunk.event.step {
            Step::BlockStarted(started) => {
                let recorded = Recorded { level, first: chunk.seq, started: chunk.event.clone(), deltas: Vec::new() };
                self.open.push((started.block, started.kind.kind(), recorded));
                started.block
            }
            Step::BlockDelta(delta) => delta.block,
            Step::BlockStopped(key) => *key,
            _ => return Take::Chunk,
        };
        let at = self.open.iter().position(|(open, ..)| *open == key).unwrap();
        if let (Step::BlockDelta(_), Level::Record) = (&chunk.event.step, level) {
            self.open[at].2.deltas.push(chunk.event.clone());
        }
        let stops = matches!(chunk.event.step, Step::BlockStopped(_));
        let recorded = stops.then(|| self.open.remove(at).2);
        match (level, recorded) {
            (Level::Observe | Level::Gate, _) => Take::Chunk,
            (Level::Record, None) => Take::Nothing,
            (Level::Record, Some(recorded)) => Take::Block(recorded.block(chunk)),
        }
    }
}

/// The same messages, with neighbouring chunks in other batches.
fn rebatched(told: Vec<ToService>, batches: &[usize]) -> Vec<ToService> {
    if batches.is_empty() {
        return told;
    }
    let mut sizes = batches.iter().copied().cycle();
    let (mut messages, mut size) = (Vec::new(), 0);
    for message in told {
        let ToService::Chunks(chunks) = message else {
            messages.push(message);
            continue;
        };
        for chunk in chunks {
            match messages.last_mut() {
                Some(ToService::Chunks(batch)) if batch.len() < size => batch.push(chunk),
                _ => {
                    size = sizes.next().unwrap();
                    messages.push(ToService::Chunks(vec![chunk]));
                }
            }
        }
    }
    messages
}

enum Take {
    Chunk,
    Nothing,
    Block(Block),
}

impl Recorded {
    fn block(self, stop: &Chunk) -> Block {
        let Step::BlockStarted(started) = self.started.step else { unreachable!() };
        let deltas = self.deltas.into_iter().map(|event| match event.step {
            Step::BlockDelta(delta) => (delta, event.extras),
            _ => unreachable!(),
        });
        Block {
            first: self.first,
            last: stop.seq,
            first_arrived_us: self.first * 1000,
            last_arrived_us: stop.arrived_us,
            started,
            extras: self.started.extras,
            deltas: deltas.collect(),
            stopped: true,
        }
    }
}
