//! What fuzzing has found worth keeping, replayed: see docs/fuzzing.md.

#![expect(
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a check that can't go on fails"
)]

use std::{fs, path::Path};

use luthien_proto::request::Dialect;

#[path = "../../../fuzz/src"]
mod checks {
    pub mod call;
    pub mod convert;
    pub mod decode;
    pub mod grammar;
    pub mod input;
    pub mod sse;
}

use checks::{call, convert, decode, grammar, input, sse};

fn replay(target: &str, check: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut cases: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(!cases.is_empty());
    for case in cases {
        eprintln!("{}", case.display());
        check(&fs::read(&case).unwrap());
    }
}

#[test]
fn sse_is_read_the_same_however_it_is_cut() {
    replay("sse", sse::check);
}

#[test]
fn openai_chat_is_decoded_and_encoded() {
    replay("decode_openai_chat", |data| decode::check(Dialect::OpenAiChat, data));
}

#[test]
fn anthropic_messages_is_decoded_and_encoded() {
    replay("decode_anthropic_messages", |data| decode::check(Dialect::AnthropicMessages, data));
}

#[test]
fn openai_responses_is_decoded_and_encoded() {
    replay("decode_openai_responses", |data| decode::check(Dialect::OpenAiResponses, data));
}

#[test]
fn gemini_is_decoded() {
    replay("decode_gemini", |data| decode::check_upstream(Dialect::Gemini, data));
}

#[test]
fn requests_are_converted() {
    replay("convert_request", convert::request);
}

#[test]
fn answers_are_converted() {
    replay("convert_response", convert::response);
}

#[test]
fn a_call_writes_nothing_undecided_and_comes_to_its_end() {
    replay("call", call::check);
}
