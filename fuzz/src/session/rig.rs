//! A session in a proxy's hands that keeps the rules of the gate.

use std::{collections::BTreeMap, sync::Arc};

use luthien_policy::{Fault, Output, PolicySet, PolicySetConfig, Session};
use luthien_proto::{
    Chunk, Event, FromService, Request, Step, ToService,
    event::{BlockKey, BlockKind, Delta, Kind},
    message::{
        Admission, AdmissionDecision, Applied, CallResumed, CallStarted, Consult, Decision, Interest, Level, Reply,
        Verdict,
    },
    request::Dialect,
};
use serde_json::{Value, json};

use super::steps::WORD;
use crate::input::Input;

pub struct Rig {
    session: Session,
    dialect: Dialect,
    interest: Interest,
    /// Whether the word must not be in what the client has.
    is_replacing: bool,
    /// Whether the policy that replaces is the last.
    is_last: bool,
    fault: Option<Fault>,
    ended: bool,
    /// The last chunk that was said, and the messages that are owed an answer.
    last: u64,
    messages: u64,
    frontier: u64,
    /// How many events were injected behind it.
    injected: u64,
    is_ended_by_policy: bool,
    /// What was told, for the next service.
    told: Vec<ToService>,
    policies: Arc<PolicySet>,
    admission: Admission,
    epoch: u32,
    /// The consults that were asked, and those that run.
    asked: BTreeMap<String, Consult>,
    running: Vec<String>,
    /// Not settled, in order: seq, event, whether it needs a verdict.
    held: Vec<(u64, Event, bool)>,
    kinds: BTreeMap<BlockKey, Kind>,
    /// What the client has.
    released: Vec<Event>,
}

impl Rig {
    pub fn begin(input: &mut Input<'_>) -> Option<Self> {
        let dialect = if input.flag() { Dialect::OpenAiChat } else { Dialect::AnthropicMessages };
        let (set, is_replacing) = set(input);
        let is_last = set.pipeline.last().is_some_and(|name| name == "brand");
        let policies = Arc::new(PolicySet::build(set).expect("a good configuration"));
        let mut session = Session::begin(policies.clone(), call(dialect));
        let admission = std::iter::from_fn(|| session.poll()).find_map(|output| match output {
            Output::Say(FromService { message: Reply::Admission(admission), seen: 0 }) => Some(admission),
            Output::Say(_) | Output::Ended | Output::Tell { .. } | Output::Leave { .. } => {
                panic!("before Admission: {output:?}")
            }
            Output::Record(_) => None,
        });
        let admission = admission.expect("an Admission is owed");
        let AdmissionDecision::Forward(forward) = &admission.decision else { return None };
        Some(Self {
            session,
            dialect,
            interest: forward.interest,
            admission,
            policies,
            told: Vec::new(),
            epoch: 0,
            injected: 0,
            asked: BTreeMap::new(),
            running: Vec::new(),
            is_replacing,
            is_last,
            fault: None,
            ended: false,
            last: 0,
            messages: 0,
            frontier: 0,
            is_ended_by_policy: false,
            held: Vec::new(),
            kinds: BTreeMap::new(),
            released: Vec::new(),
        })
    }

    pub fn started(&self) -> CallStarted {
        call(self.dialect)
    }

    pub fn interest(&self) -> Interest {
        self.interest
    }

    pub fn last(&self) -> u64 {
        self.last
    }

    pub fn is_over(&self) -> bool {
        self.ended || self.fault.is_some()
    }

    /// A consult that runs.
    pub fn running(&self, which: u8) -> Option<&str> {
        let which = usize::from(which).checked_rem(self.running.len())?;
        Some(&self.running[which])
    }

    pub fn handle(&mut self, message: ToService) {
        self.tell(message, usize::MAX);
    }

    /// The service takes a message, and is lost once so many of its answers were heard. Another one takes over.
    pub fn lose(&mut self, message: ToService, heard: usize) {
        if matches!(message, ToService::CallEnded(_)) {
            return self.handle(message);
        }
        self.tell(message, heard);
        if self.is_over() {
            return;
        }
        self.epoch += 1;
        let applied = Applied { settled: self.frontier, injected: self.injected, ended: self.is_ended_by_policy };
        let resumed = CallResumed { epoch: self.epoch, admission: Some(self.admission.clone()), applied };
        self.session = Session::resume(self.policies.clone(), resumed, call(self.dialect));
        self.messages = 0;
        assert_eq!(self.pump(usize::MAX), 0, "nothing is owed to one that was admitted");
        for message in std::mem::take(&mut self.told) {
            self.session.handle(message.clone()).expect("what was right before");
            self.told.push(message);
            self.messages += 1;
            assert!(self.pump(usize::MAX) > 0, "an answer is owed again");
        }
    }

    fn tell(&mut self, message: ToService, heard: usize) {
        let is_answered = matches!(message, ToService::Chunks(_) | ToService::Block(_) | ToService::Consultation(_));
        let ends = matches!(message, ToService::CallEnded(_));
        let copy = message.clone();
        match self.session.handle(message) {
            Ok(()) => {
                self.told.push(copy.clone());
                self.took(copy);
                self.messages += u64::from(is_answered);
                let said = self.pump(heard);
                assert!(heard < usize::MAX || (said > 0) == is_answered, "{said} answers");
                assert!(heard < usize::MAX || self.ended == ends, "it ends with CallEnded");
            }
            Err(fault) => {
                assert_eq!(self.pump(usize::MAX), 0, "an answer to a fault");
                assert_eq!(self.session.handle(copy), Err(fault), "a fault stays");
                self.fault = Some(fault);
            }
        }
    }

    /// The stream is over, with that or without a word.
    pub fn end(&mut self, message: Option<ToService>) {
        if let Some(message) = message.filter(|_| !self.is_over()) {
            self.handle(message);
        }
        if !self.ended {
            self.session.lost();
            assert_eq!(self.pump(usize::MAX), 0, "an answer to nobody");
        }
        assert!(self.ended, "an end is owed");
        self.session.lost();
        assert!(self.session.poll().is_none(), "something follows the end");
        self.check_text();
    }

    fn took(&mut self, message: ToService) {
        if let ToService::Consultation(consultation) = &message {
            self.running.retain(|id| *id != consultation.id);
        }
        let ToService::Chunks(chunks) = message else { return };
        for Chunk { seq, event, .. } in chunks {
            self.last = seq;
            let gated = self.is_gated(&event.step);
            self.held.push((seq, event, gated));
        }
    }

    fn is_gated(&mut self, step: &Step) -> bool {
        let kind = match step {
            Step::BlockStarted(started) => {
                self.kinds.insert(started.block, started.kind.kind());
                Some(started.kind.kind())
            }
            Step::BlockDelta(delta) if matches!(delta.delta, Delta::Opaque(_)) => Some(Kind::Opaque),
            Step::BlockDelta(delta) => self.kinds.get(&delta.block).copied(),
            Step::BlockStopped(key) => self.kinds.get(key).copied(),
            _ => None,
        };
        kind.map_or(self.interest.gates(), |kind| self.interest.of(kind) == Level::Gate)
    }

    /// How many answers came. No more than so many are heard.
    fn pump(&mut self, heard: usize) -> usize {
        let (mut said, mut counted) = (0, self.messages);
        while said < heard
            && let Some(output) = self.session.poll()
        {
            assert!(!self.ended, "something follows the end: {output:?}");
            match output {
                Output::Record(entry) => assert!(serde_json::to_string(&entry).is_ok()),
                Output::Tell { .. } | Output::Leave { .. } => panic!("no policy is remote"),
                Output::Ended => self.ended = true,
                Output::Say(FromService { message, seen }) => {
                    // Only the last of them counts the message.
                    assert!(seen <= self.messages && self.messages <= seen + 1, "{seen} of {}", self.messages);
                    (said, counted) = (said + 1, seen);
                    match message {
                        Reply::Verdict(verdict) => self.apply(verdict),
                        Reply::Working => {}
                        Reply::Admission(_) => panic!("a second admission"),
                        Reply::Interest(_) => panic!("no policy here lowers its interest"),
                        Reply::Consult(consult) => self.ask(*consult),
                        Reply::CancelConsult(id) => self.running.retain(|running| *running != id),
                    }
                }
            }
        }
        assert!(said == heard || counted == self.messages, "the last message is not counted");
        said
    }

    fn ask(&mut self, consult: Consult) {
        match self.asked.get(&consult.id) {
            Some(known) => assert_eq!(*known, consult, "two questions have one id"),
            None => {
                self.running.push(consult.id.clone());
                self.asked.insert(consult.id.clone(), consult);
            }
        }
    }

    fn apply(&mut self, verdict: Verdict) {
        assert!(self.interest.gates(), "nothing is gated: {verdict:?}");
        assert!(!self.is_ended_by_policy, "after the end: {verdict:?}");
        assert!(verdict.through <= self.last, "never sent: {verdict:?}");
        assert!(verdict.through >= self.frontier, "a step back: {verdict:?}");
        let injects = verdict.through == self.frontier;
        assert!(!injects || verdict.decision != Decision::Pass, "it settles nothing: {verdict:?}");
        self.frontier = verdict.through;
        let (mut events, passes) = match verdict.decision {
            Decision::Pass => (Vec::new(), true),
            Decision::Replace(events) => (events, false),
            Decision::End { events, .. } => {
                self.is_ended_by_policy = true;
                (events, false)
            }
        };
        self.injected = if injects { self.injected + events.len() as u64 } else { 0 };
        if injects {
            self.released.append(&mut events);
        }
        let settled = self.held.partition_point(|(seq, ..)| *seq <= verdict.through);
        for (_, event, gated) in self.held.drain(..settled) {
            if passes || !gated {
                self.released.push(event);
            } else {
                self.released.append(&mut events);
            }
        }
        assert!(events.is_empty(), "a replacement of nothing that is gated");
        self.is_ended_by_policy |=
            verdict.cancel_upstream && matches!(self.released.last().map(|e| &e.step), Some(Step::Failed(_)));
    }

    /// The word that is replaced is in no text that the client has.
    pub fn check_text(&self) {
        if !self.is_replacing {
            return;
        }
        let mut kinds = BTreeMap::new();
        let mut texts: BTreeMap<BlockKey, String> = BTreeMap::new();
        for event in &self.released {
            match &event.step {
                // What a policy says that comes behind the one that replaces is not searched.
                Step::BlockStarted(started) if started.block.is_policys() && !self.is_last => {}
                Step::BlockStarted(started) if started.kind == BlockKind::Text => {
                    kinds.insert(started.block, ());
                }
                Step::BlockDelta(delta) if kinds.contains_key(&delta.block) => {
                    // Arguments in a text are nonsense, and are searched as if they were text.
                    if let Delta::Text(text) | Delta::Arguments(text) = &delta.delta {
                        texts.entry(delta.block).or_default().push_str(text);
                    }
                }
                _ => {}
            }
        }
        for (block, text) in texts {
            assert!(!text.contains(WORD), "block {} still says it: {text:?}", block.0);
        }
    }
}

fn call(dialect: Dialect) -> CallStarted {
    CallStarted {
        session: String::new(),
        dropped: Vec::new(),
        omitted: Vec::new(),
        capabilities: ["consult", "edits", "interest", "resume"].map(str::to_owned).to_vec(),
        headers: Vec::new(),
        call_id: "018f0000-0000-7000-8000-000000000001".parse().expect("a UUID"),
        started_at_us: 1_700_000_000_000_000,
        dialect,
        upstream_dialect: dialect,
        upstream: "up".to_owned(),
        route: "*".to_owned(),
        upstream_model: "m".to_owned(),
        client: String::new(),
        request: Request { model: "m".to_owned(), stream: true, choices: 1, ..Request::default() },
    }
}

fn set(input: &mut Input<'_>) -> (PolicySetConfig, bool) {
    let replaces = |more: Value| {
        // The replacement has no letter of the word, so that it can't help to make another.
        let mut config = json!({"replacements": [[WORD, "x"], ["bb", "yy"]]});
        if let (Value::Object(config), Value::Object(more)) = (&mut config, more) {
            config.extend(more);
        }
        json!({"name": "brand", "kind": "string_replacement", "config": config})
    };
    let rules = json!({"name": "rules", "kind": "tool_call_rules", "config": {
        "deny": [{"tool": "a*", "reason": "a"}, {"arguments": "b+c", "reason": "bc"}],
    }});
    let noop = json!({"name": "all", "kind": "noop"});
    let judge = json!({"name": "judge", "kind": "tool_call_judge", "config": {"model": "judge"}});
    let (policies, is_replacing) = match input.below(10) {
        0 | 1 => (vec![replaces(json!({}))], true),
        2 => (vec![replaces(json!({"apply_to": ["text"]}))], true),
        3 => (vec![replaces(json!({"match_capitalization": true, "apply_to": ["text", "tool_call"]}))], true),
        4 => (vec![rules], false),
        5 => (vec![replaces(json!({})), rules], true),
        8 => (vec![judge], false),
        9 => (vec![judge, replaces(json!({})), rules], true),
        6 => (vec![rules, noop, replaces(json!({"apply_to": ["text", "thinking"]}))], true),
        _ => (vec![noop], false),
    };
    let pipeline: Vec<Value> = policies.iter().map(|policy| policy["name"].clone()).collect();
    let config = serde_json::from_value(json!({"policies": policies, "pipeline": pipeline}));
    (config.expect("a configuration"), is_replacing)
}
