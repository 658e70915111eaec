//! Connections of clients.

use std::time::Duration;

use axum::serve::{Listener, ListenerExt};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tracing::debug;

/// A client that is gone without a word is known to be after this long.
const KEEPALIVE: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_secs(30)).with_interval(Duration::from_secs(10)).with_retries(3);
const UNACKNOWLEDGED: Duration = Duration::from_secs(60);

/// Sets up each connection that a listener accepts.
pub(crate) fn tuned(listener: tokio::net::TcpListener) -> impl Listener {
    listener.tap_io(|stream: &mut TcpStream| {
        let socket = SockRef::from(&*stream);
        let set = socket
            .set_tcp_nodelay(true)
            .and_then(|()| socket.set_tcp_keepalive(&KEEPALIVE))
            .and_then(|()| socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED)));
        if let Err(error) = set {
            debug!(%error, "a connection could not be set up");
        }
    })
}
