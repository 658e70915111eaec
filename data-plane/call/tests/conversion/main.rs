//! Requests between dialects: a tree of cases with what each target is sent, and properties of any request.

#![expect(clippy::unwrap_used, reason = "tests")]

mod bridge;
mod cases;
mod check;
mod edited;
mod forwarded;
mod models;
mod property;
mod refused;

use bytes::Bytes;
use luthien_call::{
    conversion::{Converted, Target, Unconvertible, convert},
    dialect::{UpstreamOptions, decode_request},
};
use luthien_proto::request::Dialect;

/// The name of a file of the tree.
fn file_name(dialect: Dialect, compatible: bool) -> String {
    if compatible { format!("{}-compatible", dialect.name()) } else { dialect.name().to_owned() }
}

/// The model that a target is asked for.
fn model(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::OpenAiChat | Dialect::OpenAiResponses => "gpt-5.5",
        Dialect::AnthropicMessages => "claude-opus-4-6",
        Dialect::Gemini => "gemini-3.1-pro-preview",
    }
}

/// Every target of a client's request: OpenAI Chat twice, as OpenAI's own and as a relative that reads reasoning.
fn targets(client: Dialect) -> Vec<(Dialect, UpstreamOptions)> {
    let plain = Dialect::ALL.into_iter().map(|dialect| (dialect, UpstreamOptions::default()));
    let relative = UpstreamOptions { compatible: true, reasoning_echo: true, max_output_tokens: None };
    plain.chain([(Dialect::OpenAiChat, relative)]).filter(|(dialect, _)| *dialect != client).collect()
}

fn convert_body(
    client: Dialect,
    body: &str,
    dialect: Dialect,
    model: &str,
    options: &UpstreamOptions,
) -> Result<Converted, Unconvertible> {
    let request = decode_request(client, Bytes::copy_from_slice(body.as_bytes())).unwrap();
    convert(&request, &Target { dialect, model, options })
}
