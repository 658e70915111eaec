//! SSE and the dialects, through their public API: golden cases, and properties over generated ones.

#![expect(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "tests")]

#[path = "codec/anthropic_messages.rs"]
mod anthropic_messages;
#[path = "codec/complete.rs"]
mod complete;
#[path = "codec/errors.rs"]
mod errors;
#[path = "codec/gemini.rs"]
mod gemini;
#[path = "codec/gemini_requests.rs"]
mod gemini_requests;
#[path = "codec/generate.rs"]
mod generate;
#[path = "codec/generate_request.rs"]
mod generate_request;
#[expect(dead_code, reason = "fuzzing asks more of it")]
#[path = "../../../fuzz/src/grammar.rs"]
mod grammar;
#[path = "codec/openai_chat.rs"]
mod openai_chat;
#[path = "codec/openai_responses.rs"]
mod openai_responses;
#[path = "codec/pitfalls.rs"]
mod pitfalls;
#[path = "codec/pitfalls_of_requests.rs"]
mod pitfalls_of_requests;
#[path = "codec/request_bodies.rs"]
mod request_bodies;
#[path = "codec/requests.rs"]
mod requests;
#[path = "codec/requests_responses.rs"]
mod requests_responses;
#[path = "codec/round_trip.rs"]
mod round_trip;
#[path = "codec/show.rs"]
mod show;
#[path = "codec/spelling.rs"]
mod spelling;
#[path = "codec/sse.rs"]
mod sse;
#[path = "codec/stream.rs"]
mod stream;
#[path = "codec/successive.rs"]
mod successive;
