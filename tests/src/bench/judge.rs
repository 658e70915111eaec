//! The least that a verdict can cost: a peer that answers each message on a bare tonic stream with an empty one.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, BufMut, Bytes};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::{Stream, StreamExt, wrappers::UnboundedReceiverStream};
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    client,
    codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::{BoxFuture, Service},
    server::{self, NamedService, StreamingService},
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};

use super::process;

/// Small frames that nobody has read yet are charged to the window of the whole connection.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;
const STREAM_WINDOW: u32 = 1 << 24;

/// Serves until the process ends.
///
/// # Errors
/// It can't listen, or go on.
pub async fn serve() -> io::Result<()> {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    process::say_address(listener.local_addr()?);
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let mut server =
        Server::builder().initial_connection_window_size(CONNECTION_WINDOW).initial_stream_window_size(STREAM_WINDOW);
    server.add_service(Judge).serve_with_incoming(incoming).await.map_err(io::Error::other)
}

/// A connection to it.
pub fn connect(address: SocketAddr) -> Result<Channel, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?
        .tcp_nodelay(true)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_stream_window_size(STREAM_WINDOW);
    Ok(endpoint.connect_lazy())
}

/// A stream of messages and its answers.
pub struct Asking {
    /// What is to be judged.
    pub messages: mpsc::UnboundedSender<Bytes>,
    /// One for each.
    pub answers: Streaming<Bytes>,
}

/// Begins one.
///
/// # Errors
/// The judge is not there.
pub async fn ask(channel: Channel) -> Result<Asking, Status> {
    let (messages, receiver) = mpsc::unbounded_channel();
    let mut grpc = client::Grpc::new(channel);
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let request = Request::new(UnboundedReceiverStream::new(receiver));
    let path = http::uri::PathAndQuery::from_static("/bench.Judge/Judge");
    let answers = grpc.streaming(request, path, Raw).await?.into_inner();
    Ok(Asking { messages, answers })
}

#[derive(Clone)]
struct Judge;

impl NamedService for Judge {
    const NAME: &'static str = "bench.Judge";
}

impl Service<http::Request<Body>> for Judge {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<http::Response<Body>, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async { Ok(server::Grpc::new(Raw).streaming(Judge, request).await) })
    }
}

impl StreamingService<Bytes> for Judge {
    type Response = Bytes;
    type ResponseStream = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let answers = request.into_inner().map(|message| message.map(|_| Bytes::new()));
        ready(Ok(Response::new(Box::pin(answers))))
    }
}

/// Messages as they are, with small buffers.
#[derive(Clone, Copy, Debug)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

fn buffers() -> BufferSettings {
    BufferSettings::new(512, 32 * 1024)
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(message);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        buffers()
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(bytes.copy_to_bytes(bytes.remaining())))
    }

    fn buffer_settings(&self) -> BufferSettings {
        buffers()
    }
}
