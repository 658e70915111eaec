//! Errors as HTTP tells them.

use bytes::Bytes;
use luthien_proto::{Event, Step, event::CallError, request::Dialect};

/// The error that a body of a status other than 2xx tells, whatever it is.
pub fn decode_error(_dialect: Dialect, status: u16, body: &Bytes) -> Event {
    let message = String::from_utf8_lossy(body).into_owned();
    Step::Failed(CallError { status, message, ..CallError::default() }).into()
}

/// An error as a body of the dialect.
pub fn error_body(_dialect: Dialect, _error: &CallError) -> Bytes {
    Bytes::new()
}
