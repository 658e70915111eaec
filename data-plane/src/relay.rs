//! Exchanges with upstreams that are no calls: nobody judges them, and they are not on record.

use std::{future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tokio::{select, sync::OwnedSemaphorePermit, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, info, warn};

use crate::{
    client::{self, Body, Client},
    headers,
    plane::Plane,
    refusal::Refusal,
    upstream::{Masker, RequestBody, causes},
};

/// Forwards a request, and gives the answer on as it comes.
pub(crate) async fn forward(
    plane: &Arc<Plane>,
    request: Request<RequestBody>,
    permit: OwnedSemaphorePermit,
    connection: CancellationToken,
) -> Result<Response<Body>, Refusal> {
    let masker = Masker::of(request.headers());
    let (parts, body) = send(plane, request, plane.timeouts().first_byte).await?.into_parts();
    let masker = if parts.status.is_success() { Masker::default() } else { masker };
    let (client, answer) = client::channel(plane.timeouts().client_stall, connection);
    let driven = plane.clone();
    let pump = async move {
        pump(body, masker, client, driven.timeouts().idle, &driven.cut).await;
        drop(permit);
    };
    plane.calls.spawn(pump.instrument(Span::current()));
    let mut response = Response::new(answer.body);
    *response.status_mut() = parts.status;
    *response.headers_mut() = headers::to_client_intact(&parts.headers);
    Ok(response)
}

/// A whole answer.
pub(crate) struct Fetched {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Asks, and waits for the whole answer.
pub(crate) async fn fetch(
    plane: &Plane,
    request: Request<RequestBody>,
    limit: usize,
    patience: Duration,
) -> Result<Fetched, Refusal> {
    let masker = Masker::of(request.headers());
    let fetched = async {
        let (parts, body) = send(plane, request, patience).await?.into_parts();
        let collected = Limited::new(body, limit).collect().await.map_err(|error| {
            warn!(error = causes(&*error), "the answer of an upstream could not be read");
            Refusal::UpstreamFailed
        })?;
        let body = collected.to_bytes();
        let body = if parts.status.is_success() { body } else { masker.whole(body) };
        Ok(Fetched { status: parts.status, headers: parts.headers, body })
    };
    timeout(patience, fetched).await.unwrap_or(Err(Refusal::UpstreamTimeout))
}

fn send(
    plane: &Plane,
    request: Request<RequestBody>,
    patience: Duration,
) -> impl Future<Output = Result<Response<Incoming>, Refusal>> + use<> {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let sent = plane.upstreams.send(request);
    async move {
        match timeout(patience, sent).await {
            Ok(Ok(response)) => {
                info!(%method, host = uri.host(), path = uri.path(), status = response.status().as_u16(), "forwarded");
                Ok(response)
            }
            Ok(Err(error)) => {
                warn!(host = uri.host(), error = causes(&error), "an upstream can't be reached");
                Err(Refusal::UpstreamFailed)
            }
            Err(_) => Err(Refusal::UpstreamTimeout),
        }
    }
}

/// Gives a body on: read only when what was read before is gone.
async fn pump(mut body: Incoming, mut masker: Masker, mut client: Client, idle: Duration, cut: &CancellationToken) {
    loop {
        let frame = select! {
            frame = timeout(idle, body.frame()) => frame,
            _ = client.next() => return,
            () = cut.cancelled() => break client.abort(),
        };
        match frame {
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    client.write(masker.push(data));
                    client.flush().await;
                }
            }
            Ok(None) => {
                client.write(masker.rest());
                break client.finish();
            }
            Ok(Some(Err(_))) | Err(_) => break client.abort(),
        }
    }
    client.flush().await;
}
