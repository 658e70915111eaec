//! What a remote policy may say, and what becomes of a call whose remote policy says something else, or nothing.

use std::sync::Arc;

use luthien_policy::{Output, PolicySet, Session};
use luthien_proto::{
    Chunk, Event, FromService, Step, ToService,
    event::{BlockKind, CallError, FinishReason, Finished, Kind},
    message::{
        Admission, AdmissionDecision, Annotation, CallEnded, Consult, Consultation, Credentials, Decision, Edit,
        FailureMode, Forward, Interest, Level, Limits, Outcome, Reject, Reply, Severity, Verdict,
    },
    request::Dialect,
};
use serde_json::{Value, json};

use crate::{
    peers,
    proxy::call,
    response::{arguments, failed, piece, read, response, start, stop, text},
    scripted::{pass, question, scripted},
};

/// A call with one remote policy, both of whose ends are played by the test.
struct Scene {
    session: Session,
    /// What the remote policy was told.
    told: Vec<ToService>,
    /// The messages of those that it has to count.
    counted: u64,
    left: bool,
    /// What the proxy was told.
    said: Vec<FromService>,
    entries: Vec<Value>,
    is_over: bool,
    seq: u64,
}

impl Scene {
    fn begin(failure_mode: FailureMode) -> Self {
        Self::of(vec![peers::remote("p", failure_mode)])
    }

    fn of(policies: Vec<Arc<dyn luthien_policy::Policy>>) -> Self {
        let set = Arc::new(PolicySet::of("rev".to_owned(), policies).unwrap());
        let mut scene = Self {
            session: Session::begin(set, call(Dialect::OpenAiChat)),
            told: Vec::new(),
            counted: 0,
            left: false,
            said: Vec::new(),
            entries: Vec::new(),
            is_over: false,
            seq: 0,
        };
        scene.pump();
        scene
    }

    /// With everything gated, and a block of text open: chunks 1 to 3.
    fn answering(failure_mode: FailureMode) -> Self {
        let mut scene = Self::begin(failure_mode);
        scene.admit(Interest::all(Level::Gate));
        scene.chunks(&response([text(0, ["a"])])[..3]);
        scene
    }

    fn pump(&mut self) {
        while let Some(output) = self.session.poll() {
            match output {
                Output::Record(entry) => self.entries.push(json!(entry)["body"].clone()),
                Output::Say(said) => self.said.push(said),
                Output::Tell { message, .. } => {
                    self.counted += u64::from(matches!(
                        message,
                        ToService::Chunks(_) | ToService::Block(_) | ToService::Consultation(_)
                    ));
                    self.told.push(message);
                }
                Output::Leave { .. } => self.left = true,
                Output::Ended => self.is_over = true,
            }
        }
    }

    /// The remote policy says something, and has taken all that it was told.
    fn hear(&mut self, message: Reply) {
        self.hear_seen(message, self.counted);
    }

    fn hear_seen(&mut self, message: Reply, seen: u64) {
        self.session.heard(0, FromService { message, seen }).unwrap();
        self.pump();
    }

    fn admit(&mut self, interest: Interest) {
        self.hear(Reply::Admission(forward(interest)));
    }

    fn decide(&mut self, through: u64, decision: Decision) {
        self.hear(Reply::Verdict(Verdict { through, decision, annotations: Vec::new(), cancel_upstream: false }));
    }

    fn replace(&mut self, through: u64, events: Vec<Event>) {
        self.decide(through, Decision::Replace(events));
    }

    /// The upstream says something.
    fn chunks(&mut self, events: &[Event]) {
        let chunks = events.iter().map(|event| {
            self.seq += 1;
            Chunk { seq: self.seq, arrived_us: self.seq, event: event.clone() }
        });
        let chunks: Vec<Chunk> = chunks.collect();
        self.proxy(ToService::Chunks(chunks));
    }

    fn proxy(&mut self, message: ToService) {
        self.session.handle(message).unwrap();
        self.pump();
    }

    fn verdicts(&self) -> Vec<&Verdict> {
        let verdict = |said: &'_ FromService| matches!(said.message, Reply::Verdict(_));
        let verdicts = self.said.iter().filter(|said| verdict(said));
        verdicts
            .map(|said| match &said.message {
                Reply::Verdict(verdict) => verdict,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    fn admission(&self) -> Option<&Admission> {
        self.said.iter().find_map(|said| match &said.message {
            Reply::Admission(admission) => Some(admission),
            _ => None,
        })
    }

    fn end(mut self) -> Vec<Value> {
        self.proxy(ToService::CallEnded(CallEnded { outcome: Outcome::Delivered, written: 3, ..CallEnded::unknown() }));
        assert!(self.is_over);
        self.entries
    }
}

fn forward(interest: Interest) -> Admission {
    let decision = AdmissionDecision::Forward(Forward {
        interest,
        failure_mode: FailureMode::Open,
        limits: Limits::default(),
        known_kinds: Kind::ALL.to_vec(),
        edits: Vec::new(),
    });
    Admission { decision, revision: "abc".to_owned(), pipeline: vec!["theirs".to_owned()], capabilities: Vec::new() }
}

/// A block of its own, as it numbers them.
fn own(key: u32, texts: &str) -> Vec<Event> {
    text((1 << 31) + key, [texts])
}

fn asks(id: &str, upstream: &str, credentials: Credentials) -> Reply {
    let request = question("harmful?").request;
    let upstream = upstream.to_owned();
    Reply::Consult(Box::new(Consult {
        id: id.to_owned(),
        request,
        upstream,
        credentials,
        deadline_ms: None,
        reuse: false,
    }))
}

type Lie = fn(&mut Scene);

const BEFORE_ADMISSION: [(&str, Lie); 5] = [
    ("a verdict", |scene| scene.decide(0, Decision::Pass)),
    ("interest", |scene| scene.hear(Reply::Interest(Interest::all(Level::Record)))),
    ("a question", |scene| scene.hear(asks("q", "", Credentials::Configured))),
    ("more taken than told", |scene| scene.hear_seen(Reply::Working, 1)),
    ("an edit of what the request model names", |scene| {
        let mut admission = forward(Interest::all(Level::Gate));
        if let AdmissionDecision::Forward(forward) = &mut admission.decision {
            forward.edits = vec![Edit::Field("model".to_owned(), Some(json!("gpt-9")))];
        }
        scene.hear(Reply::Admission(admission));
    }),
];

const AFTER_IT: [(&str, Lie); 18] = [
    ("a second Admission", |scene| scene.admit(Interest::all(Level::Gate))),
    ("a chunk never told", |scene| scene.decide(4, Decision::Pass)),
    ("a step back", |scene| {
        scene.decide(2, Decision::Pass);
        scene.decide(1, Decision::Pass);
    }),
    ("more taken than told", |scene| scene.hear_seen(Reply::Working, 9)),
    ("less taken than before", |scene| {
        scene.hear(Reply::Working);
        scene.hear_seen(Reply::Working, 0);
    }),
    ("an end where there is none", |scene| scene.replace(3, vec![Step::Ended.into()])),
    ("an end among the events of an end", |scene| {
        scene.decide(3, Decision::End { events: vec![Step::Ended.into()], reason: None });
    }),
    ("a piece of a block that is not known", |scene| scene.replace(3, vec![piece(7, "x")])),
    ("a piece of a block that has stopped", |scene| {
        scene.replace(3, [own(1, "x"), vec![piece((1 << 31) + 1, "y")]].concat());
    }),
    ("a piece that is not of the block's kind", |scene| scene.replace(3, vec![arguments(0, "{}")])),
    ("a block under a key of the upstream's", |scene| scene.replace(3, text(7, ["x"]))),
    ("a block twice", |scene| scene.replace(3, [own(1, "x"), own(1, "y")].concat())),
    ("a block of a choice that is finished", |scene| {
        let finished = Step::Finished(Finished::new(0, FinishReason::EndTurn)).into();
        scene.replace(3, [vec![finished], own(1, "x")].concat());
    }),
    ("a second start of the response", |scene| {
        scene.decide(2, Decision::Pass);
        scene.replace(3, vec![Step::Started(Default::default()).into()]);
    }),
    ("the start of a block taken out, and its piece passed", |scene| {
        scene.replace(2, Vec::new());
        scene.decide(3, Decision::Pass);
    }),
    ("anything behind its end", |scene| {
        scene.decide(2, Decision::Pass);
        scene.decide(2, Decision::End { events: Vec::new(), reason: None });
        scene.chunks(&[piece(0, "b")]);
        // What is said of a response that is over counts for nothing.
        assert!(matches!(scene.verdicts().last().unwrap().decision, Decision::End { .. }));
    }),
    ("two questions under one id", |scene| {
        scene.hear(asks("q", "", Credentials::Configured));
        scene.hear(asks("q", "", Credentials::Configured));
    }),
    ("more than there is room for", |scene| {
        let note = Annotation {
            policy: String::new(),
            seq: 0,
            severity: Severity::Info,
            summary: "x".repeat(32 << 20),
            details: None,
        };
        for _ in 0..3 {
            let annotations = vec![note.clone()];
            let decision = Decision::Pass;
            scene.hear(Reply::Verdict(Verdict { through: 0, decision, annotations, cancel_upstream: false }));
        }
    }),
];

#[test]
fn a_lie_before_admission_is_a_failure_of_the_policy() {
    for (what, lie) in BEFORE_ADMISSION {
        let mut scene = Scene::begin(FailureMode::Closed);
        assert!(scene.admission().is_none(), "{what}");
        lie(&mut scene);
        let admission = scene.admission().unwrap_or_else(|| panic!("{what}"));
        let AdmissionDecision::Reject(Reject { status, message, .. }) = &admission.decision else { panic!("{what}") };
        assert_eq!((*status, message.as_str()), (500, "policy p failed"), "{what}");
        assert!(scene.left, "{what}");

        let mut scene = Scene::begin(FailureMode::Open);
        lie(&mut scene);
        let admission = scene.admission().unwrap_or_else(|| panic!("{what}"));
        assert!(
            matches!(&admission.decision, AdmissionDecision::Forward(forward)
            if forward.interest == Interest::all(Level::Record) && forward.edits.is_empty()),
            "{what}"
        );
        assert!(scene.left, "{what}");
    }
}

#[test]
fn a_lie_is_a_failure_of_the_policy() {
    for (what, lie) in AFTER_IT {
        let mut scene = Scene::answering(FailureMode::Closed);
        lie(&mut scene);
        let verdict = scene.verdicts().last().copied().cloned().unwrap_or_else(|| panic!("{what}: nothing was said"));
        if matches!(verdict.decision, Decision::End { .. }) {
            continue;
        }
        let Decision::Replace(events) = &verdict.decision else { panic!("{what}: {verdict:?}") };
        assert_eq!(read(events), ["failed: policy p failed"], "{what}");
        assert!(verdict.cancel_upstream && scene.left, "{what}");
        let entries = scene.end();
        let coverage = entries.iter().find(|entry| entry["type"] == "coverage").unwrap();
        assert_eq!(coverage["policies"][0]["failed"], true, "{what}");

        let mut scene = Scene::answering(FailureMode::Open);
        lie(&mut scene);
        assert!(scene.left, "{what}");
        scene.chunks(&[piece(0, "b"), stop(0)]);
        let last = scene.verdicts().last().copied().cloned().unwrap();
        assert_eq!(last.through, 5, "{what}: {last:?}");
        if !what.starts_with("the start") {
            assert!(scene.verdicts().iter().all(|verdict| verdict.decision == Decision::Pass), "{what}");
        }
    }
}

#[test]
fn what_is_left_of_a_block_whose_start_was_taken_out_is_left_out() {
    let mut scene = Scene::answering(FailureMode::Open);
    scene.decide(1, Decision::Pass);
    scene.replace(2, Vec::new());
    scene.session.remote_lost(0, "it died").unwrap();
    scene.pump();
    scene.chunks(&[piece(0, "b"), stop(0)]);
    scene.chunks(&text(1, ["c"]));
    let dropped = |verdict: &&Verdict| verdict.decision == Decision::Replace(Vec::new());
    assert_eq!(
        scene.verdicts().into_iter().filter(dropped).map(|verdict| verdict.through).collect::<Vec<_>>(),
        [2, 3, 4, 5]
    );
    assert_eq!(
        (scene.verdicts().last().unwrap().through, &scene.verdicts().last().unwrap().decision),
        (8, &Decision::Pass)
    );
}

#[test]
fn a_policy_that_is_lost_is_lost_to_its_call() {
    let mut scene = Scene::begin(FailureMode::Closed);
    scene.session.remote_lost(0, "it can't be reached").unwrap();
    scene.pump();
    assert!(matches!(scene.admission().unwrap().decision, AdmissionDecision::Reject(_)));
    let admission = scene.entries.iter().find(|entry| entry["type"] == "admission").unwrap();
    assert_eq!(admission["annotations"][0]["details"], json!({ "doing": "remote", "error": "it can't be reached" }));

    let mut scene = Scene::answering(FailureMode::Closed);
    scene.session.remote_lost(0, "it died").unwrap();
    scene.pump();
    assert!(scene.verdicts()[0].cancel_upstream);
    // Nobody hears it any more.
    scene.decide(3, Decision::Pass);
    assert_eq!(scene.verdicts().len(), 1);
}

#[test]
fn nothing_is_taken_of_the_client_before_the_policy_has_answered() {
    let mut scene = Scene::begin(FailureMode::Closed);
    assert!(scene.said.is_empty() && matches!(scene.told[..], [ToService::CallStarted(_)]));
    scene.hear(Reply::Working);
    assert!(scene.said.is_empty());
    scene.hear(Reply::Admission(Admission {
        decision: AdmissionDecision::Reject(Reject { status: 451, type_: String::new(), message: "no".to_owned() }),
        ..forward(Interest::all(Level::Gate))
    }));
    let AdmissionDecision::Reject(reject) = &scene.admission().unwrap().decision else { panic!() };
    assert_eq!((reject.status, reject.message.as_str()), (451, "no"));
    assert_eq!(scene.entries.iter().find(|entry| entry["type"] == "admission").unwrap()["policy"], "p");
}

#[test]
fn it_is_told_what_those_before_it_made_of_the_call_and_no_headers() {
    let mut scene = Scene::of(vec![peers::remote("p", FailureMode::Closed), Arc::new(scripted("after", pass))]);
    let [ToService::CallStarted(started)] = &scene.told[..] else { panic!() };
    assert!(started.headers.is_empty());
    assert_eq!(started.capabilities, ["answer", "edits", "interest", "consult"]);
    scene.admit(Interest::all(Level::Gate));
    let AdmissionDecision::Forward(forward) = &scene.admission().unwrap().decision else { panic!() };
    assert_eq!(forward.failure_mode, FailureMode::Closed);
}

#[test]
fn at_most_one_message_is_under_way() {
    let mut scene = Scene::begin(FailureMode::Closed);
    scene.admit(Interest::all(Level::Gate));
    for event in &response([text(0, ["a", "b", "c"])])[..5] {
        scene.chunks(std::slice::from_ref(event));
    }
    let sizes = |scene: &Scene| {
        let chunks = scene.told.iter().filter_map(|told| match told {
            ToService::Chunks(chunks) => Some(chunks.len()),
            _ => None,
        });
        chunks.collect::<Vec<_>>()
    };
    assert_eq!(sizes(&scene), [1]);
    assert!(scene.said.iter().all(|said| said.seen == 0), "nothing is taken that the policy has not taken");
    scene.hear(Reply::Working);
    assert_eq!(sizes(&scene), [1, 4]);
    scene.hear(Reply::Working);
    assert_eq!(scene.said.last().unwrap(), &FromService { message: Reply::Working, seen: 5 });
}

#[test]
fn what_it_puts_behind_all_that_it_settled_stands_before_the_next_chunk() {
    for is_there in [true, false] {
        let mut scene = Scene::answering(FailureMode::Closed);
        scene.decide(3, Decision::Pass);
        let more = |scene: &mut Scene| scene.chunks(&[stop(0)]);
        if is_there {
            more(&mut scene);
        }
        scene.replace(3, vec![piece(0, " and more")]);
        if !is_there {
            more(&mut scene);
        }
        scene.decide(4, Decision::Pass);
        let last = scene.verdicts().last().copied().unwrap();
        let Decision::Replace(events) = &last.decision else { panic!("{last:?}") };
        assert_eq!((last.through, events.as_slice()), (4, [piece(0, " and more"), stop(0)].as_slice()));
    }
}

#[test]
fn a_response_that_it_ends_is_over() {
    let mut scene = Scene::answering(FailureMode::Closed);
    scene.decide(2, Decision::Pass);
    scene.decide(
        3,
        Decision::End { events: vec![piece(0, "That is all."), stop(0)], reason: Some(FinishReason::Refusal) },
    );
    let last = scene.verdicts().last().copied().unwrap();
    let Decision::End { events, reason } = &last.decision else { panic!("{last:?}") };
    assert_eq!((last.through, events.len(), *reason), (3, 2, Some(FinishReason::Refusal)));
    scene.chunks(&[stop(0)]);
    assert!(!scene.told.iter().any(|told| matches!(told, ToService::Chunks(chunks) if chunks.len() == 1)));
    scene.proxy(ToService::CallEnded(CallEnded { written: 2, ..CallEnded::unknown() }));
    assert!(matches!(scene.told.last(), Some(ToService::CallEnded(ended)) if ended.written == 2));
}

#[test]
fn the_end_that_it_takes_out_stays() {
    let end = [Step::Finished(Finished::new(0, FinishReason::EndTurn)).into(), Step::Ended.into()];
    let mut scene = Scene::answering(FailureMode::Closed);
    scene.decide(3, Decision::Pass);
    scene.chunks(&end);
    scene.replace(5, Vec::new());
    let last = scene.verdicts().last().copied().unwrap();
    assert_eq!((last.through, &last.decision), (5, &Decision::Replace(vec![Step::Ended.into()])));

    let mut scene = Scene::answering(FailureMode::Closed);
    scene.hear(Reply::Working);
    scene.chunks(&[failed()]);
    scene.replace(4, Vec::new());
    let last = scene.verdicts().last().copied().unwrap();
    let Decision::Replace(events) = &last.decision else { panic!("{last:?}") };
    let Step::Failed(CallError { message, .. }) = &events[0].step else { panic!("{last:?}") };
    assert_eq!(message, "The upstream's response failed", "{last:?}");
}

#[test]
fn it_asks_only_whom_it_may_ask() {
    let mut scene = Scene::answering(FailureMode::Closed);
    scene.hear(asks("first", "", Credentials::Configured));
    let Some(Reply::Consult(consult)) = scene.said.last().map(|said| &said.message) else { panic!("{:?}", scene.said) };
    assert_eq!(consult.id, "p/1");
    for (id, upstream, credentials) in
        [("second", "secret", Credentials::Configured), ("third", "", Credentials::Caller)]
    {
        scene.hear(asks(id, upstream, credentials));
        let Some(ToService::Consultation(answer)) = scene.told.last() else { panic!("{:?}", scene.told) };
        assert!(answer.id == id && matches!(answer.events[..], [Event { step: Step::Failed(_), .. }]), "{answer:?}");
    }
    let events = response([text(0, ["no"])]);
    scene.proxy(ToService::Consultation(Consultation { id: "p/1".to_owned(), events: events.clone(), reused: false }));
    let Some(ToService::Consultation(answer)) = scene.told.last() else { panic!("{:?}", scene.told) };
    assert_eq!((answer.id.as_str(), &answer.events), ("first", &events));

    scene.hear(asks("last", "", Credentials::Configured));
    scene.hear(Reply::CancelConsult("last".to_owned()));
    scene.hear(Reply::CancelConsult("never".to_owned()));
    assert!(matches!(&scene.said.last().unwrap().message, Reply::CancelConsult(id) if id == "p/2"));
}

#[test]
fn the_upstream_is_read_no_further_when_it_says_so() {
    let mut scene = Scene::answering(FailureMode::Closed);
    let decision = Decision::Pass;
    scene.hear(Reply::Verdict(Verdict { through: 3, decision, annotations: Vec::new(), cancel_upstream: true }));
    let last = scene.verdicts().last().copied().unwrap();
    assert_eq!((last.through, last.cancel_upstream), (3, true));
}

#[test]
fn a_kind_that_it_does_not_know_is_told_as_an_opaque_one() {
    let mut scene = Scene::begin(FailureMode::Closed);
    let mut admission = forward(Interest::all(Level::Gate));
    if let AdmissionDecision::Forward(forward) = &mut admission.decision {
        forward.known_kinds = vec![Kind::Text];
    }
    scene.hear(Reply::Admission(admission));
    scene.chunks(&[start(0, BlockKind::Refusal)]);
    let Some(ToService::Chunks(chunks)) = scene.told.last() else { panic!() };
    let Step::BlockStarted(started) = &chunks[0].event.step else { panic!() };
    assert_eq!(started.kind, BlockKind::Opaque(json!({ "type": "refusal" })));
}

#[test]
fn what_it_gates_nothing_of_it_can_not_change() {
    let mut scene = Scene::begin(FailureMode::Closed);
    scene.admit(Interest::all(Level::Observe));
    scene.chunks(&response([text(0, ["a"])])[..3]);
    scene.replace(3, Vec::new());
    assert!(scene.left);
}

#[test]
fn what_it_owes_is_known() {
    let mut scene = Scene::begin(FailureMode::Closed);
    assert!(scene.session.owed(0).unwrap().decision, "an Admission");
    scene.admit(Interest::all(Level::Gate));
    assert_eq!(scene.session.owed(0), None);
    scene.chunks(&response([text(0, ["a"])])[..3]);
    let owed = scene.session.owed(0).unwrap();
    assert!(owed.decision, "to take what it was told");
    scene.hear(Reply::Working);
    let waits = scene.session.owed(0).unwrap();
    assert!(!waits.decision && waits.progress > owed.progress, "it may wait for more");
    scene.chunks(&response([text(0, ["a"])])[3..]);
    scene.hear(Reply::Working);
    assert!(scene.session.owed(0).unwrap().decision, "there is no more");
    scene.decide(7, Decision::Pass);
    assert_eq!(scene.session.owed(0), None);
}
