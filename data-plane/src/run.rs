//! From a configuration to threads that serve, and their end.

use std::{io, net::SocketAddr, sync::Arc, thread, time::Duration};

use axum::serve::Listener;
use luthien_service::Shutdown;
use thiserror::Error;
use tokio::{
    runtime::Builder,
    select,
    time::{sleep, timeout},
};
use tonic::transport::{Channel, Endpoint};
use tracing::{info, warn};

use crate::{
    config::{Config, Invalid},
    listener,
    plane::{Plane, Shared},
    policy_service::Services,
    server,
    upstream::{self, Upstreams},
};

/// How long calls that are cut have to tell their clients.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long, behind the last call, a control plane is looked for that can be told how calls ended.
const REPORTS_GRACE: Duration = Duration::from_secs(5);

/// The data plane can't start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The configuration can't be used.
    #[error(transparent)]
    Config(#[from] Invalid),
    /// The address can't be listened on.
    #[error("can't listen on {0}: {1}")]
    Listen(SocketAddr, #[source] io::Error),
    /// The system denies what a thread needs.
    #[error("can't start a thread: {0}")]
    Thread(#[source] io::Error),
    /// There are no roots of trust for TLS.
    #[error("can't set TLS up: {0}")]
    Tls(#[source] io::Error),
}

/// The data plane of a process, on threads of its own.
#[derive(Debug)]
pub struct DataPlane;

/// A data plane that serves.
#[derive(Debug)]
pub struct Running {
    addr: SocketAddr,
    threads: Vec<thread::JoinHandle<()>>,
}

/// A thread of the data plane panicked.
#[derive(Debug, Error)]
#[error("a thread of the data plane panicked")]
pub struct Panicked;

impl DataPlane {
    /// Starts serving; when this returns, clients can connect.
    ///
    /// # Errors
    /// What keeps it from serving.
    pub fn start(config: Config, shutdown: &Shutdown) -> Result<Running, StartError> {
        let listen = config.listen;
        let cannot_listen = |error| StartError::Listen(listen, error);
        let connector = upstream::connector(config.timeouts.connect).map_err(StartError::Tls)?;
        let listeners = luthien_service::listen::shared(listen, config.threads).map_err(cannot_listen)?;
        let addr = listeners[0].local_addr().map_err(cannot_listen)?;
        let shared = Arc::new(Shared::new(config)?);
        let mut threads = Vec::with_capacity(listeners.len());
        for (i, listener) in listeners.into_iter().enumerate() {
            let runtime = Builder::new_current_thread().enable_all().build().map_err(StartError::Thread)?;
            let listener = {
                let _context = runtime.enter();
                tokio::net::TcpListener::from_std(listener).map_err(cannot_listen)?
            };
            let (shared, connector, shutdown) = (shared.clone(), connector.clone(), shutdown.clone());
            let work = async move {
                let upstreams = Upstreams::new(connector);
                let services = shared.services(Endpoint::connect_lazy);
                serve_thread(shared, listener::tuned(listener), upstreams, services, shutdown).await;
            };
            let thread = thread::Builder::new().name(format!("data-plane-{i}"));
            threads.push(thread.spawn(move || runtime.block_on(work)).map_err(StartError::Thread)?);
        }
        info!(%addr, threads = threads.len(), "listening");
        Ok(Running { addr, threads })
    }
}

impl Running {
    /// Where clients connect.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Waits until it has stopped. Blocks the thread.
    ///
    /// # Errors
    /// It did not stop because it was told to.
    pub fn join(self) -> Result<(), Panicked> {
        // All are waited for, whatever became of the first.
        let ended: Vec<_> = self.threads.into_iter().map(thread::JoinHandle::join).collect();
        if ended.iter().all(Result::is_ok) { Ok(()) } else { Err(Panicked) }
    }
}

/// Serves on this runtime, with a listener and connections of the caller's choice: what [`DataPlane::start`] does on
/// each thread, and what a simulation does on its own network.
///
/// # Errors
/// The configuration can't be used.
pub async fn serve<L: Listener>(
    config: Config,
    listener: L,
    upstreams: Upstreams,
    connect: impl Fn(&Endpoint) -> Channel,
    shutdown: Shutdown,
) -> Result<(), Invalid> {
    let shared = Arc::new(Shared::new(config)?);
    let services = shared.services(connect);
    serve_thread(shared, listener, upstreams, services, shutdown).await;
    Ok(())
}

async fn serve_thread<L: Listener>(
    shared: Arc<Shared>,
    listener: L,
    upstreams: Upstreams,
    services: Services,
    shutdown: Shutdown,
) {
    // A plane serves with all its threads or not at all.
    let _all = shutdown.soft.clone().drop_guard();
    let plane = Arc::new(Plane::new(shared, upstreams, services, shutdown.soft.clone()));
    let served = async {
        server::serve(listener, plane.clone(), shutdown.soft.clone()).await;
        plane.calls.close();
        plane.calls.wait().await;
        // What is not told by then is lost, and its loss is logged.
        let _ = timeout(REPORTS_GRACE, plane.reports().drained()).await;
    };
    select! {
        () = served => {}
        () = plane.reports().tell(&plane.services) => {}
        () = patience(&plane, &shutdown) => match plane.calls.len() {
            0 => {}
            calls => warn!(calls, "the shutdown broke calls off"),
        }
    }
}

/// How long the shutdown waits for calls: until it is told to end, and then until those that it cuts have told their
/// clients.
async fn patience(plane: &Plane, shutdown: &Shutdown) {
    shutdown.hard.cancelled().await;
    plane.cut.cancel();
    sleep(LAST_WORDS).await;
}
