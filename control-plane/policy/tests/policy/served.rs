//! Policies that somebody else serves do what they do when they are run here.

use std::sync::Arc;

use luthien_policy::{Policy, PolicySet, PolicySetConfig};
use luthien_proto::{
    Event, Step,
    event::BlockKey,
    message::{AdmissionDecision, FailureMode, Interest, Level},
    proxy::Turn,
    request::Dialect,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    peers::{Peers, remote},
    proxy::{Proxy, call},
    response::{read, response, text, tool},
    resume::{Random, blocks, random, random_set},
    scripted::{pass, scripted, set_of},
};

fn built(policies: Value) -> Arc<PolicySet> {
    let names: Vec<Value> = policies.as_array().unwrap().iter().map(|policy| policy["name"].clone()).collect();
    let config: PolicySetConfig = serde_json::from_value(json!({ "policies": policies, "pipeline": names })).unwrap();
    Arc::new(PolicySet::build(config).unwrap())
}

/// The same pipeline with some of its policies served elsewhere.
fn serve(set: &PolicySet, which: impl Fn(usize) -> bool, delays: &[usize]) -> (Arc<PolicySet>, Peers) {
    let mut sets = Vec::new();
    let policies = set.pipeline().policies().iter().enumerate().map(|(index, policy)| {
        if !which(index) {
            return Arc::clone(policy);
        }
        sets.push((index, Arc::new(PolicySet::of("theirs".to_owned(), vec![Arc::clone(policy)]).unwrap())));
        remote(policy.name(), policy.failure_mode())
    });
    let policies: Vec<Arc<dyn Policy>> = policies.collect();
    (Arc::new(PolicySet::of("rev".to_owned(), policies).unwrap()), Peers::new(sets, delays))
}

/// With the policies' own blocks numbered as they appear: their keys are nobody's business.
fn numbered(events: &[Event]) -> Vec<Event> {
    let mut keys: Vec<BlockKey> = Vec::new();
    let mut number = |key: &mut BlockKey| {
        if key.is_policys() {
            let at = keys.iter().position(|known| known == key).unwrap_or_else(|| {
                keys.push(*key);
                keys.len() - 1
            });
            *key = BlockKey(BlockKey::POLICY_FIRST.0 + u32::try_from(at).unwrap());
        }
    };
    let mut events = events.to_vec();
    for event in &mut events {
        match &mut event.step {
            Step::BlockStarted(started) => number(&mut started.block),
            Step::BlockDelta(delta) => number(&mut delta.block),
            Step::BlockStopped(key) => number(key),
            _ => {}
        }
    }
    events
}

/// Policies whose outcome does not depend on when they are heard: they throw no dice where models answer, fall in no interest, and
/// don't panic. What is not gated can't be held.
fn is_steady(policy: &Random) -> bool {
    let depends = |act: &usize| [0, 1, 5].contains(act);
    match policy {
        Random::Scripted { act, thinking, .. } => !depends(act) && *thinking == Level::Gate,
        Random::Group(acts) => !acts.iter().any(depends),
        Random::Configured(_) => true,
    }
}

/// Whether a response can be written. What can't is the fault of whoever changes it next.
fn is_grammatical(events: &[Event]) -> bool {
    let mut turn = Turn::new(Dialect::OpenAiChat);
    events.iter().all(|event| turn.write(&event.step).is_ok())
}

fn has_failed(proxy: Proxy) -> bool {
    let entries = proxy.end();
    let coverage = entries.iter().find(|entry| entry["body"]["type"] == "coverage").unwrap();
    coverage["body"]["policies"].as_array().unwrap().iter().any(|policy| policy["failed"] == true)
}

/// Whether it asks models nothing. The numbers of questions go by when answers come.
fn is_quiet(policy: &Random) -> bool {
    match policy {
        Random::Scripted { act, .. } => *act != 0,
        Random::Configured(which) => *which < 3,
        Random::Group(_) => false,
    }
}

/// Whether what it does goes by the numbers of chunks.
fn counts(policy: &Random) -> bool {
    let counts = |act: &usize| [3, 4, 6, 8, 9].contains(act);
    match policy {
        Random::Scripted { act, .. } => counts(act),
        Random::Group(acts) => acts.iter().any(counts),
        Random::Configured(_) => false,
    }
}

/// Which of them are served elsewhere. There chunks have other numbers behind what a policy changed, and so do those that come from
/// there. And the one that sets apart what policies say takes all that it is told of for the model's.
fn elsewhere(policies: &[Random], which: u8) -> impl Fn(usize) -> bool + use<> {
    let of = |(index, policy): (usize, &Random)| {
        let is_first = index == 0 || !(counts(policy) || matches!(policy, Random::Configured(0)));
        is_quiet(policy) && is_first && !policies[index + 1..].iter().any(counts)
    };
    let possible: Vec<bool> = policies.iter().enumerate().map(of).collect();
    move |index| which & (1 << index) != 0 && possible[index]
}

fn brand() -> Value {
    json!({ "name": "brand", "kind": "string_replacement", "config": { "replacements": [["cool", "radical"]] } })
}

#[test]
fn a_replacement_that_is_served_elsewhere_replaces() {
    let (set, peers) = serve(&built(json!([brand()])), |_| true, &[0]);
    let mut proxy = Proxy::start_with_peers(set, call(Dialect::OpenAiChat), peers);
    proxy.respond(&response([text(0, ["so co", "ol, that", " is coo"])]), &[1]);
    assert_eq!(read(&proxy.released)[0], "text: so radical, that is coo");
    assert!(proxy.annotations().iter().all(|note| note.policy == "brand"));
    let entries = proxy.end();
    let coverage = entries.iter().find(|entry| entry["body"]["type"] == "coverage").unwrap();
    let covered = &coverage["body"]["policies"][0];
    assert_eq!((&covered["policy"], &covered["revision"]), (&json!("brand"), &json!("theirs")));
    assert_eq!((&covered["failed"], &covered["interest"]["text"]), (&json!(false), &json!("gate")));
    assert_eq!(covered["kinds"]["text"]["hooks"], json!({ "told": 5 }));
}

#[test]
fn its_interest_is_joined_with_that_of_the_others() {
    let gates = scripted("gates", pass);
    let nothing = built(json!([{ "name": "nothing", "kind": "noop" }]));
    let rules =
        built(json!([{ "name": "rules", "kind": "tool_call_rules", "config": { "deny": [{ "tool": "d*" }] } }]));
    for (theirs, text) in [(set_of([gates]), Level::Gate), (nothing, Level::Record), (rules, Level::Record)] {
        let (set, peers) = serve(&theirs, |_| true, &[3]);
        let proxy = Proxy::start_with_peers(set, call(Dialect::OpenAiChat), peers);
        let AdmissionDecision::Forward(forward) = &proxy.admission.decision else { panic!() };
        assert_eq!(forward.interest.of(luthien_proto::event::Kind::Text), text);
    }
}

#[test]
fn a_kind_that_it_only_records_is_told_whole_while_another_policy_gates_it() {
    let theirs =
        built(json!([{ "name": "rules", "kind": "tool_call_rules", "config": { "deny": [{ "tool": "d*" }] } }]));
    let all: Vec<Arc<dyn Policy>> =
        [Arc::new(scripted("gates", pass)) as Arc<dyn Policy>, Arc::clone(&theirs.pipeline().policies()[0])].into();
    let whole = PolicySet::of("rev".to_owned(), all).unwrap();
    let (set, peers) = serve(&whole, |index| index == 1, &[0, 2]);
    let mut proxy = Proxy::start_with_peers(set, call(Dialect::OpenAiChat), peers);
    assert!(
        matches!(&proxy.admission.decision, AdmissionDecision::Forward(forward) if forward.interest == Interest::all(Level::Gate))
    );
    proxy.respond(&response([text(0, ["a", "b"]), tool(1, "delete", &["{}"]), tool(2, "read", &["{}"])]), &[2]);
    proxy.flush();
    let released = read(&proxy.released);
    assert_eq!(released[0], "text: ab");
    assert!(released.iter().any(|block| block.starts_with("text: The call of delete was refused")), "{released:?}");
    let entries = proxy.end();
    let coverage = entries.iter().find(|entry| entry["body"]["type"] == "coverage").unwrap();
    assert_eq!(coverage["body"]["policies"][1]["kinds"]["text"]["passed"], json!(4));
}

#[test]
fn what_is_not_taken_by_a_remote_policy_is_not_taken() {
    let (set, peers) = serve(&set_of([scripted("slow", pass)]), |_| true, &[1_000]);
    let mut proxy = Proxy::start_with_peers(set, call(Dialect::OpenAiChat), peers);
    proxy.respond(&response([text(0, ["a", "b"])]), &[2]);
    assert_eq!((proxy.seen, proxy.verdicts.len()), (0, 0));
    proxy.flush();
    assert_eq!(
        read(&proxy.released),
        ["text: ab", "finished: EndTurn"].map(str::to_owned)[..read(&proxy.released).len()]
    );
    assert_eq!(proxy.seen, 4);
}

proptest! {
    #[test]
    fn one_that_passes_everything_changes_nothing(
        events in blocks(),
        batches in prop::collection::vec(1_usize..6, 1..4),
        delays in prop::collection::vec(0_usize..5, 1..5),
    ) {
        let (set, peers) = serve(&set_of([scripted("all", pass)]), |_| true, &delays);
        let mut proxy = Proxy::start_with_peers(set, call(Dialect::OpenAiChat), peers);
        proxy.respond(&events, &batches);
        proxy.flush();
        prop_assert_eq!(&proxy.released, &events);
        prop_assert!(proxy.verdicts.iter().all(|verdict| verdict.decision == luthien_proto::message::Decision::Pass));
    }

    #[test]
    fn whatever_a_policy_does_it_does_elsewhere(
        policies in random(),
        events in blocks(),
        batches in prop::collection::vec(1_usize..6, 1..4),
        delays in prop::collection::vec(0_usize..5, 1..5),
        which in any::<u8>(),
        delay in 0_usize..4,
    ) {
        let policies: Vec<Random> = policies.into_iter().filter(is_steady).collect();
        let set = random_set(&policies);
        let mut here = Proxy::start(set.clone());
        here.respond_and_answer(&events, &batches, delay);
        let (released, ended_by_policy) = (here.released.clone(), here.ended_by_policy);
        // One that fails may do so before or behind what another says. One that still holds something when a policy before it ends the
        // response fails here; served elsewhere it is told of the end.
        prop_assume!(is_grammatical(&released) && !has_failed(here));
        let (set, peers) = serve(&set, elsewhere(&policies, which), &delays);
        let mut there = Proxy::start_with_peers(set, call(Dialect::OpenAiChat), peers);
        there.respond_and_answer(&events, &batches, delay);
        there.flush_and_answer();
        prop_assert_eq!(numbered(&there.released), numbered(&released));
        prop_assert_eq!(there.ended_by_policy, ended_by_policy);
    }

    #[test]
    fn a_call_that_is_taken_over_ends_as_if_it_had_not_been_also_with_a_remote_policy(
        policies in random(),
        events in blocks(),
        batches in prop::collection::vec(1_usize..6, 1..4),
        delays in prop::collection::vec(0_usize..5, 1..5),
        losses in prop::collection::vec(0_usize..8, 1..4),
        which in 1_u8..,
    ) {
        let policies: Vec<Random> = policies.into_iter().filter(|policy| is_steady(policy) && is_quiet(policy)).collect();
        let set = random_set(&policies);
        let start = |losses: &[usize]| {
            let (set, peers) = serve(&set, elsewhere(&policies, which), &delays);
            let mut proxy = Proxy::start_with_peers(set, call(Dialect::OpenAiChat), peers);
            proxy.lose_after(losses);
            proxy.respond_and_answer(&events, &batches, 2);
            proxy.flush_and_answer();
            proxy
        };
        let whole = start(&[]);
        prop_assume!(is_grammatical(&whole.released));
        let cut = start(&losses);
        prop_assert_eq!(numbered(&cut.released), numbered(&whole.released));
        prop_assert_eq!(cut.ended_by_policy, whole.ended_by_policy);
    }
}

#[test]
fn without_its_service_an_open_policy_lets_everything_by() {
    let remote = remote("p", FailureMode::Open);
    let set = Arc::new(PolicySet::of("rev".to_owned(), vec![remote]).unwrap());
    let mut session = luthien_policy::Session::begin(set.clone(), call(Dialect::OpenAiChat));
    while session.poll().is_some() {}
    session.remote_lost(0, "it can't be reached").unwrap();
    let mut proxy = Proxy::start_session(session, set, call(Dialect::OpenAiChat));
    let events = response([text(0, ["a", "b"])]);
    proxy.respond(&events, &[2]);
    assert_eq!(proxy.released, events);
}

/// A judge behind a policy that is slow: after a takeover its answers are told before it has asked for them.
#[test]
fn an_answer_that_comes_before_its_question_waits_for_it() {
    let judge = json!({ "name": "judge", "kind": "tool_call_judge", "config": { "model": "m" } });
    for is_served in [false, true] {
        let first = Arc::new(scripted("slow", pass)) as Arc<dyn Policy>;
        let judge = Arc::clone(&built(json!([judge])).pipeline().policies()[0]);
        let whole = PolicySet::of("rev".to_owned(), vec![first, judge]).unwrap();
        let (set, peers) = serve(&whole, |index| index == 0 || is_served, &[1]);
        let mut proxy = Proxy::start_with_peers(set, call(Dialect::OpenAiChat), peers);
        let events = response([tool(0, "read", &["{}"]), tool(1, "delete", &["{}"])]);
        proxy.respond(&events, &[2]);
        proxy.flush();
        for (id, probability) in proxy.running.clone().into_iter().zip([0.1, 0.9]) {
            proxy.answer(&id, &json!({ "probability": probability, "explanation": "so" }).to_string());
        }
        proxy.resume();
        proxy.flush();
        let released = read(&proxy.released);
        assert!(released.iter().any(|block| block.contains("read")), "{released:?}");
        assert!(released.iter().any(|block| block.contains("The call of delete was refused: so")), "{released:?}");
        assert!(proxy.running.is_empty() && proxy.consults.len() == 2);
    }
}
