//! Listening sockets: one per thread, all on one port.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    num::NonZeroUsize,
};

use socket2::{Domain, Protocol, Socket, Type};

const BACKLOG: i32 = 1024;

/// Sockets that share the address (`SO_REUSEPORT`), so that the kernel spreads connections over the threads. Port 0: any
/// free one, the same for all.
///
/// # Errors
/// The address is not ours, or somebody listens there.
pub fn shared(address: SocketAddr, count: NonZeroUsize) -> io::Result<Vec<TcpListener>> {
    if address.port() != 0 {
        // Sharing would also let two processes that know nothing of each other have the port: without it, it must be free.
        bind(address, Share::No)?;
    }
    let first = bind(address, Share::Yes)?;
    let bound = first.local_addr()?.as_socket().ok_or_else(|| io::Error::other("not an internet address"))?;
    let mut listeners = vec![first];
    while listeners.len() < count.get() {
        listeners.push(bind(bound, Share::Yes)?);
    }
    listeners.iter().try_for_each(|listener| listener.listen(BACKLOG))?;
    Ok(listeners.into_iter().map(TcpListener::from).collect())
}

/// One socket, for one thread.
///
/// # Errors
/// As [`shared`].
pub fn single(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = bind(address, Share::No)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[derive(Clone, Copy, PartialEq)]
enum Share {
    No,
    Yes,
}

fn bind(address: SocketAddr, share: Share) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(share == Share::Yes)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_have_the_port_that_the_first_was_given() {
        let listeners = shared(([127, 0, 0, 1], 0).into(), NonZeroUsize::new(3).unwrap()).unwrap();
        let ports: Vec<_> = listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        assert!(ports[0] != 0 && ports.iter().all(|port| *port == ports[0]), "{ports:?}");
    }

    #[test]
    fn a_port_in_use_is_an_error_even_if_its_user_shares_it() {
        let taken = shared(([127, 0, 0, 1], 0).into(), NonZeroUsize::MIN).unwrap();
        let error = shared(taken[0].local_addr().unwrap(), NonZeroUsize::MIN).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
