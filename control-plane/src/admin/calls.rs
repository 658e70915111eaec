//! `GET /api/calls`, `GET /api/calls/{id}` and `GET /api/calls/{id}/diff`.

mod diff;
pub(super) mod params;
mod view;

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, RawQuery, State},
};
use utoipa::IntoParams;
use uuid::Uuid;

use super::{
    Admin,
    error::{ApiError, ErrorView},
};
use crate::record::FullCall;
use diff::DiffView;
use params::Shown;
use view::PageView;

pub(super) use view::{CallView, FullCallView, TokensView};

/// Which calls. All that is said must hold.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "for the document")]
pub(super) struct CallFilters {
    /// The model as the client named it.
    model: Option<String>,
    /// The client's dialect.
    dialect: Option<String>,
    /// Whose key it was.
    client: Option<String>,
    /// The pattern of the route.
    route: Option<String>,
    /// The upstream's name.
    upstream: Option<String>,
    /// `running`, `delivered`, `cut_by_client`, `ended_by_policy`, `failed`, `unknown`.
    outcome: Option<String>,
    /// The session; of a call without a marker, its id.
    session: Option<String>,
    /// With a note that is at least so grave: `debug`, `info`, `warning`, `error`.
    severity: Option<String>,
    /// In which this policy decided more than to pass, or noted something.
    policy: Option<String>,
    /// In which all these words were said; words between double quotes follow one another.
    text: Option<String>,
    /// Began then or later: RFC 3339.
    since: Option<String>,
    /// Began earlier.
    until: Option<String>,
}

/// Which page.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "for the document")]
struct PageParams {
    /// The `next` of the page before.
    cursor: Option<String>,
    /// How many there are on a page: 1 to 1000; 50, where nobody says.
    limit: Option<u32>,
}

/// How a call is shown.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "for the document")]
struct ShownParams {
    /// The entries of this epoch.
    epoch: Option<u32>,
    /// With the lengths and times of the pieces in which blocks came.
    deltas: Option<bool>,
}

/// Calls at a glance, newest first
#[utoipa::path(
    get,
    path = "/calls",
    tag = "calls",
    params(CallFilters, PageParams),
    responses((status = 200, body = PageView, description = "A page of calls")),
)]
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    RawQuery(query): RawQuery,
) -> Result<Json<PageView>, ApiError> {
    let query = params::parse(&query.unwrap_or_default()).map_err(ApiError::bad_request)?;
    Ok(Json(admin.store.calls(&query).await?.into()))
}

/// All that is on record of one call, as one of its streams told it
#[utoipa::path(
    get,
    path = "/calls/{id}",
    tag = "calls",
    params(("id" = Uuid, Path, description = "The call"), ShownParams),
    responses(
        (status = 200, body = FullCallView, description = "The call"),
        (status = 404, body = ErrorView, description = "It is not on record"),
    ),
)]
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<FullCallView>, ApiError> {
    let Shown { epoch, deltas } = params::shown(&query.unwrap_or_default()).map_err(ApiError::bad_request)?;
    let call = find(&admin, &id).await?;
    match epoch {
        None => Ok(Json(FullCallView::new(call.epoch(), deltas, call))),
        Some(epoch) if call.epochs().contains(&epoch) => Ok(Json(FullCallView::new(epoch, deltas, call))),
        Some(epoch) => Err(ApiError::not_found(format!("call {id} has no entries of epoch {epoch}"))),
    }
}

/// A call before and after its policies
#[utoipa::path(
    get,
    path = "/calls/{id}/diff",
    tag = "calls",
    params(("id" = Uuid, Path, description = "The call")),
    responses(
        (status = 200, body = DiffView, description = "Both sides, and how they differ"),
        (status = 404, body = ErrorView, description = "It is not on record"),
    ),
)]
pub(super) async fn compare(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
) -> Result<Json<DiffView>, ApiError> {
    let call = find(&admin, &id).await?;
    // The thread serves others too.
    let compared = tokio::task::spawn_blocking(move || DiffView::new(&call)).await;
    match compared {
        Ok(diff) => Ok(Json(diff?)),
        Err(_) => Err(ApiError::unavailable("the comparison was not finished")),
    }
}

async fn find(admin: &Admin, id: &str) -> Result<FullCall, ApiError> {
    let id = Uuid::try_parse(id).map_err(|_| ApiError::bad_request("the id of a call is a UUID"))?;
    let call = admin.store.call(id).await?;
    call.ok_or_else(|| ApiError::not_found(format!("no call {id} is on record")))
}
