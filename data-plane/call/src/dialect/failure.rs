//! Errors as HTTP tells them: with a status, and a body of the dialect.

use bytes::Bytes;
use luthien_proto::{
    Event, Step,
    event::CallError,
    json::{self, Borrowed, Extras},
    request::Dialect,
};
use serde_json::Value;

use super::{anthropic_messages, gemini, openai_chat};

/// The error that a body of a status other than 2xx tells. A body that is not the dialect's error is the message itself,
/// as text.
pub fn decode_error(dialect: Dialect, status: u16, body: &Bytes) -> Event {
    let (error, extras) = told(dialect, body).unwrap_or_else(|| {
        let message = String::from_utf8_lossy(body).into_owned();
        (CallError { message, ..CallError::default() }, Extras::NONE)
    });
    Event { step: Step::Failed(CallError { status, ..error }), extras }
}

fn told(dialect: Dialect, body: &Bytes) -> Option<(CallError, Extras)> {
    if dialect == Dialect::Gemini {
        return gemini::decode_error(body).filter(|(error, _)| !error.message.is_empty());
    }
    let Borrowed::Object(mut object) = json::read(body).ok()? else { return None };
    let error = match dialect {
        Dialect::OpenAiChat | Dialect::OpenAiResponses => openai_chat::take_error(&mut object),
        Dialect::AnthropicMessages => anthropic_messages::take_error(&mut object),
        Dialect::Gemini => None,
    }?;
    (!error.message.is_empty()).then(|| (error, object.into()))
}

/// An error as a body of the dialect.
pub fn error_body(dialect: Dialect, error: &CallError) -> Bytes {
    let body = match dialect {
        Dialect::OpenAiChat | Dialect::OpenAiResponses => openai_chat::error_body(error),
        Dialect::AnthropicMessages => anthropic_messages::error_body(error),
        Dialect::Gemini => gemini::error_body(error),
    };
    Value::Object(body).to_string().into()
}

/// Whose words for errors.
#[derive(Clone, Copy)]
pub(super) enum Family {
    OpenAi,
    Anthropic,
    Gemini,
}

/// The type of an error: its own, or the one that fits its status.
pub(super) fn type_(family: Family, error: &CallError) -> &str {
    if !error.type_.is_empty() {
        return &error.type_;
    }
    let [open_ai, anthropic, gemini] = match error.status {
        400 | 405..=408 | 410..=412 | 414..=428 | 430..=499 => {
            ["invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT"]
        }
        401 => ["invalid_request_error", "authentication_error", "UNAUTHENTICATED"],
        402 => ["insufficient_quota", "billing_error", "RESOURCE_EXHAUSTED"],
        403 => ["invalid_request_error", "permission_error", "PERMISSION_DENIED"],
        404 => ["invalid_request_error", "not_found_error", "NOT_FOUND"],
        409 => ["invalid_request_error", "conflict_error", "ABORTED"],
        413 => ["invalid_request_error", "request_too_large", "INVALID_ARGUMENT"],
        429 => ["requests", "rate_limit_error", "RESOURCE_EXHAUSTED"],
        501 => ["server_error", "api_error", "UNIMPLEMENTED"],
        503 | 529 => ["server_error", "overloaded_error", "UNAVAILABLE"],
        504 => ["server_error", "timeout_error", "DEADLINE_EXCEEDED"],
        _ => ["server_error", "api_error", "INTERNAL"],
    };
    match family {
        Family::OpenAi => open_ai,
        Family::Anthropic => anthropic,
        Family::Gemini => gemini,
    }
}
