//! A call that no policy service had at its end is reported; what passed unjudged is told, whoever hears it.

use std::time::Duration;

use luthien_call::call::{Content, Input, Limits, Loss};
use luthien_proto::{
    ToService,
    message::{CallReport, Decision, FailureMode, Interest, Level, Opened, Outcome, ServiceFailure},
    request::Dialect,
};

use crate::rig::{GATE_ALL, LIMITS, Rig, message_end, message_start, text_block};

const TAKEOVER: Duration = Duration::from_secs(15);

fn lose(rig: &mut Rig) {
    rig.input(Input::ServiceClosed(Err("gone".into())));
}

/// A call that streams, of which all is gated.
fn judged(mode: FailureMode) -> Rig {
    let mut rig = Rig::new(Dialect::AnthropicMessages);
    rig.admit(GATE_ALL, mode);
    rig.head(200, Content::Sse);
    rig
}

fn reported(rig: &Rig) -> &CallReport {
    assert!(rig.done.is_some(), "the call is over");
    rig.report.as_ref().expect("the call is reported")
}

fn body() -> String {
    message_start() + &text_block(0, &["one", "two"]) + &message_end("end_turn")
}

#[test]
fn a_call_that_ended_closed_since_nobody_took_it_over_is_reported() {
    let mut rig = judged(FailureMode::Closed);
    rig.data(message_start());
    rig.pass_all();
    rig.data(text_block(0, &["secret"]));
    lose(&mut rig);
    let report = reported(&rig);
    assert_eq!((report.epoch, report.cause, report.reason.as_str()), (1, ServiceFailure::Lost, "gone"));
    assert_eq!((report.ended.outcome, report.ended.written), (Outcome::Failed, 2));
    assert_eq!((report.revision.as_str(), report.pipeline.as_slice()), ("r", &["p".to_owned()][..]));
    assert_eq!(report.ended.opened, None);
    assert_eq!(report.usage.as_ref().and_then(|usage| usage.input), Some(3));
    assert!(!report.request_left_out);
}

#[test]
fn a_report_has_the_epoch_behind_the_last_stream_that_was_tried() {
    let mut rig = Rig::resumable(LIMITS, TAKEOVER);
    rig.admit_resumable(GATE_ALL, FailureMode::Closed);
    rig.head(200, Content::Sse);
    rig.data(message_start());
    while rig.done.is_none() {
        lose(&mut rig);
        rig.after(Duration::from_millis(500));
    }
    let last = rig.told_before.iter().chain([&rig.told]).filter_map(|told| match told.first() {
        Some(ToService::CallResumed(resumed)) => Some(resumed.epoch),
        _ => None,
    });
    assert_eq!(Some(reported(&rig).epoch), last.max().map(|epoch| epoch + 1));
}

#[test]
fn a_call_that_nobody_admitted_is_reported() {
    let mut rig = Rig::new(Dialect::AnthropicMessages);
    lose(&mut rig);
    let report = reported(&rig);
    assert_eq!(
        (report.cause, report.ended.outcome, report.ended.status),
        (ServiceFailure::NotAdmitted, Outcome::Failed, 503)
    );
    assert_eq!((report.revision.as_str(), report.ended.upstream_status), ("", 0));
}

#[test]
fn what_passed_when_the_service_was_lost_is_in_the_report() {
    let mut rig = judged(FailureMode::Open);
    rig.data(message_start());
    rig.pass_all();
    rig.data(text_block(0, &["one", "two"]));
    lose(&mut rig);
    rig.data(message_end("end_turn"));
    rig.end();
    assert_eq!((rig.finished, rig.text()), (Some(true), body().as_str()));
    let (cause, reason) = (ServiceFailure::Lost, "gone".to_owned());
    let opened = Opened { first: 3, last: 9, chunks: 7, cause, reason };
    let report = reported(&rig);
    assert_eq!((report.ended.outcome, report.ended.opened.as_ref()), (Outcome::Delivered, Some(&opened)));
}

#[test]
fn all_of_a_response_that_nobody_admitted_passed_unjudged() {
    let mut rig = Rig::with(Dialect::AnthropicMessages, LIMITS, FailureMode::Open);
    lose(&mut rig);
    rig.head(200, Content::Sse);
    rig.data(body());
    rig.end();
    let report = reported(&rig);
    let opened = report.ended.opened.as_ref().unwrap();
    assert_eq!((opened.first, opened.last, opened.chunks), (1, 9, 9));
    assert_eq!((report.cause, opened.cause), (ServiceFailure::NotAdmitted, ServiceFailure::NotAdmitted));
}

#[test]
fn so_did_one_that_could_not_be_read() {
    let mut rig = Rig::with(Dialect::AnthropicMessages, LIMITS, FailureMode::Open);
    lose(&mut rig);
    rig.head(200, Content::Encoded);
    rig.data("compressed");
    rig.end();
    let opened = reported(&rig).ended.opened.as_ref().unwrap();
    assert_eq!((opened.first, opened.last, opened.chunks), (0, 0, 0));
}

#[test]
fn what_passed_by_a_fault_of_the_service_is_told_to_it() {
    let mut rig = judged(FailureMode::Open);
    rig.data(message_start());
    rig.verdict(100, Decision::Pass);
    rig.data(text_block(0, &["one", "two"]) + &message_end("end_turn"));
    rig.end();
    while !matches!(rig.told.last(), Some(ToService::CallEnded(_))) {
        rig.working();
    }
    let opened = rig.call_ended().opened.clone().unwrap();
    assert_eq!((opened.first, opened.last, opened.cause), (1, 9, ServiceFailure::Faulted));
    assert!(opened.reason.contains("100"), "{}", opened.reason);
    rig.input(Input::ServiceClosed(Ok(())));
    assert!(rig.done.is_some() && rig.report.is_none(), "it heard the end");
}

#[test]
fn a_delivered_call_whose_record_may_not_be_durable_is_reported() {
    let limits = Limits { resume: 600, ..LIMITS };
    let mut rig = Rig::resumable(limits, TAKEOVER);
    rig.admit_resumable(Interest::all(Level::Record), FailureMode::Closed);
    rig.head(200, Content::Sse);
    rig.data(message_start() + &text_block(0, &[&"long ".repeat(200)]) + &message_end("end_turn"));
    rig.end();
    while !matches!(rig.told.last(), Some(ToService::CallEnded(_))) {
        rig.working();
    }
    lose(&mut rig);
    let report = reported(&rig);
    assert_eq!((report.cause, report.ended.outcome), (ServiceFailure::NotRecorded, Outcome::Delivered));
    assert_eq!(report.reason, "gone; more had been told than is kept for another one");
}

#[test]
fn a_call_that_the_service_takes_for_a_fault_of_ours_is_reported() {
    let mut rig = judged(FailureMode::Closed);
    rig.input(Input::ServiceClosed(Err(Loss::Refused("invalid".into()))));
    assert_eq!((reported(&rig).cause, reported(&rig).reason.as_str()), (ServiceFailure::Lost, "invalid"));
}

#[test]
fn a_client_that_left_before_anybody_admitted_its_call_is_reported() {
    let mut rig = Rig::new(Dialect::AnthropicMessages);
    rig.input(Input::ClientGone);
    rig.input(Input::ServiceClosed(Err(Loss::Refused("gone".into()))));
    let report = reported(&rig);
    assert_eq!((report.cause, report.ended.outcome), (ServiceFailure::NotAdmitted, Outcome::CutByClient));
}

#[test]
fn of_a_request_that_is_larger_than_what_is_kept_only_an_outline_is_reported() {
    let mut rig = Rig::with(Dialect::AnthropicMessages, Limits { resume: 10, ..LIMITS }, FailureMode::Closed);
    lose(&mut rig);
    let report = reported(&rig);
    assert!(report.request_left_out);
    assert_eq!((report.started.request.model.as_str(), report.started.request.stream), ("m", true));
}

#[test]
fn a_call_whose_record_is_durable_is_not_reported() {
    let mut rig = judged(FailureMode::Closed);
    rig.data(body());
    rig.pass_all();
    rig.end();
    rig.pass_all();
    rig.input(Input::ServiceClosed(Ok(())));
    assert!(rig.done.is_some() && rig.report.is_none());
}
