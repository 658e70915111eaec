//! `GET /api/calls` and `GET /api/calls/{id}`.

mod params;
mod view;

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, RawQuery, State},
};
use uuid::Uuid;

use super::{Admin, error::ApiError};
use view::{FullCallView, PageView};

/// Calls at a glance, newest first.
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    RawQuery(query): RawQuery,
) -> Result<Json<PageView>, ApiError> {
    let query = params::parse(&query.unwrap_or_default()).map_err(ApiError::bad_request)?;
    Ok(Json(admin.store.calls(&query).await?.into()))
}

/// All that is on record of one call.
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
) -> Result<Json<FullCallView>, ApiError> {
    let id = Uuid::try_parse(&id).map_err(|_| ApiError::bad_request("the id of a call is a UUID"))?;
    match admin.store.call(id).await? {
        Some(call) => Ok(Json(call.into())),
        None => Err(ApiError::not_found(format!("no call {id} is on record"))),
    }
}
