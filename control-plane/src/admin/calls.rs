//! `GET /api/calls`, `GET /api/calls/{id}` and `GET /api/calls/{id}/diff`.

mod diff;
mod params;
mod view;

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, RawQuery, State},
};
use uuid::Uuid;

use super::{Admin, error::ApiError};
use crate::record::FullCall;
use diff::DiffView;
use params::Shown;
use view::{FullCallView, PageView};

/// Calls at a glance, newest first.
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    RawQuery(query): RawQuery,
) -> Result<Json<PageView>, ApiError> {
    let query = params::parse(&query.unwrap_or_default()).map_err(ApiError::bad_request)?;
    Ok(Json(admin.store.calls(&query).await?.into()))
}

/// All that is on record of one call, as one of its streams told it.
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

/// A call before and after its policies.
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
