//! The way to the policy services: a few connections to each, and one conversation per call.

use std::{
    pin::Pin,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

use luthien_call::call::{Input, Loss};
use luthien_proto::{
    FromService,
    codec::{Encoded, EncodedReport, ProxyCodec, ReportCodec},
    wire::EnforceResponse,
};
use luthien_service::telemetry::{SpanContext, traceparent};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{Instant, timeout},
};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{
    Code, Request, Status, Streaming,
    client::Grpc,
    codegen::http::{Uri, uri::PathAndQuery},
    metadata::AsciiMetadataValue,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

/// What the gRPC package calls it.
const SERVICE: &str = "luthien.v1.PolicyService";
const ENFORCE: PathAndQuery = PathAndQuery::from_static("/luthien.v1.PolicyService/Enforce");
const REPORT: PathAndQuery = PathAndQuery::from_static("/luthien.v1.PolicyService/Report");

/// The largest window that HTTP/2 knows. Small frames that nobody has read yet are charged to the window of the whole
/// connection; when it is spent, every call on it dies.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;
const STREAM_WINDOW: u32 = 1 << 24;
/// How long a service that could not be reached is asked last.
const AVOIDED: Duration = Duration::from_secs(3);
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a report may take to become durable.
const REPORT_TIMEOUT: Duration = Duration::from_secs(10);

/// How services are reached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach {
    /// Connections to each.
    pub(crate) connections: usize,
    /// How long a connection may take.
    pub(crate) connect: Duration,
    /// How long one of several may be silent before the next is asked for Admission.
    pub(crate) first_word: Duration,
    /// The largest message, either way.
    pub(crate) message: usize,
}

/// Every policy service that a thread knows.
pub(crate) struct Services {
    services: Vec<Service>,
    next: AtomicUsize,
    began: Instant,
    reach: Reach,
}

struct Service {
    address: Uri,
    channels: Vec<Channel>,
    next: AtomicUsize,
    /// Until when it is asked last: milliseconds since `began`.
    avoided_until: AtomicU64,
}

impl Services {
    /// Connections to these addresses, made when they are needed, by `connect`.
    pub(crate) fn new(addresses: &[Uri], reach: Reach, connect: impl Fn(&Endpoint) -> Channel) -> Self {
        let service = |address: &Uri| {
            let endpoint = endpoint(address, reach.connect);
            let channels = (0..reach.connections.max(1)).map(|_| connect(&endpoint)).collect();
            Service { address: address.clone(), channels, next: AtomicUsize::new(0), avoided_until: AtomicU64::new(0) }
        };
        Self {
            services: addresses.iter().map(service).collect(),
            next: AtomicUsize::new(0),
            began: Instant::now(),
            reach,
        }
    }

    /// Whom a call asks next: from one to the next, those that failed lately only if there is no other.
    fn pick(&self) -> usize {
        let count = self.services.len();
        let first = self.next.fetch_add(1, Ordering::Relaxed) % count;
        let now = self.now_ms();
        let avoided_until = |at: &usize| self.services[*at].avoided_until.load(Ordering::Relaxed);
        let order = || (0..count).map(|i| (first + i) % count);
        let available = order().find(|at| avoided_until(at) <= now);
        available.or_else(|| order().min_by_key(avoided_until)).unwrap_or(first)
    }

    /// Reports a call to one of them, and waits until that is durable.
    pub(crate) async fn report(&self, report: EncodedReport) -> Result<(), Status> {
        let service = self.pick();
        let mut grpc = Grpc::new(self.services[service].channel()).max_encoding_message_size(self.reach.message);
        let told = async {
            grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
            grpc.unary(Request::new(report), REPORT, ReportCodec::default()).await.map(|_| ())
        };
        let silent = |_| Err(Status::deadline_exceeded(format!("silent for {REPORT_TIMEOUT:?}")));
        let told = timeout(REPORT_TIMEOUT, told).await.unwrap_or_else(silent);
        if let Err(status) = &told
            && matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded)
        {
            self.avoid(service);
        }
        told
    }

    fn avoid(&self, service: usize) {
        let until = self.now_ms() + AVOIDED.as_millis() as u64;
        self.services[service].avoided_until.store(until, Ordering::Relaxed);
    }

    fn now_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    /// Whether some service would take a call; if not, why each would not.
    pub(crate) async fn ready(&self) -> Result<(), String> {
        let checks = self.services.iter().map(|service| async move {
            match timeout(HEALTH_TIMEOUT, service.check()).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(why)) => Err(format!("{}: {why}", service.address)),
                Err(_) => Err(format!("{}: no answer within {HEALTH_TIMEOUT:?}", service.address)),
            }
        });
        let checked = futures_util::future::join_all(checks).await;
        if checked.iter().any(Result::is_ok) {
            return Ok(());
        }
        Err(checked.into_iter().filter_map(Result::err).collect::<Vec<_>>().join("; "))
    }
}

impl Service {
    fn channel(&self) -> Channel {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        self.channels[next % self.channels.len()].clone()
    }

    async fn check(&self) -> Result<(), String> {
        let request = HealthCheckRequest { service: SERVICE.to_owned() };
        match HealthClient::new(self.channel()).check(request).await {
            Ok(answer) => match answer.into_inner().status() {
                ServingStatus::Serving => Ok(()),
                other => Err(other.as_str_name().to_owned()),
            },
            // The health service is no part of the verdict protocol.
            Err(status) if status.code() == Code::Unimplemented => Ok(()),
            Err(status) => Err(describe(&status)),
        }
    }
}

fn endpoint(address: &Uri, connect: Duration) -> Endpoint {
    Endpoint::from(address.clone())
        .connect_timeout(connect)
        .tcp_nodelay(true)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_stream_window_size(STREAM_WINDOW)
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true)
}

/// The conversation about one call: a stream at a time, each to another service than the last if there is one.
pub(crate) struct Conversation<'a> {
    services: &'a Services,
    /// The trace that the call belongs to.
    traceparent: Option<AsciiMetadataValue>,
    /// Who has the stream.
    service: usize,
    /// Our half, while it is open.
    requests: Option<UnboundedSender<Encoded>>,
    stream: State,
}

enum State {
    Closed,
    Opening(Attempt),
    Open(Box<Streaming<EnforceResponse>>),
}

/// Ends with the service's first word, or with a close: one that was told the end of a call may have nothing to say.
type Attempt = Pin<Box<dyn Future<Output = Result<Option<Opened>, Status>> + Send>>;
type Opened = (EnforceResponse, Streaming<EnforceResponse>);

impl<'a> Conversation<'a> {
    pub(crate) fn new(services: &'a Services, trace: &SpanContext) -> Self {
        let traceparent = traceparent(trace).parse().ok();
        Self { services, traceparent, service: 0, requests: None, stream: State::Closed }
    }

    /// Opens the next stream. What is told is on it.
    pub(crate) fn open(&mut self) {
        let reach = self.services.reach;
        self.service = self.services.pick();
        let channel = self.services.services[self.service].channel();
        let silence = (self.services.services.len() > 1).then_some(reach.first_word);
        let (sender, receiver) = unbounded_channel();
        self.requests = Some(sender);
        self.stream =
            State::Opening(Box::pin(open(channel, receiver, self.traceparent.clone(), reach.message, silence)));
    }

    /// Says something. What nobody listens to any more is lost, and [`Self::next`] tells of the loss.
    pub(crate) fn tell(&mut self, message: Encoded) {
        if let Some(requests) = &self.requests {
            let _ = requests.send(message);
        }
    }

    /// Says no more.
    pub(crate) fn close(&mut self) {
        self.requests = None;
    }

    /// Lets go of a stream whose service is lost. For a while, that one is asked last.
    pub(crate) fn lose(&mut self) {
        self.services.avoid(self.service);
        (self.requests, self.stream) = (None, State::Closed);
    }

    /// What happens next on this side. May be dropped and called again.
    pub(crate) async fn next(&mut self) -> Input {
        let heard = match &mut self.stream {
            State::Closed => return std::future::pending().await,
            State::Open(stream) => stream.message().await,
            State::Opening(attempt) => attempt.await.map(|opened| {
                let (first, stream) = opened?;
                self.stream = State::Open(Box::new(stream));
                Some(first)
            }),
        };
        let closed = match heard.map(|message| message.map(FromService::try_from)) {
            Ok(Some(Ok(message))) => return Input::Service(message),
            Ok(Some(Err(malformed))) => Err(Loss::Refused(self.said(&format!("malformed message: {malformed}")))),
            Ok(None) => Ok(()),
            Err(status) if status.code() == Code::InvalidArgument => Err(Loss::Refused(self.said(&describe(&status)))),
            Err(status) => Err(Loss::Lost(self.said(&describe(&status)))),
        };
        (self.requests, self.stream) = (None, State::Closed);
        Input::ServiceClosed(closed)
    }

    /// With who said it.
    fn said(&self, why: &str) -> String {
        format!("{}: {why}", self.services.services[self.service].address)
    }
}

async fn open(
    channel: Channel,
    requests: UnboundedReceiver<Encoded>,
    traceparent: Option<AsciiMetadataValue>,
    message: usize,
    silence: Option<Duration>,
) -> Result<Option<Opened>, Status> {
    let first_word = async {
        let mut grpc = Grpc::new(channel).max_decoding_message_size(message).max_encoding_message_size(message);
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let mut requests = Request::new(UnboundedReceiverStream::new(requests));
        if let Some(traceparent) = traceparent {
            requests.metadata_mut().insert("traceparent", traceparent);
        }
        let mut stream = grpc.streaming(requests, ENFORCE, ProxyCodec::default()).await?.into_inner();
        Ok(stream.message().await?.map(|first| (first, stream)))
    };
    match silence {
        None => first_word.await,
        Some(silence) => timeout(silence, first_word)
            .await
            .unwrap_or_else(|_| Err(Status::deadline_exceeded(format!("silent for {silence:?}")))),
    }
}

/// Code, message and causes of a status.
fn describe(status: &Status) -> String {
    let mut text = format!("{:?}", status.code());
    if !status.message().is_empty() {
        text = format!("{text}: {}", status.message());
    }
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
