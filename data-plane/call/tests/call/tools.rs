//! Tool calls last: what is left of a turn is a turn that the provider accepts.

use luthien_proto::{
    event::{BlockKey, Kind, Step},
    message::{Decision, Interest, Level, Outcome},
    request::Dialect,
};

use crate::rig::*;

const TOOLS: Interest = Interest::all(Level::Observe).with(Kind::ToolCall, Level::Gate);

fn block(step: &Step) -> Option<BlockKey> {
    match step {
        Step::BlockStarted(started) => Some(started.block),
        Step::BlockDelta(delta) => Some(delta.block),
        Step::BlockStopped(key) => Some(*key),
        _ => None,
    }
}

/// Gives each gated chunk its verdict: those of `refused` are replaced by a text, or dropped.
fn judge(rig: &mut Rig, refused: BlockKey) {
    let chunks: Vec<_> = rig.chunks().into_iter().cloned().collect();
    for chunk in chunks {
        match &chunk.event.step {
            Step::BlockStarted(started) if started.block == refused => {
                rig.verdict(chunk.seq, Decision::Replace(made_text(0, "refused")));
            }
            step if block(step) == Some(refused) => rig.verdict(chunk.seq, Decision::Replace(Vec::new())),
            _ => rig.pass(chunk.seq),
        }
    }
    rig.working();
}

const REMAINS_FIRST: [&str; 12] = [
    "message_start",
    "content_block_start 0 text",
    "content_block_delta 0 hm",
    "content_block_stop 0",
    "content_block_start 1 text",
    "content_block_delta 1 refused",
    "content_block_stop 1",
    "content_block_start 2 tool_use good",
    "content_block_delta 2 {}",
    "content_block_stop 2",
    "message_delta tool_use",
    "message_stop",
];

#[test]
fn a_refused_second_call_leaves_no_text_behind_the_first() {
    let mut rig = Rig::streaming(Dialect::AnthropicMessages, TOOLS);
    rig.data(
        message_start()
            + &text_block(0, &["hm"])
            + &tool_start(1, "a", "good")
            + &tool_delta(1, "{}")
            + &stop(1)
            + &tool_start(2, "b", "bad")
            + &tool_delta(2, "{}")
            + &stop(2)
            + &message_end("tool_use"),
    );
    rig.end();
    judge(&mut rig, BlockKey(2));
    assert_eq!(outline(rig.text()), REMAINS_FIRST);
}

#[test]
fn interleaved_calls_come_apart_the_same_way() {
    let mut rig = Rig::streaming(Dialect::AnthropicMessages, TOOLS);
    rig.data(
        message_start()
            + &text_block(0, &["hm"])
            + &tool_start(1, "a", "good")
            + &tool_start(2, "b", "bad")
            + &tool_delta(1, "{}")
            + &tool_delta(2, "{}")
            + &stop(1)
            + &stop(2)
            + &message_end("tool_use"),
    );
    rig.end();
    judge(&mut rig, BlockKey(2));
    assert_eq!(outline(rig.text()), REMAINS_FIRST);
}

#[test]
fn when_no_call_is_left_the_turn_ends() {
    let mut rig = Rig::streaming(Dialect::AnthropicMessages, TOOLS);
    rig.data(message_start() + &tool_start(0, "b", "bad") + &tool_delta(0, "{}") + &stop(0) + &message_end("tool_use"));
    rig.end();
    judge(&mut rig, BlockKey(0));
    let expected = [
        "message_start",
        "content_block_start 0 text",
        "content_block_delta 0 refused",
        "content_block_stop 0",
        "message_delta end_turn",
        "message_stop",
    ];
    assert_eq!(outline(rig.text()), expected);
    assert_eq!(rig.call_ended().outcome, Outcome::Delivered);
}

#[test]
fn a_call_that_passed_waits_for_the_end_of_the_turn() {
    let mut rig = Rig::streaming(Dialect::AnthropicMessages, TOOLS);
    let turn = message_start() + &tool_start(0, "a", "good") + &tool_delta(0, "{}") + &stop(0);
    rig.data(&turn);
    rig.pass_all();
    assert_eq!(outline(rig.text()), ["message_start"]);
    rig.data(message_end("tool_use"));
    rig.pass_all();
    assert_eq!(rig.text(), turn + &message_end("tool_use"), "and then leaves as it came");
}

#[test]
fn an_end_never_completes_a_call_that_was_cut_off() {
    let mut rig = Rig::streaming(Dialect::AnthropicMessages, TOOLS);
    rig.data(message_start() + &tool_start(0, "a", "good") + &tool_delta(0, "{\"a\""));
    rig.pass_all();
    let last = rig.chunks().last().unwrap().seq;
    rig.verdict(last, Decision::End { events: made_text(0, "enough"), reason: None });
    let expected = [
        "message_start",
        "content_block_start 0 text",
        "content_block_delta 0 enough",
        "content_block_stop 0",
        "message_delta end_turn",
        "message_stop",
    ];
    assert_eq!(outline(rig.text()), expected);
}

#[test]
fn a_call_of_which_bytes_were_written_ends_with_an_error() {
    let interest = Interest::all(Level::Gate).with(Kind::ToolCall, Level::Observe);
    let mut rig = Rig::streaming(Dialect::AnthropicMessages, interest);
    rig.data(message_start() + &tool_start(0, "a", "good") + &tool_delta(0, "{\"a\""));
    rig.pass(2);
    assert!(rig.text().contains("good"));
    rig.verdict(2, Decision::End { events: Vec::new(), reason: None });
    assert_eq!(outline(rig.text()).last().unwrap(), "error api_error");
    assert!(!rig.text().contains("message_stop"));
    assert_eq!(rig.finished, Some(true));
}

#[test]
fn where_texts_run_together_what_a_policy_says_stands_apart() {
    let chunk = |rest: &str| {
        format!(
            "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{{\"index\":0,{rest}}}]}}\n\n"
        )
    };
    let mut rig = Rig::streaming(Dialect::OpenAiChat, TOOLS);
    rig.data(
        chunk(r#""delta":{"role":"assistant","content":"hm"},"finish_reason":null"#)
            + &chunk(r#""delta":{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"bad","arguments":"{}"}}]},"finish_reason":null"#)
            + &chunk(r#""delta":{},"finish_reason":"tool_calls""#)
            + "data: [DONE]\n\n",
    );
    rig.end();
    judge(&mut rig, BlockKey(1));
    let content: String = events(rig.text())
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(content, "hm\n\nrefused");
    assert!(rig.text().contains(r#""finish_reason":"stop""#));
}
