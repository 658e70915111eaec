//! Between the dialects: what a request and its answer become where client and upstream speak different ones.
//!
//! The dialects know nothing of each other, and nothing of this module. A request is decoded by the client's dialect,
//! made the target's own here, and encoded by the target's; its answer is decoded by the upstream's dialect, passes
//! [`Response`], and is encoded by the client's.

mod bridge;
mod envelope;
pub(crate) mod failure;
mod forward;
mod names;
mod request;
mod response;

use bytes::Bytes;
use luthien_proto::{Request, request::Dialect};
use thiserror::Error;

pub use bridge::{Bridge, BridgedTool};
pub use envelope::{Envelope, Kind, unwrap, wrap};
pub use forward::forward;
pub(crate) use request::wants_usage;
pub use response::Response;
pub(crate) use response::{Arriving, Leaving, call_id, id_prefix};

use crate::dialect::{ClientRequest, Lost, UpstreamOptions, encode_request};

/// Where a request goes.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// What the upstream speaks.
    pub dialect: Dialect,
    /// The upstream's name of the model.
    pub model: &'a str,
    /// What else is known of it.
    pub options: &'a UpstreamOptions,
}

/// A request in the words of another dialect.
#[derive(Clone, Debug)]
pub struct Converted {
    /// The body for the upstream.
    pub body: Bytes,
    /// What was lost.
    pub lost: Lost,
    /// What turns the answer into one for the client.
    pub response: Response,
}

/// A request that would get a silently wrong answer in another dialect. For the client, with status 400.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{path}: {reason}")]
pub struct Unconvertible {
    /// The field at fault.
    pub path: String,
    /// What is wrong with it.
    pub reason: String,
    /// The error code by which a client's library knows what to do about it: Anthropic's `details.error_code`.
    pub code: Option<&'static str>,
}

/// The dialect in whose words policies ask models: the system's words stand apart from the messages, and the roles are
/// `user` and `assistant`.
const OF_QUESTIONS: Dialect = Dialect::AnthropicMessages;

/// The body of a question that a policy asks a model. It is not streamed.
///
/// # Errors
/// It depends on what only a provider of another dialect can know.
pub fn question(request: &Request, to: &Target<'_>) -> Result<Bytes, Unconvertible> {
    let mut request = Request { stream: false, choices: 1, ..request.clone() };
    let mut lost = Lost::default();
    if to.dialect == OF_QUESTIONS {
        to.model.clone_into(&mut request.model);
    } else {
        request = request::convert(OF_QUESTIONS, &request, to)?.0;
    }
    Ok(encode_request(to.dialect, &request, to.options, &mut lost))
}

/// Converts a request for an upstream that speaks another dialect than the client.
///
/// # Errors
/// The request depends on what only a provider of its own dialect can know.
pub fn convert(client: &ClientRequest, to: &Target<'_>) -> Result<Converted, Unconvertible> {
    convert_request(client.dialect, &client.request, to)
}

/// A request that is another one than the client's, for the upstream.
#[derive(Clone, Debug)]
pub struct Edited {
    /// The body for the upstream.
    pub body: Bytes,
    /// What was lost.
    pub lost: Lost,
    /// What turns the answer into one for the client, where the upstream speaks another dialect.
    pub response: Option<Response>,
}

/// Writes a request anew that policies have changed, for an upstream of whatever dialect. What they did not change means
/// what it meant.
///
/// # Errors
/// As [`convert`], where the upstream speaks another dialect than the client.
pub fn edited(client: Dialect, request: &Request, to: &Target<'_>) -> Result<Edited, Unconvertible> {
    if client == to.dialect {
        let (body, lost) = forward::anew(client, request, to.model, to.options);
        return Ok(Edited { body, lost, response: None });
    }
    let Converted { body, lost, response } = convert_request(client, request, to)?;
    Ok(Edited { body, lost, response: Some(response) })
}

fn convert_request(client: Dialect, request: &Request, to: &Target<'_>) -> Result<Converted, Unconvertible> {
    let (converted, mut lost, bridge) = request::convert(client, request, to)?;
    let body = encode_request(to.dialect, &converted, to.options, &mut lost);
    let lost = request::of_client(lost, client);
    Ok(Converted { body, lost, response: Response::new(bridge) })
}
