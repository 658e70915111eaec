use luthien_proto::{
    Request,
    message::{CallEnded, CallStarted, Opened, Outcome, Waited},
    request::{Content, ContentBlock, Dialect, Message},
};
use tonic::Status;

use super::*;

fn report(number: u128, cause: ServiceFailure, words: usize) -> CallReport {
    let content = vec![Content::from(ContentBlock::Text("word ".repeat(words)))];
    let message = Message { role: "user".to_owned(), content, extras: Default::default() };
    let started = CallStarted {
        call_id: Uuid::from_u128(number),
        started_at_us: 1,
        dialect: Dialect::OpenAiChat,
        upstream_dialect: Dialect::OpenAiChat,
        upstream: "up".to_owned(),
        route: "*".to_owned(),
        upstream_model: "m".to_owned(),
        client: String::new(),
        session: String::new(),
        dropped: Vec::new(),
        omitted: Vec::new(),
        capabilities: Vec::new(),
        headers: Vec::new(),
        request: Request { model: "m".to_owned(), choices: 1, messages: vec![message], ..Request::default() },
    };
    let ended = CallEnded {
        outcome: Outcome::Failed,
        written: 0,
        reason: "no".to_owned(),
        status: 503,
        upstream_status: 0,
        upstream_first_us: 0,
        client_first_us: 2,
        ended_us: 3,
        opened: None,
        waited: Waited::default(),
    };
    CallReport {
        epoch: 1,
        started: Box::new(started),
        request_left_out: false,
        ended,
        cause,
        reason: "gone".to_owned(),
        revision: String::new(),
        pipeline: Vec::new(),
        usage: None,
    }
}

fn refused(number: u128) -> CallReport {
    report(number, ServiceFailure::NotAdmitted, 1)
}

fn lost(number: u128) -> CallReport {
    report(number, ServiceFailure::Lost, 1)
}

fn calls(reports: &Reports) -> Vec<u128> {
    reports.waiting.borrow().queue.iter().map(|report| report.call_id.as_u128()).collect()
}

fn lost_count(reports: &Reports) -> u64 {
    reports.counts()[1].1
}

#[test]
fn where_there_is_no_room_refused_calls_go_first_and_then_the_oldest() {
    let reports = Reports::with_room(1 << 20, 3);
    [lost(1), refused(2), lost(3), lost(4), lost(5)].into_iter().for_each(|report| reports.push(report));
    assert_eq!((calls(&reports), lost_count(&reports)), (vec![3, 4, 5], 2));
}

#[test]
fn a_call_that_passed_unadmitted_is_no_refused_one() {
    let reports = Reports::with_room(1 << 20, 1);
    let mut passed = refused(1);
    let (cause, reason) = (ServiceFailure::NotAdmitted, String::new());
    passed.ended.opened = Some(Opened { first: 1, last: 2, chunks: 2, cause, reason });
    reports.push(passed);
    assert!(!reports.waiting.borrow().queue[0].is_refusal);
}

#[test]
fn a_request_for_which_there_is_no_room_is_left_out() {
    let reports = Reports::with_room(2000, 10);
    reports.push(report(1, ServiceFailure::Lost, 10_000));
    reports.push(lost(2));
    let waiting = reports.waiting.borrow();
    let are_full: Vec<_> = waiting.queue.iter().map(|report| report.full.is_some()).collect();
    assert_eq!(are_full, [false, true]);
    assert_eq!(waiting.bytes, waiting.queue.iter().map(Report::bytes).sum::<usize>());
}

#[test]
fn what_is_not_taken_is_told_without_its_request_and_then_lost() {
    let reports = Reports::default();
    reports.push(lost(1));
    let refuse = || {
        let report = reports.take(1).remove(0);
        reports.answered(report, &Err(Status::invalid_argument("no")));
    };
    refuse();
    assert_eq!((calls(&reports), lost_count(&reports)), (vec![1], 0));
    refuse();
    assert_eq!((reports.waiting(), lost_count(&reports)), (0, 1));
    assert_eq!(reports.waiting.borrow().bytes, 0);
}

#[tokio::test]
async fn what_can_not_be_told_waits_in_its_place_until_it_is() {
    let reports = Reports::default();
    [lost(1), lost(2), lost(3)].into_iter().for_each(|report| reports.push(report));
    for report in reports.take(2).into_iter().rev() {
        reports.answered(report, &Err(Status::unavailable("nobody")));
    }
    assert_eq!(calls(&reports), [1, 2, 3]);
    let mut taken = reports.take(3);
    reports.answered(taken.remove(0), &Ok(()));
    assert_eq!(reports.waiting(), 2, "those that are being told wait too");
    taken.into_iter().for_each(|report| reports.answered(report, &Ok(())));
    reports.drained().await;
    assert_eq!(reports.counts(), [("told", 3), ("lost", 0)]);
}
