//! Held by default; verdicts settle in order.

use std::time::Duration;

use luthien_call::call::{Content, Head, Input};
use luthien_proto::{
    event::{BlockDelta, BlockKey, Delta, Kind, Step},
    message::{Decision, FailureMode, Interest, Level, Outcome, ToService},
    request::Dialect,
};

use crate::rig::*;

fn is_delta(text: &str) -> impl Fn(&Step) -> bool {
    move |step| matches!(step, Step::BlockDelta(BlockDelta { delta: Delta::Text(found), .. }) if found == text)
}

#[test]
fn nothing_is_written_before_its_verdict() {
    let mut rig = Rig::streaming(Dialect::AnthropicMessages, GATE_ALL);
    rig.data(message_start() + &text_block(0, &["a", "b"]));
    assert_eq!(rig.text(), "");
    assert!(rig.heads.is_empty(), "a status can still be chosen");
    let first = rig.chunks().len() as u64;
    assert!(first > 0, "the batch is on its way");
    rig.pass(2);
    assert_eq!(outline(rig.text()), ["message_start"]);
}

#[test]
fn a_stream_whose_chunks_all_pass_leaves_byte_for_byte() {
    let stream = message_start()
        + &text_block(0, &["a", "b"])
        + &tool_start(1, "t", "f")
        + &tool_delta(1, "{}")
        + &stop(1)
        + &message_end("tool_use");
    let mut rig = Rig::streaming(Dialect::AnthropicMessages, GATE_ALL);
    rig.data(&stream);
    rig.pass_all();
    rig.end();
    assert_eq!(rig.text(), stream);
    assert_eq!(rig.heads, [Head::Upstream { intact: false }]);
    assert_eq!(rig.finished, Some(true));
    assert_eq!(rig.call_ended().outcome, Outcome::Delivered);
}

#[test]
fn after_the_first_difference_every_event_is_encoded_anew_and_blocks_are_numbered_densely() {
    let mut rig = Rig::streaming(Dialect::AnthropicMessages, GATE_ALL);
    rig.data(message_start() + &text_block(0, &["secret"]) + &text_block(1, &["open"]) + &message_end("end_turn"));
    rig.pass(2);
    let started = rig.seq_of(|step| matches!(step, Step::BlockStarted(_)));
    rig.verdict(started + 2, Decision::Replace(Vec::new()));
    rig.pass_all();
    rig.end();
    let expected = [
        "message_start",
        "content_block_start 0 text",
        "content_block_delta 0 open",
        "content_block_stop 0",
        "message_delta end_turn",
        "message_stop",
    ];
    assert_eq!(outline(rig.text()), expected);
}

#[test]
fn a_replacement_stands_where_the_chunk_stood() {
    let mut rig = Rig::streaming(Dialect::AnthropicMessages, GATE_ALL);
    rig.data(message_start() + &text_block(0, &["a", "b", "c"]) + &message_end("end_turn"));
    let b = rig.seq_of(is_delta("b"));
    rig.pass(b - 1);
    let made = Step::BlockDelta(BlockDelta { block: BlockKey(0), delta: Delta::Text("B".into()) });
    rig.verdict(b, Decision::Replace(vec![made.into()]));
    rig.pass_all();
    rig.end();
    let deltas: Vec<_> = outline(rig.text()).into_iter().filter(|line| line.contains("delta 0")).collect();
    assert_eq!(deltas, ["content_block_delta 0 a", "content_block_delta 0 B", "content_block_delta 0 c"]);
}

#[test]
fn a_replacement_at_the_frontier_injects() {
    let mut rig = Rig::streaming(Dialect::AnthropicMessages, GATE_ALL);
    rig.data(message_start() + &text_block(0, &["a"]) + &message_end("end_turn"));
    rig.pass(2);
    rig.verdict(2, Decision::Replace(made_text(0, "note")));
    assert_eq!(outline(rig.text()).last().unwrap(), "content_block_stop 0");
    rig.pass_all();
    rig.end();
    assert_eq!(outline(rig.text())[4], "content_block_start 1 text");
    assert_eq!(rig.finished, Some(true));
}

#[test]
fn what_is_injected_within_what_arrived_together_does_not_wait_for_the_rest_of_it() {
    let mut rig = Rig::streaming(Dialect::AnthropicMessages, GATE_ALL);
    rig.data(message_start() + &text_block(0, &["a"]) + &message_end("end_turn"));
    // What the call has cost, and why it is finished, are told in one SSE event.
    let finished = rig.seq_of(|step| matches!(step, Step::Finished(_)));
    rig.pass(finished - 1);
    rig.verdict(finished - 1, Decision::Replace(made_failure("policy guard failed")));
    assert!(rig.text().contains("policy guard failed"), "{}", rig.text());
    assert!(!rig.text().contains("end_turn"), "{}", rig.text());
    assert_eq!((rig.finished, rig.call_ended_outcome()), (Some(true), Outcome::Failed));
}

#[test]
fn an_end_in_the_middle_of_a_block_closes_it_and_finishes_the_response() {
    let mut rig = Rig::streaming(Dialect::AnthropicMessages, GATE_ALL);
    rig.data(message_start() + &text_block(0, &["a", "b"]));
    let b = rig.seq_of(is_delta("b"));
    rig.pass(b - 1);
    let made = Step::BlockDelta(BlockDelta { block: BlockKey(0), delta: Delta::Text("…".into()) });
    rig.verdict(b, Decision::End { events: vec![made.into()], reason: None });
    let expected = [
        "message_start",
        "content_block_start 0 text",
        "content_block_delta 0 a",
        "content_block_delta 0 …",
        "content_block_stop 0",
        "message_delta end_turn",
        "message_stop",
    ];
    assert_eq!(outline(rig.text()), expected);
    assert_eq!(rig.finished, Some(true));
    rig.data(message_end("end_turn"));
    rig.end();
    rig.working();
    assert_eq!(rig.call_ended().outcome, Outcome::EndedByPolicy, "the upstream was read on for the record");
    assert!(rig.chunks().iter().any(|chunk| matches!(chunk.event.step, Step::Ended)));
    rig.input(Input::ServiceClosed(Ok(())));
    assert_eq!(rig.done, Some(Ok(())));
}

#[test]
fn a_text_that_a_policy_makes_stops_the_one_that_is_open() {
    let mut rig = Rig::streaming(Dialect::AnthropicMessages, GATE_ALL);
    rig.data(message_start() + &text_block(0, &["a", "b"]) + &message_end("end_turn"));
    let b = rig.seq_of(is_delta("b"));
    rig.pass(b - 1);
    rig.verdict(b, Decision::Replace(made_text(0, "note")));
    rig.pass_all();
    rig.end();
    let expected = [
        "message_start",
        "content_block_start 0 text",
        "content_block_delta 0 a",
        "content_block_stop 0",
        "content_block_start 1 text",
        "content_block_delta 1 note",
        "content_block_stop 1",
        "message_delta end_turn",
        "message_stop",
    ];
    assert_eq!(outline(rig.text()), expected);
}

#[test]
fn what_needs_no_verdict_waits_behind_what_does() {
    let interest = Interest::all(Level::Gate).with(Kind::Text, Level::Observe);
    let mut rig = Rig::streaming(Dialect::AnthropicMessages, interest);
    rig.data(message_start());
    rig.data(text_block(0, &["a"]));
    assert_eq!(rig.text(), "", "the start is gated, and text stands behind it");
    rig.pass(2);
    assert_eq!(outline(rig.text()).len(), 4, "text needs no verdict");
    rig.working();
    assert!(rig.chunks().iter().any(|chunk| is_delta("a")(&chunk.event.step)), "but every chunk of it is reported");
}

#[test]
fn one_message_is_under_way_and_batches_form_behind_it() {
    let mut rig = Rig::streaming(Dialect::AnthropicMessages, GATE_ALL);
    rig.data(message_start());
    rig.data(text_block(0, &["a"]));
    rig.data(text_block(1, &["b"]));
    assert_eq!(rig.told.len(), 2, "CallStarted and the first batch");
    rig.working();
    assert_eq!(rig.told.len(), 3, "the rest in one batch");
}

#[test]
fn a_whole_response_that_passes_leaves_byte_for_byte() {
    let body = r#"{"id":"msg_1", "type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":2}}"#;
    let mut rig = Rig::new(Dialect::AnthropicMessages);
    rig.admit(GATE_ALL, luthien_proto::message::FailureMode::Closed);
    rig.head(200, Content::Json);
    rig.data(&body[..20]);
    rig.data(&body[20..]);
    rig.end();
    assert_eq!(rig.text(), "");
    rig.pass_all();
    assert_eq!(rig.text(), body);
    assert_eq!(rig.finished, Some(true));
}

#[test]
fn a_whole_response_is_assembled_again_from_what_is_left() {
    let body = r#"{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"hi"},{"type":"tool_use","id":"t","name":"f","input":{"a":1}}],"stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":2}}"#;
    let mut rig = Rig::new(Dialect::AnthropicMessages);
    rig.admit(GATE_ALL, luthien_proto::message::FailureMode::Closed);
    rig.head(200, Content::Json);
    rig.data(body);
    rig.end();
    let call = rig.seq_of(|step| matches!(step, Step::BlockStarted(started) if started.kind.kind() == Kind::ToolCall));
    rig.pass(call - 1);
    rig.verdict(call + 2, Decision::Replace(made_text(0, "refused")));
    rig.pass_all();
    let answer: serde_json::Value = serde_json::from_str(rig.text()).unwrap();
    assert_eq!(answer["content"][1]["text"], "refused");
    assert_eq!(answer["stop_reason"], "end_turn", "no tool call is left");
    assert_eq!(answer["usage"]["output_tokens"], 2);
}

#[test]
fn a_client_hears_keepalives_while_a_chunk_is_held() {
    let mut rig = Rig::streaming(Dialect::AnthropicMessages, GATE_ALL);
    rig.data(message_start());
    for _ in 0..2 {
        rig.after(Duration::from_secs(4));
        rig.working();
    }
    assert_eq!(rig.text(), "event: ping\ndata: {\"type\":\"ping\"}\n\n");
    rig.pass(2);
    assert!(rig.text().ends_with(&message_start()), "and then what was held, as it came");
}

#[test]
fn what_nothing_gates_no_verdict_can_change() {
    let change = |events| Decision::End { events, reason: None };
    for decision in [Decision::Replace(made_text(0, "no")), change(Vec::new()), change(made_text(0, "no"))] {
        let mut rig = Rig::streaming(Dialect::AnthropicMessages, Interest::all(Level::Observe));
        rig.data(message_start() + &text_block(0, &["a"]));
        rig.verdict(2, decision);
        let expected =
            ["message_start", "content_block_start 0 text", "content_block_delta 0 a", "content_block_stop 0"];
        assert_eq!(outline(rig.text())[..4], expected);
        assert_eq!(outline(rig.text())[4..], ["error api_error"]);
        assert_eq!(rig.finished, Some(true));
    }
}

#[test]
fn what_nothing_gates_no_verdict_can_cancel() {
    for answered in [true, false] {
        let mut rig = Rig::new(Dialect::AnthropicMessages);
        rig.admit(Interest::all(Level::Observe), FailureMode::Closed);
        if answered {
            rig.head(200, Content::Sse);
        }
        rig.cancel(0, Decision::Pass);
        assert!(rig.text().contains("api_error"), "{}", rig.text());
        assert_eq!(rig.finished, Some(true));
        rig.working();
        assert_eq!(rig.call_ended().outcome, Outcome::Failed);
    }
}

#[test]
fn an_opaque_piece_of_a_block_that_is_told_is_told_too() {
    let interest = Interest::all(Level::Record).with(Kind::Text, Level::Gate);
    let mut rig = Rig::streaming(Dialect::AnthropicMessages, interest);
    let citation = sse(
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"citations_delta","citation":{"cited_text":"x"}}}"#,
    );
    let block = text_block(0, &["a"]);
    let (begin, end) = block.split_at(block.len() - stop(0).len());
    let stream = message_start() + begin + &citation + end + &message_end("end_turn");
    rig.data(&stream);
    rig.pass_all();
    rig.end();
    assert_eq!(rig.text(), stream);
    let opaque = |step: &Step| matches!(step, Step::BlockDelta(BlockDelta { delta: Delta::Opaque(_), .. }));
    assert!(rig.chunks().iter().any(|chunk| opaque(&chunk.event.step)));
}

#[test]
fn a_recorded_block_says_nothing_of_the_chunks_before_it() {
    let mut rig = Rig::streaming(Dialect::AnthropicMessages, GATE_ALL.with(Kind::Text, Level::Record));
    rig.data(message_start());
    // One message is under way: the tool call waits for the next, and the block of text goes before it.
    rig.data(tool_start(0, "t", "f") + &stop(0) + &text_block(1, &["a"]));
    rig.pass(rig.chunks().last().unwrap().seq);
    let Some(ToService::Block(block)) = rig.told.last() else { panic!("{:?}", rig.told) };
    let last = block.last;
    rig.pass(last);
    assert_eq!(outline(rig.text()).last().unwrap(), "error api_error");
    assert!(!rig.text().contains("tool_use"), "{}", rig.text());
}
