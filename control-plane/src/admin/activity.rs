//! `GET /api/activity`: what happens in the calls, live, as SSE.

mod feed;
mod filter;
mod ring;
mod view;
mod viewer;

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{RawQuery, State},
    response::IntoResponse,
};
use http::{HeaderMap, header};
use utoipa::IntoParams;

use super::{Admin, error::ApiError};
use crate::record::Place;
use filter::Wanted;
use viewer::Viewer;

pub use feed::Feed;
use view::ActivityView;

/// Where a browser tells, when it connects again, what it has seen.
const LAST_EVENT_ID: &str = "last-event-id";

/// Which events.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "for the document")]
struct Filters {
    /// Of this session.
    session: Option<String>,
    /// Of calls for this model, as the client named it.
    model: Option<String>,
    /// In which this policy did or noted something.
    policy: Option<String>,
    /// With a note that is at least so grave: `debug`, `info`, `warning`, `error`.
    severity: Option<String>,
    /// Ends of calls: `delivered`, `cut_by_client`, `ended_by_policy`, `failed`, `unknown`.
    outcome: Option<String>,
    /// Behind the event with this id; a header `Last-Event-ID` counts more.
    since: Option<String>,
}

/// What happens in the calls, live
///
/// SSE without an end; the schema is that of an event's `data`.
#[utoipa::path(
    get,
    path = "/activity",
    tag = "activity",
    params(Filters, ("last-event-id" = Option<String>, Header, description = "Behind the event with this id")),
    responses((status = 200, body = ActivityView, content_type = "text/event-stream", description = "Events")),
)]
pub(super) async fn watch(
    State(admin): State<Arc<Admin>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<impl IntoResponse, ApiError> {
    let Wanted { filter, since } = Wanted::parse(&query.unwrap_or_default()).map_err(ApiError::bad_request)?;
    let since = last_event_id(&headers)?.or(since);
    let viewer = Viewer::new(Arc::clone(&admin.feed), since, filter, admin.closing.clone()).await?;
    let headers =
        [(header::CONTENT_TYPE, "text/event-stream"), (header::HeaderName::from_static("x-accel-buffering"), "no")];
    Ok((headers, Body::from_stream(viewer.frames())))
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<Place>, ApiError> {
    let Some(id) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    let place = id.to_str().ok().and_then(Place::from_text);
    place.map(Some).ok_or_else(|| ApiError::bad_request("Last-Event-ID: not one of ours"))
}
