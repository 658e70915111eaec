//! Policies one behind the other, and policies that go wrong.

use std::sync::Arc;

use luthien_policy::{Hook, HookError, HookOutput, HookResult, Hooks, Policy, PolicySet, RequestOutput, Seen};
use luthien_proto::{
    Event, Step,
    event::{BlockKind, FinishReason, Kind, ToolForm},
    message::{
        AdmissionDecision, CallStarted, Decision, FailureMode, Interest, Level, Outcome, Reject, Severity, Verdict,
    },
};
use proptest::prelude::*;
use serde_json::json;

use crate::{
    proxy::{Proxy, set},
    response::{arguments, piece, read, response, start, stop, text, tool, tool_kind},
    scripted::{Act, Acting, Scripted, hold_all, hold_some, pass, pipeline, scripted},
};

fn is_delta(seen: &Seen<'_>) -> bool {
    matches!(seen.event.step, Step::BlockDelta(_))
}

fn panic_at_deltas(_: &mut Acting, seen: &Seen<'_>, _: &mut HookOutput<'_>) -> HookResult {
    assert!(!is_delta(seen), "not my day");
    Ok(())
}

#[test]
fn two_policies_see_each_others_work() {
    let replace = |name, from, to| json!({ "name": name, "kind": "string_replacement", "config": { "replacements": [[from, to]] } });
    let mut proxy = Proxy::start(set(json!([replace("a", "one", "two"), replace("b", "two", "three")])));
    proxy.respond(&response([text(0, ["on", "e tw", "o o", "ne!"])]), &[1]);
    assert_eq!(read(&proxy.released), ["text: three three three!"]);

    let rules = json!({ "name": "g", "kind": "tool_call_rules", "config": { "deny": [{ "arguments": "two" }] } });
    let call = || response([tool(0, "f", &["{\"a\":\"o", "ne\"}"])]);
    let mut proxy = Proxy::start(set(json!([replace("a", "one", "two"), rules])));
    proxy.respond(&call(), &[1]);
    assert_eq!(read(&proxy.released), ["text: The call of f was refused: policy g does not allow it"]);
    let mut proxy = Proxy::start(set(json!([rules, replace("a", "one", "two")])));
    proxy.respond(&call(), &[1]);
    assert_eq!(read(&proxy.released), ["call f: {\"a\":\"two\"}"]);
}

#[test]
fn blocks_that_policies_make_never_share_a_key() {
    let rules =
        |name, tool| json!({ "name": name, "kind": "tool_call_rules", "config": { "deny": [{ "tool": tool }] } });
    let mut proxy = Proxy::start(set(json!([rules("a", "x"), rules("b", "y")])));
    proxy.respond(&response([tool(0, "y", &[]), tool(1, "x", &[]), tool(2, "y", &[])]), &[4]);
    let keys: Vec<u32> = proxy
        .released
        .iter()
        .filter_map(|event| match &event.step {
            Step::BlockStarted(started) => Some(started.block.0 - (1 << 31)),
            _ => None,
        })
        .collect();
    assert_eq!(keys, [0, 1, 2]);
}

#[test]
fn a_panic_ends_the_call_closed() {
    let mut proxy = pipeline([scripted("first", pass), scripted("broken", panic_at_deltas), scripted("last", pass)]);
    proxy.respond(&response([text(0, ["secret", " more"])]), &[2]);
    assert_eq!(read(&proxy.released), ["text: …", "failed: policy broken failed"]);
    let last = proxy.verdicts.last().unwrap();
    assert_eq!((last.through, last.cancel_upstream), (2, true));
    assert_eq!(last.annotations[0].severity, Severity::Error);
    assert_eq!(last.annotations[0].policy, "broken");
    let entries = proxy.end();
    let coverage = &entries[entries.len() - 2]["body"]["policies"];
    assert_eq!([&coverage[0]["failed"], &coverage[1]["failed"]], [false, true]);
}

#[test]
fn an_error_and_a_misuse_end_the_call_like_a_panic() {
    let acts: [Act; 4] = [
        |_, seen, _| if is_delta(seen) { Err(HookError("no".to_owned())) } else { Ok(()) },
        |acting, seen, out| {
            acting.held.extend(is_delta(seen).then(|| out.hold()));
            acting.held.iter().for_each(|held| out.pass_held(*held));
            Ok(())
        },
        |acting, seen, out| {
            if is_delta(seen) {
                let held = acting.held.first().copied().unwrap_or_else(|| out.hold());
                acting.held.push(held);
                out.replace_held(held, Vec::new());
            }
            Ok(())
        },
        |_, seen, out| {
            if is_delta(seen) {
                out.hold();
            }
            Ok(())
        },
    ];
    for act in acts {
        let mut proxy = pipeline([scripted("broken", act)]);
        proxy.respond(&response([text(0, ["a", "b"])]), &[1]);
        assert!(read(&proxy.released).last().is_some_and(|line| line == "failed: policy broken failed"));
    }
}

#[test]
fn a_policy_can_not_change_what_it_only_observes() {
    let act: Act = |_, seen, out| {
        if is_delta(seen) {
            out.replace(Vec::new());
        }
        Ok(())
    };
    let observer =
        Scripted { interest: Interest::all(Level::Gate).with(Kind::Text, Level::Observe), ..scripted("o", act) };
    let mut proxy = pipeline([observer, scripted("gate", pass)]);
    proxy.respond(&response([text(0, ["a"])]), &[1]);
    assert_eq!(read(&proxy.released), ["text: …", "failed: policy o failed"]);
}

#[test]
fn an_open_policy_that_fails_lets_everything_by() {
    let act: Act = |acting, seen, out| {
        assert!(!matches!(seen.event.step, Step::BlockStopped(_)), "not my day");
        acting.held.extend(is_delta(seen).then(|| out.hold()));
        Ok(())
    };
    let open = |act| Scripted { failure_mode: FailureMode::Open, ..scripted("open", act) };
    let events = response([text(0, ["a", "b"]), text(1, ["c"])]);
    let mut proxy = pipeline([open(act)]);
    let AdmissionDecision::Forward(forward) = &proxy.admission.decision else { panic!() };
    assert_eq!(forward.failure_mode, FailureMode::Open);
    proxy.respond(&events, &[1]);
    assert_eq!(proxy.released, events);
    assert_eq!(proxy.annotations().len(), 1);

    let proxy = pipeline([open(act), scripted("closed", pass)]);
    let AdmissionDecision::Forward(forward) = &proxy.admission.decision else { panic!() };
    assert_eq!(forward.failure_mode, FailureMode::Closed);
}

#[test]
fn a_verdict_never_passes_what_any_stage_holds() {
    let mut proxy = pipeline([scripted("a", pass), scripted("holds", hold_all), scripted("b", pass)]);
    let events = response([text(0, ["a", "b"]), tool(1, "f", &["{}"])]);
    let (last, before) = events.split_last().unwrap();
    proxy.respond(before, &[1]);
    assert_eq!(proxy.verdicts, Vec::<Verdict>::new());
    proxy.send(std::slice::from_ref(last));
    assert_eq!(proxy.verdicts.len(), 1);
    assert_eq!(proxy.released, events);
}

#[test]
fn an_end_drops_what_is_held_and_what_follows_is_not_shown() {
    let act: Act = |acting, seen, out| {
        match &seen.event.step {
            Step::BlockStarted(started) if started.block.0 == 1 => acting.held.push(out.hold()),
            Step::BlockDelta(_) if !acting.held.is_empty() => {
                let events = text(out.new_block().0, ["That is all."]);
                out.end(events, Some(FinishReason::ContentFilter), true);
            }
            _ => {}
        }
        Ok(())
    };
    let mut proxy = pipeline([scripted("ends", act), scripted("b", pass)]);
    proxy.respond(&response([text(0, ["one"]), text(1, ["two", "three"])]), &[2]);
    assert_eq!(read(&proxy.released), ["text: one", "text: That is all."]);
    let last = proxy.verdicts.last().unwrap();
    assert!(matches!(last.decision, Decision::End { reason: Some(FinishReason::ContentFilter), .. }));
    assert!(last.cancel_upstream);
    let entries = proxy.end();
    let outcome = &entries.last().unwrap()["body"];
    let counts =
        ["received", "passed", "replaced", "dropped", "held", "not_shown"].map(|key| outcome[key].as_u64().unwrap());
    assert_eq!(counts, [11, 4, 1, 1, 0, 5]);
}

#[test]
fn a_later_stage_lets_go_of_what_it_holds_when_an_earlier_one_ends() {
    let act: Act = |_, seen, out| {
        if let Step::BlockDelta(delta) = &seen.event.step
            && delta.block.0 == 1
        {
            out.end(Vec::new(), None, false);
        }
        Ok(())
    };
    let brand = json!([{ "name": "b", "kind": "string_replacement", "config": { "replacements": [["cool", "x"]] } }]);
    let config = serde_json::from_value(json!({ "policies": brand, "pipeline": ["b"] })).unwrap();
    let brand = PolicySet::build(config).unwrap().pipeline().policies().to_vec();
    let ends: Arc<dyn Policy> = Arc::new(scripted("ends", act));
    let policies = [ends].into_iter().chain(brand).collect();
    let mut proxy = Proxy::start(Arc::new(PolicySet::of("rev".to_owned(), policies).unwrap()));
    let calls = vec![
        start(0, tool_kind(0, "f", ToolForm::Function)),
        arguments(0, "{\"a\":\"cool"),
        start(2, BlockKind::Text),
        piece(2, "so co"),
        start(1, BlockKind::Text),
        piece(1, "x"),
    ];
    proxy.respond(&response([calls]), &[1]);
    assert!(proxy.ended_by_policy);
    assert_eq!(read(&proxy.released), ["call f: {\"a\":\"x…", "text: so co…", "text: …"]);
}

#[test]
fn what_is_injected_stands_behind_its_chunk() {
    let act: Act = |_, seen, out| {
        if matches!(seen.event.step, Step::BlockStopped(_)) {
            let events = text(out.new_block().0, ["more"]);
            out.inject(events);
        }
        Ok(())
    };
    let mut proxy = pipeline([scripted("a", act), scripted("b", pass)]);
    proxy.respond(&response([text(0, ["one"]), text(1, ["two"])]), &[3]);
    assert_eq!(read(&proxy.released), ["text: one", "text: more", "text: two", "text: more"]);
}

#[test]
fn a_request_is_rejected_by_the_first_that_says_so() {
    let rejects =
        |name, on_request| Scripted { hooks: Hooks::of(&[Hook::Request]), on_request, ..scripted(name, pass) };
    let refuse = |_: &CallStarted, out: &mut RequestOutput<'_>| {
        out.annotate(Severity::Warning, "too rude", None);
        out.reject(Reject { status: 422, type_: String::new(), message: "be kind".to_owned() });
        Ok(())
    };
    let proxy =
        pipeline([rejects("a", |_, _| Ok(())), rejects("b", refuse), rejects("c", |_, _| panic!("never asked"))]);
    let AdmissionDecision::Reject(reject) = &proxy.admission.decision else { panic!() };
    assert_eq!((reject.status, reject.message.as_str()), (422, "be kind"));
    let entry = &proxy.entries[1]["body"];
    assert_eq!(entry["policy"], "b");
    assert_eq!(entry["annotations"][0]["summary"], "too rude");

    let proxy = pipeline([rejects("a", |_, _| panic!("not my day"))]);
    let AdmissionDecision::Reject(reject) = &proxy.admission.decision else { panic!() };
    assert_eq!((reject.status, reject.message.as_str()), (500, "policy a failed"));

    let open = Scripted { failure_mode: FailureMode::Open, ..rejects("a", |_, _| panic!("not my day")) };
    assert!(matches!(pipeline([open]).admission.decision, AdmissionDecision::Forward(_)));
}

#[test]
fn the_last_hook_runs_once_whatever_happened() {
    let policy = scripted("a", pass);
    let proxy = pipeline([policy.clone()]);
    proxy.end();
    let mut proxy = pipeline([policy.clone()]);
    proxy.respond(&response([])[..1], &[1]);
    proxy.session.lost();
    proxy.session.lost();
    let entries = proxy.rest();
    assert_eq!(entries.last().unwrap()["body"]["outcome"], "unknown");
    assert_eq!(entries.last().unwrap()["body"]["annotations"][0]["summary"], "done");
    assert_eq!(*policy.completed.lock().unwrap(), [Outcome::Delivered, Outcome::Unknown]);
}

#[test]
fn where_nothing_is_gated_there_are_no_verdicts_and_notes_are_recorded() {
    let act: Act = |_, seen, out| {
        if is_delta(seen) {
            out.annotate(Severity::Info, "saw a piece", None);
        }
        assert!(!seen.event.step.is_last(), "not my day");
        Ok(())
    };
    let mut proxy = pipeline([Scripted { interest: Interest::all(Level::Observe), ..scripted("o", act) }]);
    let events = response([text(0, ["one"])]);
    proxy.respond(&events, &[2]);
    assert_eq!(proxy.released, events);
    assert_eq!(proxy.verdicts, Vec::<Verdict>::new());
    let notes: Vec<String> = proxy
        .end()
        .into_iter()
        .filter(|entry| entry["body"]["type"] == "note")
        .map(|entry| entry["body"]["summary"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(notes, ["saw a piece", "policy o failed"]);
}

proptest! {
    #[test]
    fn chunks_are_settled_in_order_and_once_whatever_the_stages_hold(
        which in prop::collection::vec(0_usize..4, 1..5),
        pieces in prop::collection::vec("[a-c]{0,3}", 0..8),
        batches in prop::collection::vec(1_usize..6, 1..4),
    ) {
        let acts: [Act; 4] = [pass, hold_all, hold_some::<2>, hold_some::<3>];
        let names = ["a", "b", "c", "d"];
        let mut proxy = pipeline(which.iter().zip(names).map(|(which, name)| scripted(name, acts[*which])));
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        let events: Vec<Event> = response([text(0, pieces), vec![start(1, BlockKind::Refusal), stop(1)]]);
        proxy.respond(&events, &batches);
        prop_assert_eq!(proxy.held(), 0);
        prop_assert_eq!(&proxy.released, &events);
    }
}
