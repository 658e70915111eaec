//! Whatever fails, what is held stays held, and the client gets a proper error.

use std::time::Duration;

use luthien_call::call::{Content, Head, Input, Limits};
use luthien_proto::{
    event::{FinishReason, Finished, Kind, Step},
    message::{Decision, FailureMode, FromService, Interest, Level, Outcome, Reply, ToService, Verdict},
    request::Dialect,
};

use crate::rig::*;

/// A call with text held, and `written` so far.
fn holding() -> Rig {
    let mut rig = Rig::streaming(Dialect::AnthropicMessages, GATE_ALL);
    rig.data(message_start() + &text_block(0, &["secret"]));
    rig.pass(3);
    assert_eq!(outline(rig.text()), ["message_start", "content_block_start 0 text"]);
    rig
}

fn ends_with_an_error(rig: &Rig) {
    assert!(outline(rig.text()).last().unwrap().starts_with("error "), "{}", rig.text());
    assert!(!rig.text().contains("secret"));
    assert!(!rig.text().contains("message_stop"), "no success terminator");
    assert_eq!(rig.finished, Some(true));
    assert!(rig.upstream_cancelled);
}

#[test]
fn a_loss_releases_nothing() {
    let mut rig = holding();
    rig.input(Input::ServiceClosed(Err("connection reset".into())));
    ends_with_an_error(&rig);
    assert!(rig.done.unwrap().unwrap_err().contains("connection reset"));
}

#[test]
fn a_clean_close_is_a_loss_and_no_consent() {
    let mut rig = holding();
    rig.input(Input::ServiceClosed(Ok(())));
    ends_with_an_error(&rig);
}

#[test]
fn a_verdict_on_what_was_never_sent_is_a_fault() {
    let mut rig = holding();
    rig.pass(1000);
    ends_with_an_error(&rig);
    assert_eq!(rig.call_ended().outcome, Outcome::Failed);
    assert!(rig.call_ended().reason.contains("chunk 1000"));
}

#[test]
fn a_step_back_is_a_fault() {
    let mut rig = holding();
    rig.pass(2);
    ends_with_an_error(&rig);
}

#[test]
fn a_second_admission_is_a_fault() {
    let mut rig = holding();
    rig.admit(Interest::all(Level::Record), FailureMode::Open);
    ends_with_an_error(&rig);
}

#[test]
fn claiming_to_have_seen_more_than_was_sent_is_a_fault() {
    let mut rig = holding();
    rig.input(Input::Service(FromService { message: Reply::Working, seen: 99 }));
    ends_with_an_error(&rig);
}

#[test]
fn events_that_cannot_be_written_are_a_fault() {
    let mut rig = holding();
    let delta = made_text(0, "x").remove(1);
    rig.verdict(4, Decision::Replace(vec![delta]));
    ends_with_an_error(&rig);
    assert!(rig.call_ended().reason.contains("is not open"));
}

#[test]
fn a_choice_that_the_dialect_does_not_have_is_a_fault() {
    let finished = Step::Finished(Finished::new(1, FinishReason::EndTurn)).into();
    for events in [made_text_in(1, "no place"), vec![finished]] {
        let mut rig = holding();
        rig.verdict(3, Decision::Replace(events));
        ends_with_an_error(&rig);
        assert!(rig.call_ended().reason.contains("no choice 1"), "{}", rig.call_ended().reason);
    }
}

#[test]
fn with_an_open_failure_mode_a_response_goes_on_without_what_it_has_no_place_for() {
    let mut rig = Rig::new(Dialect::AnthropicMessages);
    rig.admit(GATE_ALL, FailureMode::Open);
    rig.head(200, Content::Sse);
    let stream = message_start() + &text_block(0, &["a"]) + &message_end("end_turn");
    rig.data(&stream);
    rig.verdict(0, Decision::Replace(made_text_in(1, "no place")));
    assert!(!rig.text().contains("no place"), "{}", rig.text());
    assert_eq!(outline(rig.text()), outline(&stream));
    assert_eq!(rig.finished, Some(true));
}

#[test]
fn verdicts_after_a_fault_count_for_nothing() {
    let mut rig = holding();
    rig.pass(1000);
    let before = rig.text().to_owned();
    rig.pass(4);
    assert_eq!(rig.text(), before);
}

#[test]
fn silence_for_two_leases_is_a_loss() {
    let mut rig = holding();
    rig.after(Duration::from_secs(9));
    assert_eq!(rig.finished, None);
    rig.after(Duration::from_secs(1));
    ends_with_an_error(&rig);
}

#[test]
fn a_service_that_only_works_meets_the_hold_time() {
    let mut rig = holding();
    rig.data(message_end("end_turn"));
    rig.end();
    for _ in 0..14 {
        rig.after(Duration::from_secs(4));
        rig.working();
    }
    assert_eq!(rig.finished, None);
    rig.after(Duration::from_secs(4));
    assert_eq!(rig.finished, Some(true));
    assert!(rig.call_ended().reason.contains("hold time"));
    assert!(!rig.text().contains("secret"));
}

#[test]
fn passing_again_what_has_passed_does_not_win_time() {
    let mut rig = holding();
    rig.data(message_end("end_turn"));
    rig.end();
    for _ in 0..16 {
        rig.after(Duration::from_secs(4));
        rig.pass(3);
    }
    assert_eq!(rig.finished, Some(true));
    assert!(rig.call_ended().reason.contains("hold time"));
}

#[test]
fn waiting_for_the_upstream_does_not_count_as_holding() {
    let mut rig = holding();
    for _ in 0..60 {
        rig.after(Duration::from_secs(4));
        rig.working();
    }
    assert_eq!(rig.finished, None, "240 s held, but it is the upstream that is waited for");
}

#[test]
fn a_full_window_that_nothing_will_empty_is_a_fault_at_once() {
    let limits = Limits { held: 2_000, ..LIMITS };
    let mut rig = Rig::with(Dialect::AnthropicMessages, limits, FailureMode::Closed);
    rig.admit(GATE_ALL, FailureMode::Closed);
    rig.head(200, Content::Sse);
    rig.data(message_start() + &text_block(0, &["x".repeat(2_000).as_str()]));
    assert!(!rig.call.wants_upstream(), "a full window is not filled further");
    assert_eq!(rig.finished, None, "a verdict may still come");
    rig.working();
    assert_eq!(rig.heads.len(), 1);
    assert!(matches!(rig.heads[0], Head::Own { status: 502, .. }));
    assert!(rig.call_ended().reason.contains("more is held"));
}

/// A call with a small window, that reads a tool call larger than it. Whatever `during` makes of the policy service, what
/// is told is taken and passed.
fn reading_a_large_tool_call(mode: FailureMode, during: impl Fn(&mut Rig)) -> Rig {
    let limits = Limits { held: 2_000, ..LIMITS };
    let mut rig = Rig::with(Dialect::AnthropicMessages, limits, FailureMode::Closed);
    rig.admit(GATE_ALL, mode);
    rig.head(200, Content::Sse);
    rig.data(message_start() + &text_block(0, &["a"]) + &tool_start(1, "t", "secret"));
    rig.pass_all();
    during(&mut rig);
    for _ in 0..20 {
        if !rig.call.wants_upstream() {
            break;
        }
        rig.data(tool_delta(1, &"x".repeat(200)));
        rig.pass_all();
    }
    rig
}

#[test]
fn a_tool_call_that_is_kept_for_the_end_and_fills_the_window_ends_the_response_whoever_judges() {
    let lost = |rig: &mut Rig| rig.input(Input::ServiceClosed(Err("gone".into())));
    let unheeded = |rig: &mut Rig| rig.pass(1_000);
    let rigs = [
        reading_a_large_tool_call(FailureMode::Closed, |_| {}),
        reading_a_large_tool_call(FailureMode::Open, |_| {}),
        reading_a_large_tool_call(FailureMode::Open, unheeded),
        reading_a_large_tool_call(FailureMode::Open, lost),
    ];
    for rig in rigs {
        ends_with_an_error(&rig);
        assert!(rig.text().contains("larger than what may be held"), "{}", rig.text());
    }
}

#[test]
fn an_open_failure_mode_lets_go_of_what_is_held_when_the_window_is_full() {
    let limits = Limits { held: 2_000, ..LIMITS };
    let mut rig = Rig::with(Dialect::AnthropicMessages, limits, FailureMode::Closed);
    rig.admit(GATE_ALL, FailureMode::Open);
    rig.head(200, Content::Sse);
    let stream = message_start() + &text_block(0, &["x".repeat(2_000).as_str()]);
    rig.data(&stream);
    rig.working();
    assert_eq!(rig.text(), stream);
    assert!(rig.call.wants_upstream());
}

#[test]
fn a_recorded_block_that_outgrows_the_window_is_told_in_parts() {
    let limits = Limits { held: 1_000, ..LIMITS };
    for interest in [Interest::all(Level::Record), GATE_ALL.with(Kind::Text, Level::Record)] {
        let mut rig = Rig::with(Dialect::AnthropicMessages, limits, FailureMode::Closed);
        rig.admit(interest, FailureMode::Closed);
        rig.head(200, Content::Sse);
        rig.data(message_start());
        let text = text_block(0, &["x".repeat(200).as_str(); 20]);
        for event in text.split_inclusive("\n\n") {
            rig.pass_all();
            assert!(rig.call.wants_upstream(), "{}", rig.text());
            rig.data(event);
        }
        assert_eq!(rig.finished, None);
        assert_eq!(rig.text(), message_start() + &text);
    }
}

#[test]
fn before_anything_was_sent_an_error_has_a_status() {
    let mut rig = Rig::streaming(Dialect::OpenAiChat, GATE_ALL);
    rig.input(Input::ServiceClosed(Err("gone".into())));
    assert_eq!(rig.heads, [Head::Own { status: 503, content_type: "application/json", retry_after: Some(5) }]);
    let body: serde_json::Value = serde_json::from_str(rig.text()).unwrap();
    assert!(body["error"]["message"].as_str().unwrap().contains("policy service"));
}

#[test]
fn nobody_admits_a_call_and_nothing_goes_upstream() {
    let mut rig = Rig::new(Dialect::AnthropicMessages);
    rig.input(Input::ServiceClosed(Err("no control plane".into())));
    assert!(matches!(rig.heads[0], Head::Own { status: 503, retry_after: Some(_), .. }));
    assert_eq!(rig.finished, Some(true));
    assert!(rig.done.is_some());
}

#[test]
fn only_an_operator_who_wrote_so_lets_a_call_through_unjudged() {
    let mut rig = Rig::with(Dialect::AnthropicMessages, LIMITS, FailureMode::Open);
    rig.input(Input::ServiceClosed(Err("no control plane".into())));
    rig.head(200, Content::Sse);
    let stream = message_start() + &text_block(0, &["a"]) + &message_end("end_turn");
    rig.data(&stream);
    rig.end();
    assert_eq!(rig.text(), stream);
    assert!(rig.done.unwrap().is_err(), "and the log tells of it");
}

#[test]
fn an_open_failure_mode_passes_what_is_held() {
    let mut rig = Rig::new(Dialect::AnthropicMessages);
    rig.admit(GATE_ALL, FailureMode::Open);
    rig.head(200, Content::Sse);
    let stream = message_start() + &text_block(0, &["a"]);
    rig.data(&stream);
    rig.input(Input::ServiceClosed(Err("gone".into())));
    rig.data(message_end("end_turn"));
    rig.end();
    assert_eq!(rig.text(), stream + &message_end("end_turn"));
}

#[test]
fn a_failure_that_a_policy_service_makes_ends_the_response_in_the_dialect() {
    let mut rig = holding();
    rig.input(Input::Service(FromService {
        message: Reply::Verdict(Verdict {
            through: 4,
            decision: Decision::Replace(made_failure("policy guard failed")),
            annotations: Vec::new(),
            cancel_upstream: true,
        }),
        seen: 1,
    }));
    ends_with_an_error(&rig);
    assert!(rig.text().contains("policy guard failed"));
}

#[test]
fn a_kind_that_the_service_does_not_know_is_shown_as_opaque_and_held() {
    let mut rig = Rig::new(Dialect::AnthropicMessages);
    rig.admit_as(luthien_proto::message::Forward {
        interest: GATE_ALL,
        failure_mode: FailureMode::Closed,
        limits: luthien_proto::message::Limits::default(),
        known_kinds: vec![Kind::Text],
        edits: Vec::new(),
    });
    rig.head(200, Content::Sse);
    let stream =
        message_start() + &tool_start(0, "t", "f") + &tool_delta(0, "{}") + &stop(0) + &message_end("tool_use");
    rig.data(&stream);
    let chunks = format!("{:?}", rig.chunks());
    assert!(chunks.contains("Opaque(Object {\"type\": String(\"tool_call\")"), "{chunks}");
    assert!(chunks.contains("Opaque(Object {\"arguments\""));
    rig.pass_all();
    rig.end();
    assert_eq!(rig.text(), stream);
}

/// A call that goes on although its policy service broke the protocol, and the events that are still to come.
fn unheeded() -> (Rig, String, impl Iterator<Item = String>) {
    let limits = Limits { held: 2_000, batch: 500, ..LIMITS };
    let mut rig = Rig::with(Dialect::AnthropicMessages, limits, FailureMode::Closed);
    rig.admit(GATE_ALL, FailureMode::Open);
    rig.head(200, Content::Sse);
    let piece = "x".repeat(200);
    let stream = message_start() + &text_block(0, &[piece.as_str(); 40]) + &message_end("end_turn");
    let events: Vec<String> = stream.split_inclusive("\n\n").map(str::to_owned).collect();
    let mut events = events.into_iter();
    rig.data(events.next().unwrap());
    rig.input(Input::Service(FromService {
        message: Reply::Verdict(Verdict {
            through: 1000,
            decision: Decision::Pass,
            annotations: Vec::new(),
            cancel_upstream: false,
        }),
        seen: 0,
    }));
    (rig, stream, events)
}

#[test]
fn a_service_that_is_not_heeded_is_still_told_all_as_it_takes_it() {
    let (mut rig, stream, events) = unheeded();
    for event in events {
        rig.working();
        assert!(rig.call.wants_upstream());
        rig.data(event);
    }
    rig.end();
    (0..10).for_each(|_| rig.working());
    assert_eq!(rig.text(), stream);
    assert_eq!(rig.call_ended().outcome, Outcome::Delivered);
}

#[test]
fn a_service_that_is_not_heeded_and_falls_silent_holds_nothing_up() {
    let (mut rig, stream, mut events) = unheeded();
    while rig.call.wants_upstream() {
        rig.data(events.next().expect("a service that takes nothing is waited for"));
    }
    rig.after(TIMES.lease * 2);
    assert!(rig.call.wants_upstream(), "nobody is left to wait for");
    events.for_each(|event| rig.data(event));
    rig.end();
    let without_pings = rig.text().replace("event: ping\ndata: {\"type\":\"ping\"}\n\n", "");
    assert!(without_pings == stream, "{:?}", outline(rig.text()));
    assert!(rig.done.unwrap().is_err());
}

#[test]
fn while_all_calls_hold_all_that_they_may_the_upstream_waits_for_what_is_under_way() {
    let mut rig = Rig::streaming(Dialect::AnthropicMessages, GATE_ALL);
    rig.data(message_start());
    let now = rig.now;
    rig.call.throttle(true, now);
    assert!(!rig.call.wants_upstream(), "a verdict may come");
    rig.working();
    assert!(rig.call.wants_upstream(), "the policies can't decide without more");
    rig.data(text_block(0, &["one"]));
    assert!(!rig.call.wants_upstream());
    rig.call.throttle(false, now);
    assert!(rig.call.wants_upstream());
}

#[test]
fn what_an_open_failure_mode_has_let_go_of_no_verdict_changes() {
    let limits = Limits { held: 2_000, ..LIMITS };
    let block = text_block(0, &["x".repeat(2_000).as_str()]);
    let (open, stop) = block.split_at(block.find("event: content_block_stop").unwrap());
    let decisions = [
        Decision::Replace(made_text(0, "instead")),
        Decision::Replace(Vec::new()),
        Decision::End { events: made_text(0, "no more"), reason: None },
    ];
    for decision in decisions {
        let mut rig = Rig::with(Dialect::AnthropicMessages, limits, FailureMode::Closed);
        rig.admit(GATE_ALL, FailureMode::Open);
        rig.head(200, Content::Sse);
        rig.data(message_start() + open);
        rig.working();
        rig.cancel(3, decision);
        rig.data(stop.to_owned() + &message_end("end_turn"));
        rig.end();
        assert_eq!(rig.text(), message_start() + &block + &message_end("end_turn"));
        assert_eq!(rig.finished, Some(true));
    }
}

#[test]
fn a_recorded_block_that_was_open_at_a_fault_is_still_told_whole() {
    let mut rig = Rig::new(Dialect::AnthropicMessages);
    rig.admit(GATE_ALL.with(Kind::Text, Level::Record), FailureMode::Open);
    rig.head(200, Content::Sse);
    let block = text_block(0, &["one", "two"]);
    let (before, after) = block.split_at(block.find("\"two\"").unwrap());
    rig.data(message_start() + before);
    rig.pass(1000);
    rig.data(after.to_owned() + &message_end("end_turn"));
    rig.end();
    (0..6).for_each(|_| rig.working());
    assert_eq!(rig.text(), message_start() + &block + &message_end("end_turn"));
    let pieces =
        |chunk: &&luthien_proto::Chunk| matches!(chunk.event.step, Step::BlockDelta(_) | Step::BlockStopped(_));
    assert_eq!(rig.chunks().into_iter().filter(pieces).count(), 0, "pieces of a block that was never started");
    let blocks = rig.told.iter().filter(|message| matches!(message, ToService::Block(block) if block.stopped));
    assert_eq!(blocks.count(), 1);
}
