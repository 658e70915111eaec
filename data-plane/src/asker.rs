//! Questions to models beside any call: as policies ask them, by the same configuration.

use std::{io, sync::Arc};

use luthien_call::call::Input;
use luthien_proto::{
    Event,
    message::{Consult, Credentials},
};
use tokio_util::sync::CancellationToken;
use tonic::transport::Endpoint;

use crate::{
    auth::Caller,
    config::{Config, Invalid},
    consults::{Consults, Origin, failed, find},
    plane::{Plane, Shared},
    upstream::{Upstreams, connector},
};

/// Asks models what policies want to know, of calls that are long over.
pub struct Asker(Plane);

/// Why it can't ask.
#[derive(Debug, thiserror::Error)]
pub enum AskerError {
    /// The configuration can't be used.
    #[error(transparent)]
    Config(#[from] Invalid),
    /// There are no roots of trust for TLS.
    #[error("can't set TLS up: {0}")]
    Tls(#[source] io::Error),
}

impl Asker {
    /// One that knows the upstreams, routes and limits of a data plane. Called within a tokio runtime.
    ///
    /// # Errors
    /// What keeps it from asking.
    pub fn new(config: Config) -> Result<Self, AskerError> {
        let upstreams = Upstreams::new(connector(config.timeouts.connect).map_err(AskerError::Tls)?);
        let shared = Arc::new(Shared::new(config)?);
        let services = shared.services(Endpoint::connect_lazy);
        Ok(Self(Plane::new(shared, upstreams, services, CancellationToken::new())))
    }

    /// Asks, and waits for the whole answer; an error is one, too. The credentials are the configured ones: there is no
    /// caller any more.
    pub async fn ask(&self, consult: Consult) -> Vec<Event> {
        let upstream = match find(&self.0, &consult) {
            Ok((upstream, _)) => upstream,
            Err(error) => return vec![failed(error)],
        };
        let origin = Origin { caller: Caller::nobody(), dialect: upstream.dialect, upstream, session: String::new() };
        let mut consults = Consults::new(&self.0, origin);
        consults.ask(Consult { credentials: Credentials::Configured, ..consult });
        loop {
            if let Input::Consulted { events, .. } = consults.next().await {
                return events;
            }
        }
    }
}
