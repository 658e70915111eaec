//! What the client asked for.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use luthien_proto::{
    Request,
    json::{self, Extras},
    request::{Content, ContentBlock, Dialect, Tool, ToolKind},
};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use thiserror::Error;

use super::{
    anthropic_messages,
    fields::{Object, take_string},
    openai_chat, openai_responses,
};

/// A request that can't be read: what is wrong with it, and where.
#[derive(Debug, Error)]
pub enum RequestError {
    /// It is not JSON, or names a key twice.
    #[error("the body is not valid JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A field that luthien has to read is missing, or of another type.
    #[error("{path}: {reason}")]
    Field {
        /// Where it is.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no decoder for the dialect.
    #[error("luthien can't read {0} yet")]
    NotBuilt(&'static str),
}

impl RequestError {
    /// Something other than what was expected.
    pub(super) fn expected(path: impl Into<String>, expected: &str, found: Option<&Value>) -> Self {
        let reason = match found {
            Some(found) => format!("expected {expected}, found {}", json::type_name(found)),
            None => format!("expected {expected}, it is missing"),
        };
        Self::Field { path: path.into(), reason }
    }
}

/// A request, and the bytes that it came as.
#[derive(Clone, Debug)]
pub struct ClientRequest {
    /// The dialect that it is told in.
    pub dialect: Dialect,
    /// What it asks for.
    pub request: Request,
    /// As it came.
    pub body: Bytes,
    /// Where in the body the model's name is, quotes and all.
    model: Range<usize>,
}

/// Decodes the body of a request. `model` must be there, and `messages` where the dialect has them; what a provider accepts
/// beyond them is the provider's affair: it is kept as it is.
///
/// # Errors
/// The body is not JSON, names a key twice, or has no `model` or `messages` of the right type.
pub fn decode_request(dialect: Dialect, body: Bytes) -> Result<ClientRequest, RequestError> {
    let mut object = json::parse_object(&body)?;
    let model = take_string(&mut object, "model")
        .ok_or_else(|| RequestError::expected("model", "a string", object.get("model")))?;
    let request = match dialect {
        Dialect::OpenAiChat => openai_chat::decode_request(model, object),
        Dialect::AnthropicMessages => anthropic_messages::decode_request(model, object),
        Dialect::OpenAiResponses => Ok(openai_responses::decode_request(model, object)),
        Dialect::Gemini => Err(RequestError::NotBuilt(dialect.name())),
    }?;
    Ok(ClientRequest { dialect, request, model: model_span(&body)?, body })
}

impl ClientRequest {
    /// The body for an upstream of the same dialect: as it came, byte by byte, but for the model's name.
    pub fn upstream_body(&self, model: &str) -> Bytes {
        if model == self.request.model {
            return self.body.clone();
        }
        let name = Value::from(model).to_string();
        let mut body = BytesMut::with_capacity(self.body.len() + name.len());
        body.extend_from_slice(&self.body[..self.model.start]);
        body.extend_from_slice(name.as_bytes());
        body.extend_from_slice(&self.body[self.model.end..]);
        body.freeze()
    }
}

/// Where the value of the top-level `model` is.
fn model_span(body: &[u8]) -> Result<Range<usize>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Model<'a> {
        #[serde(borrow)]
        model: &'a RawValue,
    }
    let Model { model } = serde_json::from_slice(body)?;
    let start = model.get().as_ptr() as usize - body.as_ptr() as usize;
    Ok(start..start + model.get().len())
}

/// The messages, each an object.
pub(super) fn take_messages(object: &mut Object) -> Result<Vec<Object>, RequestError> {
    match object.shift_remove("messages") {
        Some(Value::Array(messages)) => {
            let expect_object = |(at, message)| match message {
                Value::Object(message) => Ok(message),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                    Err(RequestError::expected(format!("messages[{at}]"), "an object", Some(&message)))
                }
            };
            messages.into_iter().enumerate().map(expect_object).collect()
        }
        found => Err(RequestError::expected("messages", "an array", found.as_ref())),
    }
}

/// A text, or a list of blocks, as most fields of content allow. What is neither stays where it is.
pub(super) fn take_content(object: &mut Object, key: &str, block: impl Fn(Object) -> Content) -> Vec<Content> {
    if let Some(text) = take_string(object, key) {
        return vec![ContentBlock::Text(text).into()];
    }
    let Some(Value::Array(parts)) = object.get_mut(key) else { return Vec::new() };
    let parts = std::mem::take(parts);
    object.shift_remove(key);
    let content = |part| match part {
        Value::Object(part) => block(part),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            ContentBlock::Opaque(part).into()
        }
    };
    parts.into_iter().map(content).collect()
}

/// A block of a known type, of which the object is what remains.
pub(super) fn known(block: ContentBlock, rest: Object) -> Content {
    Content { block, extras: Extras::from(rest) }
}

/// A tool that is the provider's affair, as it is written.
pub(super) fn hosted(raw: Value) -> Tool {
    let name = raw.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    Tool {
        name,
        namespace: String::new(),
        description: String::new(),
        kind: ToolKind::Hosted(raw),
        extras: Extras::NONE,
    }
}
