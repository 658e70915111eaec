//! A policy service that says what the test says, in order and out of it.

use std::net::SocketAddr;

use luthien_proto::wire::{
    self, Admission, CallEnded, CallReport, CallReported, CallStarted, Chunk, EnforceRequest, EnforceResponse, Event,
    Forward, Interest, Level, Verdict, Working, admission, enforce_request, enforce_response,
    policy_service_server::{PolicyService as Rpc, PolicyServiceServer},
    verdict,
};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Certificate, Identity, ServerTlsConfig},
};

use super::within;

/// A scripted policy service, on a free port of the loopback. It stops when it is dropped.
#[derive(Debug)]
pub struct PolicyService {
    scheme: &'static str,
    address: SocketAddr,
    calls: mpsc::Receiver<Conversation>,
    reports: mpsc::Receiver<CallReport>,
    serving: JoinHandle<()>,
}

impl PolicyService {
    /// Starts one.
    pub async fn start() -> Self {
        Self::start_on(tonic::transport::Server::builder(), "http").await
    }

    /// Starts one that speaks TLS: with that certificate, and to clients alone whose certificate that authority has signed.
    pub async fn start_tls(certificate: &str, key: &str, client_ca: &str) -> Self {
        let tls = ServerTlsConfig::new().identity(Identity::from_pem(certificate, key));
        let tls = tls.client_ca_root(Certificate::from_pem(client_ca));
        let server = tonic::transport::Server::builder().tls_config(tls).expect("a certificate and its key");
        Self::start_on(server, "https").await
    }

    async fn start_on(mut server: tonic::transport::Server, scheme: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port on the loopback");
        let address = listener.local_addr().expect("a bound listener has an address");
        let (sender, calls) = mpsc::channel(16);
        let (reported, reports) = mpsc::channel(16);
        let (reporter, health) = tonic_health::server::health_reporter();
        reporter.set_serving::<PolicyServiceServer<Service>>().await;
        let serving = tokio::spawn(async move {
            let policies = PolicyServiceServer::new(Service(sender, reported));
            let server = server.add_service(health).add_service(policies);
            let served = server.serve_with_incoming(TcpListenerStream::new(listener)).await;
            served.expect("the listener works for as long as the test");
        });
        Self { scheme, address, calls, reports, serving }
    }

    /// Where it listens, for a configuration.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Waits for the next call, and for its first message.
    pub async fn call(&mut self) -> (Conversation, CallStarted) {
        let call = within("a call at the policy service", self.calls.recv()).await;
        let mut call = call.expect("the service runs");
        match call.hear().await {
            Some(enforce_request::Message::CallStarted(started)) => (call, started),
            other => panic!("the proxy began with {other:?}"),
        }
    }

    /// Waits for the next stream, whatever its first message is.
    pub async fn stream(&mut self) -> Conversation {
        within("a stream at the policy service", self.calls.recv()).await.expect("the service runs")
    }

    /// Whether nothing has come that nobody has waited for.
    pub fn is_idle(&mut self) -> bool {
        self.calls.try_recv().is_err() && self.reports.try_recv().is_err()
    }

    /// Waits for the next report of a call that nobody had at its end.
    pub async fn report(&mut self) -> CallReport {
        within("a report at the policy service", self.reports.recv()).await.expect("the service runs")
    }
}

impl Drop for PolicyService {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

struct Service(mpsc::Sender<Conversation>, mpsc::Sender<CallReport>);

#[tonic::async_trait]
impl Rpc for Service {
    type EnforceStream = ReceiverStream<Result<EnforceResponse, Status>>;

    async fn enforce(
        &self,
        request: Request<Streaming<EnforceRequest>>,
    ) -> Result<Response<Self::EnforceStream>, Status> {
        let (sender, receiver) = mpsc::channel(64);
        let call = Conversation { from: request.into_inner(), to: Some(sender), seen: 0 };
        self.0.send(call).await.map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn report(&self, report: Request<CallReport>) -> Result<Response<CallReported>, Status> {
        self.1.send(report.into_inner()).await.map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(CallReported {}))
    }
}

/// The service's side of the conversation about one call.
#[derive(Debug)]
pub struct Conversation {
    from: Streaming<EnforceRequest>,
    to: Option<mpsc::Sender<Result<EnforceResponse, Status>>>,
    seen: u64,
}

impl Conversation {
    /// The proxy's next message; `None`: it closed its half, or cancelled the call.
    ///
    /// # Panics
    /// On a message that says nothing.
    pub async fn hear(&mut self) -> Option<enforce_request::Message> {
        let request = within("the proxy to say something", self.from.message()).await.ok()??;
        let message = request.message.expect("the proxy says something");
        self.seen += u64::from(matches!(
            message,
            enforce_request::Message::Chunks(_)
                | enforce_request::Message::Block(_)
                | enforce_request::Message::Consultation(_)
        ));
        Some(message)
    }

    /// Takes in chunks, and says to be at it, until one of them shows what is looked for.
    ///
    /// # Panics
    /// When the proxy says something else, or nothing more.
    pub async fn chunks_until(&mut self, last: impl Fn(&wire::event::Event) -> bool) -> Vec<Chunk> {
        self.chunks_if_any(last).await.expect("the proxy does not let go")
    }

    /// The same; `None`: the proxy let go of the stream before it said a chunk.
    ///
    /// # Panics
    /// When it says something else, or lets go later.
    pub async fn chunks_if_any(&mut self, last: impl Fn(&wire::event::Event) -> bool) -> Option<Vec<Chunk>> {
        let mut chunks = Vec::new();
        loop {
            match self.hear().await {
                Some(enforce_request::Message::Chunks(batch)) => chunks.extend(batch.chunks),
                None if chunks.is_empty() => return None,
                other => panic!("the proxy said {other:?} behind {chunks:?}"),
            }
            self.working().await;
            let steps = chunks.iter().filter_map(|chunk| chunk.event.as_ref()?.event.as_ref());
            if steps.into_iter().any(&last) {
                return Some(chunks);
            }
        }
    }

    /// Takes in chunks until the response is complete.
    pub async fn all_chunks(&mut self) -> Vec<Chunk> {
        self.chunks_until(|event| matches!(event, wire::event::Event::Ended(_) | wire::event::Event::Failed(_))).await
    }

    /// Waits for the proxy's last message, whatever comes before it.
    ///
    /// # Panics
    /// When the proxy closes without it.
    pub async fn ended(&mut self) -> CallEnded {
        loop {
            match self.hear().await {
                Some(enforce_request::Message::CallEnded(ended)) => return ended,
                Some(enforce_request::Message::Chunks(_) | enforce_request::Message::Block(_)) => self.working().await,
                other => panic!("the proxy said {other:?}, and not how the call ended"),
            }
        }
    }

    /// Lets the call go upstream, with everything gated.
    pub async fn admit(&mut self) {
        let gate = Level::Gate as i32;
        self.admit_with(Interest { text: gate, thinking: gate, refusal: gate, tool_call: gate, opaque: gate }).await;
    }

    /// Lets the call go upstream, with that interest.
    pub async fn admit_with(&mut self, interest: Interest) {
        let limits = Some(wire::Limits::default());
        let known_kinds = vec![1, 2, 3, 4, 5];
        let forward = Forward { interest: Some(interest), limits, known_kinds, ..Forward::default() };
        let decision = Some(admission::Decision::Forward(forward));
        let (revision, pipeline) = ("ab".repeat(32), vec!["scripted".to_owned()]);
        let capabilities = vec!["resume".to_owned()];
        self.say(enforce_response::Message::Admission(Admission { revision, pipeline, decision, capabilities })).await;
    }

    /// Says: pass.
    pub async fn pass(&mut self, through: u64) {
        self.decide(through, Some(verdict::Decision::Pass(wire::Pass {}))).await;
    }

    /// Says: these events instead.
    pub async fn replace(&mut self, through: u64, events: Vec<Event>) {
        self.decide(through, Some(verdict::Decision::Replace(wire::Replace { events }))).await;
    }

    /// Says: these events, and it is over.
    pub async fn end(&mut self, through: u64, events: Vec<Event>) {
        self.decide(through, Some(verdict::Decision::End(wire::End { events, reason: 0 }))).await;
    }

    /// Says a verdict with that decision, which may be none.
    pub async fn decide(&mut self, through: u64, decision: Option<verdict::Decision>) {
        let verdict = Verdict { through, decision, ..Verdict::default() };
        self.say(enforce_response::Message::Verdict(verdict)).await;
    }

    /// Says: at it.
    pub async fn working(&mut self) {
        self.say(enforce_response::Message::Working(Working {})).await;
    }

    /// Says anything. What the proxy no longer hears is lost.
    pub async fn say(&mut self, message: enforce_response::Message) {
        self.say_raw(EnforceResponse { message: Some(message), seen: self.seen }).await;
    }

    /// Says anything, with any count of what was seen.
    pub async fn say_raw(&mut self, response: EnforceResponse) {
        if let Some(to) = &self.to {
            let _ = to.send(Ok(response)).await;
        }
    }

    /// Closes the stream, cleanly.
    pub fn close(&mut self) {
        self.to = None;
    }

    /// Closes the stream with an error.
    pub async fn fail(&mut self, status: Status) {
        if let Some(to) = self.to.take() {
            let _ = to.send(Err(status)).await;
        }
    }
}

/// A text block of a policy's own, whole.
pub fn text_block(key: u32, text: &str) -> Vec<Event> {
    use wire::{BlockDelta, BlockStarted, BlockStopped, Text, block_delta, block_started, event};
    let started = BlockStarted { block: key, choice: 0, kind: Some(block_started::Kind::Text(Text {})) };
    let delta = BlockDelta { block: key, delta: Some(block_delta::Delta::Text(text.to_owned())) };
    [
        event::Event::BlockStarted(started),
        event::Event::BlockDelta(delta),
        event::Event::BlockStopped(BlockStopped { block: key }),
    ]
    .map(|event| Event { event: Some(event), extras_json: String::new() })
    .into()
}
