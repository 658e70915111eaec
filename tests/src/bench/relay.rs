//! The floor: the least that stands between a client and an upstream. It parses nothing.

use std::{
    collections::VecDeque,
    convert::Infallible,
    error::Error,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, Response, Uri, header};
use http_body::{Body, Frame};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use tokio::net::TcpListener;
use tokio_stream::Stream;
use tonic::transport::Channel;

use super::{
    judge::{self, Asking},
    process,
};

type Failure = Box<dyn Error + Send + Sync>;

/// Serves until the process ends. With a judge, each SSE event waits for its answer.
///
/// # Errors
/// It can't listen.
pub async fn serve(upstream: SocketAddr, judge: Option<SocketAddr>) -> Result<Infallible, Failure> {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    process::say_address(listener.local_addr()?);
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let relay = Relay {
        upstream,
        client: Client::builder(TokioExecutor::new()).build(connector),
        judge: judge.map(judge::connect).transpose()?,
    };
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let relay = relay.clone();
        let service = service_fn(move |request| relay.clone().forward(request));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

#[derive(Clone)]
struct Relay {
    upstream: SocketAddr,
    client: Client<HttpConnector, Incoming>,
    judge: Option<Channel>,
}

impl Relay {
    async fn forward(self, mut request: Request<Incoming>) -> Result<Response<Relayed>, Failure> {
        *request.uri_mut() = Uri::try_from(format!("http://{}{}", self.upstream, request.uri().path()))?;
        let response = self.client.request(request).await?;
        let Some(judge) = self.judge else { return Ok(response.map(Relayed::AsItCame)) };
        let content_type = response.headers().get(header::CONTENT_TYPE).cloned();
        let judged = Judged::new(response.into_body(), judge::ask(judge).await?);
        let mut response = Response::new(Relayed::Judged(Box::new(judged)));
        let content_type = content_type.unwrap_or(HeaderValue::from_static("application/octet-stream"));
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
        Ok(response)
    }
}

enum Relayed {
    AsItCame(Incoming),
    Judged(Box<Judged>),
}

impl Body for Relayed {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        match self.get_mut() {
            Self::AsItCame(body) => Pin::new(body).poll_frame(cx).map_err(Failure::from),
            Self::Judged(judged) => judged.poll(cx).map(|bytes| bytes.transpose()).map_ok(Frame::data),
        }
    }
}

/// A body of which each SSE event leaves after its answer.
struct Judged {
    /// Absent after its end.
    upstream: Option<Incoming>,
    asking: Asking,
    /// The beginning of an event.
    begun: BytesMut,
    /// Asked for, in order.
    held: VecDeque<Bytes>,
}

impl Judged {
    fn new(upstream: Incoming, asking: Asking) -> Self {
        Self { upstream: Some(upstream), asking, begun: BytesMut::new(), held: VecDeque::new() }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Failure>> {
        loop {
            if !self.held.is_empty()
                && let Poll::Ready(answer) = Pin::new(&mut self.asking.answers).poll_next(cx)
            {
                answer.transpose()?.ok_or_else(|| io::Error::other("the judge left"))?;
                return Poll::Ready(Ok(self.held.pop_front()));
            }
            let Some(upstream) = &mut self.upstream else {
                return if self.held.is_empty() { Poll::Ready(Ok(None)) } else { Poll::Pending };
            };
            match ready!(Pin::new(upstream).poll_frame(cx)).transpose()? {
                Some(frame) => {
                    if let Ok(data) = frame.into_data() {
                        self.cut(data);
                    }
                }
                None => {
                    self.upstream = None;
                    let rest = self.begun.split().freeze();
                    self.ask(rest);
                }
            }
        }
    }

    /// Cuts at blank lines. What comes is mostly one event in one piece.
    fn cut(&mut self, mut data: Bytes) {
        if self.begun.is_empty() {
            while let Some(end) = blank_line(&data) {
                let event = data.split_to(end);
                self.ask(event);
            }
            self.begun.extend_from_slice(&data);
            return;
        }
        self.begun.extend_from_slice(&data);
        while let Some(end) = blank_line(&self.begun) {
            let event = self.begun.split_to(end).freeze();
            self.ask(event);
        }
    }

    fn ask(&mut self, event: Bytes) {
        if !event.is_empty() {
            // A judge that left shows as the end of its answers.
            let _ = self.asking.messages.send(event.clone());
            self.held.push_back(event);
        }
    }
}

fn blank_line(bytes: &[u8]) -> Option<usize> {
    if bytes.ends_with(b"\n\n") && !bytes[..bytes.len() - 2].contains(&b'\n') {
        return Some(bytes.len());
    }
    bytes.windows(2).position(|pair| pair == b"\n\n").map(|at| at + 2)
}
