//! The connections of a thread to those who serve policies: one for all of its calls to an address.

use std::{
    collections::BTreeMap,
    fs,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use luthien_policy::{Remote, RemoteAddress, RemoteTls};
use tokio::time::Instant;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::policy_service::{CONNECTION_WINDOW, STREAM_WINDOW};

/// How long a connection is kept that no call has used: policies change.
const KEPT: Duration = Duration::from_secs(600);
/// Silence is noticed by leases. Pings of HTTP/2 are not sent: many servers take them for an attack.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);

/// Connections, by whom they lead to; made when they are needed. Cheap to clone.
#[derive(Clone, Default)]
pub(in crate::policy_service) struct Channels(Arc<Mutex<BTreeMap<Key, Kept>>>);

type Key = (RemoteAddress, Duration);

struct Kept {
    channel: Channel,
    used: Instant,
}

impl Channels {
    /// The connection to a policy's service.
    pub(super) fn to(&self, remote: &Remote) -> Result<Channel, String> {
        let now = Instant::now();
        let mut channels = self.lock();
        if let Some(kept) = channels.get_mut(&key(remote)) {
            kept.used = now;
            return Ok(kept.channel.clone());
        }
        channels.retain(|_, kept| now.duration_since(kept.used) < KEPT);
        let channel = endpoint(remote)?.connect_lazy();
        channels.insert(key(remote), Kept { channel: channel.clone(), used: now });
        Ok(channel)
    }

    /// It could not be used: the next call makes another, and reads its files anew.
    pub(super) fn forget(&self, remote: &Remote) {
        self.lock().remove(&key(remote));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(remote: &Remote) -> Key {
    (remote.address.clone(), remote.connect_timeout)
}

fn endpoint(remote: &Remote) -> Result<Endpoint, String> {
    let RemoteAddress { url, tls } = &remote.address;
    let endpoint = Endpoint::from_shared(url.clone()).map_err(|error| error.to_string())?;
    let endpoint = endpoint
        .connect_timeout(remote.connect_timeout)
        .tcp_nodelay(true)
        .tcp_keepalive(Some(TCP_KEEPALIVE))
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_stream_window_size(STREAM_WINDOW);
    if !url.starts_with("https://") {
        return Ok(endpoint);
    }
    endpoint.tls_config(config(tls.as_ref())?).map_err(|error| format!("its TLS can't be used: {error}"))
}

fn config(tls: Option<&RemoteTls>) -> Result<ClientTlsConfig, String> {
    let mut config = ClientTlsConfig::new();
    let Some(RemoteTls { ca_file, identity, server_name }) = tls else { return Ok(config.with_native_roots()) };
    config = match ca_file {
        Some(path) => config.ca_certificate(Certificate::from_pem(read(path)?)),
        None => config.with_native_roots(),
    };
    if let Some((cert, key)) = identity {
        config = config.identity(Identity::from_pem(read(cert)?, read(key)?));
    }
    if let Some(name) = server_name {
        config = config.domain_name(name);
    }
    Ok(config)
}

fn read(path: &str) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("can't read {path}: {error}"))
}
