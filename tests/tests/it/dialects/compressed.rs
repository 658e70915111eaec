//! Upstreams that compress although they were asked not to.

use luthien_tests::{
    harness::{Ask, Setup},
    peers::{Gate, upstream::Reply},
    validate::Dialect,
};

/// `{"id":"msg_1",…,"text":"A cool answer."…}`, as a provider compresses it.
fn gzipped(body: &[u8]) -> Vec<u8> {
    // Stored blocks: compression that needs no compressor.
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let chunks: Vec<&[u8]> = body.chunks(65_535).collect();
    for (i, chunk) in chunks.iter().enumerate() {
        out.push(u8::from(i + 1 == chunks.len()));
        out.extend(stored(chunk));
    }
    out.extend(crc32(body).to_le_bytes());
    out.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
    out
}

fn stored(chunk: &[u8]) -> Vec<u8> {
    let length = u16::try_from(chunk.len()).unwrap();
    [&length.to_le_bytes()[..], &(!length).to_le_bytes()[..], chunk].concat()
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

fn fixture(dialect: Dialect) -> Vec<u8> {
    luthien_tests::fixtures::whole(dialect, "text")
}

fn compressed(body: &[u8]) -> Reply {
    Reply::bytes(200, "application/json", &gzipped(body)).header("content-encoding", "gzip")
}

#[tokio::test]
async fn what_has_to_be_judged_is_decoded() {
    let gateway = Setup::replacing_cool().start().await;
    for dialect in [Dialect::OpenAi, Dialect::Anthropic] {
        gateway.upstream.answer(compressed(&fixture(dialect)));
        let answer = gateway.ask(Ask::whole(dialect)).await;
        assert_eq!(answer.header("content-encoding"), "");
        let text = answer.whole(dialect).await.text();
        assert!(text.contains("radical") && !text.contains("cool"), "{text}");
    }
}

#[tokio::test]
async fn what_was_flushed_is_judged_before_more_comes() {
    let gateway = Setup::replacing_cool().start().await;
    let body = luthien_tests::fixtures::streamed(Dialect::OpenAi, "text");
    let at = body.len() / 2;
    let (mut first, mut second) = (vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 0], vec![1]);
    first.extend(stored(&body[..at]));
    second.extend(stored(&body[at..]));
    second.extend(crc32(&body).to_le_bytes());
    second.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
    let gate = Gate::new();
    let reply = Reply::sse().header("content-encoding", "gzip").send(first).wait(&gate).send(second);
    gateway.upstream.answer(reply);
    let mut answer = gateway.ask(Ask::streamed(Dialect::OpenAi)).await;
    answer.until("Hel").await;
    gate.open();
    assert!(answer.stream(Dialect::OpenAi).await.text().contains("radical"));
}

#[tokio::test]
async fn what_is_only_relayed_stays_compressed() {
    let gateway = Setup::noop().start().await;
    let body = fixture(Dialect::OpenAi);
    gateway.upstream.answer(compressed(&body));
    let answer = gateway.ask(Ask::whole(Dialect::OpenAi)).await;
    assert_eq!(answer.header("content-encoding"), "gzip");
    assert_eq!(answer.complete().await, gzipped(&body));
}

#[tokio::test]
async fn what_is_compressed_wrongly_or_by_a_coding_that_nobody_knows_is_not_forwarded() {
    let gateway = Setup::replacing_cool().start().await;
    let mut wrong = gzipped(&fixture(Dialect::OpenAi));
    let at = wrong.len() - 6;
    wrong[at] ^= 1;
    let broken = Reply::bytes(200, "application/json", &wrong).header("content-encoding", "gzip");
    let unknown = Reply::bytes(200, "application/json", &wrong).header("content-encoding", "compress");
    let plain = Reply::bytes(200, "application/json", &fixture(Dialect::OpenAi)).header("content-encoding", "zstd");
    for reply in [broken, unknown, plain] {
        gateway.upstream.answer(reply);
        let answer = gateway.ask(Ask::whole(Dialect::OpenAi)).await;
        assert_eq!(answer.status, 502);
        answer.error(Dialect::OpenAi).await;
    }
}
