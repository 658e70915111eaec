//! What the calls of one thread stand on.

use std::sync::Arc;

use luthien_call::{
    call::{self, ConsultLimits, Setup},
    conversion,
};
use luthien_proto::message::CallStarted;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::transport::{Channel, Endpoint};

use crate::{
    answers::Answers,
    auth::Auth,
    budget::Budget,
    config::{Config, Consults, Invalid, Limits, Timeouts},
    metrics::Metrics,
    models::Listings,
    passthrough::Passthrough,
    policy_service::{Reach, Services},
    refusal::Refusal,
    reports::Reports,
    routes::Routes,
    upstream::Upstreams,
};

/// What the threads share.
pub(crate) struct Shared {
    config: Config,
    routes: Routes,
    auth: Auth,
    passthrough: Passthrough,
    listings: Listings,
    open_calls: Arc<Semaphore>,
    budget: Budget,
    metrics: Metrics,
    reports: Reports,
    answers: Answers,
}

impl Shared {
    pub(crate) fn new(config: Config) -> Result<Self, Invalid> {
        let (routes, passthrough) = config.resolve()?;
        let auth = Auth::new(&config.auth);
        let open_calls = Arc::new(Semaphore::new(config.limits.open_calls));
        let budget = Budget::new(config.limits.unsettled_total);
        let metrics = Metrics::new(&config.upstreams);
        let (listings, reports) = (Listings::default(), Reports::default());
        let answers = Answers::new(config.consults.reuse);
        Ok(Self { config, routes, auth, passthrough, listings, open_calls, budget, metrics, reports, answers })
    }

    /// This thread's connections to the policy services.
    pub(crate) fn services(&self, connect: impl Fn(&Endpoint) -> Channel) -> Services {
        let Config { limits, timeouts, control_plane, .. } = &self.config;
        let reach = Reach {
            connections: limits.control_plane_connections,
            connect: timeouts.connect_control_plane,
            // All of them can be asked before the call's lease is over twice.
            first_word: timeouts.lease * 2 / (control_plane.len() as u32 + 1),
            message: limits.message(),
        };
        Services::new(control_plane, reach, connect)
    }
}

/// One thread's plane.
pub(crate) struct Plane {
    shared: Arc<Shared>,
    pub(crate) upstreams: Upstreams,
    pub(crate) services: Services,
    /// The calls of this thread.
    pub(crate) calls: TaskTracker,
    /// A shutdown has begun.
    soft: CancellationToken,
    /// The grace of a shutdown is over: calls that still run are cut.
    pub(crate) cut: CancellationToken,
}

impl Plane {
    pub(crate) fn new(shared: Arc<Shared>, upstreams: Upstreams, services: Services, soft: CancellationToken) -> Self {
        Self { shared, upstreams, services, calls: TaskTracker::new(), soft, cut: CancellationToken::new() }
    }

    pub(crate) fn routes(&self) -> &Routes {
        &self.shared.routes
    }

    pub(crate) fn auth(&self) -> &Auth {
        &self.shared.auth
    }

    pub(crate) fn passthrough(&self) -> &Passthrough {
        &self.shared.passthrough
    }

    /// What upstreams listed lately.
    pub(crate) fn listings(&self) -> &Listings {
        &self.shared.listings
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.shared.config.limits
    }

    pub(crate) fn timeouts(&self) -> &Timeouts {
        &self.shared.config.timeouts
    }

    /// What policies may ask models.
    pub(crate) fn consult_limits(&self) -> &Consults {
        &self.shared.config.consults
    }

    /// What models answered to questions that may be asked again.
    pub(crate) fn answers(&self) -> &Answers {
        &self.shared.answers
    }

    /// What all calls may hold together.
    pub(crate) fn budget(&self) -> &Budget {
        &self.shared.budget
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// What policy services have to be told of calls that are over.
    pub(crate) fn reports(&self) -> &Reports {
        &self.shared.reports
    }

    /// The metrics of all threads, for Prometheus.
    pub(crate) fn metrics_page(&self) -> String {
        let Shared { config, open_calls, metrics, reports, .. } = &*self.shared;
        metrics.page(config.limits.open_calls.saturating_sub(open_calls.available_permits()), reports)
    }

    /// Room for one more call.
    pub(crate) fn open_call(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        if self.soft.is_cancelled() {
            return Err(Refusal::ShuttingDown);
        }
        if self.shared.budget.is_spent() {
            return Err(Refusal::Busy);
        }
        self.shared.open_calls.clone().try_acquire_owned().map_err(|_| Refusal::Busy)
    }

    /// Whether a call would find what it needs; if not, why.
    pub(crate) async fn ready(&self) -> Result<(), String> {
        if self.soft.is_cancelled() {
            return Err("shutting down".to_owned());
        }
        self.services.ready().await
    }

    pub(crate) fn setup(&self, started: CallStarted, conversion: Option<conversion::Response>) -> Setup {
        let Config { limits, timeouts, consults, on_control_plane_loss, .. } = &self.shared.config;
        Setup {
            started,
            limits: call::Limits {
                held: limits.unsettled,
                sse_event: limits.sse_event,
                body: limits.body,
                batch: limits.batch,
                resume: limits.resume,
                consults: ConsultLimits { per_call: consults.per_call, at_once: consults.at_once },
            },
            times: call::Times {
                lease: timeouts.lease,
                hold: timeouts.hold,
                first_byte: timeouts.first_byte,
                idle: timeouts.idle,
                keepalive_first: timeouts.keepalive_first,
                keepalive_every: timeouts.keepalive_every,
                close: timeouts.close,
                takeover: timeouts.takeover,
            },
            on_loss: *on_control_plane_loss,
            conversion,
        }
    }
}
