//! An answer, as a script.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::Value;

use super::super::Gate;
use crate::validate::sse;

/// What to answer, step by step.
#[derive(Clone, Debug)]
pub struct Reply {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) before_head: Option<Gate>,
    pub(super) steps: Vec<Step>,
}

/// A step of an answer's body.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Bytes, written at once.
    Send(Bytes),
    /// Waits for the test.
    Wait(Gate),
    /// Waits.
    Pause(Duration),
    /// The connection breaks off.
    Cut,
}

impl Reply {
    /// A stream, of which nothing is said yet.
    pub fn sse() -> Self {
        Self::new(200, "text/event-stream; charset=utf-8")
    }

    /// A whole stream: each SSE event is written by itself.
    pub fn stream(body: &[u8]) -> Self {
        sse::split(body).into_iter().fold(Self::sse(), Self::send)
    }

    /// A whole JSON body.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::bytes(status, "application/json", body.to_string().as_bytes())
    }

    /// A whole body of plain text.
    pub fn text(status: u16, body: &str) -> Self {
        Self::bytes(status, "text/plain", body.as_bytes())
    }

    /// A whole body, with its length.
    pub fn bytes(status: u16, content_type: &str, body: &[u8]) -> Self {
        Self::new(status, content_type).header("content-length", &body.len().to_string()).send(body)
    }

    fn new(status: u16, content_type: &str) -> Self {
        let reply = Self { status, headers: HeaderMap::new(), before_head: None, steps: Vec::new() };
        reply.header(header::CONTENT_TYPE.as_str(), content_type)
    }

    /// Another header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::try_from(name).expect("the script has a valid header name");
        self.headers.append(name, HeaderValue::from_str(value).expect("the script has a valid header value"));
        self
    }

    /// Waits before the head is sent.
    #[must_use]
    pub fn hold_head(mut self, gate: &Gate) -> Self {
        self.before_head = Some(gate.clone());
        self
    }

    /// A header, instead of any other of that name.
    #[must_use]
    pub fn replace_header(mut self, name: &str, value: &str) -> Self {
        self.headers.remove(name);
        self.header(name, value)
    }

    /// Sends bytes.
    #[must_use]
    pub fn send(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.steps.push(Step::Send(Bytes::copy_from_slice(bytes.as_ref())));
        self
    }

    /// Waits until the test opens the gate.
    #[must_use]
    pub fn wait(mut self, gate: &Gate) -> Self {
        self.steps.push(Step::Wait(gate.clone()));
        self
    }

    /// Waits for so long.
    #[must_use]
    pub fn pause(mut self, pause: Duration) -> Self {
        self.steps.push(Step::Pause(pause));
        self
    }

    /// Breaks the connection off, without the body's end.
    #[must_use]
    pub fn cut(mut self) -> Self {
        self.steps.push(Step::Cut);
        self
    }
}
