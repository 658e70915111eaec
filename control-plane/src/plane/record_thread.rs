//! The thread of the record: its store, its writer, the policy sets that are kept there, and the admin API that reads it.

use std::{
    io,
    net::TcpListener,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use luthien_policy::{Audit, PolicySet};
use luthien_service::Shutdown;
use tokio::{
    runtime::Builder,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::server::NamedService as _;
use tonic_health::{ServingStatus, server::HealthReporter};

use super::{Failed, StartError, admin_thread::AdminThread, kept::Kept};
use crate::{
    admin::{self, Admin, AdminToken, Feed},
    config::Database,
    continuation::Continuations,
    metrics::Metrics,
    policies::{Keeper, Policies},
    policy_service::PolicyService,
    record::{Purger, Recorder, Redaction, Retention, Writer},
};

/// How long the store is tried at the end, if it fails.
const FLUSH_MAX: Duration = Duration::from_secs(10);
/// How long the policy sets in use may take to be noted.
const KEEPER_CLOSE_MAX: Duration = Duration::from_secs(1);
/// How long answers of the admin API may take to leave.
const ADMIN_CLOSE_MAX: Duration = Duration::from_millis(200);

pub(super) struct RecordThread {
    pub(super) database: Database,
    pub(super) audit: Audit,
    pub(super) redaction: Redaction,
    pub(super) retention: Retention,
    pub(super) listener: TcpListener,
    pub(super) token: AdminToken,
    pub(super) metrics: Arc<Metrics>,
    pub(super) health: HealthReporter,
    pub(super) shutdown: Shutdown,
    /// To be cancelled when a shutdown was told to those who watch the health.
    pub(super) handover: Option<CancellationToken>,
    /// Cancelled when no call is left.
    pub(super) finish: CancellationToken,
}

type Serving = (AdminThread, JoinHandle<io::Result<()>>);
type JoinThread = thread::JoinHandle<Result<(), Failed>>;

/// The ways to what is kept, for the threads with calls.
pub(super) struct Ways {
    pub(super) recorder: Recorder,
    pub(super) policies: Policies,
    pub(super) continuations: Continuations,
}

/// What the thread begins with.
struct Opened {
    kept: Kept,
    keeper: Keeper,
    policies: Policies,
}

impl RecordThread {
    /// Starts it with the policies of the configuration file, and waits until the record is open.
    pub(super) fn start(self, set: PolicySet) -> Result<(JoinThread, Ways), StartError> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(StartError::Thread)?;
        let (begun, beginning) = mpsc::sync_channel(1);
        let work = move || {
            // Without it nothing can be put on record: then nothing is to be served.
            let _all = self.shutdown.soft.clone().drop_guard();
            runtime.block_on(self.run(set, &begun))
        };
        let thread = thread::Builder::new().name("record".into()).spawn(work).map_err(StartError::Thread)?;
        match beginning.recv() {
            Ok(begun) => begun.map(|ways| (thread, ways)),
            Err(mpsc::RecvError) => Err(StartError::Thread(io::Error::other("the record's thread panicked"))),
        }
    }

    async fn run(self, set: PolicySet, begun: &mpsc::SyncSender<Result<Ways, StartError>>) -> Result<(), Failed> {
        let Opened { kept, keeper, policies } = match self.open(set).await {
            Ok(opened) => opened,
            Err(error) => {
                // Whoever started the thread waits for this.
                let _ = begun.send(Err(error));
                return Ok(());
            }
        };
        let store = Arc::clone(&kept.store);
        self.announce().await;
        let give_up = CancellationToken::new();
        let (writer, recorder) = Writer::new(Arc::clone(&store));
        let writer = writer.redacting(&self.redaction).keeping(&self.retention);
        let writer = match self.audit {
            Audit::Relaxed => writer,
            Audit::Strict => writer.at_once(),
        };
        let writing = tokio::spawn(writer.run(self.finish.clone(), give_up.clone()));
        let purger = Purger::new(Arc::clone(&store), recorder.clone(), self.retention);
        let purging = tokio::spawn(purger.run(self.finish.clone()));
        let keeping = tokio::spawn(keeper.run(self.finish.clone()));
        let shipping = kept.shipping.as_ref().map(|shipping| shipping.start(self.audit, &recorder));
        let (admin_thread, admin) = self.serve_admin(&kept, recorder.clone(), policies.clone())?;
        let (continuations, lookups) = Continuations::new(Arc::clone(&store));
        tokio::spawn(lookups.run());
        let _ = begun.send(Ok(Ways { recorder: recorder.clone(), policies, continuations }));

        self.finish.cancelled().await;
        flush(writing, &give_up).await?;
        if let Some(shipping) = shipping {
            shipping.finish().await;
        }
        let _ = timeout(KEEPER_CLOSE_MAX, keeping).await;
        let _ = timeout(KEEPER_CLOSE_MAX, purging).await;
        let _ = timeout(ADMIN_CLOSE_MAX, admin).await;
        store.close().await;
        // Connections to a database may be served there: not before.
        drop(admin_thread);
        match recorder.health().entries_lost() {
            0 => Ok(()),
            lost => Err(Failed::Lost(lost)),
        }
    }

    async fn open(&self, set: PolicySet) -> Result<Opened, StartError> {
        let kept = Kept::open(&self.database, self.audit).await?;
        let directory = kept.directory.clone();
        let (keeper, policies) = Keeper::start(set, Arc::clone(&kept.sets), self.metrics.clone(), directory).await?;
        Ok(Opened { kept, keeper, policies })
    }

    /// Tells health checks that calls are taken; and, at a shutdown, that they are not, before any is handed over.
    async fn announce(&self) {
        let (health, soft) = (self.health.clone(), self.shutdown.soft.clone());
        let handover = self.handover.clone().map(CancellationToken::drop_guard);
        let set = async move |status| {
            for service in ["", PolicyService::NAME] {
                health.set_service_status(service, status).await;
            }
        };
        set(ServingStatus::Serving).await;
        tokio::spawn(async move {
            soft.cancelled().await;
            set(ServingStatus::NotServing).await;
            drop(handover);
        });
    }

    /// On a thread of its own: neither an operator's query nor a crowd that watches is in the way of the writer.
    fn serve_admin(&self, kept: &Kept, recorder: Recorder, policies: Policies) -> Result<Serving, Failed> {
        let thread = AdminThread::start().map_err(Failed::Admin)?;
        let listener = self.listener.try_clone().map_err(Failed::Admin)?;
        let loopback = listener.local_addr().map_err(Failed::Admin)?.ip().is_loopback();
        let feed = Feed::new(Arc::clone(&kept.activity));
        thread.spawn(Arc::clone(&feed).run(recorder.clone()));
        let router = admin::router(Admin {
            store: Arc::clone(&kept.store),
            sets: Arc::clone(&kept.sets),
            journal: kept.shipping.as_ref().map(|shipping| Arc::clone(&shipping.journal)),
            policies,
            recorder,
            token: self.token.clone(),
            metrics: self.metrics.clone(),
            draining: self.shutdown.soft.clone(),
            feed,
            closing: self.finish.clone(),
            loopback,
        });
        let end = self.finish.clone().cancelled_owned();
        let serving = thread.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            axum::serve(listener, router).with_graceful_shutdown(end).await
        });
        Ok((thread, serving))
    }
}

/// Waits until all is written; when the store fails for too long, gives up.
async fn flush(mut writing: JoinHandle<()>, give_up: &CancellationToken) -> Result<(), Failed> {
    let written = tokio::select! {
        written = &mut writing => written,
        () = sleep(FLUSH_MAX) => {
            give_up.cancel();
            writing.await
        }
    };
    written.map_err(|_| Failed::Panicked)
}
