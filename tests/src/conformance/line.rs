//! The stream of a call, as bytes on our side: what is said may be anything.

use std::time::Duration;

use luthien_proto::wire::{CallReport, EnforceRequest, EnforceResponse, policy_service_client::PolicyServiceClient};
use prost::Message as _;
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{
    Code, Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::{Ascii, MetadataKey, MetadataValue},
    transport::{Channel, Endpoint},
};

use super::Options;

const ENFORCE: &str = "/luthien.v1.PolicyService/Enforce";

/// A service that can't be talked to: why.
#[derive(Debug)]
pub struct Unreachable(pub String);

impl std::fmt::Display for Unreachable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Unreachable {}

/// One connection to the service, and what is known of how to use it.
#[derive(Clone)]
pub(super) struct Service {
    channel: Channel,
    metadata: Vec<(MetadataKey<Ascii>, MetadataValue<Ascii>)>,
    pub options: Options,
}

impl Service {
    pub async fn connect(options: &Options) -> Result<Self, Unreachable> {
        let address = match options.address.contains("://") {
            true => options.address.clone(),
            false => format!("http://{}", options.address),
        };
        let wrong = |what: &str, error: &dyn std::fmt::Display| Unreachable(format!("{what}: {error}"));
        let endpoint = Endpoint::from_shared(address.clone()).map_err(|error| wrong(&address, &error))?;
        let endpoint = endpoint.connect_timeout(Duration::from_secs(10)).tcp_nodelay(true);
        let channel = endpoint.connect().await.map_err(|error| wrong(&address, &chain(&error)))?;
        let metadata = options.metadata.iter().map(|(name, value)| {
            let name = name.parse().map_err(|error| wrong(name, &error))?;
            let value = value.parse().map_err(|error| wrong("the value of metadata", &error))?;
            Ok((name, value))
        });
        Ok(Self { channel, metadata: metadata.collect::<Result<_, _>>()?, options: options.clone() })
    }

    /// Opens the stream of a call. Nothing waits: a service may answer only when it was told something.
    pub fn open(&self) -> Line {
        let (to, requests) = mpsc::unbounded_channel();
        let (responses, from) = mpsc::unbounded_channel();
        let (channel, request) = (self.channel.clone(), self.request(UnboundedReceiverStream::new(requests)));
        let talking = tokio::spawn(async move {
            let closed = talk(channel, request, &responses).await;
            let _ = responses.send(Heard::Closed(closed));
        });
        Line { to: Some(to), from, talking }
    }

    /// Reports a call.
    pub async fn report(&self, report: CallReport) -> Result<(), Status> {
        let mut client = PolicyServiceClient::new(self.channel.clone());
        let reported = timeout(self.options.close, client.report(self.request(report))).await;
        reported.map_err(|_| Status::deadline_exceeded("no answer in time"))?.map(drop)
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        for (name, value) in &self.metadata {
            request.metadata_mut().insert(name.clone(), value.clone());
        }
        request
    }
}

/// The stream of a call. It is cut off when it is dropped.
pub(super) struct Line {
    to: Option<mpsc::UnboundedSender<Vec<u8>>>,
    from: mpsc::UnboundedReceiver<Heard>,
    talking: JoinHandle<()>,
}

/// What the service did.
#[derive(Debug)]
pub(super) enum Heard {
    Said(Box<EnforceResponse>),
    /// With OK, or with an error.
    Closed(Status),
    Nothing,
}

impl Line {
    pub fn say(&self, message: &EnforceRequest) {
        self.say_bytes(message.encode_to_vec());
    }

    /// Waits for a word that shows what is looked for; else, how it ended.
    pub async fn until(&mut self, patience: Duration, is_it: impl Fn(&EnforceResponse) -> bool) -> Result<(), Heard> {
        let until = Instant::now() + patience;
        loop {
            match self.hear(until.saturating_duration_since(Instant::now())).await {
                Heard::Said(response) if is_it(&response) => return Ok(()),
                Heard::Said(_) => {}
                other @ (Heard::Closed(_) | Heard::Nothing) => return Err(other),
            }
        }
    }

    pub fn say_bytes(&self, bytes: Vec<u8>) {
        if let Some(to) = &self.to {
            let _ = to.send(bytes);
        }
    }

    /// We say no more.
    pub fn close(&mut self) {
        self.to = None;
    }

    pub async fn hear(&mut self, patience: Duration) -> Heard {
        match timeout(patience, self.from.recv()).await {
            Ok(Some(heard)) => heard,
            Ok(None) => Heard::Closed(Status::unknown("the stream is over")),
            Err(_) => Heard::Nothing,
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.talking.abort();
    }
}

async fn talk(
    channel: Channel,
    request: Request<UnboundedReceiverStream<Vec<u8>>>,
    responses: &mpsc::UnboundedSender<Heard>,
) -> Status {
    let mut grpc = Grpc::new(channel);
    if let Err(error) = grpc.ready().await {
        return Status::unavailable(chain(&error));
    }
    let path = http::uri::PathAndQuery::from_static(ENFORCE);
    let mut from = match grpc.streaming(request, path, Raw).await {
        Ok(response) => response.into_inner(),
        Err(status) => return status,
    };
    loop {
        match from.message().await {
            Ok(Some(message)) => drop(responses.send(Heard::Said(Box::new(message)))),
            Ok(None) => return Status::new(Code::Ok, ""),
            Err(status) => return status,
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// Says bytes as they are, and hears messages.
#[derive(Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = EnforceResponse;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        bytes::BufMut::put_slice(buffer, &item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = EnforceResponse;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<EnforceResponse>, Status> {
        let read = EnforceResponse::decode(buffer);
        read.map(Some).map_err(|error| Status::internal(format!("its message can't be read: {error}")))
    }
}
