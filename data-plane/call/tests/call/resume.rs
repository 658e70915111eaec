//! Another policy service takes a call over: nothing is lost, doubled or let through.

use std::time::Duration;

use luthien_call::call::{Content, Input, Loss};
use luthien_proto::{
    ToService,
    event::Step,
    message::{Applied, CallResumed, Decision, FailureMode, Interest, Level, Outcome, Reply},
};

use crate::rig::{GATE_ALL, LIMITS, Rig, made_text, message_end, message_start, outline, text_block};

const TAKEOVER: Duration = Duration::from_secs(15);

fn streaming(interest: Interest) -> Rig {
    let mut rig = Rig::resumable(LIMITS, TAKEOVER);
    rig.admit_resumable(interest, FailureMode::Closed);
    rig.head(200, Content::Sse);
    rig
}

fn lose(rig: &mut Rig) {
    rig.input(Input::ServiceClosed(Err("gone".into())));
}

fn resumed(rig: &Rig) -> &CallResumed {
    match &rig.told[0] {
        ToService::CallResumed(resumed) => resumed,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_next_service_is_told_how_the_call_stands_and_all_that_the_last_was_told() {
    let mut rig = streaming(GATE_ALL);
    rig.data(message_start());
    rig.pass(1);
    rig.data(text_block(0, &["one", "two"]));
    let start = rig.seq_of(|step| matches!(step, Step::BlockStarted(_)));
    rig.verdict(start, Decision::Pass);
    let told = rig.told.clone();
    lose(&mut rig);
    assert_eq!(rig.told_before, std::slice::from_ref(&told));
    let state = resumed(&rig);
    assert_eq!((state.epoch, state.applied), (1, Applied { settled: start, injected: 0, ended: false }));
    assert!(state.admission.is_some());
    assert_eq!(rig.told[1..], told);
}

#[test]
fn what_the_next_service_says_goes_on_where_the_last_one_stopped() {
    let mut rig = streaming(GATE_ALL);
    rig.data(message_start() + &text_block(0, &["one"]));
    rig.pass(2);
    lose(&mut rig);
    rig.data(message_end("end_turn"));
    rig.pass_all();
    rig.end();
    rig.pass_all();
    assert_eq!(rig.finished, Some(true));
    let expected = message_start() + &text_block(0, &["one"]) + &message_end("end_turn");
    assert_eq!(rig.text(), expected);
    rig.input(Input::ServiceClosed(Ok(())));
    assert_eq!((rig.done, rig.call.stats().resumed), (Some(Ok(())), 1));
}

#[test]
fn events_that_were_injected_behind_the_frontier_are_counted() {
    let mut rig = streaming(GATE_ALL);
    rig.data(message_start());
    rig.pass(1);
    rig.verdict(1, Decision::Replace(made_text(0, "a")));
    rig.verdict(1, Decision::Replace(made_text(1, "b")));
    lose(&mut rig);
    assert_eq!(resumed(&rig).applied, Applied { settled: 1, injected: 6, ended: false });
    rig.data(text_block(0, &["one"]));
    rig.working();
    rig.pass_all();
    lose(&mut rig);
    assert_eq!((resumed(&rig).epoch, resumed(&rig).applied.injected), (2, 0));
}

#[test]
fn a_response_that_was_ended_is_told_to_be() {
    let mut rig = streaming(GATE_ALL);
    rig.data(message_start());
    rig.verdict(1, Decision::End { events: made_text(0, "no"), reason: None });
    assert_eq!(rig.finished, Some(true));
    lose(&mut rig);
    assert!(resumed(&rig).applied.ended);
}

#[test]
fn a_call_that_nobody_has_admitted_is_told_of_again() {
    let mut rig = Rig::resumable(LIMITS, TAKEOVER);
    lose(&mut rig);
    assert_eq!((resumed(&rig).epoch, &resumed(&rig).admission), (1, &None));
    assert!(matches!(rig.told[1], ToService::CallStarted(_)));
    rig.admit_resumable(GATE_ALL, FailureMode::Closed);
    assert_eq!(rig.forwarded.len(), 1);
    assert_eq!(rig.call.stats().resumed, 1);
}

#[test]
fn while_no_service_has_the_call_nothing_is_let_through_and_then_it_ends_closed() {
    let mut rig = streaming(GATE_ALL);
    rig.data(message_start());
    rig.pass_all();
    rig.data(text_block(0, &["secret"]));
    for _ in 0..200 {
        lose(&mut rig);
        rig.after(Duration::from_millis(100));
    }
    let written: Vec<_> = outline(rig.text()).into_iter().filter(|event| event != "ping").collect();
    assert_eq!(written, ["message_start", "error overloaded_error"]);
    assert_eq!(rig.done.as_ref().map(Result::is_err), Some(true));
    assert!(rig.told_before.len() > 10, "it was tried {} times", rig.told_before.len());
}

#[test]
fn a_service_that_dies_of_what_it_is_told_is_not_tried_for_ever() {
    let mut rig = streaming(GATE_ALL);
    rig.data(message_start());
    rig.pass_all();
    rig.data(text_block(0, &["poison"]));
    lose(&mut rig);
    let mut streams = 0;
    while rig.done.is_none() {
        // It takes a first word, and never what killed the one before.
        rig.input(Input::Service(luthien_proto::FromService { message: Reply::Working, seen: 0 }));
        lose(&mut rig);
        rig.after(Duration::from_millis(500));
        streams += 1;
        assert!(streams < 100);
    }
    assert_eq!(outline(rig.text()).last().unwrap(), "error overloaded_error");
    assert!(!rig.text().contains("poison"));
}

#[test]
fn a_record_that_is_not_durable_is_told_again_when_the_client_has_everything() {
    let mut rig = streaming(Interest::all(Level::Record));
    let body = message_start() + &text_block(0, &["one"]) + &message_end("end_turn");
    rig.data(&body);
    rig.working();
    rig.working();
    rig.end();
    while !matches!(rig.told.last(), Some(ToService::CallEnded(_))) {
        rig.working();
    }
    assert_eq!((rig.finished, rig.text()), (Some(true), body.as_str()));
    let told = rig.told.clone();
    lose(&mut rig);
    assert_eq!(rig.told[1..], told);
    assert!(rig.closed_service);
    assert_eq!(rig.done, None);
    rig.input(Input::ServiceClosed(Ok(())));
    assert_eq!(rig.done, Some(Ok(())));
}

#[test]
fn a_loss_is_final_where_more_was_told_than_is_kept() {
    let mut rig = Rig::resumable(luthien_call::call::Limits { resume: 600, ..LIMITS }, TAKEOVER);
    rig.admit_resumable(GATE_ALL, FailureMode::Closed);
    rig.head(200, Content::Sse);
    rig.data(message_start() + &text_block(0, &[&"long ".repeat(200)]));
    lose(&mut rig);
    assert_eq!(rig.call_ended_outcome(), Outcome::Failed);
    assert!(rig.call.stats().outgrown);
}

#[test]
fn a_loss_is_final_where_the_service_did_not_offer_more_or_says_that_we_are_at_fault() {
    let mut rig = Rig::resumable(LIMITS, TAKEOVER);
    rig.admit(GATE_ALL, FailureMode::Closed);
    lose(&mut rig);
    assert_eq!(rig.call_ended_outcome(), Outcome::Failed);
    let mut rig = streaming(GATE_ALL);
    rig.input(Input::ServiceClosed(Err(Loss::Refused("invalid".into()))));
    assert_eq!(rig.call_ended_outcome(), Outcome::Failed);
}

#[test]
fn a_silent_service_is_left_for_another() {
    let mut rig = streaming(GATE_ALL);
    rig.data(message_start());
    rig.after(Duration::from_secs(11));
    assert_eq!(resumed(&rig).epoch, 1);
    rig.pass_all();
    assert_eq!(outline(rig.text()).last().unwrap(), "message_start");
}

#[test]
fn what_the_lost_service_left_unseen_is_not_told_twice_on_one_stream() {
    let mut rig = streaming(GATE_ALL);
    rig.data(message_start());
    lose(&mut rig);
    rig.data(text_block(0, &["one"]));
    let seqs: Vec<u64> = rig.chunks().iter().map(|chunk| chunk.seq).collect();
    assert_eq!(seqs, [1, 2], "what came meanwhile waits until all is taken");
    rig.working();
    let seqs: Vec<u64> = rig.chunks().iter().map(|chunk| chunk.seq).collect();
    assert_eq!(seqs, [1, 2, 3, 4, 5]);
}

#[test]
fn interest_only_falls_and_an_open_block_is_told_to_its_end() {
    let mut rig = streaming(GATE_ALL);
    let block = text_block(0, &["one", "two"]);
    let (before, after) = block.split_at(block.find("two").unwrap());
    let at = before.rfind("event:").unwrap();
    rig.data(message_start() + &block[..at]);
    rig.pass_all();
    rig.say(Reply::Interest(Interest::all(Level::Record)));
    rig.data(&block[at..]);
    assert!(!after.is_empty());
    assert_eq!(outline(rig.text()).last().unwrap(), "content_block_stop 0");
    rig.working();
    let told: Vec<&Step> = rig.chunks().iter().map(|chunk| &chunk.event.step).collect();
    assert!(told.iter().any(|step| matches!(step, Step::BlockStopped(_))), "{told:?}");
    rig.say(Reply::Interest(GATE_ALL));
    rig.data(text_block(1, &["more"]));
    assert_eq!(outline(rig.text()).last().unwrap(), "content_block_stop 1");
    rig.working();
    assert!(matches!(rig.told.last(), Some(ToService::Block(_))), "{:?}", rig.told.last());
}

#[test]
fn each_service_that_is_told_the_end_has_its_own_time_to_close() {
    let mut rig = streaming(Interest::all(Level::Record));
    rig.data(message_start() + &text_block(0, &["one"]) + &message_end("end_turn"));
    rig.working();
    rig.working();
    rig.end();
    while !matches!(rig.told.last(), Some(ToService::CallEnded(_))) {
        rig.working();
    }
    rig.after(Duration::from_secs(30));
    assert_eq!(resumed(&rig).epoch, 1);
    rig.working();
    rig.after(Duration::from_secs(29));
    assert_eq!(resumed(&rig).epoch, 1);
    rig.input(Input::ServiceClosed(Ok(())));
    assert_eq!(rig.done, Some(Ok(())));
}

#[test]
fn a_close_before_the_last_message_was_told_is_a_loss() {
    let mut rig = streaming(Interest::all(Level::Record));
    rig.data(message_start() + &text_block(0, &["one"]) + &message_end("end_turn"));
    rig.end();
    assert_eq!(rig.finished, Some(true));
    assert!(!matches!(rig.told.last(), Some(ToService::CallEnded(_))), "a batch is under way");
    rig.input(Input::ServiceClosed(Ok(())));
    assert_eq!((resumed(&rig).epoch, &rig.done), (1, &None));
    for _ in 0..4 {
        rig.working();
    }
    assert!(matches!(rig.told.last(), Some(ToService::CallEnded(_))));
    rig.input(Input::ServiceClosed(Ok(())));
    assert_eq!(rig.done, Some(Ok(())));
}

#[test]
fn a_call_whose_client_left_before_anybody_admitted_it_is_put_on_record_by_another() {
    let mut rig = Rig::resumable(LIMITS, TAKEOVER);
    rig.input(Input::ClientGone);
    lose(&mut rig);
    let told: Vec<_> = rig.told.iter().map(std::mem::discriminant).collect();
    assert_eq!(told.len(), 3, "CallResumed, CallStarted, CallEnded: {:?}", rig.told);
    rig.input(Input::ServiceClosed(Ok(())));
    assert_eq!(rig.done, Some(Ok(())));
}
