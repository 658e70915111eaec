//! The stream to one remote policy of one call.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_util::{Stream as _, StreamExt as _};
use luthien_policy::{Owed, Remote};
use luthien_proto::{
    FromService, ToService,
    codec::{Encoded, ProxyCodec},
    wire::EnforceResponse,
};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::Instant,
};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{
    Request, Status, Streaming, client::Grpc, codegen::http::uri::PathAndQuery, metadata::AsciiMetadataValue,
    transport::Channel,
};

use super::{Channels, Heard, clocks::Clocks};
use crate::metrics::{RemoteCause, RemoteMetrics};

const ENFORCE: PathAndQuery = PathAndQuery::from_static("/luthien.v1.PolicyService/Enforce");
/// Messages that it may say: so many in any case, so many more for each chunk that it is told, and for each second.
const MESSAGES: u64 = 1_000;
const MESSAGES_PER_CHUNK: u64 = 4;
const MESSAGES_PER_SECOND: u64 = 100;
/// How much is kept of why it was lost.
const WHY_CHARS_MAX: usize = 300;

/// One call's stream to a policy. What is under way on it is bounded by what the stage tells before it was answered.
pub(super) struct Line {
    stage: usize,
    remote: Arc<Remote>,
    channels: Channels,
    metrics: Arc<RemoteMetrics>,
    /// Our half, while it is open.
    requests: Option<UnboundedSender<Encoded>>,
    stream: Stream,
    clocks: Clocks,
    began: Instant,
    /// Since when it was told something and has not said a word.
    asked: Option<Instant>,
    chunks: u64,
    messages: u64,
}

enum Stream {
    Opening(Attempt),
    Open(Box<Streaming<EnforceResponse>>),
    Closed,
}

type Attempt = Pin<Box<dyn Future<Output = Result<Streaming<EnforceResponse>, Status>> + Send>>;

impl Line {
    /// Opens it. What keeps it from being opened is heard of as its loss.
    pub(super) fn open(
        stage: usize,
        remote: Arc<Remote>,
        channels: &Channels,
        traceparent: Option<AsciiMetadataValue>,
        metrics: Arc<RemoteMetrics>,
    ) -> Self {
        let (sender, receiver) = unbounded_channel();
        let channel = channels.to(&remote);
        let attempt = open(channel, receiver, traceparent, remote.message_bytes_max);
        Self {
            stage,
            remote,
            channels: channels.clone(),
            metrics,
            requests: Some(sender),
            stream: Stream::Opening(Box::pin(attempt)),
            clocks: Clocks::new(),
            began: Instant::now(),
            asked: None,
            chunks: 0,
            messages: 0,
        }
    }

    pub(super) fn stage(&self) -> usize {
        self.stage
    }

    pub(super) fn is_open(&self) -> bool {
        !matches!(self.stream, Stream::Closed)
    }

    /// Says something; CallEnded is the last. Whether anybody hears it shows on the other half of the stream.
    pub(super) fn tell(&mut self, message: ToService) {
        let is_last = matches!(message, ToService::CallEnded(_));
        self.chunks += match &message {
            ToService::Chunks(chunks) => chunks.len() as u64,
            ToService::Block(_) | ToService::Consultation(_) => 1,
            ToService::CallStarted(_) | ToService::CallResumed(_) | ToService::CallEnded(_) => 0,
        };
        if let Some(requests) = &self.requests {
            let _ = requests.send(message.into());
        }
        match is_last {
            true => self.requests = None,
            false => self.asked = self.asked.or_else(|| Some(Instant::now())),
        }
    }

    /// What it owes from now on.
    pub(super) fn mind(&mut self, owed: Option<Owed>) {
        self.clocks.mind(owed);
    }

    /// It is not heard any more.
    pub(super) fn lose(&mut self, cause: RemoteCause) {
        self.metrics.lost(cause);
        (self.requests, self.stream) = (None, Stream::Closed);
    }

    /// What comes next.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Heard> {
        if !self.is_open() {
            return Poll::Pending;
        }
        let heard = match self.poll_stream(context) {
            Poll::Ready(Ok(said)) if self.is_flooding() => {
                drop(said);
                Err((RemoteCause::Flood, "it says more than there is to say".to_owned()))
            }
            Poll::Ready(heard) => heard,
            Poll::Pending => {
                let cause = ready!(self.clocks.poll(&self.remote, context));
                Err((cause, format!("it is {} for too long", cause.name())))
            }
        };
        Poll::Ready(match heard {
            Ok(said) => {
                self.clocks.heard();
                self.asked.take().into_iter().for_each(|asked| self.metrics.answered(asked.elapsed()));
                Heard::Said(Box::new(said))
            }
            Err((cause, why)) => {
                self.lose(cause);
                Heard::Lost(cause, why.chars().take(WHY_CHARS_MAX).collect())
            }
        })
    }

    /// Until it closes its half, whatever else it says.
    pub(super) async fn closed(&mut self) {
        loop {
            match &mut self.stream {
                Stream::Closed => return,
                Stream::Opening(attempt) => {
                    self.stream = attempt.await.map_or(Stream::Closed, |stream| Stream::Open(Box::new(stream)));
                }
                Stream::Open(stream) => {
                    if !matches!(stream.next().await, Some(Ok(_))) {
                        return;
                    }
                }
            }
        }
    }

    fn poll_stream(&mut self, context: &mut Context<'_>) -> Poll<Result<FromService, (RemoteCause, String)>> {
        loop {
            let lost = |why: String| Poll::Ready(Err((RemoteCause::Lost, why)));
            match &mut self.stream {
                Stream::Closed => return Poll::Pending,
                Stream::Opening(attempt) => match ready!(attempt.as_mut().poll(context)) {
                    Ok(stream) => self.stream = Stream::Open(Box::new(stream)),
                    Err(status) => {
                        self.channels.forget(&self.remote);
                        return lost(describe(&status));
                    }
                },
                Stream::Open(stream) => {
                    let said = match ready!(Pin::new(&mut **stream).poll_next(context)) {
                        None => return lost("it closed the stream before the call ended".to_owned()),
                        Some(Err(status)) => return lost(describe(&status)),
                        Some(Ok(said)) => said,
                    };
                    let read = FromService::try_from(said);
                    return Poll::Ready(
                        read.map_err(|error| (RemoteCause::Fault, format!("malformed message: {error}"))),
                    );
                }
            }
        }
    }

    /// Counts what it says.
    fn is_flooding(&mut self) -> bool {
        self.messages += 1;
        let most = MESSAGES + MESSAGES_PER_CHUNK * self.chunks + MESSAGES_PER_SECOND * self.began.elapsed().as_secs();
        self.messages > most
    }
}

async fn open(
    channel: Result<Channel, String>,
    requests: UnboundedReceiver<Encoded>,
    traceparent: Option<AsciiMetadataValue>,
    message: usize,
) -> Result<Streaming<EnforceResponse>, Status> {
    let channel = channel.map_err(Status::unavailable)?;
    let mut grpc = Grpc::new(channel).max_decoding_message_size(message).max_encoding_message_size(message);
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let mut requests = Request::new(UnboundedReceiverStream::new(requests));
    if let Some(traceparent) = traceparent {
        requests.metadata_mut().insert("traceparent", traceparent);
    }
    Ok(grpc.streaming(requests, ENFORCE, ProxyCodec::default()).await?.into_inner())
}

/// Code, message and causes of a status.
fn describe(status: &Status) -> String {
    let mut text = format!("{:?}: {}", status.code(), status.message());
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
        source = error.source();
    }
    text
}
