//! A provider: a real HTTP server on a free port of the loopback, which answers as it was told and remembers what it was
//! asked.

mod body;
mod gemini;
mod reply;

pub use reply::Reply;

use std::{
    collections::VecDeque,
    convert::Infallible,
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use self::body::Scripted;

/// A scripted provider. It stops when it is dropped.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    once: VecDeque<Reply>,
    by: Option<By>,
    always: Option<Reply>,
    exchanges: Vec<Exchange>,
}

type Pick = dyn Fn(&Exchange) -> Option<Reply> + Send;

/// Picks the answer by the request.
struct By(Box<Pick>);

impl fmt::Debug for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("By")
    }
}

/// A request that it got, and what became of the answer.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    fate: Arc<Fate>,
}

/// What became of an answer.
#[derive(Debug, Default)]
struct Fate {
    complete: AtomicBool,
    dropped: AtomicBool,
}

impl Exchange {
    /// The body as JSON; `null` if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A header's text; empty if it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Whether the other side went away before it had the whole answer.
    pub fn was_cancelled(&self) -> bool {
        self.fate.dropped.load(Ordering::SeqCst) && !self.fate.complete.load(Ordering::SeqCst)
    }
}

impl Upstream {
    /// Starts one. What it was told no answer to, it answers with 599.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port on the loopback");
        let address = listener.local_addr().expect("a bound listener has an address");
        let shared = Arc::new(Shared::default());
        let accepting = tokio::spawn(accept(listener, shared.clone()));
        Self { address, shared, accepting }
    }

    /// The answer to the next request that has none yet.
    pub fn answer(&self, reply: Reply) {
        self.shared.lock().once.push_back(reply);
    }

    /// Picks the answer by the request, where none was told beforehand; `None`: as if this had not been said.
    pub fn answer_by(&self, pick: impl Fn(&Exchange) -> Option<Reply> + Send + 'static) {
        self.shared.lock().by = Some(By(Box::new(pick)));
    }

    /// The answer to each request for which there is no other.
    pub fn answer_always(&self, reply: Reply) {
        self.shared.lock().always = Some(reply);
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests so far.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.shared.lock().exchanges.clone()
    }

    /// The only request so far.
    ///
    /// # Panics
    /// When there were none, or several.
    pub fn only_exchange(&self) -> Exchange {
        let exchanges = self.exchanges();
        assert_eq!(exchanges.len(), 1, "requests at the upstream: {exchanges:?}");
        exchanges.into_iter().next().expect("there is one")
    }

    /// Waits until the other side has gone away from an unfinished answer.
    pub async fn cancelled(&self) {
        super::eventually("the upstream's request to be cancelled", async || {
            self.exchanges().iter().any(Exchange::was_cancelled).then_some(())
        })
        .await;
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, exchange: Exchange) -> Reply {
        let mut state = self.lock();
        let picked = |state: &State| state.by.as_ref().and_then(|By(pick)| pick(&exchange));
        let reply = state.once.pop_front().or_else(|| picked(&state)).or_else(|| state.always.clone());
        state.exchanges.push(exchange);
        reply.unwrap_or_else(|| Reply::text(599, "the script has no answer"))
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream, shared.clone()));
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| answer(request, &shared));
    // The scripts break connections off on purpose: how one ends is the test's affair.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: http::Request<Incoming>, shared: &Shared) -> Result<http::Response<Scripted>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let fate = Arc::new(Fate::default());
    let reply = shared.take(Exchange {
        method: head.method,
        path: head.uri.to_string(),
        headers: head.headers,
        body,
        fate: fate.clone(),
    });
    if let Some(gate) = &reply.before_head {
        gate.pass().await;
    }
    let mut response = http::Response::new(Scripted::new(reply.steps, fate));
    *response.status_mut() = StatusCode::from_u16(reply.status).expect("the script has a valid status");
    *response.headers_mut() = reply.headers;
    Ok(response)
}

#[cfg(test)]
mod tests;
