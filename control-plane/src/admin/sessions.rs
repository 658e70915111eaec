//! `GET /api/sessions` and `GET /api/sessions/{id}`.

mod params;
mod repeated;
mod view;

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, RawQuery, State},
};
use utoipa::IntoParams;

use super::{
    Admin,
    calls::CallFilters,
    error::{ApiError, ErrorView},
};
use view::{ConversationView, SessionPageView};

/// Which page.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "for the document")]
struct PageParams {
    /// The `next` of the page before.
    cursor: Option<String>,
    /// How many there are on a page.
    limit: Option<u32>,
}

/// Sessions at a glance, that with the latest call first
///
/// The filters are about calls: a session is listed if it has such a call.
#[utoipa::path(
    get,
    path = "/sessions",
    tag = "sessions",
    params(CallFilters, PageParams),
    responses((status = 200, body = SessionPageView, description = "A page of sessions")),
)]
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    RawQuery(query): RawQuery,
) -> Result<Json<SessionPageView>, ApiError> {
    let query = params::sessions(&query.unwrap_or_default()).map_err(ApiError::bad_request)?;
    Ok(Json(admin.store.sessions(&query).await?.into()))
}

/// A session: the conversation once, not once per call
///
/// The calls in the order in which they began, each with what is new in it.
#[utoipa::path(
    get,
    path = "/sessions/{id}",
    tag = "sessions",
    params(("id" = String, Path, description = "The session; of a call without a marker, the call's id"), PageParams),
    responses(
        (status = 200, body = ConversationView, description = "Some of its calls"),
        (status = 404, body = ErrorView, description = "There is no such session"),
    ),
)]
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<ConversationView>, ApiError> {
    let (after, limit) = params::turns(&query.unwrap_or_default()).map_err(ApiError::bad_request)?;
    let conversation = admin.store.session(&id, after, limit).await?;
    let conversation = conversation.ok_or_else(|| ApiError::not_found(format!("no session {id:?} is on record")))?;
    Ok(Json(ConversationView::new(id, conversation)))
}
