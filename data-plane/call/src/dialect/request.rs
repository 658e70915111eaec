//! What the client asked for.

use bytes::Bytes;
use luthien_proto::{Request, request::Dialect};
use thiserror::Error;

/// A request that can't be read: what is wrong with it, and where.
#[derive(Debug, Error)]
pub enum RequestError {
    /// It is not JSON, or hides something.
    #[error("the body is not valid JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A field that luthien needs.
    #[error("{path}: {reason}")]
    Field {
        /// Where it is.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no decoder.
    #[error("luthien can't read {0} yet")]
    NotBuilt(&'static str),
}

/// A request, and the bytes that it came as.
#[derive(Clone, Debug)]
pub struct ClientRequest {
    /// What it asks for.
    pub request: Request,
    /// As it came.
    pub body: Bytes,
}

/// Decodes the body of a request. `model` and `messages` must be there; what a provider accepts beyond them is the
/// provider's affair.
///
/// # Errors
/// The body is not such a request.
pub fn decode_request(dialect: Dialect, _body: Bytes) -> Result<ClientRequest, RequestError> {
    Err(RequestError::NotBuilt(dialect.name()))
}

impl ClientRequest {
    /// The body for an upstream of the same dialect: as it came, but for the model's name.
    pub fn upstream_body(&self, _model: &str) -> Bytes {
        self.body.clone()
    }
}
