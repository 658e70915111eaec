//! Whatever an upstream says, its answer says the same to a client of another dialect, as far as that can say it.

use bytes::{Bytes, BytesMut};
use luthien_call::{
    call::{Head, Input},
    dialect::{ResponseDecoder, ResponseEncoder, decode_whole, encode_whole},
    sse,
};
use luthien_proto::{
    Event, Step,
    event::{BlockKey, BlockKind, Delta, FinishReason, ToolForm, Usage},
};
use proptest::{prelude::*, sample::Index};
use serde_json::{Value, json};

use super::*;
use crate::{generate, rig::Rig};

/// Clients, and the upstreams that answer them.
const PAIRS: [(Dialect, Dialect); 4] = [
    (Dialect::AnthropicMessages, Dialect::OpenAiChat),
    (Dialect::OpenAiChat, Dialect::AnthropicMessages),
    (Dialect::AnthropicMessages, Dialect::Gemini),
    (Dialect::OpenAiChat, Dialect::Gemini),
];

/// An upstream's answer.
#[derive(Clone, Debug)]
struct Answer {
    client: Dialect,
    upstream: Dialect,
    /// What it means.
    said: Said,
    stream: Bytes,
    whole: Bytes,
}

impl Answer {
    /// In the words of the upstream's own encoder.
    fn encoded(client: Dialect, upstream: Dialect, events: &[Event]) -> Self {
        let mut encoder = ResponseEncoder::new(upstream);
        let mut stream = BytesMut::new();
        events.iter().for_each(|event| encoder.encode(event, &mut stream));
        encoder.flush(&mut stream);
        // A body can tell its usage once.
        let last = events.iter().rposition(|event| matches!(event.step, Step::Usage(_)));
        let kept = events.iter().enumerate();
        let kept = kept.filter(|(at, event)| Some(*at) == last || !matches!(event.step, Step::Usage(_)));
        let whole = encode_whole(upstream, &kept.map(|(_, event)| event.clone()).collect::<Vec<_>>());
        Self { client, upstream, said: Said::of(events), stream: stream.freeze(), whole }
    }

    fn refuses(&self) -> bool {
        self.said.prose.iter().any(|(sort, _)| *sort == "refusal")
    }

    fn rig(&self, streams: bool) -> Rig {
        Rig::converting(bridge(self.client, self.upstream), streams, NOTHING)
    }

    /// What the client gets, of a stream that comes in these pieces.
    fn told(&self, streams: bool, pieces: impl IntoIterator<Item = Bytes>) -> Vec<u8> {
        let mut rig = self.rig(streams);
        rig.head(200, Content::Sse);
        pieces.into_iter().for_each(|piece| rig.data(piece));
        rig.end();
        assert_eq!(rig.finished, Some(true));
        rig.written
    }
}

fn answers() -> impl Strategy<Value = Answer> {
    prop::sample::select(&PAIRS[..]).prop_flat_map(|(client, upstream)| match upstream {
        Dialect::Gemini => gemini(client).boxed(),
        _ => generate::response(upstream).prop_map(move |events| Answer::encoded(client, upstream, &events)).boxed(),
    })
}

/// Gemini's answers, which nobody of us encodes: parts in chunks.
fn gemini(client: Dialect) -> impl Strategy<Value = Answer> {
    let part = prop_oneof![
        3 => any::<String>().prop_map(|text| (json!({"text": text}), Some(("text", text)))),
        2 => any::<String>().prop_map(|text| (json!({"text": text, "thought": true}), Some(("thinking", text)))),
        1 => any::<String>().prop_map(|text| (json!({"text": text, "thoughtSignature": "U0lH"}), Some(("text", text)))),
        2 => ("[a-z]{1,8}", any::<String>(), any::<bool>()).prop_map(|(name, value, is_signed)| {
            let mut part = json!({"functionCall": {"name": name, "args": {"x": value}}});
            if is_signed {
                part["thoughtSignature"] = "U0lH".into();
            }
            (part, None)
        }),
        1 => Just((json!({"inlineData": {"mimeType": "image/png", "data": "AA=="}}), Some(("text", "[image]".to_owned())))),
        1 => Just((json!({"executableCode": {"code": "x_own"}}), None)),
    ];
    let finish = prop::sample::select(
        &[
            ("STOP", FinishReason::EndTurn),
            ("MAX_TOKENS", FinishReason::MaxTokens),
            ("SAFETY", FinishReason::ContentFilter),
            ("OTHER", FinishReason::Other),
        ][..],
    );
    let chunks = proptest::collection::vec(proptest::collection::vec(part, 0..3), 1..6);
    (chunks, finish, (0..999u64, 0..999u64, 0..999u64, 0..999u64)).prop_map(move |(chunks, (word, reason), usage)| {
        let (fresh, cached, output, thoughts) = usage;
        let mut said = Said { finish: Some(reason), usage: [fresh, cached, 0, output + thoughts], ..Said::default() };
        for (part, text) in chunks.iter().flatten() {
            said.prose.extend(text.clone().filter(|(_, text)| !text.is_empty()));
            if let Some(name) = part["functionCall"]["name"].as_str() {
                let arguments = part["functionCall"]["args"].to_string();
                said.calls.push((name.to_owned(), ToolForm::Function, arguments.into()));
            }
        }
        let body = |parts: Vec<Value>, is_last: bool| {
            let mut body = json!({"responseId": "R", "modelVersion": "g", "x_own": 1,
                "candidates": [{"index": 0, "content": {"role": "model", "parts": parts}}],
                "usageMetadata": {"promptTokenCount": fresh + cached, "candidatesTokenCount": 1}});
            if is_last {
                body["candidates"][0]["finishReason"] = word.into();
                body["usageMetadata"] = json!({"promptTokenCount": fresh + cached, "cachedContentTokenCount": cached,
                    "candidatesTokenCount": output, "thoughtsTokenCount": thoughts});
            }
            body
        };
        let all: Vec<Value> = chunks.iter().flatten().map(|(part, _)| part.clone()).collect();
        let count = chunks.len();
        let parts = chunks.into_iter().map(|parts| parts.into_iter().map(|(part, _)| part).collect());
        let stream: String =
            parts.zip(1..).map(|(parts, at)| format!("data: {}\r\n\r\n", body(parts, at == count))).collect();
        Answer {
            client,
            upstream: Dialect::Gemini,
            said,
            stream: stream.into(),
            whole: body(all, true).to_string().into(),
        }
    })
}

/// What the first choice of a response says.
#[derive(Clone, Debug, Default, PartialEq)]
struct Said {
    /// Pieces of the same kind that follow one another are one; calls stand beside.
    prose: Vec<(&'static str, String)>,
    calls: Vec<(String, ToolForm, Value)>,
    finish: Option<FinishReason>,
    usage: [u64; 4],
}

impl Said {
    fn of(events: &[Event]) -> Self {
        let mut said = Self::default();
        let mut sorts: Vec<(BlockKey, Sort)> = Vec::new();
        for event in events {
            match &event.step {
                Step::BlockStarted(started) if started.choice == 0 => {
                    let sort = match &started.kind {
                        BlockKind::Text => Sort::Prose("text"),
                        BlockKind::Thinking { .. } => Sort::Prose("thinking"),
                        BlockKind::Refusal => Sort::Prose("refusal"),
                        BlockKind::ToolCall(call) if call.form != ToolForm::Server => {
                            said.calls.push((call.name.clone(), call.form, Value::from("")));
                            Sort::Call(said.calls.len() - 1)
                        }
                        _ => continue,
                    };
                    sorts.push((started.block, sort));
                }
                Step::BlockDelta(delta) => {
                    let sort = sorts.iter().find(|(key, _)| *key == delta.block).map(|(_, sort)| *sort);
                    match (&delta.delta, sort) {
                        (Delta::Text(text), Some(Sort::Prose(sort))) => said.prose.push((sort, text.clone())),
                        (Delta::Arguments(text), Some(Sort::Call(at))) => {
                            let known = said.calls[at].2.as_str().unwrap().to_owned();
                            said.calls[at].2 = (known + text).into();
                        }
                        _ => {}
                    }
                }
                Step::Usage(usage) => said.add_up(usage),
                Step::Finished(finished) if finished.choice == 0 => said.finish = Some(finished.reason),
                _ => {}
            }
        }
        said
    }

    fn add_up(&mut self, usage: &Usage) {
        let now = [usage.input, usage.cache_read, usage.cache_write, usage.output];
        for (known, now) in self.usage.iter_mut().zip(now) {
            *known = now.unwrap_or(*known);
        }
    }

    /// As a client of that dialect can be told it.
    fn to(mut self, client: Dialect) -> Self {
        let refuses = self.prose.iter().any(|(sort, _)| *sort == "refusal");
        let finish = match self.finish {
            Some(FinishReason::EndTurn | FinishReason::ToolUse) if !self.calls.is_empty() => FinishReason::ToolUse,
            Some(FinishReason::EndTurn | FinishReason::ToolUse) if refuses => FinishReason::Refusal,
            Some(FinishReason::ToolUse) | None => FinishReason::EndTurn,
            Some(other) => other,
        };
        self.finish = Some(match (client, finish) {
            (Dialect::AnthropicMessages, FinishReason::ContentFilter) => FinishReason::Refusal,
            (Dialect::OpenAiChat, FinishReason::Refusal) => FinishReason::ContentFilter,
            (Dialect::OpenAiChat, FinishReason::ContextWindow) => FinishReason::MaxTokens,
            (Dialect::OpenAiChat, FinishReason::Pause) | (_, FinishReason::Other) => FinishReason::EndTurn,
            (_, same) => same,
        });
        for (sort, _) in &mut self.prose {
            if client == Dialect::AnthropicMessages && *sort == "refusal" {
                *sort = "text";
            }
        }
        for (_, form, arguments) in &mut self.calls {
            if client == Dialect::AnthropicMessages && *form == ToolForm::Custom {
                (*form, *arguments) = (ToolForm::Function, json!({"input": arguments}).to_string().into());
            }
        }
        self
    }

    /// With texts joined as far as the form tells them apart, and arguments as what they mean.
    fn joined(mut self, in_order: bool) -> Self {
        let mut prose: Vec<(&'static str, String)> = Vec::new();
        for (sort, text) in std::mem::take(&mut self.prose) {
            let known = match in_order {
                true => prose.last_mut().filter(|(last, _)| *last == sort),
                false => prose.iter_mut().find(|(known, _)| *known == sort),
            };
            match known {
                Some((_, known)) => known.push_str(&text),
                None => prose.push((sort, text)),
            }
        }
        if !in_order {
            prose.sort();
        }
        self.prose = prose;
        for (_, form, arguments) in &mut self.calls {
            if form.is_json() {
                *arguments = serde_json::from_str(arguments.as_str().unwrap()).unwrap();
            }
        }
        self
    }
}

#[derive(Clone, Copy)]
enum Sort {
    Prose(&'static str),
    Call(usize),
}

fn decode(client: Dialect, written: &[u8]) -> Vec<Event> {
    let mut frames = sse::Decoder::new(1 << 20);
    frames.push(Bytes::copy_from_slice(written));
    let mut decoder = ResponseDecoder::new(client);
    let mut events = Vec::new();
    while let Some(frame) = frames.next().unwrap() {
        events.extend(decoder.event(frame.name().unwrap(), &frame.data).unwrap());
    }
    let tail = frames.finish();
    assert!(tail.event.is_none() && !tail.cut, "the last event is whole");
    events.extend(decoder.end());
    events
}

fn cut(bytes: &Bytes, at: &[Index]) -> Vec<Bytes> {
    let mut places: Vec<usize> = at.iter().map(|index| index.index(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.windows(2).map(|ends| bytes.slice(ends[0]..ends[1])).collect()
}

/// What clients rely on beyond the grammar that our own decoder checks.
fn check(client: Dialect, written: &[u8]) {
    let text = std::str::from_utf8(written).unwrap();
    let events = events(text);
    match client {
        Dialect::AnthropicMessages => check_anthropic(text, &events),
        _ => check_chat(&events),
    }
}

/// Whether a field is left of those that only the upstream knows.
fn has_foreign(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.iter().any(|(key, value)| key.starts_with("x_") || has_foreign(value)),
        Value::Array(items) => items.iter().any(has_foreign),
        _ => false,
    }
}

fn check_anthropic(text: &str, events: &[Value]) {
    let names = text.lines().filter_map(|line| line.strip_prefix("event: "));
    assert!(names.eq(events.iter().map(|event| event["type"].as_str().unwrap())), "every event has its name");
    let (mut next, mut open) = (0, Vec::new());
    for (at, event) in events.iter().enumerate() {
        let index = event["index"].as_u64();
        match event["type"].as_str().unwrap() {
            "message_start" => assert_eq!(at, 0),
            "content_block_start" => {
                assert_eq!(index, Some(next), "indexes are dense");
                let block = &event["content_block"];
                let is_call = block["type"] == "tool_use";
                assert!(is_call || open.iter().all(|(_, is_call)| *is_call), "only calls overlap");
                assert!(block["text"] == "" || block["text"].is_null());
                if is_call {
                    let id = block["id"].as_str().unwrap();
                    assert!(
                        !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
                    );
                }
                open.push((next, is_call));
                next += 1;
            }
            "content_block_delta" => assert!(open.iter().any(|(known, _)| Some(*known) == index)),
            "content_block_stop" => open.retain(|(known, _)| Some(*known) != index),
            "message_delta" | "message_stop" => assert!(open.is_empty()),
            "ping" | "error" => {}
            other => panic!("{other}"),
        }
    }
}

fn check_chat(events: &[Value]) {
    let mut started = std::collections::BTreeSet::new();
    let mut finished = false;
    for event in events.iter().filter(|event| event["error"].is_null()) {
        for field in ["id", "object", "created", "model"] {
            assert_eq!(event[field], events[0][field]);
        }
        let choice = &event["choices"][0];
        assert!(!finished || event["choices"] == json!([]), "nothing follows the finish but the usage");
        finished |= choice["finish_reason"].is_string();
        for call in choice["delta"]["tool_calls"].as_array().into_iter().flatten() {
            let index = call["index"].as_u64().unwrap();
            let is_new = started.insert(index);
            let named = &call[call["type"].as_str().unwrap_or_default()]["name"];
            assert_eq!((call["id"].is_string(), named.is_string()), (is_new, is_new), "told once");
            assert!(index < started.len() as u64, "indexes are dense");
            assert!(call["id"].as_str().is_none_or(|id| (1..=40).contains(&id.chars().count())));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_stream_says_the_same_in_another_dialect(answer in answers()) {
        let written = answer.told(true, [answer.stream.clone()]);
        check(answer.client, &written);
        let said = Said::of(&decode(answer.client, &written)).joined(true);
        let expected = answer.said.clone().to(answer.client).joined(true);
        prop_assert_eq!(said, expected, "{}", String::from_utf8_lossy(&written));
        let foreign = events(std::str::from_utf8(&written).unwrap()).iter().any(has_foreign);
        prop_assert!(!foreign, "{}", String::from_utf8_lossy(&written));
    }

    #[test]
    fn a_whole_answer_says_the_same_whatever_form_it_came_in(answer in answers(), is_stream: bool, streams: bool) {
        // A body of Chat doesn't say which came first.
        prop_assume!(answer.client != Dialect::AnthropicMessages || !answer.refuses());
        let mut rig = answer.rig(streams);
        rig.head(200, if is_stream { Content::Sse } else { Content::Json });
        rig.data(if is_stream { answer.stream.clone() } else { answer.whole.clone() });
        rig.end();
        let told = match streams {
            true => decode(answer.client, &rig.written),
            false => decode_whole(answer.client, &rig.written.clone().into()).unwrap(),
        };
        let said = Said::of(&told).joined(false);
        prop_assert_eq!(said, answer.said.clone().to(answer.client).joined(false), "{}", rig.text());
    }

    #[test]
    fn where_a_stream_is_cut_into_pieces_makes_no_difference(answer in answers(), at in proptest::collection::vec(any::<Index>(), 1..8)) {
        let stream = answer.stream.clone();
        prop_assert_eq!(answer.told(true, [stream.clone()]), answer.told(true, cut(&stream, &at)));
    }

    #[test]
    fn a_stream_that_breaks_off_anywhere_is_valid_and_ends_in_an_error(answer in answers(), at: Index, is_torn: bool) {
        let stream = answer.stream.clone();
        let mut rig = answer.rig(true);
        rig.head(200, Content::Sse);
        let begun = stream.slice(..at.index(stream.len()));
        rig.data(&begun);
        rig.input(if is_torn { Input::UpstreamFailed("reset".to_owned()) } else { Input::UpstreamEnd });
        prop_assert_eq!(rig.finished, Some(true));
        if let [Head::Converted { status: 502, .. }] = rig.heads[..] {
            let body: Value = serde_json::from_str(rig.text()).unwrap();
            prop_assert!(body["error"]["message"].is_string());
        } else {
            check(answer.client, &rig.written);
            let last = decode(answer.client, &rig.written).pop().map(|event| event.step);
            let failed = matches!(last, Some(Step::Failed(_)));
            let begun = String::from_utf8_lossy(&begun);
            let finished = begun.contains("\"finish_reason\":\"") || begun.contains("message_delta") || begun.contains("finishReason");
            prop_assert!(failed || finished, "{}", rig.text());
        }
    }
}
