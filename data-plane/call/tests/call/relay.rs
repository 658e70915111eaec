//! Nothing gated: every byte as it came, and reported afterwards.

use luthien_call::call::{Content, Head, Input, Limits};
use luthien_proto::{
    message::{FailureMode, Interest, Level, Outcome, ToService},
    request::Dialect,
};

use crate::rig::*;

const RECORD: Interest = Interest::all(Level::Record);

#[test]
fn every_byte_of_a_relayed_stream_is_the_upstreams_wherever_it_was_cut() {
    let stream = ": hello\n\nid: 3\n".to_owned()
        + &message_start()
        + ":\n\n"
        + &text_block(0, &["a", "b"]).replace('\n', "\r\n")
        + "event: ping\ndata: {\"type\":\"ping\"}\n\n"
        + &message_end("end_turn")
        + ": bye";
    for cut in 0..stream.len() {
        let mut rig = Rig::streaming(Dialect::AnthropicMessages, RECORD);
        assert_eq!(rig.heads, [Head::Upstream { intact: true }], "a relayed head does not wait");
        rig.data(&stream[..cut]);
        rig.data(&stream[cut..]);
        rig.end();
        assert_eq!(rig.text(), stream, "cut at {cut}");
        assert_eq!(rig.finished, Some(true));
    }
}

#[test]
fn a_recorded_block_is_reported_whole_and_nothing_waits_for_it() {
    let mut rig = Rig::streaming(Dialect::AnthropicMessages, RECORD);
    rig.data(message_start());
    let deltas: Vec<String> = (0..100).map(|n| format!("{n} ")).collect();
    let deltas: Vec<&str> = deltas.iter().map(String::as_str).collect();
    for event in text_block(0, &deltas).split_inclusive("\n\n") {
        rig.data(event);
    }
    rig.data(message_end("end_turn"));
    rig.end();
    for _ in 0..5 {
        rig.working();
    }
    let blocks: Vec<_> =
        rig.told.iter().filter_map(|m| if let ToService::Block(block) = m { Some(block) } else { None }).collect();
    assert_eq!(blocks.len(), 1);
    assert_eq!((blocks[0].deltas.len(), blocks[0].stopped), (1, true), "its deltas are joined");
    assert!(rig.told.len() <= 6, "CallStarted, start, block, end, CallEnded: {}", rig.told.len());
    assert_eq!(rig.call_ended().outcome, Outcome::Delivered);
}

#[test]
fn a_relayed_body_that_nobody_can_read_passes() {
    let mut rig = Rig::new(Dialect::OpenAiChat);
    rig.admit(RECORD, FailureMode::Closed);
    rig.head(200, Content::Encoded);
    rig.data([0x1f, 0x8b, 0xff]);
    rig.end();
    assert_eq!(rig.written, [0x1f, 0x8b, 0xff]);
    assert_eq!(rig.finished, Some(true));
}

#[test]
fn a_relayed_stream_that_breaks_off_ends_with_an_error_and_without_its_torn_event() {
    let mut rig = Rig::streaming(Dialect::AnthropicMessages, RECORD);
    rig.data(message_start() + "event: content_block_start\ndata: {\"torn");
    rig.input(Input::UpstreamFailed("reset".into()));
    assert!(!rig.text().contains("torn"));
    assert_eq!(outline(rig.text()), ["message_start", "error api_error"]);
    rig.working();
    rig.working();
    assert_eq!(rig.call_ended().outcome, Outcome::Failed);
}

#[test]
fn a_relayed_whole_body_that_breaks_off_breaks_off() {
    let mut rig = Rig::new(Dialect::OpenAiChat);
    rig.admit(RECORD, FailureMode::Closed);
    rig.head(200, Content::Json);
    rig.data("{\"id\":");
    rig.input(Input::UpstreamFailed("reset".into()));
    assert_eq!(rig.finished, Some(false));
}

#[test]
fn the_loss_of_the_service_ends_the_record_and_not_a_relayed_call() {
    let mut rig = Rig::streaming(Dialect::AnthropicMessages, RECORD);
    let stream = message_start() + &text_block(0, &["a"]) + &message_end("end_turn");
    rig.data(&stream[..100]);
    rig.input(Input::ServiceClosed(Err("gone".into())));
    rig.data(&stream[100..]);
    rig.end();
    assert_eq!(rig.text(), stream);
    assert!(rig.done.unwrap().is_err());
}

/// A stream of one block of text that is longer than all that may be held, in events.
fn long_stream() -> (String, Vec<String>) {
    let piece = "x".repeat(200);
    let pieces = vec![piece.as_str(); 40];
    let stream = message_start() + &text_block(0, &pieces) + &message_end("end_turn");
    let events = stream.split_inclusive("\n\n").map(str::to_owned).collect();
    (stream, events)
}

fn small() -> Limits {
    Limits { held: 2_000, batch: 500, ..LIMITS }
}

#[test]
fn what_a_lost_service_was_not_told_does_not_hold_a_relayed_call() {
    let mut rig = Rig::with(Dialect::AnthropicMessages, small(), FailureMode::Closed);
    rig.admit(Interest::all(Level::Observe), FailureMode::Closed);
    rig.head(200, Content::Sse);
    let (stream, events) = long_stream();
    let mut events = events.into_iter();
    while rig.call.wants_upstream() {
        rig.data(events.next().expect("a service that takes nothing is waited for"));
    }
    rig.after(TIMES.lease * 2);
    assert!(rig.call.wants_upstream(), "nobody is left to wait for");
    events.for_each(|event| rig.data(event));
    rig.end();
    assert_eq!(rig.text(), stream);
    assert!(rig.done.unwrap().is_err());
}

#[test]
fn blocks_that_grow_side_by_side_do_not_fill_the_window() {
    let mut rig = Rig::with(Dialect::OpenAiChat, small(), FailureMode::Closed);
    rig.admit(RECORD, FailureMode::Closed);
    rig.head(200, Content::Sse);
    for call in 0..20 {
        rig.data(format!(
            r#"data: {{"id":"c","model":"m","choices":[{{"index":0,"delta":{{"tool_calls":[{{"index":{call},"id":"t{call}","type":"function","function":{{"name":"f","arguments":"{{}}"}}}}]}}}}]}}"#
        ) + "\n\n");
        rig.working();
        assert!(rig.call.wants_upstream(), "after {call} calls that are still open");
    }
}
