//! From a configuration to threads that serve, and their end.
//!
//! Calls live on threads of their own, one current-thread runtime each. The record's writer and the admin API share
//! another, so that neither a slow disk nor an operator's query is in the way of a call.

mod admin_thread;
mod kept;
mod record_thread;

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, thread};

use luthien_service::Shutdown;
use thiserror::Error;
use tokio::{net::TcpListener, runtime::Builder};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic_health::server::HealthReporter;
use tracing::{error, info};

use crate::{
    admin::{AdminToken, TokenError},
    config::Config,
    listen,
    metrics::Metrics,
    policies::CannotStart,
    policy_service::{PolicyService, ServeError, Streams},
    record::StoreError,
};
use record_thread::{RecordThread, Ways};

/// The control plane of a process, on threads of its own.
#[derive(Debug)]
pub struct ControlPlane;

/// A control plane that serves.
#[derive(Debug)]
pub struct Running {
    policy_addr: SocketAddr,
    admin_addr: SocketAddr,
    admin_token: AdminToken,
    admin_token_file: Option<PathBuf>,
    threads: Vec<thread::JoinHandle<Result<(), Failed>>>,
}

/// The control plane can't start.
#[derive(Debug, Error)]
pub enum StartError {
    /// An address can't be listened on.
    #[error("can't listen on {0}: {1}")]
    Listen(SocketAddr, #[source] io::Error),
    /// The system denies what a thread needs.
    #[error("can't start a thread: {0}")]
    Thread(#[source] io::Error),
    /// There is no admin token.
    #[error("can't keep an admin token: {0}")]
    Token(#[from] TokenError),
    /// The record can't be opened.
    #[error("can't open the record: {0}")]
    Record(#[from] StoreError),
    /// There are no policies to begin with.
    #[error("can't begin with the policies: {0}")]
    Policies(#[from] CannotStart),
}

/// The control plane did not stop because it was told to, or not as it should.
#[derive(Debug, Error)]
pub enum Failed {
    /// The policy service could not go on.
    #[error(transparent)]
    Policy(#[from] ServeError),
    /// The admin API could not.
    #[error("the admin API failed: {0}")]
    Admin(#[source] io::Error),
    /// So many entries of the record could not be written.
    #[error("{0} entries of the record were lost")]
    Lost(u64),
    /// A thread panicked.
    #[error("a thread of the control plane panicked")]
    Panicked,
}

impl ControlPlane {
    /// Starts serving; when this returns, proxies and operators can connect.
    ///
    /// # Errors
    /// What keeps it from serving.
    pub fn start(config: Config, shutdown: &Shutdown) -> Result<Running, StartError> {
        let cannot_listen = |address| move |error| StartError::Listen(address, error);
        let (grpc, http) = (config.grpc_listen, config.http_listen);
        let listeners = luthien_service::listen::shared(grpc, config.threads).map_err(cannot_listen(grpc))?;
        let admin = luthien_service::listen::single(http).map_err(cannot_listen(http))?;
        let policy_addr = listeners[0].local_addr().map_err(cannot_listen(grpc))?;
        let admin_addr = admin.local_addr().map_err(cannot_listen(http))?;
        let (admin_token, admin_token_file) = admin_token(&config)?;

        let metrics = Arc::new(Metrics::default());
        let health = HealthReporter::new();
        let (finish, handover) = (CancellationToken::new(), CancellationToken::new());
        let record = RecordThread {
            database: config.database,
            audit: config.audit,
            redaction: config.redaction,
            retention: config.retention,
            listener: admin,
            token: admin_token.clone(),
            metrics: metrics.clone(),
            health: health.clone(),
            shutdown: shutdown.clone(),
            handover: config.hands_over.then(|| handover.clone()),
            finish: finish.clone(),
        };
        let (record, Ways { recorder, policies, continuations }) = record.start(config.policies)?;
        let service = PolicyService {
            policies,
            streams: Streams::default(),
            recorder,
            continuations,
            audit: config.audit,
            lease: config.timeouts.lease,
            takeover_wait: config.timeouts.takeover_wait,
            message_bytes_max: config.limits.message,
            metrics,
            health,
            handover,
        };
        // The record is finished when the last of the threads with calls has ended.
        let finish = Arc::new(finish.drop_guard());
        let mut threads = vec![record];
        for (i, listener) in listeners.into_iter().enumerate() {
            let work =
                CallThread { listener, service: service.clone(), shutdown: shutdown.clone(), finish: finish.clone() };
            threads.push(work.start(i)?);
        }
        info!(service = "policy", addr = %policy_addr, threads = threads.len() - 1, "listening");
        info!(service = "admin", addr = %admin_addr, "listening");
        if let Some(path) = &admin_token_file {
            info!(path = %path.display(), "the admin token is in this file");
        }
        Ok(Running { policy_addr, admin_addr, admin_token, admin_token_file, threads })
    }
}

impl Running {
    /// Where proxies connect.
    pub fn policy_addr(&self) -> SocketAddr {
        self.policy_addr
    }

    /// Where operators connect.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin_addr
    }

    /// What opens the admin API.
    pub fn admin_token(&self) -> &AdminToken {
        &self.admin_token
    }

    /// The file with the token, if it was made and not configured.
    pub fn admin_token_file(&self) -> Option<&PathBuf> {
        self.admin_token_file.as_ref()
    }

    /// Waits until it has stopped and the record is written. Blocks the thread.
    ///
    /// # Errors
    /// It did not stop because it was told to, or not all of the record could be written.
    pub fn join(self) -> Result<(), Failed> {
        // All are waited for, whatever became of the first.
        let ended: Vec<_> = self.threads.into_iter().map(thread::JoinHandle::join).collect();
        ended.into_iter().try_for_each(|ended| ended.unwrap_or(Err(Failed::Panicked)))
    }
}

/// A thread with calls.
struct CallThread {
    listener: std::net::TcpListener,
    service: PolicyService,
    shutdown: Shutdown,
    finish: Arc<DropGuard>,
}

impl CallThread {
    fn start(self, i: usize) -> Result<thread::JoinHandle<Result<(), Failed>>, StartError> {
        let Self { listener, service, shutdown, finish } = self;
        let runtime = Builder::new_current_thread().enable_all().build().map_err(StartError::Thread)?;
        let listener = {
            let _context = runtime.enter();
            TcpListener::from_std(listener).map_err(StartError::Thread)?
        };
        let work = move || {
            let _finish = finish;
            // A plane serves with all its threads or not at all.
            let _all = shutdown.soft.clone().drop_guard();
            let served = runtime.block_on(service.serve(listen::connections(listener), shutdown.clone()));
            if let Err(error) = &served {
                error!(%error, "the policy service failed");
            }
            Ok(served?)
        };
        thread::Builder::new().name(format!("policy-{i}")).spawn(work).map_err(StartError::Thread)
    }
}

fn admin_token(config: &Config) -> Result<(AdminToken, Option<PathBuf>), TokenError> {
    match &config.admin_token {
        Some(token) => Ok((AdminToken::configured(token.clone()), None)),
        None => {
            let (token, path) = AdminToken::kept_beside(config.database.path())?;
            Ok((token, Some(path)))
        }
    }
}
