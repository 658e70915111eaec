//! What policies answer where the upstream has not.

use luthien_call::call::{Content, Head, Input};
use luthien_proto::{
    event::Step,
    message::{Decision, Outcome},
    request::Dialect,
};

use crate::{
    conversion::{DONE, bridge, chat, chunk},
    rig::*,
};

const DIALECTS: [Dialect; 3] = [Dialect::OpenAiChat, Dialect::AnthropicMessages, Dialect::OpenAiResponses];

fn end(text: &str) -> Decision {
    Decision::End { events: made_text(0, text), reason: None }
}

/// The client has a success in the form that it asked for.
fn answered(rig: &Rig, stream: bool) {
    let content_type = if stream { "text/event-stream; charset=utf-8" } else { "application/json" };
    assert_eq!(rig.heads, [Head::Own { status: 200, content_type, retry_after: None }]);
    assert_eq!(rig.finished, Some(true));
    assert!(rig.text().contains("instead"), "{}", rig.text());
    match stream {
        true => assert!(events(rig.text()).len() > 2, "{}", rig.text()),
        false => assert!(serde_json::from_str::<serde_json::Value>(rig.text()).unwrap().is_object()),
    }
}

#[test]
fn an_end_that_cancels_an_upstream_before_it_answered_has_a_head_of_its_own() {
    for dialect in DIALECTS {
        for stream in [true, false] {
            let mut rig = Rig::asking(dialect, stream);
            rig.cancel(0, end("instead"));
            answered(&rig, stream);
            assert!(rig.upstream_cancelled);
            rig.working();
            let ended = rig.call_ended();
            assert_eq!((ended.outcome, ended.status, ended.upstream_status), (Outcome::EndedByPolicy, 200, 0));
        }
    }
}

#[test]
fn so_has_one_that_ends_by_a_verdict_on_the_end_of_the_cancelled_upstream() {
    for dialect in DIALECTS {
        for stream in [true, false] {
            let mut rig = Rig::asking(dialect, stream);
            rig.cancel(0, Decision::Replace(made_text(0, "instead")));
            assert_eq!(rig.text().contains("instead"), stream, "what streams need not wait for the end");
            rig.pass(rig.seq_of(|step| *step == Step::Ended));
            answered(&rig, stream);
        }
    }
}

#[test]
fn an_end_in_place_of_an_upstream_that_cannot_be_reached_is_an_answer() {
    for dialect in DIALECTS {
        for stream in [true, false] {
            let mut rig = Rig::asking(dialect, stream);
            rig.input(Input::UpstreamFailed("connection refused".into()));
            rig.verdict(0, Decision::Replace(made_text(1, "first")));
            assert!(rig.heads.is_empty(), "it may still be a 502");
            rig.verdict(1, end("instead"));
            answered(&rig, stream);
            assert!(rig.text().contains("first"), "{}", rig.text());
        }
    }
}

#[test]
fn a_failure_in_place_of_a_cancelled_upstream_has_its_status() {
    for stream in [true, false] {
        let mut rig = Rig::asking(Dialect::AnthropicMessages, stream);
        rig.cancel(0, Decision::Replace(made_failure("policy guard failed")));
        assert!(matches!(rig.heads[..], [Head::Own { status: 500, content_type: "application/json", .. }]));
        assert!(rig.text().contains("policy guard failed"), "{}", rig.text());
    }
}

#[test]
fn an_answer_in_place_of_one_that_would_be_converted_is_no_other() {
    for stream in [true, false] {
        let bridge = bridge(Dialect::AnthropicMessages, Dialect::OpenAiChat);
        let mut rig = Rig::converting(bridge, stream, GATE_ALL);
        rig.cancel(0, end("instead"));
        answered(&rig, stream);
    }
}

#[test]
fn what_is_made_of_an_upstreams_second_choice_is_dropped_with_it_and_any_other_is_a_fault() {
    let second = serde_json::json!({"choices": [{"index": 1, "delta": {"content": "2nd"}, "finish_reason": "stop"}]});
    let upstream = chat(&serde_json::json!({"content": "1st"}), None)
        + &chunk(second)
        + &chat(&serde_json::json!({}), Some("stop"))
        + DONE;
    for (choice, is_fault) in [(1, false), (2, true)] {
        let bridge = bridge(Dialect::AnthropicMessages, Dialect::OpenAiChat);
        let mut rig = Rig::converting(bridge, true, GATE_ALL);
        rig.head(200, Content::Sse);
        rig.data(&upstream);
        rig.pass(1);
        rig.verdict(1, Decision::Replace(made_text_in(choice, "made")));
        rig.pass_all();
        rig.end();
        rig.pass_all();
        assert!(!rig.text().contains("made") && !rig.text().contains("2nd"), "{}", rig.text());
        assert_eq!(rig.text().contains("1st"), !is_fault, "{}", rig.text());
        let outcome = if is_fault { Outcome::Failed } else { Outcome::Delivered };
        assert_eq!(rig.call_ended().outcome, outcome, "{}", rig.text());
    }
}
