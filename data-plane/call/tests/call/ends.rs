//! How calls end that the upstream or the client ends.

use std::time::Duration;

use luthien_call::call::{Content, Head, Input};
use luthien_proto::{
    event::{Kind, Step},
    message::{
        Admission, AdmissionDecision, Decision, FailureMode, Forward, Interest, Level, Limits as ServiceLimits,
        Outcome, Reject, Reply, ToService,
    },
    request::Dialect,
};

use crate::rig::*;

#[test]
fn an_upstream_error_waits_for_its_verdict_and_leaves_as_it_came() {
    let body = r#"{"type":"error","error":{"type":"rate_limit_error","message":"slow down"},"request_id":"r"}"#;
    let mut rig = Rig::new(Dialect::AnthropicMessages);
    rig.admit(GATE_ALL, FailureMode::Closed);
    rig.head(429, Content::Json);
    rig.data(body);
    rig.end();
    assert!(rig.heads.is_empty());
    rig.pass_all();
    assert_eq!(rig.heads, [Head::Upstream { intact: false }]);
    assert_eq!(rig.text(), body);
    assert_eq!(rig.call_ended().outcome, Outcome::Failed);
    assert_eq!(rig.call_ended().status, 429);
}

#[test]
fn an_upstream_error_without_a_body_leaves_as_it_came_too() {
    for content in [Content::Json, Content::Other] {
        let mut rig = Rig::new(Dialect::OpenAiChat);
        rig.admit(GATE_ALL, FailureMode::Closed);
        rig.head(502, content);
        rig.end();
        rig.pass_all();
        assert_eq!(rig.heads, [Head::Upstream { intact: false }]);
        assert_eq!((rig.text(), rig.finished), ("", Some(true)));
        assert_eq!(rig.call_ended().status, 502);
    }
}

#[test]
fn an_upstream_error_that_a_policy_changes_is_said_anew_with_its_status() {
    let mut rig = Rig::new(Dialect::OpenAiChat);
    rig.admit(GATE_ALL, FailureMode::Closed);
    rig.head(400, Content::Json);
    rig.data(r#"{"error":{"message":"leaks a name","type":"invalid_request_error","param":null,"code":null}}"#);
    rig.end();
    rig.verdict(1, Decision::Replace(made_failure("hidden")));
    assert!(matches!(rig.heads[0], Head::Own { status: 500, .. }));
    assert!(rig.text().contains("hidden") && !rig.text().contains("leaks"));
}

#[test]
fn an_error_that_calls_itself_a_stream_is_none_and_waits_for_its_verdict_in_silence() {
    let body = r#"{"error":{"message":"overloaded","type":"server_error","param":null,"code":null}}"#;
    let mut rig = Rig::new(Dialect::OpenAiChat);
    rig.admit(GATE_ALL, FailureMode::Closed);
    rig.head(503, Content::Sse);
    rig.data(body);
    rig.end();
    rig.after(TIMES.keepalive_first);
    assert!(rig.heads.is_empty(), "a status can still be told");
    rig.verdict(1, Decision::Replace(made_failure("hidden")));
    assert!(matches!(rig.heads[0], Head::Own { status: 500, .. }));
    assert!(rig.text().contains("hidden"));
}

#[test]
fn an_upstream_that_breaks_off_is_never_a_clean_stop() {
    let mut rig = Rig::streaming(Dialect::AnthropicMessages, GATE_ALL);
    rig.data(message_start() + &text_block(0, &["a"]) + "event: content_block_start\ndata: {\"type\":");
    rig.pass_all();
    rig.input(Input::UpstreamFailed("connection reset".into()));
    rig.pass_all();
    assert_eq!(outline(rig.text()).last().unwrap(), "error api_error");
    assert_eq!(rig.call_ended().outcome, Outcome::Failed);
}

#[test]
fn an_end_without_a_terminator_is_an_error() {
    for stream in [message_start() + &text_block(0, &["a"]), message_start()] {
        let mut rig = Rig::streaming(Dialect::AnthropicMessages, GATE_ALL);
        rig.data(stream);
        rig.end();
        rig.pass_all();
        assert_eq!(outline(rig.text()).last().unwrap(), "error api_error");
    }
}

#[test]
fn an_end_within_an_event_is_an_error_even_behind_a_finish() {
    let mut rig = Rig::streaming(Dialect::AnthropicMessages, GATE_ALL);
    let end = message_end("end_turn");
    rig.data(message_start() + &text_block(0, &["a"]) + &end[..end.len() - 8]);
    rig.end();
    rig.pass_all();
    assert!(outline(rig.text()).last().unwrap().starts_with("error "), "{}", rig.text());
}

#[test]
fn what_cannot_be_read_is_never_forwarded() {
    let bad = [
        "event: x\ndata: {\"type\":\"content_block_start\",\"index\":0,\"index\":0}\n\n",
        "event: x\ndata: {nonsense\n\n",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":7,\"delta\":{\"type\":\"text_delta\",\"text\":\"nonsense\"}}\n\n",
    ];
    for bad in bad {
        let mut rig = Rig::streaming(Dialect::AnthropicMessages, GATE_ALL);
        rig.data(message_start() + &text_block(0, &["a"]) + bad);
        rig.pass_all();
        assert!(!rig.text().contains("nonsense") && !rig.text().contains("\"index\":0,\"index\":0"), "{}", rig.text());
        assert_eq!(outline(rig.text()).last().unwrap(), "error api_error", "{bad}");
    }
}

#[test]
fn comments_and_ids_are_not_forwarded_in_a_gated_call() {
    let mut rig = Rig::streaming(Dialect::AnthropicMessages, GATE_ALL);
    let odd = ": secret comment\nid: 7\nretry: 5\n".to_owned() + &message_start();
    rig.data(odd + ": another\n\n" + &text_block(0, &["a"]) + &message_end("end_turn"));
    rig.pass_all();
    rig.end();
    assert_eq!(rig.text(), message_start() + &text_block(0, &["a"]) + &message_end("end_turn"));
}

#[test]
fn an_unreachable_upstream_is_a_502_and_a_silent_one_a_504() {
    for (status, input) in [(502, Some(Input::UpstreamFailed("refused".into()))), (504, None)] {
        let mut rig = Rig::new(Dialect::OpenAiChat);
        rig.admit(GATE_ALL, FailureMode::Closed);
        match input {
            Some(input) => rig.input(input),
            None => rig.after(TIMES.first_byte),
        }
        rig.pass_all();
        assert!(matches!(rig.heads[0], Head::Own { status: found, .. } if found == status), "{:?}", rig.heads);
    }
}

#[test]
fn an_upstream_that_falls_silent_is_given_up() {
    let mut rig = Rig::streaming(Dialect::AnthropicMessages, GATE_ALL);
    rig.data(message_start());
    rig.pass_all();
    rig.after(TIMES.idle);
    rig.pass_all();
    assert!(rig.upstream_cancelled);
    assert_eq!(outline(rig.text()).last().unwrap(), "error timeout_error");
}

#[test]
fn a_client_that_leaves_cancels_the_upstream_and_the_end_is_told() {
    let mut rig = Rig::streaming(Dialect::AnthropicMessages, GATE_ALL);
    rig.data(message_start() + &text_block(0, &["a"]));
    rig.pass(2);
    rig.input(Input::ClientGone);
    rig.working();
    assert!(rig.upstream_cancelled);
    let ended = rig.call_ended();
    assert_eq!((ended.outcome, ended.written), (Outcome::CutByClient, 2));
    rig.input(Input::ServiceClosed(Ok(())));
    assert_eq!(rig.done, Some(Ok(())));
}

#[test]
fn a_client_that_leaves_before_admission_is_told_too() {
    let mut rig = Rig::new(Dialect::AnthropicMessages);
    rig.input(Input::ClientGone);
    assert!(matches!(rig.told.last(), Some(ToService::CallEnded(_))));
}

#[test]
fn a_rejected_call_is_told_in_the_dialect_and_nothing_goes_upstream() {
    let mut rig = Rig::new(Dialect::AnthropicMessages);
    let reject = Reject { status: 403, type_: String::new(), message: "not here".into() };
    rig.say(Reply::Admission(Admission {
        decision: AdmissionDecision::Reject(reject),
        revision: "r".into(),
        pipeline: Vec::new(),
        capabilities: Vec::new(),
    }));
    assert!(matches!(rig.heads[0], Head::Own { status: 403, .. }));
    let body: serde_json::Value = serde_json::from_str(rig.text()).unwrap();
    assert_eq!(body["error"]["type"], "permission_error");
    assert_eq!(rig.call_ended().outcome, Outcome::EndedByPolicy);
}

#[test]
fn a_service_that_does_not_close_is_given_up_in_time() {
    let mut rig = Rig::streaming(Dialect::AnthropicMessages, GATE_ALL);
    rig.data(message_start() + &text_block(0, &["a"]) + &message_end("end_turn"));
    rig.pass_all();
    rig.end();
    rig.after(TIMES.close);
    assert!(rig.done.unwrap().is_err());
}

#[test]
fn an_upstream_that_keeps_its_body_open_behind_the_end_is_let_go() {
    let mut rig = Rig::streaming(Dialect::AnthropicMessages, GATE_ALL);
    rig.data(message_start() + &text_block(0, &["a"]) + &message_end("end_turn"));
    rig.pass_all();
    assert_eq!(rig.finished, Some(true));
    rig.after(Duration::from_secs(1));
    assert!(rig.upstream_cancelled);
    assert_eq!(rig.call_ended().outcome, Outcome::Delivered);
    assert!(rig.chunks().iter().any(|chunk| matches!(chunk.event.step, Step::Ended)));
}

#[test]
fn calls_that_a_client_would_read_as_one_leave_numbered_apart() {
    let call = |id: &str, name: &str| {
        format!(
            "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{{\"tool_calls\":[{{\"index\":0,\"id\":\"{id}\",\"type\":\"function\",\"function\":{{\"name\":\"{name}\",\"arguments\":\"{{}}\"}}}}]}}}}]}}\n\n"
        )
    };
    let finish = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\ndata: [DONE]\n\n";
    let mut rig = Rig::streaming(Dialect::OpenAiChat, GATE_ALL);
    rig.data(call("a", "Ba") + &call("b", "sh") + finish);
    rig.end();
    rig.pass_all();
    let chunks = events(rig.text());
    let calls = chunks.iter().flat_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"].as_array()).flatten();
    let named: Vec<_> = calls.filter(|call| call["function"]["name"].is_string()).map(|call| &call["index"]).collect();
    assert_eq!(named, [0, 1]);
}

#[test]
fn an_error_of_bytes_that_are_no_text_is_said_anew() {
    let mut rig = Rig::new(Dialect::OpenAiChat);
    rig.admit(GATE_ALL, FailureMode::Closed);
    rig.head(500, Content::Other);
    rig.data(b"oops \xff\xfe");
    rig.end();
    rig.pass_all();
    assert!(matches!(rig.heads[0], Head::Own { status: 500, .. }));
    assert!(rig.text().contains("oops"));
}

#[test]
fn blocks_that_are_misnumbered_leave_numbered_as_what_follows_them() {
    let mut rig = Rig::streaming(Dialect::AnthropicMessages, GATE_ALL);
    rig.data(message_start() + &text_block(1, &["a", "b"]));
    rig.pass(3);
    rig.verdict(4, Decision::Replace(Vec::new()));
    rig.pass(5);
    let written = ["content_block_start 0 text", "content_block_delta 0 b"];
    assert_eq!(outline(rig.text())[1..], written);
}

#[test]
fn whatever_a_policy_says_first_stands_behind_a_start() {
    let mut rig = Rig::streaming(Dialect::AnthropicMessages, GATE_ALL);
    let odd = Step::Opaque(serde_json::json!({"type": "odd"})).into();
    rig.verdict(0, Decision::End { events: vec![odd], reason: None });
    assert_eq!(outline(rig.text()), ["message_start", "odd", "message_delta end_turn", "message_stop"]);
}

#[test]
fn what_a_policy_says_before_the_upstream_answers_waits_for_the_form_of_the_answer() {
    let say = |rig: &mut Rig, ends: bool| match ends {
        true => rig.verdict(0, Decision::End { events: made_text(0, "first"), reason: None }),
        false => rig.verdict(0, Decision::Replace(made_text(0, "first"))),
    };
    for ends in [true, false] {
        let mut rig = Rig::new(Dialect::AnthropicMessages);
        rig.admit(GATE_ALL, FailureMode::Closed);
        say(&mut rig, ends);
        assert!(rig.heads.is_empty(), "a status can still be told");
        rig.head(200, Content::Sse);
        assert_eq!(
            outline(rig.text())[..3],
            ["message_start", "content_block_start 0 text", "content_block_delta 0 first"]
        );
        assert_eq!(outline(rig.text()).last().unwrap() == "message_stop", ends);
    }
}

#[test]
fn a_relayed_body_that_nobody_reads_and_that_falls_silent_is_given_up() {
    let mut rig = Rig::new(Dialect::AnthropicMessages);
    rig.admit(Interest::all(Level::Record), FailureMode::Closed);
    rig.head(200, Content::Other);
    rig.data("abc");
    rig.after(TIMES.idle);
    assert_eq!((rig.text(), rig.finished), ("abc", Some(false)));
    assert!(rig.upstream_cancelled);
}

#[test]
fn a_window_for_nothing_still_lets_a_relayed_response_be_read() {
    let mut rig = Rig::new(Dialect::AnthropicMessages);
    rig.admit_as(Forward {
        interest: Interest::all(Level::Record),
        failure_mode: FailureMode::Closed,
        limits: ServiceLimits { held_bytes: Some(0), hold_ms: None },
        known_kinds: Kind::ALL.to_vec(),
        edits: Vec::new(),
    });
    rig.head(200, Content::Sse);
    assert!(rig.call.wants_upstream());
}

#[test]
fn a_response_whose_last_step_a_policy_takes_out_is_finished_properly() {
    let mut rig = Rig::streaming(Dialect::AnthropicMessages, GATE_ALL);
    rig.data(message_start() + &text_block(0, &["a"]) + &message_end("end_turn"));
    let last = rig.seq_of(|step| *step == Step::Ended);
    rig.pass(last - 1);
    rig.verdict(last, Decision::Replace(Vec::new()));
    assert_eq!(outline(rig.text()).last().unwrap(), "message_stop");
    assert_eq!(rig.finished, Some(true));
}

/// A response that breaks off, and the chunk that says so.
fn broken_off(mode: FailureMode) -> (Rig, u64) {
    let mut rig = Rig::new(Dialect::AnthropicMessages);
    rig.admit(GATE_ALL, mode);
    rig.head(200, Content::Sse);
    rig.data(message_start() + &text_block(0, &["a"]));
    rig.input(Input::UpstreamFailed("connection reset".into()));
    rig.pass(5);
    rig.working();
    let failed = rig.seq_of(|step| matches!(step, Step::Failed(_)));
    (rig, failed)
}

#[test]
fn a_failure_that_a_policy_takes_out_is_still_a_failure() {
    for (events, text) in [(Vec::new(), ""), (made_text(0, "so far"), "so far")] {
        let (mut rig, failed) = broken_off(FailureMode::Closed);
        rig.verdict(failed, Decision::Replace(events));
        assert_eq!(outline(rig.text()).last().unwrap(), "error api_error");
        assert!(rig.text().contains(text) && !rig.text().contains("message_stop"), "{}", rig.text());
        assert!(!rig.text().contains("broke off"), "what was said of it is taken out: {}", rig.text());
        assert_eq!(rig.call_ended().outcome, Outcome::Failed);
    }
}

#[test]
fn an_upstream_error_that_a_policy_takes_out_keeps_its_status_alone() {
    let mut rig = Rig::new(Dialect::AnthropicMessages);
    rig.admit(GATE_ALL, FailureMode::Closed);
    rig.head(429, Content::Json);
    rig.data(r#"{"type":"error","error":{"type":"rate_limit_error","message":"slow down"},"request_id":"r"}"#);
    rig.end();
    rig.verdict(1, Decision::Replace(Vec::new()));
    assert!(matches!(rig.heads[0], Head::Own { status: 429, .. }), "{:?}", rig.heads);
    assert!(!rig.text().contains("slow down") && !rig.text().contains("request_id"), "{}", rig.text());
}

#[test]
fn a_verdict_that_ends_makes_a_response_of_what_was_cut() {
    let (mut rig, failed) = broken_off(FailureMode::Closed);
    rig.verdict(failed, Decision::End { events: made_text(0, "so far"), reason: None });
    assert_eq!(outline(rig.text()).last().unwrap(), "message_stop");
    assert_eq!(rig.call_ended().outcome, Outcome::EndedByPolicy);
}

#[test]
fn an_end_that_the_upstream_has_not_said_is_a_fault_in_a_replacement() {
    for mode in [FailureMode::Closed, FailureMode::Open] {
        for in_place in [true, false] {
            let (mut rig, failed) = broken_off(mode);
            let through = if in_place { failed } else { failed - 1 };
            rig.verdict(through, Decision::Replace(vec![Step::Ended.into()]));
            assert!(outline(rig.text()).last().unwrap().starts_with("error "), "{}", rig.text());
            assert!(!rig.text().contains("message_stop"));
            rig.working();
            assert_eq!(rig.call_ended().outcome, Outcome::Failed);
        }
    }
}

#[test]
fn a_choice_that_began_and_says_nothing_is_finished_with_the_response() {
    let chunk = |choice: u32, delta: &str| {
        format!(
            "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{{\"index\":{choice},\"delta\":{delta}}}]}}\n\n"
        )
    };
    let mut rig = Rig::streaming(Dialect::OpenAiChat, GATE_ALL);
    let role = r#"{"role":"assistant","content":""}"#;
    rig.data(chunk(0, role) + &chunk(1, role) + &chunk(2, role) + &chunk(1, r#"{"content":"a"}"#));
    rig.pass_all();
    let last = rig.chunks().last().unwrap().seq;
    rig.verdict(last, Decision::End { events: Vec::new(), reason: None });
    let mut finished: Vec<u64> = events(rig.text())
        .iter()
        .filter(|chunk| chunk["choices"][0]["finish_reason"] == "stop")
        .filter_map(|chunk| chunk["choices"][0]["index"].as_u64())
        .collect();
    finished.sort_unstable();
    assert_eq!(finished, [0, 1, 2], "{}", rig.text());
}

#[test]
fn a_tool_call_that_a_policy_leaves_open_at_the_end_fails_the_response_in_any_failure_mode() {
    for mode in [FailureMode::Closed, FailureMode::Open] {
        let mut rig = Rig::new(Dialect::AnthropicMessages);
        rig.admit(GATE_ALL.with(Kind::ToolCall, Level::Observe), mode);
        rig.head(200, Content::Sse);
        rig.data(message_start() + &tool_start(0, "t", "n"));
        rig.pass(2);
        rig.verdict(2, Decision::End { events: Vec::new(), reason: None });
        assert!(outline(rig.text()).last().unwrap().starts_with("error "), "{}", rig.text());
        assert_eq!(rig.finished, Some(true));
    }
}

#[test]
fn an_end_that_cannot_be_written_fails_the_response_in_any_failure_mode() {
    for mode in [FailureMode::Closed, FailureMode::Open] {
        let mut rig = Rig::new(Dialect::AnthropicMessages);
        rig.admit(GATE_ALL, mode);
        rig.head(200, Content::Sse);
        rig.data(message_start() + &message_end("end_turn"));
        let last = rig.seq_of(|step| *step == Step::Ended);
        rig.pass(last - 1);
        let again = Step::Started(luthien_proto::event::Started::default()).into();
        rig.verdict(last, Decision::Replace(vec![again, Step::Ended.into()]));
        assert!(outline(rig.text()).last().unwrap().starts_with("error "), "{}", rig.text());
        assert_eq!(rig.finished, Some(true));
    }
}

#[test]
fn what_ends_before_it_has_begun_is_nothing() {
    let mut rig = Rig::new(Dialect::AnthropicMessages);
    rig.input(Input::UpstreamFailed("nobody asked".into()));
    rig.admit(GATE_ALL, FailureMode::Closed);
    rig.end();
    rig.head(200, Content::Sse);
    rig.data(message_start() + &message_end("end_turn"));
    rig.pass_all();
    assert_eq!(rig.finished, Some(true));
}
