//! Calls that policies answer themselves.

use std::time::Duration;

use luthien_call::{
    call::{Head, Input},
    conversion::Response,
};
use luthien_proto::{
    Event, ToService,
    event::{
        BlockDelta, BlockKey, BlockKind, BlockStarted, Delta, FinishReason, Finished, Started, Step, ToolCall,
        ToolForm, Usage,
    },
    json::Extras,
    message::{AdmissionDecision, Applied, CallResumed, Decision, FailureMode, Outcome},
    request::Dialect,
};
use serde_json::{Value, json};

use crate::{conversion::bridge, rig::*};

const DIALECTS: [Dialect; 3] = [Dialect::OpenAiChat, Dialect::AnthropicMessages, Dialect::OpenAiResponses];

fn begin(dialect: Dialect, stream: bool) -> Rig {
    Rig::begin(dialect, LIMITS, FailureMode::Closed, stream, None)
}

fn call(key: u32, id: &str) -> Vec<Event> {
    let block = BlockKey(key);
    let form = ToolForm::Function;
    let call = ToolCall { id: id.into(), name: "f".into(), namespace: String::new(), form, type_: String::new() };
    vec![
        Step::BlockStarted(BlockStarted { block, choice: 0, kind: BlockKind::ToolCall(call) }).into(),
        Step::BlockDelta(BlockDelta { block, delta: Delta::Arguments("{}".into()) }).into(),
        Step::BlockStopped(block).into(),
    ]
}

fn body(rig: &Rig) -> Value {
    serde_json::from_str(rig.text()).unwrap()
}

/// The client has a success of its dialect, and nobody else heard of the call.
fn is_answered(rig: &Rig, stream: bool) {
    let content_type = if stream { "text/event-stream; charset=utf-8" } else { "application/json" };
    assert_eq!(rig.heads, [Head::Own { status: 200, content_type, retry_after: None }]);
    assert_eq!(rig.finished, Some(true));
    assert!(rig.forwarded.is_empty() && !rig.upstream_cancelled);
    assert_eq!(rig.told.iter().filter(|told| matches!(told, ToService::Chunks(_) | ToService::Block(_))).count(), 0);
    let ended = rig.call_ended();
    assert_eq!((ended.outcome, ended.status, ended.written), (Outcome::EndedByPolicy, 200, 0));
    assert_eq!((ended.upstream_status, ended.upstream_first_us), (0, 0));
    assert!(rig.closed_service);
}

#[test]
fn the_client_gets_the_answer_in_its_dialect_and_in_the_form_that_it_asked_for() {
    for dialect in DIALECTS {
        for stream in [true, false] {
            let mut rig = begin(dialect, stream);
            rig.answer(made_text(0, "made"));
            is_answered(&rig, stream);
            assert!(rig.text().contains("made"), "{}", rig.text());
            rig.input(Input::ServiceClosed(Ok(())));
            assert_eq!(rig.done, Some(Ok(())));
        }
    }
}

#[test]
fn so_does_one_whose_upstream_would_speak_another_dialect() {
    for client in DIALECTS {
        for upstream in Dialect::ALL.into_iter().filter(|upstream| *upstream != client) {
            for stream in [true, false] {
                let conversion = Some(Response::new(bridge(client, upstream)));
                let mut rig = Rig::begin(client, LIMITS, FailureMode::Closed, stream, conversion);
                rig.answer(made_text(0, "made"));
                is_answered(&rig, stream);
                assert!(rig.text().contains("made"), "{}", rig.text());
            }
        }
    }
}

#[test]
fn what_an_answer_leaves_open_is_filled_in() {
    let mut rig = begin(Dialect::OpenAiChat, false);
    rig.answer([made_text(0, "made"), call(1, ""), call(2, "call_own")].concat());
    let answer = body(&rig);
    assert_eq!((&answer["id"], &answer["model"]), (&json!("chatcmpl-018f0000000070008000000000000001"), &json!("m")));
    assert_eq!(answer["created"], 1_700_000_000);
    assert_eq!(answer["usage"]["total_tokens"], 0);
    let choice = &answer["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    let ids = [0, 1].map(|call| choice["message"]["tool_calls"][call]["id"].as_str().unwrap().to_owned());
    assert!(ids[0].starts_with("call_") && ids[1] == "call_own", "{ids:?}");
}

#[test]
fn what_an_answer_says_stands() {
    let started = Started { id: "msg_own".into(), model: "own".into(), created: None };
    let usage = Usage { input: Some(3), output: Some(4), ..Usage::default() };
    let finished = Finished::new(0, FinishReason::MaxTokens);
    let mut rig = begin(Dialect::AnthropicMessages, false);
    let events = [vec![Step::Started(started).into()], made_text(0, "made")].concat();
    rig.answer([events, vec![Step::Finished(finished).into(), Step::Usage(usage).into()]].concat());
    let answer = body(&rig);
    assert_eq!((&answer["id"], &answer["model"]), (&json!("msg_own"), &json!("own")));
    assert_eq!((&answer["usage"]["input_tokens"], &answer["usage"]["output_tokens"]), (&json!(3), &json!(4)));
    assert_eq!(answer["stop_reason"], "max_tokens");
}

#[test]
fn an_answer_in_responses_repeats_what_was_asked_and_is_kept_by_nobody() {
    for stream in [true, false] {
        let mut rig = begin(Dialect::OpenAiResponses, stream);
        rig.answer(made_text(0, "made"));
        let response = if stream { events(rig.text()).pop().unwrap()["response"].take() } else { body(&rig) };
        assert_eq!((&response["status"], &response["store"]), (&json!("completed"), &json!(false)));
        assert_eq!((&response["tools"], &response["parallel_tool_calls"]), (&json!([]), &json!(true)));
    }
}

#[test]
fn the_usage_of_a_stream_is_told_to_those_who_want_it() {
    for is_wanted in [true, false] {
        let extras = json!({ "stream_options": { "include_usage": is_wanted } });
        let Value::Object(extras) = extras else { unreachable!() };
        let mut rig = Rig::asked_with(Dialect::OpenAiChat, Extras::from(extras));
        rig.answer(made_text(0, "made"));
        is_answered(&rig, true);
        assert_eq!(events(rig.text()).iter().any(|chunk| chunk["usage"].is_object()), is_wanted, "{}", rig.text());
    }
}

#[test]
fn an_answer_that_cannot_be_written_ends_the_call_closed_and_nothing_of_it_is_seen() {
    let delta = Step::BlockDelta(BlockDelta { block: BlockKey(9), delta: Delta::Text("stray".into()) });
    let open = call(1, "call_1")[..2].to_vec();
    let again = [made_text(0, "stray"), made_text(0, "stray")].concat();
    let second = made_text_in(1, "stray");
    for (events, dialect) in [
        (vec![delta.into()], Dialect::OpenAiChat),
        (open, Dialect::OpenAiChat),
        (again, Dialect::OpenAiResponses),
        (second, Dialect::AnthropicMessages),
    ] {
        for stream in [true, false] {
            let mut rig = begin(dialect, stream);
            rig.answer([made_text(7, "stray"), events.clone()].concat());
            assert!(matches!(rig.heads[..], [Head::Own { status: 500, content_type: "application/json", .. }]));
            assert!(body(&rig).is_object() && !rig.text().contains("stray"), "{}", rig.text());
            assert_eq!((rig.call_ended().outcome, rig.finished), (Outcome::Failed, Some(true)));
        }
    }
}

#[test]
fn text_behind_a_tool_call_is_written_before_it() {
    let mut rig = begin(Dialect::AnthropicMessages, true);
    rig.answer([call(0, "toolu_1"), made_text(1, "why")].concat());
    assert_eq!(
        outline(rig.text()),
        [
            "message_start",
            "content_block_start 0 text",
            "content_block_delta 0 why",
            "content_block_stop 0",
            "content_block_start 1 tool_use f",
            "content_block_delta 1 {}",
            "content_block_stop 1",
            "message_delta tool_use",
            "message_stop",
        ],
    );
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
fn an_answer_that_was_applied_stands_when_its_service_is_lost() {
    let mut rig = Rig::resumable(LIMITS, Duration::from_secs(15));
    rig.answer(made_text(0, "made"));
    let written = rig.text().to_owned();
    lose(&mut rig);
    let CallResumed { epoch, admission, applied } = resumed(&rig);
    assert_eq!((*epoch, *applied), (1, Applied::default()));
    assert!(matches!(admission.as_ref().unwrap().decision, AdmissionDecision::Answer(_)));
    assert!(matches!(rig.told[1..], [ToService::CallStarted(_), ToService::CallEnded(_)]));
    rig.working();
    rig.input(Input::ServiceClosed(Ok(())));
    assert_eq!((rig.text(), &rig.done), (written.as_str(), &Some(Ok(()))));
}

#[test]
fn before_it_is_applied_the_next_service_is_asked() {
    let mut rig = Rig::resumable(LIMITS, Duration::from_secs(15));
    lose(&mut rig);
    assert_eq!(resumed(&rig).admission, None);
    rig.answer(made_text(0, "made"));
    is_answered(&rig, true);
}

#[test]
fn what_is_said_behind_an_answer_counts_for_nothing() {
    let mut rig = begin(Dialect::AnthropicMessages, true);
    rig.answer(made_text(0, "made"));
    let written = rig.text().to_owned();
    rig.verdict(0, Decision::Replace(made_text(1, "more")));
    assert_eq!(rig.text(), written);
    assert_eq!(rig.call_ended().outcome, Outcome::EndedByPolicy);
}

#[test]
fn a_client_that_has_left_gets_no_answer() {
    let mut rig = begin(Dialect::AnthropicMessages, true);
    rig.input(Input::ClientGone);
    rig.answer(made_text(0, "made"));
    assert!(rig.heads.is_empty() && rig.written.is_empty());
    assert_eq!(rig.call_ended().outcome, Outcome::CutByClient);
}
