//! Calls that one session begins and another one goes on with.

use std::{collections::BTreeSet, sync::Arc};

use luthien_policy::{
    Consulted, ConsultedOutput, Hook, HookOutput, HookResult, Hooks, Output, Policy, PolicySet, PolicySetConfig, Seen,
    Session,
};
use luthien_proto::{
    Event, Step, ToService,
    event::{BlockKind, Kind},
    message::{
        AdmissionDecision, Applied, CallResumed, Decision, FailureMode, Interest, Level, Reject, Reply, Severity,
    },
    request::Dialect,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    proxy::{Proxy, call, set},
    response::{opaque, read, response, start, text, thinking, tool},
    scripted::{Act, Acting, Scripted, Together, hold_all, hold_some, pass, question, scripted, set_of},
};

fn is_delta(seen: &Seen<'_>) -> bool {
    matches!(seen.event.step, Step::BlockDelta(_))
}

/// The record without what only a takeover has.
fn without_resumed(entries: &[Value]) -> Vec<Value> {
    assert_eq!(entries[0]["body"]["type"], "resumed");
    entries[1..].to_vec()
}

fn brand() -> Arc<PolicySet> {
    set(json!([{ "name": "brand", "kind": "string_replacement", "config": { "replacements": [["cool", "radical"]] } }]))
}

#[test]
fn what_was_applied_is_not_said_again() {
    let events = response([text(0, ["so co", "ol, that", " is coo"])]);
    let mut proxy = Proxy::start(brand());
    proxy.respond(&events[..4], &[1]);
    let before = proxy.verdicts.clone();
    proxy.resume();
    assert_eq!(proxy.verdicts, before, "all that was decided had been applied");
    proxy.respond(&events[4..], &[1]);
    assert_eq!(read(&proxy.released), ["text: so radical, that is coo"]);

    assert_eq!(
        proxy.entries[0],
        json!({ "at_us": 0, "body": {
            "type": "resumed", "epoch": 1, "admitted": true, "settled": 4, "injected": 0, "ended": false,
            "revision": brand().revision(),
        }}),
    );
    let mut whole = Proxy::start(brand());
    whole.respond(&events, &[1]);
    assert_eq!(without_resumed(&proxy.end()), whole.end());
}

#[test]
fn without_an_admission_one_is_owed() {
    let resumed = CallResumed { epoch: 3, admission: None, applied: Applied::default() };
    let mut session = Session::resume(brand(), resumed, call(Dialect::OpenAiChat));
    let outputs: Vec<Output> = std::iter::from_fn(|| session.poll()).collect();
    let kinds: Vec<Value> = outputs[..3]
        .iter()
        .map(|output| match output {
            Output::Record(entry) => json!(entry)["body"]["type"].clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(kinds, ["resumed", "request", "admission"]);
    let [Output::Say(said)] = &outputs[3..] else { panic!("{outputs:?}") };
    let Reply::Admission(admission) = &said.message else { panic!("{said:?}") };
    assert_eq!(admission.capabilities, ["resume"]);
}

#[test]
fn a_rejected_call_stays_rejected() {
    let refuses = Scripted {
        hooks: Hooks::of(&[Hook::Request]),
        on_request: |_, out| {
            out.reject(Reject { status: 422, type_: String::new(), message: "be kind".to_owned() });
            Ok(())
        },
        ..scripted("a", pass)
    };
    let mut proxy = Proxy::start(set_of([refuses]));
    let before = proxy.entries.clone();
    proxy.resume();
    assert_eq!(without_resumed(&proxy.entries), before);
    assert!(proxy.session.handle(ToService::Chunks(Vec::new())).is_err());
}

#[test]
fn the_admission_stands_as_it_was_told() {
    let mut proxy = Proxy::start(brand());
    let AdmissionDecision::Forward(forward) = &mut proxy.admission.decision else { panic!() };
    forward.interest = Interest::all(Level::Gate);
    forward.failure_mode = FailureMode::Open;
    proxy.resume();
    let admission = &proxy.entries[2]["body"];
    assert_eq!((&admission["interest"]["tool_call"], &admission["failure_mode"]), (&json!("gate"), &json!("open")));
}

#[test]
fn a_policy_that_fails_at_what_it_once_did_ends_the_call() {
    let acts = |name| Scripted { hooks: Hooks::of(&[Hook::Request, Hook::ChunkStarted]), ..scripted(name, pass) };
    let mut proxy = Proxy::start(set_of([acts("a")]));
    proxy.respond(&response([text(0, ["one"])])[..3], &[1]);
    let fails = Scripted { on_request: |_, _| panic!("not my day"), ..acts("a") };
    proxy.resume_with(set_of([fails]));
    assert_eq!(read(&proxy.released), ["text: one…", "failed: policy a failed"]);
    assert!(proxy.ended_by_policy);
}

#[test]
fn an_error_that_was_injected_is_not_injected_again() {
    let fails: Act = |_, seen, _| {
        assert!(!is_delta(seen), "not my day");
        Ok(())
    };
    let mut proxy = Proxy::start(set_of([scripted("a", fails)]));
    proxy.respond(&response([text(0, ["one"])])[..3], &[1]);
    let failure = proxy.verdicts.last().unwrap();
    assert_eq!((failure.through, proxy.ended_by_policy), (2, true));
    let before = proxy.verdicts.len();
    proxy.resume();
    assert_eq!(proxy.verdicts.len(), before);
}

/// Puts a block of its own behind each stop.
fn inject(_: &mut Acting, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
    if matches!(seen.event.step, Step::BlockStopped(_)) {
        let events = text(out.new_block().0, ["more"]);
        out.inject(events);
    }
    if is_delta(seen) && seen.seq.is_multiple_of(4) {
        out.annotate(Severity::Info, "a fourth", None);
    }
    Ok(())
}

fn end_at<const SEQ: u64>(_: &mut Acting, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
    if seen.seq == SEQ {
        let events = text(out.new_block().0, ["That is all."]);
        out.end(events, None, SEQ.is_multiple_of(2));
    }
    Ok(())
}

fn panic_at<const SEQ: u64>(_: &mut Acting, seen: &Seen<'_>, _: &mut HookOutput<'_>) -> HookResult {
    assert_ne!(seen.seq, SEQ, "not my day");
    Ok(())
}

fn drop_some(_: &mut Acting, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
    if is_delta(seen) && seen.seq.is_multiple_of(3) {
        out.drop_chunk();
    }
    Ok(())
}

/// Holds tool calls, and asks about each of them.
fn ask(acting: &mut Acting, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
    if seen.block.is_some_and(|block| block.kind == Kind::ToolCall) {
        acting.held.push(out.hold());
        if matches!(seen.event.step, Step::BlockStopped(_)) {
            let asked = question(&format!("{} {}", seen.seq, out.random() % 2));
            acting.asked.push(out.consult(asked));
        }
    }
    Ok(())
}

/// Asks once more, or lets go of everything that is held.
fn answered(acting: &mut Acting, consulted: &Consulted<'_>, out: &mut ConsultedOutput<'_>) -> HookResult {
    if out.random().is_multiple_of(4) {
        acting.asked.push(out.consult(question("again?")));
        return Ok(());
    }
    acting.asked.retain(|id| *id != consulted.id);
    for id in acting.asked.drain(..) {
        out.cancel_consult(id);
    }
    out.annotate(0, Severity::Info, consulted.text().unwrap(), None);
    let mut instead = text(out.new_block().0, ["refused"]);
    for held in acting.held.drain(..) {
        out.replace_held(held, std::mem::take(&mut instead));
    }
    Ok(())
}

/// Wants no more of a kind once it has seen a block of it.
fn enough(_: &mut Acting, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
    if let (Step::BlockStopped(_), Some(block)) = (&seen.event.step, seen.block) {
        let level = if seen.seq.is_multiple_of(2) { Level::Record } else { Level::Observe };
        out.lower_interest(Interest::all(Level::Gate).with(block.kind, level));
    }
    Ok(())
}

const ACTS: [(&str, Act); 10] = [
    ("ask", ask),
    ("enough", enough),
    ("inject", inject),
    ("end", end_at::<6>),
    ("end later", end_at::<11>),
    ("panic", panic_at::<9>),
    ("drop", drop_some),
    ("hold", hold_all),
    ("hold two", hold_some::<2>),
    ("hold three", hold_some::<3>),
];

/// A policy of a random pipeline.
#[derive(Clone, Copy, Debug)]
pub enum Random {
    Scripted {
        act: usize,
        thinking: Level,
        failure_mode: FailureMode,
    },
    Configured(usize),
    /// Two that work at once.
    Group([usize; 2]),
}

pub fn random() -> impl Strategy<Value = Vec<Random>> {
    let levels = prop::sample::select(vec![Level::Record, Level::Observe, Level::Gate]);
    let modes = prop::sample::select(vec![FailureMode::Closed, FailureMode::Open]);
    let made = (0..ACTS.len(), levels, modes).prop_map(|(act, thinking, failure_mode)| Random::Scripted {
        act,
        thinking,
        failure_mode,
    });
    let group = [0..ACTS.len(), 0..ACTS.len()].prop_map(Random::Group);
    let configured = (0_usize..configured().len()).prop_map(Random::Configured);
    prop::collection::vec(prop_oneof![4 => made, 2 => configured, 1 => group], 1..5)
}

pub fn random_set(policies: &[Random]) -> Arc<PolicySet> {
    let mut names = BTreeSet::new();
    let policies = policies.iter().map(|policy| match *policy {
        Random::Configured(which) => configured()[which].clone(),
        Random::Scripted { act, thinking, failure_mode } => {
            let (name, act) = ACTS[act];
            let interest = Interest::all(Level::Gate).with(Kind::Thinking, thinking);
            Arc::new(Scripted { interest, failure_mode, answered, ..scripted(name, act) }) as Arc<dyn Policy>
        }
        Random::Group(acts) => {
            let members = acts.map(|act| Scripted { answered, ..scripted(ACTS[act].0, ACTS[act].1) });
            Arc::new(Together::of("together", members))
        }
    });
    let mut is_new = |policy: &Arc<dyn Policy>| {
        let members = policy.members().iter().map(|member| member.name().to_owned());
        let all: Vec<String> = members.chain([policy.name().to_owned()]).collect();
        let distinct = BTreeSet::from_iter(&all).len() == all.len();
        distinct && all.iter().all(|name| !names.contains(name)) && all.into_iter().all(|name| names.insert(name))
    };
    let policies = policies.filter(|policy| is_new(policy)).collect();
    Arc::new(PolicySet::of("rev".to_owned(), policies).unwrap())
}

fn configured() -> Vec<Arc<dyn Policy>> {
    let policies = json!([
        { "name": "replaces", "kind": "string_replacement", "config": { "replacements": [["ab", "xyz"]] } },
        { "name": "rules", "kind": "tool_call_rules", "config": { "deny": [{ "tool": "d*" }] } },
        { "name": "noop", "kind": "noop" },
        { "name": "judge", "kind": "tool_call_judge", "config": { "model": "m" } },
        { "name": "reads", "kind": "llm_judge", "config": { "model": "m", "instructions": "Be kind." } },
        { "name": "dashes", "kind": "plain_dashes" },
        { "name": "both", "kind": "parallel", "on_failure": "open", "config": { "policies": [
            { "name": "a", "kind": "tool_call_judge", "config": { "model": "m" } },
            { "name": "b", "kind": "llm_judge", "on_failure": "open", "config": { "model": "m", "instructions": "No." } },
            { "name": "c", "kind": "tool_call_rules", "config": { "deny": [{ "arguments": "ca" }] } },
            { "name": "d", "kind": "llm_judge", "config": { "model": "n", "instructions": "No.", "kinds": ["text"] } },
        ] } },
    ]);
    let names: Vec<Value> = policies.as_array().unwrap().iter().map(|policy| policy["name"].clone()).collect();
    let config: PolicySetConfig = serde_json::from_value(json!({ "policies": policies, "pipeline": names })).unwrap();
    PolicySet::build(config).unwrap().pipeline().policies().to_vec()
}

pub fn blocks() -> impl Strategy<Value = Vec<Event>> {
    let pieces = || prop::collection::vec("[abc]{0,3}", 0..4);
    let block = prop_oneof![
        3 => pieces().prop_map(|pieces| (0, pieces)),
        1 => pieces().prop_map(|pieces| (1, pieces)),
        2 => pieces().prop_map(|pieces| (2, pieces)),
        1 => pieces().prop_map(|pieces| (3, pieces)),
        1 => pieces().prop_map(|pieces| (4, pieces)),
    ];
    prop::collection::vec(block, 0..5).prop_map(|blocks| {
        let blocks = blocks.into_iter().zip(0..).map(|((kind, pieces), key)| {
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            match kind {
                0 => text(key, pieces),
                1 => thinking(key, &pieces, Some("sig")),
                2 => tool(key, if key % 2 == 0 { "delete" } else { "read" }, &pieces),
                3 => opaque(key, json!({ "type": "odd" }), pieces.into_iter().map(|piece| json!({ "a": piece }))),
                _ => vec![start(key, BlockKind::Refusal)],
            }
        });
        response(blocks)
    })
}

proptest! {
    #[test]
    fn a_call_that_is_taken_over_ends_as_if_it_had_not_been(
        policies in random(),
        events in blocks(),
        batches in prop::collection::vec(1_usize..6, 1..4),
        losses in prop::collection::vec(0_usize..8, 1..4),
        delay in 0_usize..6,
    ) {
        let set = random_set(&policies);
        let mut whole = Proxy::start(set.clone());
        whole.respond_and_answer(&events, &batches, delay);
        let mut cut = Proxy::start(set);
        cut.lose_after(&losses);
        cut.respond_and_answer(&events, &batches, delay);
        prop_assert_eq!(&cut.released, &whole.released);
        prop_assert_eq!(&cut.verdicts, &whole.verdicts);
        prop_assert_eq!(&cut.consults, &whole.consults);
        prop_assert_eq!(cut.ended_by_policy, whole.ended_by_policy);
        cut.lose_after(&[]);
        let is_resumed = !cut.lost.is_empty();
        let entries = cut.end();
        prop_assert_eq!(if is_resumed { without_resumed(&entries) } else { entries }, whole.end());
    }

    #[test]
    fn whatever_the_batches_were_what_was_applied_stands(
        policies in random(),
        events in blocks(),
        batches in prop::collection::vec(1_usize..6, 1..4),
        others in prop::collection::vec(1_usize..6, 1..4),
        loss in 0_usize..6,
    ) {
        let set = random_set(&policies);
        let mut whole = Proxy::start(set.clone());
        whole.respond_and_answer(&events, &batches, 2);
        let mut cut = Proxy::start(set);
        cut.batch_anew(&others);
        cut.lose_after(&[loss]);
        cut.respond_and_answer(&events, &batches, 2);
        prop_assert_eq!(&cut.released, &whole.released);
        let spans = cut.verdicts.windows(2).all(|pair| pair[0].through <= pair[1].through);
        prop_assert!(spans);
        prop_assert!(cut.verdicts.iter().all(|verdict| verdict.through > 0 || verdict.decision != Decision::Pass));
    }
}
