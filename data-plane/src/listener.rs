//! Sockets that share a port, one per thread.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    num::NonZeroUsize,
    time::Duration,
};

use axum::serve::{Listener, ListenerExt};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::TcpStream;
use tracing::debug;

const BACKLOG: i32 = 1024;
/// A client that is gone without a word is known to be after this long.
const KEEPALIVE: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_secs(30)).with_interval(Duration::from_secs(10)).with_retries(3);
const UNACKNOWLEDGED: Duration = Duration::from_secs(60);

/// One listener per thread, all on one address. With port 0 the first picks it.
pub(crate) fn bind(address: SocketAddr, threads: NonZeroUsize) -> io::Result<Vec<TcpListener>> {
    if address.port() != 0 {
        // Without sharing: a port that another process listens on, sharing or not, is an error.
        drop(socket(address, false)?);
    }
    let first = socket(address, true)?;
    let address = first.local_addr()?;
    let mut listeners = vec![first];
    for _ in 1..threads.get() {
        listeners.push(socket(address, true)?);
    }
    Ok(listeners)
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_listeners_have_the_port_that_the_first_was_given() {
        let threads = NonZeroUsize::new(3).unwrap();
        let listeners = bind("127.0.0.1:0".parse().unwrap(), threads).unwrap();
        let ports: Vec<u16> = listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        assert!(ports[0] != 0 && ports.iter().all(|port| *port == ports[0]), "{ports:?}");
    }

    #[test]
    fn a_port_in_use_is_an_error_even_if_its_user_shares_it() {
        let one = NonZeroUsize::MIN;
        let taken = bind("127.0.0.1:0".parse().unwrap(), one).unwrap();
        let error = bind(taken[0].local_addr().unwrap(), one).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
