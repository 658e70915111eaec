//! Connections, as the policy service takes them.

use std::io;

use futures_util::{Stream, stream};
use tokio::net::TcpStream;
use tracing::debug;

/// The connections of a listener. While the process is out of files it waits and tries again.
pub fn connections(listener: tokio::net::TcpListener) -> impl Stream<Item = io::Result<TcpStream>> {
    stream::unfold(listener, async |mut listener| {
        let (connection, _) = axum::serve::Listener::accept(&mut listener).await;
        if let Err(error) = connection.set_nodelay(true) {
            debug!(%error, "a connection could not be set up");
        }
        Some((Ok(connection), listener))
    })
}
