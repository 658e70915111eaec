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

use super::{Admin, error::ApiError};
use crate::record::Place;
use filter::Wanted;
use viewer::Viewer;

pub use feed::Feed;
use view::ActivityView;

/// Where a browser tells, when it connects again, what it has seen.
const LAST_EVENT_ID: &str = "last-event-id";

/// What happens in the calls, live.
#[utoipa::path(
    get,
    path = "/api/activity",
    tag = "activity",
    params(
        ("session" = Option<String>, Query, description = "Of this session"),
        ("model" = Option<String>, Query, description = "Of calls for this model, as the client named it"),
        ("policy" = Option<String>, Query, description = "In which this policy did or noted something"),
        ("severity" = Option<String>, Query, description = "With a note that is at least so grave: `debug`, `info`, `warning`, `error`"),
        ("outcome" = Option<String>, Query, description = "Ends of calls, of this kind"),
        ("since" = Option<String>, Query, description = "Go on behind the event with this id; a header `Last-Event-ID` counts more"),
        ("last-event-id" = Option<String>, Header, description = "Go on behind the event with this id"),
    ),
    responses(
        (status = 200, content_type = "text/event-stream", body = ActivityView, description = "SSE events; the schema is that of their `data`. Without an end"),
        (status = 400, body = crate::admin::error::ErrorView, description = "A parameter is not understood"),
        (status = 401, body = crate::admin::error::ErrorView, description = "The token is missing"),
        (status = 500, body = crate::admin::error::ErrorView, description = "The database can't be read"),
    ),
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
