//! A service that replaces chunks by themselves changes nothing that the client understands, however it cuts its verdicts.

use luthien_proto::wire::{Chunk, Event};
use luthien_tests::{
    fixtures::{self, Fixture},
    harness::Ask,
    peers::{policy::Conversation, upstream::Reply},
    validate::{Dialect, Turn, anthropic, openai, responses, sse},
};
use serde_json::{Value, json};

use super::bench::Bench;
use crate::leaves::missing;

/// How a service answers, drawn from a seed: the same one gives the same answers.
struct Draw(u64);

impl Draw {
    /// A number below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Settles all chunks: some pass, some are replaced by themselves, the last passes.
async fn echo(call: &mut Conversation, chunks: &[Chunk], draw: &mut Draw) {
    let mut rest = &chunks[..chunks.len() - 1];
    while !rest.is_empty() {
        let (some, others) = rest.split_at(1 + draw.below(rest.len() as u64) as usize);
        let through = some[some.len() - 1].seq;
        if draw.below(3) == 0 {
            call.pass(through).await;
        } else {
            let events: Vec<Event> = some.iter().filter_map(|chunk| chunk.event.clone()).collect();
            call.replace(through, events).await;
        }
        rest = others;
    }
    call.pass(chunks[chunks.len() - 1].seq).await;
}

/// What a client would have understood of the upstream itself.
fn understood(dialect: Dialect, body: &[u8]) -> Turn {
    let read = match dialect {
        Dialect::OpenAi => openai::relayed,
        Dialect::Anthropic => anthropic::relayed,
        Dialect::Responses => responses::relayed,
    };
    read(body).unwrap()
}

/// The JSON of a body, whole or streamed.
fn data(body: &[u8]) -> Vec<Value> {
    match serde_json::from_slice(body) {
        Ok(value) => vec![value],
        Err(_) => {
            let events = sse::parse(body, sse::Between::Anything).unwrap();
            events.iter().filter_map(|event| serde_json::from_str(&event.data).ok()).collect()
        }
    }
}

async fn echoed(bench: &mut Bench, ask: Ask, reply: Reply, seed: u64) -> Vec<u8> {
    bench.upstream.answer(reply);
    let asking = bench.data.begin(ask);
    let (mut call, _) = bench.service.call().await;
    call.admit().await;
    let chunks = call.all_chunks().await;
    echo(&mut call, &chunks, &mut Draw(seed)).await;
    asking.await.unwrap().complete().await
}

/// What differs, if anything does.
fn differs(case: &str, got: &[u8], read: Result<Turn, String>, wanted: &Turn, sent: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(got);
    match read {
        Ok(turn) if turn == *wanted => {
            let mut kept = data(got);
            kept.extend(turn.choices.iter().map(|choice| json!([choice.text(), choice.thinking(), choice.refusal()])));
            kept.extend(turn.tool_calls().into_iter().map(|call| json!(call.arguments)));
            missing(&data(sent), &kept).map(|leaf| format!("{case}: {leaf:?} is lost\n{text}\n"))
        }
        Ok(turn) => Some(format!("{case}: {turn:#?}\nis not\n{wanted:#?}\n{text}\n")),
        Err(error) => Some(format!("{case}: {error}\n{text}\n")),
    }
}

#[tokio::test]
async fn replacing_chunks_by_themselves_changes_nothing_in_a_stream() {
    let mut bench = Bench::start().await;
    let mut wrong = Vec::new();
    for dialect in Dialect::ALL {
        for Fixture { case, body } in fixtures::all_streamed(dialect) {
            let wanted = understood(dialect, &body);
            for seed in 0..8 {
                let got = echoed(&mut bench, Ask::streamed(dialect), Reply::stream(&body), seed).await;
                wrong.extend(differs(&case, &got, dialect.stream(&got), &wanted, &body));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.concat());
}

#[tokio::test]
async fn replacing_chunks_by_themselves_changes_nothing_in_a_whole_response() {
    let mut bench = Bench::start().await;
    let mut wrong = Vec::new();
    for dialect in Dialect::ALL {
        for Fixture { case, body } in fixtures::all_whole(dialect) {
            let wanted = dialect.whole(&body).unwrap();
            for seed in 0..4 {
                let reply = Reply::bytes(200, "application/json", &body);
                let got = echoed(&mut bench, Ask::whole(dialect), reply, seed).await;
                wrong.extend(differs(&case, &got, dialect.whole(&got), &wanted, &body));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.concat());
}
