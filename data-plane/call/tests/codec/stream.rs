//! Streams for tests: written as they come, read as a client would.

use bytes::{Bytes, BytesMut};
use luthien_call::{
    dialect::{DecodeError, ResponseDecoder, ResponseEncoder},
    sse,
};
use luthien_proto::{
    Event, Step,
    event::{BlockDelta, BlockKey, BlockKind, BlockStarted, Delta, FinishReason, Finished, Started},
    request::Dialect,
};
use serde_json::Value;

use crate::show;

/// Decodes a stream as it comes off the wire.
pub(crate) fn decode(dialect: Dialect, stream: &[u8]) -> Result<Vec<Vec<Event>>, DecodeError> {
    let mut frames = sse::Decoder::new(1 << 20);
    let mut decoder = ResponseDecoder::new(dialect);
    let mut steps = Vec::new();
    frames.push(Bytes::copy_from_slice(stream));
    while let Some(frame) = frames.next().expect("no limit is met") {
        steps.push(decoder.event(frame.name().expect("names are UTF-8"), &frame.data)?);
    }
    let tail = frames.finish();
    if let Some(frame) = tail.event {
        steps.push(decoder.event(frame.name().expect("names are UTF-8"), &frame.data)?);
    }
    steps.push(if tail.cut { decoder.cut("the upstream broke off") } else { decoder.end() });
    Ok(steps)
}

/// Encodes all steps anew.
pub(crate) fn encode<'a>(dialect: Dialect, events: impl IntoIterator<Item = &'a Event>) -> Bytes {
    let mut encoder = ResponseEncoder::new(dialect);
    let mut out = BytesMut::new();
    for event in events {
        encoder.encode(event, &mut out);
    }
    encoder.flush(&mut out);
    out.freeze()
}

/// A stream of which each line is the data of an event; its name is its `type`, where the dialect has names.
pub(crate) fn frames(dialect: Dialect, lines: &str) -> Bytes {
    let mut out = BytesMut::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let json = serde_json::from_str::<Value>(line).ok();
        let type_ = json.as_ref().and_then(|json| json.get("type")?.as_str());
        sse::write(
            &mut out,
            type_.filter(|_| matches!(dialect, Dialect::AnthropicMessages | Dialect::OpenAiResponses)),
            line.as_bytes(),
        );
    }
    out.freeze()
}

/// The golden listing: each event's steps (`-`: none), and what they are encoded to (`>`).
pub(crate) fn listing(dialect: Dialect, lines: &str) -> String {
    let steps = match decode(dialect, &frames(dialect, lines)) {
        Ok(steps) => steps,
        Err(error) => return format!("error: {error}\n"),
    };
    let mut out = String::new();
    for (at, steps) in steps.iter().enumerate() {
        let shown: Vec<_> = steps.iter().map(show::step).collect();
        out.push_str(&format!("{at}: {}\n", if shown.is_empty() { "-".to_owned() } else { shown.join("\n   ") }));
    }
    let encoded = encode(dialect, steps.iter().flatten());
    for line in String::from_utf8_lossy(&encoded).lines().filter(|line| line.starts_with("data: ")) {
        out.push_str(&format!("> {}\n", &line[6..]));
    }
    out
}

/// A response of one text that a policy made: there is no usage, and nothing of an upstream.
pub(crate) fn policys_own() -> Vec<Event> {
    let block = BlockKey::POLICY_FIRST;
    let steps = [
        Step::Started(Started { id: "x".to_owned(), model: "m".to_owned(), created: None }),
        Step::BlockStarted(BlockStarted { block, choice: 0, kind: BlockKind::Text }),
        Step::BlockDelta(BlockDelta { block, delta: Delta::Text("No.".to_owned()) }),
        Step::BlockStopped(block),
        Step::Finished(Finished { word: "tool_use".to_owned(), ..Finished::new(0, FinishReason::EndTurn) }),
        Step::Ended,
    ];
    steps.map(Event::from).into()
}
