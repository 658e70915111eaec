//! `luthien.v1.PolicyService` as a tower service. As the generated one, with a codec of our own.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use luthien_proto::{
    FromService,
    codec::{ServiceCodec, SmallBuffers},
    wire::{CallReport, CallReported},
};
use luthien_service::telemetry::parse_traceparent;
use tokio_util::task::TaskTracker;
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    server::{Grpc, NamedService, StreamingService, UnaryService},
};

use super::{
    Answer, PolicyService,
    conversation::{self, Gates, Told, Wires},
    remotes::Channels,
    replies, reporting,
};

/// The methods.
const ENFORCE: &str = "/luthien.v1.PolicyService/Enforce";
const REPORT: &str = "/luthien.v1.PolicyService/Report";

/// Begins a conversation for each stream.
#[derive(Clone)]
pub(super) struct Enforcer {
    service: Arc<PolicyService>,
    calls: TaskTracker,
    gates: Gates,
    /// Of the thread that serves.
    channels: Channels,
}

impl Enforcer {
    pub(super) fn new(service: PolicyService, calls: TaskTracker, gates: Gates) -> Self {
        Self { service: Arc::new(service), calls, gates, channels: Channels::default() }
    }
}

impl NamedService for Enforcer {
    const NAME: &'static str = "luthien.v1.PolicyService";
}

impl tower::Service<http::Request<Body>> for Enforcer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Answer {
        let enforcer = self.clone();
        let limit = enforcer.service.message_bytes_max;
        match request.uri().path() {
            ENFORCE => Box::pin(async move {
                let mut grpc = Grpc::new(ServiceCodec).max_decoding_message_size(limit);
                Ok(grpc.streaming(enforcer, request).await)
            }),
            REPORT => Box::pin(async move {
                let mut grpc = Grpc::new(SmallBuffers::default()).max_decoding_message_size(limit);
                Ok(grpc.unary(enforcer, request).await)
            }),
            _ => Box::pin(async { Ok(Status::unimplemented("no such method").into_http()) }),
        }
    }
}

/// Reports are taken as long as there is a record to put them on.
impl UnaryService<CallReport> for Enforcer {
    type Response = CallReported;
    type Future = BoxFuture<'static, Result<Response<CallReported>, Status>>;

    fn call(&mut self, request: Request<CallReport>) -> Self::Future {
        // Tracked as a call is: the record is kept open for it.
        let reported = self.calls.spawn(reporting::report(Arc::clone(&self.service), request.into_inner()));
        Box::pin(async move {
            let lost = |_| Status::internal("the report could not be taken");
            reported.await.map_err(lost)?.map(Response::new)
        })
    }
}

impl StreamingService<Told> for Enforcer {
    type Response = FromService;
    type ResponseStream = replies::Replies;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<Told>>) -> Self::Future {
        if self.gates.draining.is_cancelled() {
            return ready(Err(Status::unavailable("the control plane is shutting down")));
        }
        let (replier, replies) = replies::channel();
        let parent = request.metadata().get("traceparent").and_then(|value| parse_traceparent(value.to_str().ok()?));
        let requests = request.into_inner();
        let service = Arc::clone(&self.service);
        let line = Wires { requests, replier, parent, gates: self.gates.clone(), channels: self.channels.clone() };
        self.calls.spawn(conversation::converse(service, line));
        ready(Ok(Response::new(replies)))
    }
}
