//! The policy service: gRPC streams in, one conversation per call out.

mod conversation;
mod remotes;
mod replies;
mod reporting;
mod server;
mod streams;

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use futures_util::{Stream, future::BoxFuture};
use luthien_policy::Audit;
use luthien_proto::wire;
use luthien_service::Shutdown;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{
    server::NamedService,
    transport::{Server, server::Connected},
};
use tonic_health::server::HealthReporter;

use crate::{continuation::Continuations, metrics::Metrics, policies::Policies, record::Recorder};
use conversation::Gates;
use server::Enforcer;
pub use streams::Streams;

/// The windows of HTTP/2 must never be what holds a call. Small frames that nobody has read yet are charged to the window
/// of the whole connection, and spent, it kills every call on it: so that one is as large as it can be.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;
const STREAM_WINDOW: u32 = 1 << 24;
/// Calls that their proxy gave up at once, of one connection. Past HTTP/2's usual 20 a proxy that lost many clients would
/// lose its other calls too.
const RESET_STREAMS_MAX: usize = 10_000;
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// What remains, after the grace period of a shutdown, to put on record that calls were cut.
const CUT_GRACE: Duration = Duration::from_secs(5);
/// What connections have to write their last bytes.
const CLOSE_GRACE: Duration = Duration::from_millis(500);

/// What the calls of one thread need.
#[derive(Clone)]
pub struct PolicyService {
    /// The policies that judge calls.
    pub policies: Policies,
    /// The calls' streams, of all threads.
    pub streams: Streams,
    /// The way to the record.
    pub recorder: Recorder,
    /// What is known of responses that providers keep.
    pub continuations: Continuations,
    /// Whether what is said of calls waits until it is on record.
    pub audit: Audit,
    /// How long the service may be silent while a call runs.
    pub lease: Duration,
    /// How long a call whose proxy was lost may be resumed.
    pub takeover_wait: Duration,
    /// The largest message of a proxy.
    pub message_bytes_max: usize,
    /// What the plane counts.
    pub metrics: Arc<Metrics>,
    /// The standard health service's statuses.
    pub health: HealthReporter,
    /// Once it is cancelled, calls that may go on elsewhere are handed over. Behind the first step of a shutdown, when the
    /// health service has told of it.
    pub handover: CancellationToken,
}

impl PolicyService {
    /// Whether nothing can be said of a call, because nothing can be put on record.
    fn cannot_record(&self) -> bool {
        self.audit == Audit::Strict && self.recorder.health().failing().is_some()
    }

    /// Serves connections on the runtime that this runs on. At a shutdown its first step lets calls end that can't go on
    /// elsewhere, the second cuts those that have not.
    ///
    /// # Errors
    /// The listener failed, or the descriptors of the protocol can't be read.
    pub async fn serve<I, C>(self, incoming: I, shutdown: Shutdown) -> Result<(), ServeError>
    where
        I: Stream<Item = io::Result<C>>,
        C: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    {
        let calls = TaskTracker::new();
        let cut = CancellationToken::new();
        let statuses = self.health.clone();
        let health = tonic_health::pb::health_server::HealthServer::new(
            tonic_health::server::HealthService::from_health_reporter(statuses),
        );
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(wire::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1()?;
        let (draining, handover) = (shutdown.soft.clone(), self.handover.clone());
        let gates = Gates { draining, handover, cut: cut.clone() };
        let enforcer = Enforcer::new(self, calls.clone(), gates);
        let serving = server()
            .add_service(health)
            .add_service(reflection)
            .add_service(enforcer)
            .serve_with_incoming_shutdown(incoming, shutdown.soft.clone().cancelled_owned());
        let mut serving = std::pin::pin!(serving);
        let mut drained = std::pin::pin!(drained(&shutdown, &calls, &cut));
        tokio::select! {
            result = &mut serving => {
                result?;
                drained.await;
            }
            () = &mut drained => {
                // A connection on which somebody watches the health never ends by itself.
                let _ = timeout(CLOSE_GRACE, serving).await;
            }
        }
        Ok(())
    }
}

fn server() -> Server {
    Server::builder()
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_stream_window_size(STREAM_WINDOW)
        .max_concurrent_streams(None)
        .http2_max_pending_accept_reset_streams(Some(RESET_STREAMS_MAX))
        .http2_max_local_error_reset_streams(Some(RESET_STREAMS_MAX))
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
}

/// Waits until a shutdown has begun and the last call is over; cuts what runs on past the grace period.
async fn drained(shutdown: &Shutdown, calls: &TaskTracker, cut: &CancellationToken) {
    shutdown.soft.cancelled().await;
    calls.close();
    tokio::select! {
        () = calls.wait() => return,
        () = shutdown.hard.cancelled() => {}
    }
    cut.cancel();
    let _ = timeout(CUT_GRACE, calls.wait()).await;
}

/// Why the service could not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The transport failed.
    #[error("the policy service's transport failed: {0}")]
    Transport(#[from] tonic::transport::Error),
    /// The reflection service can't be built.
    #[error("the protocol's descriptors can't be read: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

impl NamedService for PolicyService {
    const NAME: &'static str = Enforcer::NAME;
}

/// A service's answer.
type Answer = BoxFuture<'static, Result<http::Response<tonic::body::Body>, Infallible>>;
