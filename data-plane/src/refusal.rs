//! What a client is told when its request goes nowhere, and the one table from that to HTTP.

use http::{HeaderValue, Method, Response, StatusCode, header};
use luthien_call::dialect::{self, RequestError};
use luthien_proto::{event::CallError, request::Dialect};
use thiserror::Error;

use crate::client::Body;

/// Why a request was not taken.
#[derive(Debug, Error)]
pub(crate) enum Refusal {
    #[error("there is nothing at {0}")]
    UnknownPath(String),
    #[error("{method} is not possible at {path}; allowed: {allow}")]
    WrongMethod { method: Method, path: String, allow: &'static str },
    #[error("an API key is needed: `authorization: Bearer <key>` or `x-api-key: <key>`")]
    NoKey,
    #[error("the API key is not known here")]
    WrongKey,
    #[error("the content-type has to be application/json{}", .0.as_ref().map(|it| format!(", not {it}")).unwrap_or_default())]
    ContentType(Option<String>),
    #[error("the content-encoding {0} is not understood; send the body as it is")]
    ContentEncoding(String),
    #[error("the request body is larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("the request body did not arrive in time")]
    BodyTimeout,
    #[error("the request body broke off")]
    BodyBroken,
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("{path}: {reason}")]
    Unconvertible { path: String, reason: String, code: Option<&'static str> },
    #[error(
        "the upstream `{upstream}` speaks {dialect}, so the credentials that came are for another provider; \
         the configuration has to give the upstream an api_key"
    )]
    ForeignKey { upstream: String, dialect: &'static str },
    #[error("tokens can't be counted for the model `{0}`: its upstream has no way to")]
    NotCountable(String),
    #[error("there is no model `{0}`")]
    UnknownModel(String),
    #[error("WebSockets are not spoken here; POST the request")]
    WebSocket,
    #[error("the upstream can't be reached, or broke off")]
    UpstreamFailed,
    #[error("the upstream did not answer in time")]
    UpstreamTimeout,
    #[error("the upstream's answer can't be read")]
    UpstreamUnreadable,
    #[error("no route leads the model `{0}` anywhere")]
    NoRoute(String),
    #[error("too many calls are open")]
    Busy,
    #[error("shutting down")]
    ShuttingDown,
    #[error("internal error")]
    Internal,
}

impl Refusal {
    /// The refusal as an answer of that dialect.
    pub(crate) fn into_response(self, dialect: Dialect) -> Response<Body> {
        let allow = if let Self::WrongMethod { allow, .. } = &self { Some(*allow) } else { None };
        let error = self.into_error(dialect);
        let body = dialect::error_body(dialect, &error);
        let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = Response::new(Body::full(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if status == StatusCode::NOT_IMPLEMENTED {
            // SDKs try every other 5xx again.
            headers.insert("x-should-retry", HeaderValue::from_static("false"));
        }
        if status == StatusCode::UPGRADE_REQUIRED {
            headers.insert(header::UPGRADE, HeaderValue::from_static("HTTP/1.1"));
        }
        if let Some(allow) = allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        response
    }

    fn into_error(self, dialect: Dialect) -> CallError {
        let (status, code) = self.status_and_code();
        // OpenAI's words for what Anthropic's types say already.
        let is_openais = !matches!(self, Self::Unconvertible { .. });
        let code = if dialect == Dialect::AnthropicMessages && is_openais { "" } else { code };
        let param = match &self {
            Self::NoRoute(_) => "model".to_owned(),
            Self::Unconvertible { path, .. } => path.clone(),
            Self::Request(RequestError::Field { path, .. }) => path.clone(),
            _ => String::new(),
        };
        let message = format!("luthien: {self}");
        CallError { status, type_: String::new(), message, code: code.to_owned(), param }
    }

    fn status_and_code(&self) -> (u16, &'static str) {
        match self {
            Self::UnknownPath(_) => (404, ""),
            Self::NoRoute(_) | Self::UnknownModel(_) => (404, "model_not_found"),
            Self::NotCountable(_) => (404, ""),
            Self::Unconvertible { code, .. } => (400, code.unwrap_or_default()),
            Self::ForeignKey { .. } => (401, "invalid_api_key"),
            Self::WebSocket => (426, ""),
            Self::UpstreamFailed | Self::UpstreamUnreadable => (502, ""),
            Self::UpstreamTimeout => (504, ""),
            Self::WrongMethod { .. } => (405, ""),
            Self::NoKey | Self::WrongKey => (401, "invalid_api_key"),
            Self::ContentType(_) | Self::ContentEncoding(_) => (415, ""),
            Self::TooLarge { .. } => (413, ""),
            Self::BodyTimeout => (408, ""),
            Self::BodyBroken | Self::Request(RequestError::Json(_) | RequestError::Field { .. }) => (400, ""),
            Self::Request(RequestError::NotBuilt(_)) => (501, ""),
            Self::Busy | Self::ShuttingDown => (503, ""),
            Self::Internal => (500, ""),
        }
    }

    /// The HTTP status.
    pub(crate) fn status(&self) -> u16 {
        self.status_and_code().0
    }

    /// What it is, without anything that the client sent: for logs.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::UnknownPath(_) => "unknown_path",
            Self::NoRoute(_) => "no_route",
            Self::Unconvertible { .. } => "unconvertible",
            Self::ForeignKey { .. } => "foreign_key",
            Self::NotCountable(_) => "not_countable",
            Self::UnknownModel(_) => "unknown_model",
            Self::WebSocket => "web_socket",
            Self::UpstreamFailed => "upstream_failed",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::UpstreamUnreadable => "upstream_unreadable",
            Self::WrongMethod { .. } => "wrong_method",
            Self::NoKey => "no_key",
            Self::WrongKey => "wrong_key",
            Self::ContentType(_) => "wrong_content_type",
            Self::ContentEncoding(_) => "wrong_content_encoding",
            Self::TooLarge { .. } => "body_too_large",
            Self::BodyTimeout => "body_too_slow",
            Self::BodyBroken => "body_broke_off",
            Self::Request(_) => "unreadable_request",
            Self::Busy => "too_many_calls",
            Self::ShuttingDown => "shutting_down",
            Self::Internal => "internal",
        }
    }
}
