//! The thread of the record: its store, its writer, and the admin API that reads it.

use std::{
    io,
    net::TcpListener,
    path::PathBuf,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use luthien_service::Shutdown;
use tokio::{
    runtime::Builder,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::server::NamedService as _;
use tonic_health::{ServingStatus, server::HealthReporter};

use super::{Failed, StartError};
use crate::{
    admin::{self, Admin, AdminToken},
    continuation::Continuations,
    metrics::Metrics,
    policy_service::PolicyService,
    record::{Recorder, Sqlite, Store, StoreError, Writer},
};

/// How long the store is tried at the end, if it fails.
const FLUSH_MAX: Duration = Duration::from_secs(10);
/// How long answers of the admin API may take to leave.
const ADMIN_CLOSE_MAX: Duration = Duration::from_millis(200);

pub(super) struct RecordThread {
    pub(super) database: PathBuf,
    pub(super) listener: TcpListener,
    pub(super) token: AdminToken,
    pub(super) metrics: Arc<Metrics>,
    pub(super) health: HealthReporter,
    pub(super) shutdown: Shutdown,
    /// Cancelled when no call is left.
    pub(super) finish: CancellationToken,
}

type JoinThread = thread::JoinHandle<Result<(), Failed>>;
/// The ways to an open record.
type Opened = Result<(Recorder, Continuations), StoreError>;

impl RecordThread {
    /// Starts it, and waits until the record is open.
    pub(super) fn start(self) -> Result<(JoinThread, Recorder, Continuations), StartError> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(StartError::Thread)?;
        let (opened, opening) = mpsc::sync_channel(1);
        let work = move || {
            // Without it nothing can be put on record: then nothing is to be served.
            let _all = self.shutdown.soft.clone().drop_guard();
            runtime.block_on(self.run(&opened))
        };
        let thread = thread::Builder::new().name("record".into()).spawn(work).map_err(StartError::Thread)?;
        match opening.recv() {
            Ok(opened) => {
                let (recorder, continuations) = opened?;
                Ok((thread, recorder, continuations))
            }
            Err(mpsc::RecvError) => Err(StartError::Thread(io::Error::other("the record's thread panicked"))),
        }
    }

    async fn run(self, opened: &mpsc::SyncSender<Opened>) -> Result<(), Failed> {
        let store: Arc<dyn Store> = match Sqlite::open(&self.database).await {
            Ok(store) => Arc::new(store),
            Err(error) => {
                // Whoever started the thread waits for this.
                let _ = opened.send(Err(error));
                return Ok(());
            }
        };
        self.announce().await;
        let give_up = CancellationToken::new();
        let (writer, recorder) = Writer::new(Arc::clone(&store));
        let writing = tokio::spawn(writer.run(self.finish.clone(), give_up.clone()));
        let admin = self.serve_admin(Arc::clone(&store), recorder.clone())?;
        let (continuations, lookups) = Continuations::new(Arc::clone(&store));
        tokio::spawn(lookups.run());
        let _ = opened.send(Ok((recorder.clone(), continuations)));

        self.finish.cancelled().await;
        flush(writing, &give_up).await?;
        let _ = timeout(ADMIN_CLOSE_MAX, admin).await;
        store.close().await;
        match recorder.health().entries_lost() {
            0 => Ok(()),
            lost => Err(Failed::Lost(lost)),
        }
    }

    /// Tells health checks that calls are taken; and, at a shutdown, that they are not.
    async fn announce(&self) {
        let (health, soft) = (self.health.clone(), self.shutdown.soft.clone());
        let set = async move |status| {
            for service in ["", PolicyService::NAME] {
                health.set_service_status(service, status).await;
            }
        };
        set(ServingStatus::Serving).await;
        tokio::spawn(async move {
            soft.cancelled().await;
            set(ServingStatus::NotServing).await;
        });
    }

    fn serve_admin(&self, store: Arc<dyn Store>, recorder: Recorder) -> Result<JoinHandle<io::Result<()>>, Failed> {
        let listener = self.listener.try_clone().and_then(tokio::net::TcpListener::from_std).map_err(Failed::Admin)?;
        let loopback = listener.local_addr().map_err(Failed::Admin)?.ip().is_loopback();
        let router = admin::router(Admin {
            store,
            recorder,
            token: self.token.clone(),
            metrics: self.metrics.clone(),
            draining: self.shutdown.soft.clone(),
            loopback,
        });
        let end = self.finish.clone().cancelled_owned();
        Ok(tokio::spawn(async move { axum::serve(listener, router).with_graceful_shutdown(end).await }))
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
