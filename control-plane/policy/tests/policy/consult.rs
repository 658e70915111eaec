//! Policies that ask models.

use luthien_policy::{Consulted, ConsultedOutput, Fault, HookOutput, HookResult, Seen};
use luthien_proto::{
    Step, ToService,
    event::{BlockKind, FinishReason},
    message::{Consultation, Decision, FailureMode, Interest, Level, Severity},
};
use serde_json::{Value, json};

use crate::{
    proxy::{Proxy, call},
    response::{failed, piece, read, response, start, stop, text, tool},
    scripted::{Act, Acting, Answered, Scripted, pass, pipeline, question, scripted, set_of},
};
use luthien_proto::request::Dialect;

/// Holds each block from its start, and asks about it when it has stopped.
fn hold_and_ask(acting: &mut Acting, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
    if seen.block.is_some() {
        acting.held.push(out.hold());
    }
    if matches!(seen.event.step, Step::BlockStopped(_)) {
        acting.asked.push(out.consult(question(&format!("chunk {}?", seen.seq))));
    }
    Ok(())
}

/// Passes all that is held at "yes", drops it at "no", ends with "end".
fn as_answered(acting: &mut Acting, consulted: &Consulted<'_>, out: &mut ConsultedOutput<'_>) -> HookResult {
    let answer = consulted.text().unwrap_or_else(|error| error.message.clone());
    out.annotate(2, Severity::Info, format!("{:?} said {answer}", consulted.id), None);
    let held = std::mem::take(&mut acting.held);
    match answer.as_str() {
        "yes" => held.into_iter().for_each(|held| out.pass_held(held)),
        "end" => {
            let events = text(out.new_block().0, ["That is all."]);
            out.end_held(held[1], events, Some(FinishReason::ContentFilter), true);
        }
        "again" => {
            acting.held = held;
            acting.asked.push(out.consult(question("again?")));
        }
        _ => held.into_iter().for_each(|held| out.replace_held(held, Vec::new())),
    }
    Ok(())
}

fn judge(name: &'static str) -> Scripted {
    Scripted { answered: as_answered, ..scripted(name, hold_and_ask) }
}

fn consults(entries: &[Value]) -> Vec<Value> {
    let bodies = entries.iter().map(|entry| entry["body"].clone());
    bodies.filter(|body| body["type"] == "consult").collect()
}

#[test]
fn what_is_held_waits_for_the_answer_and_goes_by_it() {
    for (answer, expected) in [("yes", vec!["text: one"]), ("no", vec![])] {
        let mut proxy = pipeline([judge("a"), scripted("b", pass)]);
        proxy.respond(&response([text(0, ["one"])])[..4], &[1]);
        assert_eq!(read(&proxy.released), [""; 0]);
        assert_eq!(proxy.running.iter().collect::<Vec<_>>(), ["a/1"]);
        proxy.answer("a/1", answer);
        proxy.send(&response([])[1..]);
        assert_eq!(read(&proxy.released), expected);
        assert_eq!(proxy.held(), 0);
    }
}

#[test]
fn the_last_chunk_waits_while_an_answer_is_owed() {
    let mut proxy = pipeline([judge("a"), scripted("b", pass)]);
    let events = response([text(0, ["one"])]);
    proxy.respond(&events, &[9]);
    assert_eq!(proxy.released, events[..1]);
    proxy.answer("a/1", "again");
    assert_eq!(proxy.released, events[..1]);
    proxy.answer("a/2", "yes");
    assert_eq!(proxy.released, events);
}

#[test]
fn an_answer_that_decides_nothing_is_a_failure_once_the_response_is_over() {
    let ignores: Answered = |_, _, _| Ok(());
    for (failure_mode, expected) in
        [(FailureMode::Closed, vec!["failed: policy a failed"]), (FailureMode::Open, vec!["text: one"])]
    {
        let mut proxy = pipeline([Scripted { answered: ignores, failure_mode, ..judge("a") }]);
        proxy.respond(&response([text(0, ["one"])]), &[9]);
        assert_eq!(read(&proxy.released), [""; 0]);
        proxy.answer("a/1", "yes");
        assert_eq!(read(&proxy.released), expected);
    }
}

#[test]
fn an_end_at_a_held_chunk_cuts_off_what_came_behind_it() {
    let mut proxy = pipeline([judge("a"), scripted("b", pass)]);
    proxy.respond(&response([text(0, ["one", "two"]), text(1, ["three"])])[..7], &[3]);
    proxy.answer("a/1", "end");
    assert_eq!(read(&proxy.released), ["text: That is all."]);
    let last = proxy.verdicts.last().unwrap();
    assert!(matches!(last.decision, Decision::End { reason: Some(FinishReason::ContentFilter), .. }));
    assert_eq!((last.through, last.cancel_upstream), (3, true));
    let entries = proxy.end();
    let outcome = &entries.last().unwrap()["body"];
    let counts = ["received", "passed", "replaced", "dropped", "held", "not_shown"];
    assert_eq!(counts.map(|key| outcome[key].as_u64().unwrap()), [7, 1, 1, 1, 0, 4]);
}

#[test]
fn an_end_waits_for_the_answer_that_a_later_policy_is_owed() {
    let ends: Act = |_, seen, out| {
        if seen.seq == 6 {
            out.end(Vec::new(), None, false);
        }
        Ok(())
    };
    let mut proxy = pipeline([scripted("ends", ends), judge("a")]);
    proxy.respond(&response([text(0, ["one"]), text(1, ["two", "three"])]), &[1]);
    assert!(!proxy.ended_by_policy);
    assert_eq!(read(&proxy.released), [""; 0]);
    proxy.answer("a/1", "yes");
    assert!(proxy.ended_by_policy);
    assert_eq!(read(&proxy.released), ["text: one", "text: …"]);
    let entries = proxy.end();
    assert_eq!(entries.last().unwrap()["body"]["held"], 0);
    assert_eq!(entries.last().unwrap()["body"]["not_shown"], 5);
}

#[test]
fn whoever_has_ended_the_response_needs_no_answers() {
    let panics: Act = |_, seen, _| {
        assert_ne!(seen.seq, 6, "not my day");
        Ok(())
    };
    let mut proxy = pipeline([judge("a"), Scripted { ..scripted("b", pass) }]);
    proxy.respond(&response([text(0, ["one"])])[..4], &[1]);
    proxy.answer("a/1", "end");
    assert_eq!(proxy.cancelled, [""; 0]);

    let mut proxy = pipeline([scripted("panics", panics), judge("a")]);
    proxy.respond(&response([text(0, ["one"]), text(1, ["two"])]), &[1]);
    assert_eq!(read(&proxy.released), ["failed: policy panics failed"]);
    assert_eq!(proxy.cancelled, ["a/1"]);
    let late = Consultation { id: "a/1".to_owned(), events: response([text(0, ["yes"])]), reused: false };
    proxy.session.handle(ToService::Consultation(late)).expect("one that is on its way may still come");
}

#[test]
fn an_answer_that_nobody_asked_for_is_a_fault() {
    let consultation = |id: &str| {
        ToService::Consultation(Consultation { id: id.to_owned(), events: response([text(0, ["yes"])]), reused: false })
    };
    for id in ["a/2", "b/1", "a", "a/01", "a/1/1", "/1"] {
        let mut proxy = pipeline([judge("a")]);
        proxy.respond(&response([text(0, ["one"])])[..4], &[1]);
        assert_eq!(proxy.session.handle(consultation(id)), Err(Fault::Unasked), "{id}");
    }
    let mut proxy = pipeline([judge("a")]);
    proxy.respond(&response([text(0, ["one"])])[..4], &[1]);
    proxy.answer("a/1", "yes");
    assert_eq!(proxy.session.handle(consultation("a/1")), Err(Fault::Unasked));
}

#[test]
fn a_proxy_that_can_not_ask_makes_the_policy_fail() {
    let mut started = call(Dialect::OpenAiChat);
    started.capabilities.clear();
    let mut proxy = Proxy::start_call(set_of([judge("a")]), started);
    proxy.respond(&response([text(0, ["one"])]), &[1]);
    assert_eq!(read(&proxy.released), ["failed: policy a failed"]);
    let error = &proxy.annotations().last().unwrap().details.as_ref().unwrap()["error"];
    assert_eq!(error, "the policy has a question, and the proxy is not able to ask models");
}

#[test]
fn a_policy_that_fails_at_an_answer_fails_like_any_other() {
    let panics: Answered = |_, _, _| panic!("not my day");
    let twice: Answered = |acting, _, out| {
        let held = acting.held[0];
        out.pass_held(held);
        out.pass_held(held);
        Ok(())
    };
    for answered in [panics, twice] {
        let mut proxy = pipeline([Scripted { answered, ..judge("a") }]);
        proxy.respond(&response([text(0, ["one"])])[..4], &[1]);
        proxy.answer("a/1", "yes");
        assert_eq!(read(&proxy.released), ["failed: policy a failed"]);
    }
}

#[test]
fn one_that_is_cancelled_is_not_answered_and_holds_nothing_up() {
    let cancels: Act = |acting, seen, out| {
        hold_and_ask(acting, seen, out)?;
        if let Step::Finished(_) = seen.event.step {
            acting.asked.drain(..).for_each(|id| out.cancel_consult(id));
            acting.held.drain(..).for_each(|held| out.pass_held(held));
        }
        Ok(())
    };
    let events = response([text(0, ["one"])]);
    let mut proxy = pipeline([Scripted { answered: |_, _, _| panic!("nobody asked"), ..scripted("a", cancels) }]);
    proxy.respond(&events, &[1]);
    assert_eq!((&proxy.released, &proxy.cancelled[..]), (&events, &["a/1".to_owned()][..]));

    let mut proxy = pipeline([scripted("a", cancels)]);
    proxy.respond(&events, &[9]);
    assert_eq!(proxy.released, events);
    assert!(proxy.consults.is_empty(), "what is asked and cancelled at once was never asked");
    assert_eq!(consults(&proxy.end())[0]["state"], "cancelled");
}

#[test]
fn consults_are_on_record() {
    let mut proxy = pipeline([judge("a")]);
    let blocks = [text(0, ["one"]), text(1, ["two"]), text(2, ["three"])];
    proxy.respond(&response(blocks), &[1]);
    proxy.answer("a/1", "yes");
    proxy.consulted("a/2", vec![failed()]);
    let entries = proxy.end();
    let [first, second, third] = &consults(&entries)[..] else { panic!("{entries:?}") };
    assert_eq!(
        *first,
        json!({
            "type": "consult", "policy": "a", "id": "a/1", "state": "answered", "model": "judge",
            "credentials": "configured", "asked_us": 4000, "answered_us": 13000,
            "request": { "stream": false, "messages": [{ "role": "user", "content": [{ "text": "chunk 4?" }] }] },
            "answer": [{ "kind": "text", "content": { "text": "yes" } }], "usage": { "input": 5, "output": 7 },
        }),
    );
    assert_eq!((&second["state"], &second["error"]), (&json!("failed"), &json!("overloaded")));
    assert_eq!((&third["state"], third.get("answered_us")), (&json!("unanswered"), None));
}

#[test]
fn a_policy_that_only_watches_may_ask_too() {
    let asks: Act = |acting, seen, out| {
        if matches!(seen.event.step, Step::BlockStopped(_)) {
            acting.asked.push(out.consult(question("well?")));
        }
        Ok(())
    };
    let notes: Answered = |_, consulted, out| {
        out.annotate(4, Severity::Warning, consulted.text().unwrap(), None);
        Ok(())
    };
    let mut proxy =
        pipeline([Scripted { interest: Interest::all(Level::Observe), answered: notes, ..scripted("a", asks) }]);
    let events = response([text(0, ["one"])]);
    proxy.respond(&events, &[1]);
    assert_eq!(proxy.released, events);
    proxy.answer("a/1", "hm");
    let entries = proxy.end();
    assert!(entries.iter().any(|entry| entry["body"]["summary"] == "hm"), "{entries:?}");
}

#[test]
fn consults_of_interleaved_blocks_are_asked_at_once_and_answered_in_any_order() {
    let asks: Act = |acting, seen, out| {
        if let Some(block) = seen.block {
            let held = out.hold();
            acting.held.push(held);
            if matches!(seen.event.step, Step::BlockStopped(_)) {
                out.consult(question(&format!("{}", block.key.0)));
            }
        }
        Ok(())
    };
    let passes: Answered = |acting, consulted, out| {
        let mine: Vec<usize> = if consulted.text().unwrap() == "first" { vec![0, 2] } else { vec![1, 3] };
        mine.into_iter().for_each(|at| out.pass_held(acting.held[at]));
        Ok(())
    };
    let blocks = vec![start(0, BlockKind::Text), start(1, BlockKind::Text), stop(0), stop(1)];
    let mut proxy = pipeline([Scripted { answered: passes, ..scripted("a", asks) }]);
    let events = response([blocks]);
    proxy.respond(&events, &[1]);
    assert_eq!(proxy.running.len(), 2);
    proxy.answer("a/2", "second");
    assert_eq!(proxy.released, events[..1]);
    proxy.answer("a/1", "first");
    assert_eq!(proxy.released, events);
}

#[test]
fn a_call_that_is_over_first_leaves_its_questions_unanswered() {
    let mut proxy = pipeline([judge("a")]);
    proxy.respond(&response([tool(0, "f", &["{}"])])[..4], &[1]);
    proxy.session.lost();
    let entries = proxy.rest();
    assert_eq!(consults(&entries)[0]["state"], "unanswered");
    assert_eq!(entries.last().unwrap()["body"]["held"], 3);
}

#[test]
fn the_generator_gives_the_same_numbers_again() {
    let draws: Act = |_, seen, out| {
        if matches!(seen.event.step, Step::BlockDelta(_)) {
            let drawn = [out.random(), out.random()];
            out.annotate(Severity::Info, format!("{drawn:?}"), None);
        }
        Ok(())
    };
    let said = |names: [&'static str; 2]| {
        let mut proxy = pipeline(names.map(|name| scripted(name, draws)));
        proxy.respond(&response([vec![start(0, BlockKind::Text), piece(0, "a"), piece(0, "b"), stop(0)]]), &[9]);
        proxy.annotations().iter().map(|note| note.summary.clone()).collect::<Vec<_>>()
    };
    let mut all = said(["a", "b"]);
    assert_eq!(all, said(["a", "b"]));
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 4);
}
