//! Accepts connections and serves HTTP/1.1 and HTTP/2 on them.

mod greeted;

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use axum::serve::Listener;
use greeted::{Greeted, Version};
use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    select,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::debug;

use crate::{endpoint, plane::Plane};

/// How long a connection without a request is kept.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// The least that hyper's buffer may hold.
const LEAST_BUFFER: usize = 8 * 1024;
const HTTP2_STREAMS: u32 = 256;

/// Serves until `soft` is cancelled; then ends each connection when its requests are answered.
pub(crate) async fn serve<L: Listener>(mut listener: L, plane: Arc<Plane>, soft: CancellationToken) {
    let connections = TaskTracker::new();
    loop {
        select! {
            biased;
            () = soft.cancelled() => break,
            (io, _) = listener.accept() => {
                connections.spawn(connection(io, plane.clone(), soft.clone()));
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn connection<I>(io: I, plane: Arc<Plane>, soft: CancellationToken)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let asked = CancellationToken::new();
    let broken = CancellationToken::new();
    let service = service_fn(|request: Request<Incoming>| {
        asked.cancel();
        // A connection that HTTP/2 shares among calls is not broken for one of them.
        let broken = if request.version() == http::Version::HTTP_2 { CancellationToken::new() } else { broken.clone() };
        let plane = plane.clone();
        // Boxed, it takes no room while the answer's body is sent.
        Box::pin(async move { Ok::<_, Infallible>(endpoint::answer(plane, request, broken).await) })
    });
    let header_read = plane.timeouts().header_read;
    let mut mute = pin!(async {
        if timeout(header_read, asked.cancelled()).await.is_ok() {
            std::future::pending::<()>().await;
        }
    });
    let greeted = select! {
        greeted = Greeted::by(io) => greeted,
        () = soft.cancelled() => return,
        () = mute.as_mut() => return,
    };
    let Ok((version, io)) = greeted else { return };
    let builder = match version {
        Version::Http1 => builder(plane.limits().headers).http1_only(),
        Version::Http2 => builder(plane.limits().headers).http2_only(),
    };
    let mut connection = pin!(builder.serve_connection(TokioIo::new(io), service));
    let mut draining = false;
    loop {
        select! {
            result = connection.as_mut() => {
                if let Err(error) = result {
                    debug!(error, "connection failed");
                }
                return;
            }
            () = soft.cancelled(), if !draining => {
                draining = true;
                connection.as_mut().graceful_shutdown();
            }
            () = broken.cancelled() => return,
            () = mute.as_mut() => return,
        }
    }
}

fn builder(headers: usize) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(KEEP_ALIVE)
        .max_buf_size(headers.max(LEAST_BUFFER))
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(headers).unwrap_or(u32::MAX))
        .max_concurrent_streams(HTTP2_STREAMS)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}
