//! A small policy service that keeps the rules, but for one.

mod call;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use luthien_proto::wire::{
    CallReport, CallReported, EnforceRequest, EnforceResponse,
    policy_service_server::{PolicyService as Rpc, PolicyServiceServer},
};
use luthien_tests::conformance::Rule;
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Request, Response, Status, Streaming, transport::server::TcpIncoming};
use tower::util::MapRequestLayer;

use call::Call;

/// The service. It stops when it is dropped.
pub struct Wrong {
    pub address: SocketAddr,
    serving: JoinHandle<()>,
}

/// What its calls have in common.
#[derive(Clone)]
pub struct Shared {
    pub breaks: Option<Rule>,
    /// How many calls are open.
    pub open: Arc<AtomicUsize>,
    /// Whether a call has broken off.
    pub cut: Arc<AtomicBool>,
}

impl Shared {
    pub fn breaks(&self, rule: Rule) -> bool {
        self.breaks == Some(rule)
    }
}

/// Whether bytes came that no message of today has.
#[derive(Clone, Default)]
struct OfTomorrow(Arc<AtomicBool>);

impl Wrong {
    pub async fn start(breaks: Option<Rule>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = PolicyServiceServer::new(Service(Shared { breaks, open: Arc::default(), cut: Arc::default() }));
        let serving = tokio::spawn(async move {
            let server = tonic::transport::Server::builder().layer(MapRequestLayer::new(watched)).add_service(service);
            server.serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true))).await.unwrap();
        });
        Self { address, serving }
    }
}

impl Drop for Wrong {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Looks into the bytes of a request for what a decoder would not show.
fn watched(mut request: http::Request<tonic::body::Body>) -> http::Request<tonic::body::Body> {
    let of_tomorrow = OfTomorrow::default();
    request.extensions_mut().insert(of_tomorrow.clone());
    request.map(|body| {
        let watched = http_body_util::BodyExt::map_frame(body, move |frame| {
            let has_it = frame.data_ref().is_some_and(|data| data.windows(5).any(|part| part == b"later"));
            of_tomorrow.0.fetch_or(has_it, Ordering::Relaxed);
            frame
        });
        tonic::body::Body::new(watched)
    })
}

struct Service(Shared);

#[tonic::async_trait]
impl Rpc for Service {
    type EnforceStream = UnboundedReceiverStream<Result<EnforceResponse, Status>>;

    async fn enforce(
        &self,
        request: Request<Streaming<EnforceRequest>>,
    ) -> Result<Response<Self::EnforceStream>, Status> {
        let of_tomorrow = request.extensions().get::<OfTomorrow>().cloned().unwrap_or_default();
        let (out, responses) = mpsc::unbounded_channel();
        let shared = self.0.clone();
        tokio::spawn(async move {
            shared.open.fetch_add(1, Ordering::Relaxed);
            let fails = shared.breaks(Rule::T1).then_some(of_tomorrow.0);
            let closed = Call::new(shared.clone(), out.clone()).run(request.into_inner(), fails).await;
            shared.open.fetch_sub(1, Ordering::Relaxed);
            if let Err(status) = closed {
                let _ = out.send(Err(status));
            }
        });
        Ok(Response::new(UnboundedReceiverStream::new(responses)))
    }

    async fn report(&self, report: Request<CallReport>) -> Result<Response<CallReported>, Status> {
        match report.into_inner().call_started {
            _ if self.0.breaks(Rule::P1) => Err(Status::internal("no")),
            None if !self.0.breaks(Rule::P2) => Err(Status::invalid_argument("no call")),
            Some(_) | None => Ok(Response::new(CallReported {})),
        }
    }
}
