//! What the planes' libraries take of a network, on the simulated one.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::{Stream, stream};
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;
use turmoil::net::{TcpListener, TcpStream};

/// A listener on every address of the host.
pub async fn listen(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await
}

/// Clients' connections, as the data plane takes them.
pub struct Clients(pub TcpListener);

impl axum::serve::Listener for Clients {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            if let Ok(accepted) = self.0.accept().await {
                return accepted;
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// Proxies' connections, as the policy service takes them.
pub fn proxies(listener: TcpListener) -> impl Stream<Item = io::Result<Proxy>> {
    stream::unfold(listener, async |listener| {
        let accepted = listener.accept().await.map(|(stream, _)| Proxy(stream));
        Some((accepted, listener))
    })
}

pub struct Proxy(TcpStream);

impl tonic::transport::server::Connected for Proxy {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Proxy {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Proxy {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// The way from a data plane to a policy service.
pub fn to_policy_service(endpoint: &Endpoint) -> Channel {
    endpoint
        .connect_with_connector_lazy(service_fn(|uri: Uri| async move { Ok::<_, io::Error>(connect(&uri).await?.0) }))
}

/// The way from a data plane to its upstreams.
pub fn upstreams() -> luthien_data_plane::Upstreams {
    luthien_data_plane::Upstreams::new(service_fn(|uri: Uri| Box::pin(async move { connect(&uri).await })))
}

async fn connect(uri: &Uri) -> io::Result<ToUpstream> {
    let (host, port) = (uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(80));
    Ok(ToUpstream(TokioIo::new(TcpStream::connect((host, port)).await?)))
}

pub struct ToUpstream(TokioIo<TcpStream>);

impl Connection for ToUpstream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for ToUpstream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl Write for ToUpstream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
