//! What there is under which path, and the answer to each request.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use luthien_proto::request::Dialect;
use luthien_service::{metrics, telemetry::SpanContext};
use tokio_util::sync::CancellationToken;
use tracing::{Span, error, field::display, info, info_span};
use uuid::Uuid;

use crate::{client::Body, counting, headers::CALL_ID, intake, models, passthrough, plane::Plane, refusal::Refusal};

/// What is under a path.
#[derive(Clone, Copy)]
enum Endpoint {
    /// That somebody is there.
    Root,
    Health,
    Ready,
    Metrics,
    Calls(Dialect),
    /// How many tokens a request has.
    Count(Dialect),
    Models,
    Model,
}

impl Endpoint {
    fn at(path: &str) -> Option<Self> {
        Some(match path {
            "/" => Self::Root,
            "/healthz" => Self::Health,
            "/readyz" => Self::Ready,
            "/metrics" => Self::Metrics,
            "/v1/chat/completions" => Self::Calls(Dialect::OpenAiChat),
            "/v1/messages" => Self::Calls(Dialect::AnthropicMessages),
            "/v1/responses" => Self::Calls(Dialect::OpenAiResponses),
            "/v1/messages/count_tokens" => Self::Count(Dialect::AnthropicMessages),
            "/v1/models" => Self::Models,
            _ if path.strip_prefix(MODEL).is_some_and(|id| !id.is_empty()) => Self::Model,
            _ => return None,
        })
    }

    fn methods(self) -> &'static str {
        match self {
            Self::Root | Self::Health | Self::Ready | Self::Metrics | Self::Models | Self::Model => "GET, HEAD",
            Self::Calls(_) | Self::Count(_) => "POST",
        }
    }
}

const MODEL: &str = "/v1/models/";

/// The dialect in which errors are told under a path.
fn dialect(path: &str, headers: &HeaderMap) -> Dialect {
    match Endpoint::at(path) {
        Some(Endpoint::Calls(dialect) | Endpoint::Count(dialect)) => dialect,
        Some(Endpoint::Models | Endpoint::Model) => models::dialect(headers),
        Some(Endpoint::Root | Endpoint::Health | Endpoint::Ready | Endpoint::Metrics) => Dialect::OpenAiChat,
        None if path.starts_with("/v1/responses/") => Dialect::OpenAiResponses,
        None => passthrough::dialect(path, headers),
    }
}

/// Whether a client asks for a WebSocket, as some do before they post.
fn is_web_socket(headers: &HeaderMap) -> bool {
    headers.get(header::UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Answers a request, whatever happens. `connection` breaks the client's connection off.
pub(crate) async fn answer(
    plane: Arc<Plane>,
    request: Request<Incoming>,
    connection: CancellationToken,
) -> Response<Body> {
    let id = Uuid::now_v7();
    let dialect = dialect(request.uri().path(), request.headers());
    let mut trace = None;
    let answered = AssertUnwindSafe(dispatch(plane.clone(), request, id, connection, &mut trace)).catch_unwind().await;
    let mut response = match answered {
        Ok(Ok(response)) => response,
        Ok(Err(refusal)) => {
            let _span = log_span(id, dialect, trace.as_ref()).entered();
            info!(reason = refusal.kind(), "request not taken");
            plane.metrics().refused(&refusal);
            refusal.into_response(dialect)
        }
        Err(_) => {
            let _span = log_span(id, dialect, trace.as_ref()).entered();
            error!("a request's handler panicked");
            plane.metrics().refused(&Refusal::Internal);
            Refusal::Internal.into_response(dialect)
        }
    };
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        response.headers_mut().insert(CALL_ID, value);
    }
    response
}

/// What log lines say of a request that became no call.
fn log_span(id: Uuid, dialect: Dialect, trace: Option<&SpanContext>) -> Span {
    let (trace_id, span_id) = trace.map(|trace| (trace.trace_id(), trace.span_id())).unzip();
    let (trace_id, span_id) = (trace_id.map(display), span_id.map(display));
    info_span!("request", call_id = %id, trace_id, span_id, dialect = dialect.name())
}

async fn dispatch(
    plane: Arc<Plane>,
    request: Request<Incoming>,
    id: Uuid,
    connection: CancellationToken,
    trace: &mut Option<SpanContext>,
) -> Result<Response<Body>, Refusal> {
    let path = request.uri().path();
    let Some(endpoint) = Endpoint::at(path) else {
        let upstream = plane.passthrough().upstream(path, request.headers()).cloned();
        let upstream = upstream.ok_or_else(|| Refusal::UnknownPath(path.to_owned()))?;
        let dialect = passthrough::dialect(path, request.headers());
        return passthrough::forward(plane, upstream, dialect, request, connection).await;
    };
    if matches!(endpoint, Endpoint::Calls(_)) && is_web_socket(request.headers()) {
        return Err(Refusal::WebSocket);
    }
    if !endpoint.methods().split(", ").any(|method| method == request.method().as_str()) {
        let method: Method = request.method().clone();
        return Err(Refusal::WrongMethod { method, path: path.to_owned(), allow: endpoint.methods() });
    }
    match endpoint {
        Endpoint::Root => Ok(text(StatusCode::OK, "luthien")),
        Endpoint::Health => Ok(text(StatusCode::OK, "ok")),
        Endpoint::Ready => Ok(match plane.ready().await {
            Ok(()) => text(StatusCode::OK, "ready"),
            Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}")),
        }),
        Endpoint::Metrics => Ok(page(plane.metrics_page())),
        Endpoint::Models => models::list(&plane, request.headers(), request.uri().query()).await,
        Endpoint::Model => {
            let id = models::decoded(path.strip_prefix(MODEL).unwrap_or_default());
            models::one(&plane, request.headers(), &id).await
        }
        Endpoint::Count(dialect) => counting::count(plane, dialect, request, connection).await,
        Endpoint::Calls(dialect) => intake::call(plane, dialect, request, id, connection, trace).await,
    }
}

fn page(metrics: String) -> Response<Body> {
    let mut response = Response::new(Body::full(metrics));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(metrics::CONTENT_TYPE));
    response
}

fn text(status: StatusCode, line: impl Into<String>) -> Response<Body> {
    let mut response = Response::new(Body::full(line.into() + "\n"));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
