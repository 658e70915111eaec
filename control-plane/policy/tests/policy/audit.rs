//! Strict audit: whatever is said is on record before it is said.

use std::collections::BTreeMap;

use expect_test::expect;
use luthien_proto::{
    Event, Step,
    event::{BlockKind, Delta},
    message::{AdmissionDecision, FailureMode, Interest, Level},
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    proxy::{Proxy, set},
    response::{piece, response, start, stop, text, tool},
    resume::{blocks, random, random_set},
    scripted::{Scripted, hold_some, pass, scripted, set_of},
};

/// Fails unless the entries hold all that a client got: its blocks as far as they are, and each step beside them.
pub fn is_on_record(released: &[Event], entries: &[Value]) {
    let kept = Kept::of(entries);
    let mut got: BTreeMap<u32, String> = BTreeMap::new();
    let mut steps: BTreeMap<&str, usize> = BTreeMap::new();
    for event in released {
        match &event.step {
            Step::BlockStarted(started) => {
                got.entry(started.block.0).or_default();
            }
            Step::BlockDelta(delta) => match &delta.delta {
                Delta::Text(text) | Delta::Arguments(text) => got.entry(delta.block.0).or_default().push_str(text),
                Delta::Signature(_) | Delta::Opaque(_) => {}
            },
            Step::BlockStopped(_) => {}
            Step::Started(_) => *steps.entry("started").or_default() += 1,
            Step::Usage(_) => *steps.entry("usage").or_default() += 1,
            Step::Finished(_) => *steps.entry("finished").or_default() += 1,
            Step::Opaque(_) => *steps.entry("opaque").or_default() += 1,
            Step::Ended => *steps.entry("ended").or_default() += 1,
            Step::Failed(_) => *steps.entry("failed").or_default() += 1,
        }
    }
    for (block, text) in got {
        let kept = kept.blocks.get(&block).unwrap_or_else(|| panic!("block {block} is not on record: {entries:#?}"));
        assert!(kept.starts_with(&text), "of block {block}, {kept:?} is on record, and {text:?} was let through");
    }
    for (step, count) in steps {
        let kept = kept.steps.get(step).copied().unwrap_or_default();
        assert!(kept >= count, "{count} {step} were let through, and {kept} are on record: {entries:#?}");
    }
}

/// What the entries say was settled: blocks that are whole, and others as their parts tell.
#[derive(Default)]
struct Kept {
    blocks: BTreeMap<u32, String>,
    steps: BTreeMap<String, usize>,
}

impl Kept {
    fn of(entries: &[Value]) -> Self {
        let mut kept = Self::default();
        for body in entries.iter().map(|entry| &entry["body"]) {
            let settled = if body["unchanged"] == true { &body["original"] } else { &body["final"] };
            if settled.is_null() {
                continue;
            }
            let text = ["text", "arguments"].map(|field| settled[field].as_str().unwrap_or_default()).concat();
            let block = || u32::try_from(body["block"].as_u64().unwrap()).unwrap();
            match body["type"].as_str().unwrap() {
                "block" => {
                    kept.blocks.insert(block(), text);
                }
                "part" => kept.blocks.entry(block()).or_default().push_str(&text),
                "step" => *kept.steps.entry(body["step"].as_str().unwrap().to_owned()).or_default() += 1,
                _ => {}
            }
        }
        kept
    }
}

fn forward(proxy: &Proxy) -> (Interest, FailureMode) {
    let AdmissionDecision::Forward(forward) = &proxy.admission.decision else { panic!("{:?}", proxy.admission) };
    (forward.interest, forward.failure_mode)
}

#[test]
fn everything_is_gated_whatever_policies_want_and_nothing_is_let_through_without_them() {
    let wants = |level| Scripted {
        interest: Interest::all(level),
        failure_mode: FailureMode::Open,
        ..scripted("wants", |_, _, out| {
            out.lower_interest(Interest::all(Level::Record));
            Ok(())
        })
    };
    let sets = [set_of([]), set_of([wants(Level::Record)]), set_of([wants(Level::Gate)])];
    for set in sets {
        let mut proxy = Proxy::start_strict(set);
        assert_eq!(forward(&proxy), (Interest::all(Level::Gate), FailureMode::Closed));
        let events = response([text(0, ["one", "two"]), tool(1, "f", &["{}"])]);
        proxy.respond(&events, &[1]);
        assert_eq!(proxy.released, events);
        assert_eq!(proxy.held(), 0);
        assert!(proxy.end().iter().all(|entry| entry["body"]["type"] != "interest"));
    }
}

#[test]
fn a_block_is_on_record_in_parts_until_it_is_whole() {
    let brand =
        json!([{ "name": "brand", "kind": "string_replacement", "config": { "replacements": [["cool", "radical"]] } }]);
    let mut proxy = Proxy::start_strict(set(brand));
    let events = [start(0, BlockKind::Text), piece(0, "so "), piece(0, "co"), piece(0, "ol"), piece(0, "!"), stop(0)];
    proxy.respond(&events, &[1]);
    let kept = proxy.end();
    let lines = kept
        .iter()
        .map(|entry| &entry["body"])
        .filter(|body| ["part", "block", "verdict"].contains(&body["type"].as_str().unwrap()));
    expect![[r#"
        {"type":"part","choice":0,"block":0,"kind":"text","first":1,"last":1,"unchanged":true,"original":{"text":""}}
        {"type":"part","choice":0,"block":0,"kind":"text","first":2,"last":2,"unchanged":true,"original":{"text":"so "}}
        {"type":"verdict","first":3,"through":3,"chunks":1,"dropped":1,"decision":"drop","policies":["brand"],"cancel_upstream":false}
        {"type":"part","choice":0,"block":0,"kind":"text","first":3,"last":3,"unchanged":false,"original":{"text":"co"}}
        {"type":"verdict","first":4,"through":4,"chunks":1,"dropped":0,"decision":"replace","policies":["brand"],"cancel_upstream":false}
        {"type":"part","choice":0,"block":0,"kind":"text","first":4,"last":4,"unchanged":false,"original":{"text":"ol"},"final":{"text":"radical"}}
        {"type":"part","choice":0,"block":0,"kind":"text","first":5,"last":5,"unchanged":true,"original":{"text":"!"}}
        {"type":"block","choice":0,"block":0,"kind":"text","first":1,"last":6,"arrived_us":1000,"stopped":true,"unchanged":false,"original":{"text":"so cool!"},"final":{"text":"so radical!"},"deltas":[[1,1000,3],[1,1000,2],[1,1000,2],[1,1000,1],[1,1000,"stop"]]}
    "#]]
    .assert_eq(&lines.map(|line| format!("{line}\n")).collect::<String>());
}

#[test]
fn a_policy_that_fails_ends_the_call_although_it_gates_nothing() {
    let fails = Scripted {
        interest: Interest::all(Level::Observe),
        ..scripted("fails", |_, seen, _| {
            assert!(!matches!(seen.event.step, Step::BlockDelta(_)), "not my day");
            Ok(())
        })
    };
    let mut proxy = Proxy::start_strict(set_of([scripted("passes", pass), fails]));
    proxy.respond(&response([text(0, ["one"])]), &[1]);
    assert!(matches!(proxy.released.last().unwrap().step, Step::Failed(_)), "{:?}", proxy.released);
}

proptest! {
    #[test]
    fn nothing_is_said_that_is_not_on_record(
        policies in random(),
        events in blocks(),
        batches in prop::collection::vec(1_usize..6, 1..4),
        losses in prop::collection::vec(0_usize..8, 0..3),
        delay in 0_usize..6,
    ) {
        let mut proxy = Proxy::start_strict(random_set(&policies));
        proxy.lose_after(&losses);
        proxy.respond_and_answer(&events, &batches, delay);
    }

    #[test]
    fn unless_a_policy_fails_what_is_let_through_is_what_relaxed_audit_lets_through(
        policies in random(),
        events in blocks(),
        batches in prop::collection::vec(1_usize..6, 1..4),
    ) {
        let (mut strict, mut relaxed) = (Proxy::start_strict(random_set(&policies)), Proxy::start(random_set(&policies)));
        strict.respond_and_answer(&events, &batches, 1);
        relaxed.respond_and_answer(&events, &batches, 1);
        let fails = |proxy: &Proxy| proxy.released.iter().any(|event| matches!(event.step, Step::Failed(_)));
        prop_assert_eq!(fails(&strict), fails(&relaxed));
        if !fails(&strict) {
            prop_assert_eq!(&strict.released, &relaxed.released);
        }
    }

    #[test]
    fn what_is_held_and_let_go_is_on_record(batches in prop::collection::vec(1_usize..6, 1..4)) {
        let mut proxy = Proxy::start_strict(set_of([scripted("some", hold_some::<3>), scripted("others", hold_some::<2>)]));
        proxy.respond(&response([text(0, ["a", "b", "c", "d", "e"]), tool(1, "f", &["{", "}"])]), &batches);
    }
}
