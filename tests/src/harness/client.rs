//! A client: plain HTTP/1.1, one connection per request, so that nothing stands between a test and the bytes.

mod answer;

pub use answer::Answer;

use std::{io, net::SocketAddr};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::{peers::within, validate::Dialect};

/// A request.
#[derive(Clone, Debug)]
pub struct Ask {
    method: Method,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Ask {
    /// A streamed call, as an SDK would make it.
    pub fn streamed(dialect: Dialect) -> Self {
        Self::call(dialect, &json!({"stream": true}))
    }

    /// A call that is not streamed.
    pub fn whole(dialect: Dialect) -> Self {
        Self::call(dialect, &json!({}))
    }

    /// A call, with fields of the test's own.
    pub fn call(dialect: Dialect, fields: &Value) -> Self {
        let mut body = match dialect {
            Dialect::OpenAi => json!({"model": "gpt-5-mini"}),
            Dialect::Anthropic => json!({"model": "claude-haiku-4-5", "max_tokens": 256}),
            Dialect::Responses => json!({"model": "codex-mini"}),
        };
        let conversation = if dialect == Dialect::Responses { "input" } else { "messages" };
        body[conversation] = json!([{"role": "user", "content": "prompt-canary: how is the weather?"}]);
        super::planes::merge(&mut body, fields);
        Self::post(dialect, body.to_string())
    }

    /// A call with that body, whatever it is.
    pub fn post(dialect: Dialect, body: impl Into<Vec<u8>>) -> Self {
        match dialect {
            Dialect::OpenAi => Self::new(Method::POST, "/v1/chat/completions", body.into())
                .header("authorization", "Bearer client-key-canary"),
            Dialect::Anthropic => Self::new(Method::POST, "/v1/messages", body.into())
                .header("x-api-key", "client-key-canary")
                .header("anthropic-version", "2023-06-01"),
            Dialect::Responses => Self::new(Method::POST, "/v1/responses", body.into())
                .header("authorization", "Bearer client-key-canary"),
        }
        .header("content-type", "application/json")
    }

    /// A GET.
    pub fn get(path: &str) -> Self {
        Self::new(Method::GET, path, Vec::new())
    }

    /// Any request.
    pub fn new(method: Method, path: &str, body: Vec<u8>) -> Self {
        Self { method, path: path.to_owned(), headers: Vec::new(), body }
    }

    /// The same to another path.
    #[must_use]
    pub fn to(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// A header, instead of any other of that name.
    #[must_use]
    pub fn header(self, name: &str, value: &str) -> Self {
        let mut ask = self.without(name);
        ask.headers.push((name.to_owned(), value.to_owned()));
        ask
    }

    /// No header of that name.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self
    }

    /// Its body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Sends it, and waits for the head of the answer.
    ///
    /// # Panics
    /// When there is none.
    pub async fn send(&self, address: SocketAddr) -> Answer {
        let what = format!("an answer to {} {}", self.method, self.path);
        within(&what, self.try_send(address)).await.unwrap_or_else(|error| panic!("no {what}: {error}"))
    }

    /// Sends it, and waits for the head of the answer, for as long as it takes.
    ///
    /// # Errors
    /// The connection's.
    pub async fn try_send(&self, address: SocketAddr) -> io::Result<Answer> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        let connection = tokio::spawn(async move {
            // How it ends shows in the answer.
            let _ = connection.await;
        });
        let mut request = Request::builder().method(&self.method).uri(&self.path);
        let host = ("host".to_owned(), address.to_string());
        let host = self.headers.iter().all(|(name, _)| name != "host").then_some(&host);
        for (name, value) in host.into_iter().chain(&self.headers) {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(self.body.clone()))).map_err(io::Error::other)?;
        match sender.send_request(request).await {
            Ok(response) => Ok(Answer::new(response, connection)),
            Err(error) => {
                connection.abort();
                Err(io::Error::other(error))
            }
        }
    }
}
