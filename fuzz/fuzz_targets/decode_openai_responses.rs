#![no_main]

use luthien_proto::request::Dialect;

libfuzzer_sys::fuzz_target!(|data: &[u8]| luthien_fuzz::decode::check(Dialect::OpenAiResponses, data));
