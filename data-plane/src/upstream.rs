//! The way to the upstreams: one pooled client per thread, and one exchange per call.

mod decoded;
mod gathered;
mod masker;

use std::{error::Error, future::poll_fn, io, time::Duration};

use bytes::Bytes;
use decoded::Decoded;
use gathered::Gathered;
use http::{HeaderMap, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        Client, ResponseFuture,
        connect::{Connect, HttpConnector},
    },
    rt::{TokioExecutor, TokioTimer},
};
use luthien_call::call::{Content, Input, UpstreamHead};
pub(crate) use masker::Masker;

/// How long an unused connection is kept. Shorter than what providers keep theirs, so that a call seldom meets a
/// connection that is being closed.
const POOL_IDLE: Duration = Duration::from_secs(50);
/// The largest read, and the largest head of an answer. What is read stays in memory as long as any piece of it.
const READ_MAX: usize = 64 * 1024;

/// The body of a request to an upstream.
pub(crate) type RequestBody = UnsyncBoxBody<Bytes, hyper::Error>;

/// A body that is there.
pub(crate) fn whole_body(bytes: Bytes) -> RequestBody {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// A pooled HTTP client.
pub struct Upstreams {
    send: Box<dyn Fn(Request<RequestBody>) -> ResponseFuture + Send + Sync>,
}

impl Upstreams {
    /// A client that makes its connections with `connector`.
    pub fn new<C: Connect + Clone + Send + Sync + 'static>(connector: C) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .http1_max_buf_size(READ_MAX)
            .build(connector);
        Self { send: Box::new(move |request| client.request(request)) }
    }

    /// Sends a request that belongs to no call.
    pub(crate) fn send(&self, request: Request<RequestBody>) -> ResponseFuture {
        (self.send)(request)
    }
}

/// Connections over TCP, with TLS where the URL says so. Trusts what the system trusts, or Mozilla's list where the
/// system has none.
pub fn connector(connect_timeout: Duration) -> io::Result<HttpsConnector<HttpConnector>> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(connect_timeout));
    tcp.set_keepalive(Some(Duration::from_secs(30)));
    let provider = rustls::crypto::ring::default_provider();
    let builder = match HttpsConnectorBuilder::new().with_provider_and_native_roots(provider.clone()) {
        Ok(builder) => builder,
        Err(_) => HttpsConnectorBuilder::new().with_provider_and_webpki_roots(provider).map_err(io::Error::other)?,
    };
    Ok(builder.https_or_http().enable_http1().wrap_connector(tcp))
}

/// One request and its answer.
pub(crate) struct Exchange {
    state: State,
    /// Of the body.
    gathered: Gathered<hyper::Error>,
    /// For an answer that is an error.
    masker: Masker,
    head: Option<(StatusCode, HeaderMap)>,
    /// Where to, for error texts.
    authority: String,
}

enum State {
    Ready(Box<Request<RequestBody>>),
    Head(Box<ResponseFuture>),
    Body(Incoming),
    /// It came compressed, and has to be read.
    Decoded(Box<Decoded>),
    /// All has come, which is still to be told.
    Ending,
    /// Broken off by us: the text is told once.
    Failed(&'static str),
    Over,
}

impl Exchange {
    pub(crate) fn new(uri: Uri, headers: HeaderMap, body: Bytes) -> Self {
        let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
        let masker = Masker::of(&headers);
        let mut request = Request::new(whole_body(body));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Self { state: State::Ready(Box::new(request)), gathered: Gathered::default(), masker, head: None, authority }
    }

    /// Sends the request. Once.
    pub(crate) fn forward(&mut self, upstreams: &Upstreams) {
        self.state = match std::mem::replace(&mut self.state, State::Over) {
            State::Ready(request) => State::Head(Box::new(upstreams.send(*request))),
            other @ (State::Head(_)
            | State::Body(_)
            | State::Decoded(_)
            | State::Ending
            | State::Failed(_)
            | State::Over) => other,
        };
    }

    /// Another body, for a request that was not sent.
    pub(crate) fn change_body(&mut self, body: Bytes) {
        if let State::Ready(request) = &mut self.state {
            *request.body_mut() = whole_body(body);
        }
    }

    /// There is nothing that could be sent.
    pub(crate) fn fail_to_send(&mut self, why: &'static str) {
        self.state = State::Failed(why);
    }

    /// Lets go of the upstream.
    pub(crate) fn cancel(&mut self) {
        self.state = State::Over;
    }

    /// Breaks the exchange off where one runs; the call hears of it as of an upstream that failed.
    pub(crate) fn break_off(&mut self, why: &'static str) {
        if matches!(self.state, State::Head(_) | State::Body(_) | State::Decoded(_)) {
            self.state = State::Failed(why);
        }
    }

    /// Status and headers of the answer, once there is one. Not kept beyond: its values share a buffer of the connection.
    pub(crate) fn take_head(&mut self) -> Option<(StatusCode, HeaderMap)> {
        self.head.take()
    }

    /// What happens next on this side; the body is read only if `wanted`. A body that is compressed is decoded where the
    /// call `reads` it. May be dropped and called again.
    pub(crate) async fn next(&mut self, wanted: bool, reads: bool) -> Input {
        match &mut self.state {
            State::Head(response) => match response.await {
                Ok(response) => {
                    let (parts, body) = response.into_parts();
                    let decoder = if reads { decoded::decoder(&parts.headers) } else { None };
                    let content = match (decoder.is_some(), is_encoded(&parts.headers)) {
                        (false, true) => Content::Encoded,
                        (_, _) => content(&parts.headers),
                    };
                    if parts.status.is_success() {
                        self.masker = Masker::default();
                    }
                    self.head = Some((parts.status, parts.headers));
                    self.state = match decoder {
                        Some(decoder) => State::Decoded(Box::new(Decoded::new(body, decoder))),
                        None => State::Body(body),
                    };
                    Input::UpstreamHead(UpstreamHead { status: parts.status.as_u16(), content })
                }
                Err(error) => self.fail(&error),
            },
            State::Body(body) if wanted => match poll_fn(|cx| self.gathered.poll(body, cx)).await {
                Some(Ok(data)) => Input::UpstreamData(self.masker.push(data)),
                Some(Err(error)) => self.fail(&error),
                None => self.end(),
            },
            State::Decoded(decoded) if wanted => match decoded.next().await {
                Ok(Some(data)) => Input::UpstreamData(self.masker.push(data)),
                Ok(None) => self.end(),
                Err(error) => self.fail(&*error),
            },
            State::Failed(why) => {
                let why = (*why).to_owned();
                self.state = State::Over;
                Input::UpstreamFailed(why)
            }
            State::Ending => {
                self.state = State::Over;
                Input::UpstreamEnd
            }
            State::Ready(_) | State::Body(_) | State::Decoded(_) | State::Over => std::future::pending().await,
        }
    }

    fn end(&mut self) -> Input {
        let rest = self.masker.rest();
        if rest.is_empty() {
            self.state = State::Over;
            return Input::UpstreamEnd;
        }
        self.state = State::Ending;
        Input::UpstreamData(rest)
    }

    fn fail(&mut self, error: &(dyn Error + 'static)) -> Input {
        self.state = State::Over;
        Input::UpstreamFailed(format!("{}: {}", self.authority, causes(error)))
    }
}

/// The innermost cause says most; what lies around it says where.
pub(crate) fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
        source = error.source();
    }
    text
}

fn is_encoded(headers: &HeaderMap) -> bool {
    let encoded = |value: &http::HeaderValue| !value.as_bytes().eq_ignore_ascii_case(b"identity");
    headers.get_all(header::CONTENT_ENCODING).iter().any(encoded)
}

fn content(headers: &HeaderMap) -> Content {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "text/event-stream" => Content::Sse,
        "application/json" => Content::Json,
        other if other.ends_with("+json") => Content::Json,
        _ => Content::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_told_by_type_and_coding() {
        let table = [
            (Some("text/event-stream; charset=utf-8"), None, Content::Sse, false),
            (Some("Application/JSON"), None, Content::Json, false),
            (Some("application/problem+json"), Some("identity"), Content::Json, false),
            (Some("text/html"), None, Content::Other, false),
            (None, None, Content::Other, false),
            (Some("application/json"), Some("gzip"), Content::Json, true),
        ];
        for (content_type, encoding, expected, encoded) in table {
            let mut headers = HeaderMap::new();
            if let Some(value) = content_type {
                headers.insert(header::CONTENT_TYPE, value.parse().unwrap());
            }
            if let Some(value) = encoding {
                headers.insert(header::CONTENT_ENCODING, value.parse().unwrap());
            }
            assert_eq!((content(&headers), is_encoded(&headers)), (expected, encoded), "{content_type:?} {encoding:?}");
        }
    }

    #[tokio::test]
    async fn an_upstream_that_refuses_the_connection_is_told_with_its_address() {
        let upstreams = Upstreams::new(connector(Duration::from_secs(1)).unwrap());
        let uri = Uri::from_static("http://127.0.0.1:1/v1/messages");
        let mut exchange = Exchange::new(uri, HeaderMap::new(), Bytes::new());
        exchange.forward(&upstreams);
        let Input::UpstreamFailed(text) = exchange.next(false, false).await else { panic!("a refused connection") };
        assert!(text.starts_with("127.0.0.1:1: ") && text.contains("refused"), "{text}");
    }
}
