//! What a client speaks: its requests. Of responses it looks for the stamps alone, whatever is around them.

use super::cell::{Kind, Script};

/// A client's dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `openai-chat`, which the upstream speaks too.
    OpenAi,
    /// `anthropic-messages`.
    Anthropic,
}

impl Dialect {
    /// A request that tells the upstream its script.
    pub(super) fn request(self, kind: Kind, script: Script) -> Vec<u8> {
        let stream = kind == Kind::Streamed;
        let (path, headers, body) = match self {
            Self::OpenAi => (
                "/v1/chat/completions",
                "authorization: Bearer none",
                format!(
                    r#"{{"model":"bench-1","stream":{stream},"messages":[{{"role":"system","content":"You are a benchmark."}},{{"role":"user","content":"{script}"}}]}}"#
                ),
            ),
            Self::Anthropic => (
                "/v1/messages",
                "anthropic-version: 2023-06-01\r\nx-api-key: none",
                format!(
                    r#"{{"model":"bench-1","stream":{stream},"max_tokens":256,"system":"You are a benchmark.","messages":[{{"role":"user","content":"{script}"}}]}}"#
                ),
            ),
        };
        let length = body.len();
        format!(
            "POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n{headers}\r\n\
             content-length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }
}
