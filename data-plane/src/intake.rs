//! Takes a call in: who asks, what for, where it goes. Then a driver has it.

mod onward;
mod routed;

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use luthien_call::{call::Call, conversion::Unconvertible, dialect};
use luthien_proto::request::Dialect;
use luthien_service::telemetry::SpanContext;
pub(crate) use onward::Onward;
use routed::{Routed, Wanted};
use tokio::{sync::OwnedSemaphorePermit, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{Span, error, info_span};
use uuid::Uuid;

use crate::{
    client::{self, Body, Client},
    consults::{Consults, Origin},
    driver::{self, Driver},
    headers::Heads,
    plane::Plane,
    policy_service::Conversation,
    refusal::Refusal,
    trace::Trace,
    upstream::Exchange,
    watch::Watch,
};

/// How long a body that is too large is read and forgotten, so that the client comes to read the answer.
const DISCARD: Duration = Duration::from_secs(5);
/// What is set aside at most for a body before it has come.
const BODY_BEGIN: usize = 64 * 1024;

/// Answers a request for a call, as soon as the head of the answer is known.
pub(crate) async fn call(
    plane: Arc<Plane>,
    dialect: Dialect,
    request: Request<Incoming>,
    id: Uuid,
    connection: CancellationToken,
    context: &mut Option<SpanContext>,
) -> Result<Response<Body>, Refusal> {
    let at = SystemTime::now();
    let (parts, body) = request.into_parts();
    let caller = plane.auth().caller(&parts.headers)?;
    let mut trace = Trace::begin(id, dialect, &parts.headers, plane.auth().knows_clients());
    *context = Some(trace.context().clone());
    let taken = take(&plane, Wanted { id, at, dialect, parts, caller }, body, &mut trace).await;
    let (routed, permit) = taken.inspect_err(|refusal| trace.refused(refusal))?;
    let (client, answer) = client::channel(plane.timeouts().client_stall, connection);
    start(&plane, routed, client, trace, permit);
    let (status, headers) = answer.head.await.map_err(|_| Refusal::Internal)?;
    let mut response = Response::new(answer.body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// Reads the request, and finds out where it goes.
async fn take(
    plane: &Plane,
    wanted: Wanted,
    body: Incoming,
    trace: &mut Trace,
) -> Result<(Routed, OwnedSemaphorePermit), Refusal> {
    let (dialect, headers) = (wanted.dialect, &wanted.parts.headers);
    check_coding(headers)?;
    let permit = plane.open_call()?;
    let body = read(body, headers, plane.limits().body, plane.timeouts().request).await?;
    let request = dialect::decode_request(dialect, body)?;
    Ok((wanted.routed(request, plane.routes(), trace)?, permit))
}

/// Sends a call on its way. It counts as open until its last word, whether or not the client is still there.
fn start(plane: &Arc<Plane>, routed: Routed, client: Client, trace: Trace, permit: OwnedSemaphorePermit) {
    let Routed { started, exchange: upstream, onward, conversion, heads, origin } = routed;
    let span = info_span!(
        "call",
        call_id = %started.call_id,
        trace_id = %trace.context().trace_id(),
        span_id = %trace.context().span_id(),
        dialect = started.dialect.name(),
        upstream = started.upstream,
        client = started.client,
    );
    let (dialect, upstream_name) = (started.dialect, started.upstream.clone());
    let began = driver::now();
    let call = Call::new(plane.setup(started, conversion), began);
    let begun = Begun { call, dialect, client, upstream, upstream_name, onward, heads, origin, trace, began, span };
    // What a task is spawned with takes room in it until its end, though it was moved on since.
    let begun = Box::new(begun);
    let driven = plane.clone();
    plane.calls.spawn(async move {
        let driver = begun.driven(&driven);
        let span = driver.span.clone();
        if AssertUnwindSafe(driver.run()).catch_unwind().await.is_err() {
            span.in_scope(|| error!("a call's driver panicked"));
        }
        drop(permit);
    });
}

/// A call that nobody drives yet.
struct Begun {
    call: Call,
    dialect: Dialect,
    client: Client,
    upstream: Exchange,
    upstream_name: String,
    onward: Onward,
    heads: Heads,
    origin: Origin,
    trace: Trace,
    began: Instant,
    span: Span,
}

impl Begun {
    fn driven(self: Box<Self>, plane: &Plane) -> Box<Driver<'_>> {
        let Self { call, dialect, client, upstream, upstream_name, onward, heads, origin, trace, began, span } = *self;
        Box::new(Driver {
            call,
            client,
            upstreams: &plane.upstreams,
            upstream,
            onward,
            heads,
            service: Conversation::new(&plane.services, trace.context()),
            consults: Consults::new(plane, origin),
            reports: plane.reports(),
            cut: plane.cut.clone(),
            watch: Watch::new(plane.metrics(), trace, &upstream_name, dialect),
            share: plane.budget().share(),
            began,
            span,
        })
    }
}

pub(crate) fn check_coding(headers: &HeaderMap) -> Result<(), Refusal> {
    let text =
        |name| headers.get(name).map(|value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let content_type = text(header::CONTENT_TYPE);
    let essence = content_type.as_deref().and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(Refusal::ContentType(content_type));
    }
    match text(header::CONTENT_ENCODING) {
        Some(coding) if !coding.eq_ignore_ascii_case("identity") => Err(Refusal::ContentEncoding(coding)),
        Some(_) | None => Ok(()),
    }
}

pub(crate) async fn read(
    mut body: Incoming,
    headers: &HeaderMap,
    limit: usize,
    patience: Duration,
) -> Result<Bytes, Refusal> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let mut read = timeout(patience, collect(&mut body, announced, limit)).await.unwrap_or(Err(Refusal::BodyTimeout));
    let waits_for_leave = headers.contains_key(header::EXPECT);
    if matches!(read, Err(Refusal::TooLarge { .. })) && !waits_for_leave {
        let discarded = timeout(DISCARD, discard(&mut body)).await;
        read = read.map_err(|refusal| if let Ok(Err(broken)) = discarded { broken } else { refusal });
    }
    read
}

async fn collect(body: &mut Incoming, announced: Option<u64>, limit: usize) -> Result<Bytes, Refusal> {
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(Refusal::TooLarge { limit });
    }
    let announced = announced.and_then(|length| usize::try_from(length).ok()).unwrap_or_default();
    let mut collected = BytesMut::with_capacity(announced.min(BODY_BEGIN));
    while let Some(data) = next_data(body).await? {
        if collected.len() + data.len() > limit {
            return Err(Refusal::TooLarge { limit });
        }
        collected.extend_from_slice(&data);
    }
    Ok(collected.freeze())
}

async fn discard(body: &mut Incoming) -> Result<(), Refusal> {
    while next_data(body).await?.is_some() {}
    Ok(())
}

async fn next_data(body: &mut Incoming) -> Result<Option<Bytes>, Refusal> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::BodyBroken)?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// What a client is told whose request can't be converted.
pub(crate) fn unconvertible(why: Unconvertible) -> Refusal {
    let Unconvertible { path, reason, code } = why;
    Refusal::Unconvertible { path, reason, code }
}
