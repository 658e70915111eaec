//! Policies ask models: each question once, the answers on the stream that asks, within limits.

use std::time::Duration;

use luthien_call::call::{Content, Input};
use luthien_proto::{
    Request, ToService,
    event::{Event, Step},
    message::{Consult, Credentials, FailureMode, Reply},
};

use crate::rig::{GATE_ALL, LIMITS, Rig, message_start};

fn admitted() -> Rig {
    let mut rig = Rig::resumable(LIMITS, Duration::from_secs(15));
    rig.admit_resumable(GATE_ALL, FailureMode::Closed);
    rig.head(200, Content::Sse);
    rig.data(message_start());
    rig
}

fn question(id: &str) -> Box<Consult> {
    Box::new(Consult {
        id: id.to_owned(),
        request: Request { model: "judge".into(), choices: 1, ..Request::default() },
        upstream: String::new(),
        credentials: Credentials::Configured,
        deadline_ms: None,
        reuse: false,
    })
}

fn answer(rig: &mut Rig, id: &str) {
    let events: Vec<Event> = vec![Step::Ended.into()];
    rig.input(Input::Consulted { id: id.to_owned(), events, reused: false });
}

fn answered(rig: &Rig) -> Vec<&str> {
    let ids = rig.told.iter().filter_map(|message| match message {
        ToService::Consultation(consultation) => Some(consultation.id.as_str()),
        _ => None,
    });
    ids.collect()
}

#[test]
fn a_question_is_asked_and_the_answer_told_though_chunks_are_under_way() {
    let mut rig = admitted();
    rig.say(Reply::Consult(question("a/1")));
    assert_eq!(rig.consults.len(), 1);
    answer(&mut rig, "a/1");
    assert_eq!(answered(&rig), ["a/1"]);
    answer(&mut rig, "a/1");
    answer(&mut rig, "never/1");
    assert_eq!(answered(&rig), ["a/1"], "what nobody waits for is not told");
}

#[test]
fn of_more_questions_than_may_run_the_others_wait_and_of_more_than_there_may_be_the_rest_fails() {
    let mut rig = admitted();
    for number in 1..=5 {
        rig.say(Reply::Consult(question(&format!("a/{number}"))));
    }
    assert_eq!(rig.consults.len(), 2);
    assert_eq!(answered(&rig), ["a/5"]);
    answer(&mut rig, "a/2");
    answer(&mut rig, "a/1");
    let asked: Vec<_> = rig.consults.iter().map(|consult| consult.id.as_str()).collect();
    assert_eq!(asked, ["a/1", "a/2", "a/3", "a/4"]);
}

#[test]
fn a_cancelled_question_is_withdrawn_and_its_answer_forgotten() {
    let mut rig = admitted();
    (1..=3).for_each(|number| rig.say(Reply::Consult(question(&format!("a/{number}")))));
    rig.say(Reply::CancelConsult("a/1".into()));
    rig.say(Reply::CancelConsult("a/1".into()));
    assert_eq!((rig.cancelled_consults.as_slice(), rig.consults.len()), (&["a/1".to_owned()][..], 3));
    answer(&mut rig, "a/1");
    assert!(answered(&rig).is_empty());
}

#[test]
fn the_next_service_asks_again_and_is_answered_from_what_is_known() {
    let mut rig = admitted();
    rig.say(Reply::Consult(question("a/1")));
    rig.say(Reply::Consult(question("a/2")));
    answer(&mut rig, "a/1");
    rig.input(Input::ServiceClosed(Err("gone".into())));
    assert_eq!(answered(&rig), ["a/1"], "it is told again with all else");
    rig.say(Reply::Consult(question("a/1")));
    rig.say(Reply::Consult(question("a/2")));
    assert_eq!(rig.consults.len(), 2, "no model is asked twice");
    answer(&mut rig, "a/2");
    assert_eq!(answered(&rig), ["a/1", "a/2"]);
}

#[test]
fn what_the_next_service_would_take_for_an_answer_makes_no_other_question() {
    let mut rig = admitted();
    rig.say(Reply::Consult(question("a/1")));
    rig.input(Input::ServiceClosed(Err("gone".into())));
    rig.say(Reply::Consult(Box::new(Consult { reuse: true, ..*question("a/1") })));
    assert_eq!((rig.consults.len(), &rig.done), (1, &None));
    assert!(rig.heads.is_empty(), "the call goes on");
}

#[test]
fn an_answer_that_was_given_before_is_told_to_be_and_again_as_it_was() {
    let mut rig = admitted();
    rig.say(Reply::Consult(Box::new(Consult { reuse: true, ..*question("a/1") })));
    rig.input(Input::Consulted { id: "a/1".to_owned(), events: vec![Step::Ended.into()], reused: true });
    let reused = |rig: &Rig| {
        let told = rig.told.iter().filter_map(|message| match message {
            ToService::Consultation(consultation) => Some(consultation.reused),
            _ => None,
        });
        told.collect::<Vec<_>>()
    };
    assert_eq!(reused(&rig), [true]);
    rig.input(Input::ServiceClosed(Err("gone".into())));
    assert_eq!(reused(&rig), [true]);
}

#[test]
fn an_id_that_stands_for_two_questions_ends_the_call_closed() {
    let mut rig = admitted();
    rig.say(Reply::Consult(question("a/1")));
    let mut other = question("a/1");
    other.request.model = "another".into();
    rig.say(Reply::Consult(other));
    assert_eq!(rig.heads.len(), 1);
    assert!(rig.text().contains("error") && !rig.text().contains("message_start"), "{}", rig.text());
}

#[test]
fn what_runs_when_the_client_leaves_is_withdrawn() {
    let mut rig = admitted();
    rig.say(Reply::Consult(question("a/1")));
    rig.input(Input::ClientGone);
    assert_eq!(rig.cancelled_consults, ["a/1"]);
    answer(&mut rig, "a/1");
    assert!(answered(&rig).is_empty());
}

#[test]
fn a_full_window_is_no_deadlock_while_a_question_runs() {
    let mut rig = Rig::resumable(luthien_call::call::Limits { held: 300, ..LIMITS }, Duration::from_secs(15));
    rig.admit_resumable(GATE_ALL, FailureMode::Closed);
    rig.head(200, Content::Sse);
    rig.data(message_start() + &crate::rig::text_block(0, &[&"long ".repeat(40)]));
    rig.say(Reply::Consult(question("a/1")));
    while rig.chunks().len() < 4 {
        rig.working();
    }
    rig.working();
    assert_eq!(rig.finished, None, "it waits for the answer");
    answer(&mut rig, "a/1");
    rig.working();
    assert_eq!(rig.finished, Some(true), "nothing is left that could settle it");
}
