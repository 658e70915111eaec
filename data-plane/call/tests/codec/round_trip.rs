//! What is encoded and read again means the same.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Bytes, BytesMut};
use luthien_call::{
    dialect::{ResponseDecoder, ResponseEncoder, decode_whole, encode_whole},
    sse,
};
use luthien_proto::{
    Event, Step,
    event::{BlockKey, BlockKind, Delta},
    request::Dialect,
};
use proptest::{prelude::*, sample::Index};

use crate::{generate, show, stream};

const DIALECTS: [Dialect; 3] = [Dialect::OpenAiChat, Dialect::AnthropicMessages, Dialect::OpenAiResponses];

/// A response in some dialect.
fn response() -> impl Strategy<Value = (Dialect, Vec<Event>)> {
    prop::sample::select(&DIALECTS[..])
        .prop_flat_map(|dialect| generate::response(dialect).prop_map(move |events| (dialect, events)))
}

/// Fields of OpenAI's responses and their items that are made where there are none.
const MADE: [&str; 5] = ["id", "status", "parallel_tool_calls", "tool_choice", "tools"];

/// What a response says, whatever its steps are: the blocks of each choice with their whole content, the rest in order,
/// and all extras.
#[derive(Debug, Default, PartialEq)]
struct Meaning {
    blocks: BTreeMap<u32, Vec<(String, String)>>,
    rest: Vec<String>,
    extras: BTreeSet<String>,
}

fn meaning(events: &[Event]) -> Meaning {
    let mut meaning = Meaning::default();
    let mut places: BTreeMap<BlockKey, (u32, usize)> = BTreeMap::new();
    for event in events {
        for (place, value) in event.extras.iter() {
            // A signature's entry is always numbered, and says whose form it has.
            let is_said =
                |key: &str| !MADE.contains(&key) && (place != "reasoning_detail" || !matches!(key, "index" | "format"));
            let fields = value.as_object().into_iter().flatten().filter(|(key, _)| is_said(key));
            meaning.extras.extend(fields.map(|(key, value)| format!("{place} {key} {value}")));
        }
        match &event.step {
            Step::BlockStarted(started) => {
                let blocks = meaning.blocks.entry(started.choice).or_default();
                places.insert(started.block, (started.choice, blocks.len()));
                blocks.push((kind(&started.kind), String::new()));
            }
            Step::BlockDelta(delta) => {
                let (choice, at) = places[&delta.block];
                let content = &mut meaning.blocks.get_mut(&choice).unwrap()[at].1;
                match &delta.delta {
                    Delta::Text(text) | Delta::Arguments(text) => content.push_str(text),
                    other => content.push_str(&format!("{other:?}")),
                }
            }
            Step::BlockStopped(block) => assert!(places.remove(block).is_some(), "a block stops once"),
            step => meaning.rest.push(show::step(&step.clone().into())),
        }
    }
    assert!(places.is_empty(), "every block stops");
    meaning
}

fn kind(kind: &BlockKind) -> String {
    format!("{kind:?}")
}

/// A whole body has one text per choice, and an order of its own for what is not text.
fn whole(mut meaning: Meaning, dialect: Dialect) -> Meaning {
    if dialect == Dialect::OpenAiChat {
        for blocks in meaning.blocks.values_mut() {
            let mut merged: Vec<(String, String)> = Vec::new();
            for (kind, content) in blocks.drain(..) {
                match merged.iter_mut().find(|(known, _)| *known == kind && !kind.starts_with("ToolCall")) {
                    Some((_, known)) => known.push_str(&content),
                    None => merged.push((kind, content)),
                }
            }
            merged.sort_by_key(|(kind, _)| {
                (kind.starts_with("ToolCall"), (!kind.starts_with("ToolCall")).then(|| kind.clone()))
            });
            *blocks = merged;
        }
    }
    // An item of an unknown type is only what it is in the end.
    if dialect == Dialect::OpenAiResponses {
        meaning.blocks.values_mut().for_each(|blocks| blocks.retain(|(kind, _)| !kind.starts_with("Opaque")));
    }
    meaning.rest.sort();
    meaning.extras.clear();
    meaning
}

fn strip_extras(events: &[Event], keep: impl Fn(&Step) -> bool) -> Vec<Event> {
    let stripped = |event: &Event| if keep(&event.step) { event.clone() } else { event.step.clone().into() };
    events.iter().map(stripped).collect()
}

/// The first SSE events leave as they came, the others are written anew.
fn relay(dialect: Dialect, upstream: &Bytes, at: Index) -> BytesMut {
    let mut frames = sse::Decoder::new(1 << 20);
    frames.push(upstream.clone());
    let frames: Vec<_> = std::iter::from_fn(|| frames.next().unwrap()).collect();
    let raw = at.index(frames.len());
    let mut decoder = ResponseDecoder::new(dialect);
    let mut encoder = ResponseEncoder::new(dialect);
    let mut out = BytesMut::new();
    let mut is_raw = true;
    for (number, frame) in frames.iter().enumerate() {
        let goes_on = decoder.is_amid();
        let steps = decoder.event(frame.name().unwrap(), &frame.data).unwrap();
        if number < raw || (goes_on && is_raw) {
            out.extend_from_slice(&frame.raw);
            steps.iter().for_each(|step| encoder.observe(step));
        } else {
            is_raw = false;
            steps.iter().for_each(|step| encoder.encode(step, &mut out));
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_stream_means_the_same((dialect, events) in response()) {
        let encoded = stream::encode(dialect, &events);
        let decoded = stream::decode(dialect, &encoded).unwrap().concat();
        prop_assert_eq!(meaning(&events), meaning(&decoded), "{}", String::from_utf8_lossy(&encoded));
        // What was decoded is as its dialect has it, and does not change any more.
        prop_assert_eq!(stream::encode(dialect, &decoded), encoded);
    }

    #[test]
    fn what_left_as_it_came_can_be_followed_by_what_is_written_anew(
        (dialect, events) in response(), at in any::<Index>()) {
        let upstream = stream::encode(dialect, &events);
        let client = relay(dialect, &upstream, at);
        let decoded = stream::decode(dialect, &client).unwrap().concat();
        prop_assert_eq!(meaning(&events), meaning(&decoded), "{}", String::from_utf8_lossy(&client));
    }

    #[test]
    fn a_whole_body_means_the_same((dialect, events) in response()) {
        let events = strip_extras(&events, |_| false);
        let mut single = events.clone();
        if let Some(last) = single.iter().rposition(|event| matches!(event.step, Step::Usage(_))) {
            let mut at = 0..;
            single.retain(|event| at.next() == Some(last) || !matches!(event.step, Step::Usage(_)));
        }
        let body = encode_whole(dialect, &single);
        let decoded = decode_whole(dialect, &body).unwrap();
        prop_assert_eq!(whole(meaning(&single), dialect), whole(meaning(&decoded), dialect));
        prop_assert_eq!(encode_whole(dialect, &decoded), body);
    }
}
