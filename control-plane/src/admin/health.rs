//! `GET /healthz`, `/readyz` and `/metrics`: for those who watch over the process. They need no token.

use std::sync::Arc;

use axum::{Json, extract::State, response::IntoResponse};
use http::header;
use luthien_service::metrics;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Admin,
    error::{ApiError, ErrorView},
};

/// How the control plane does.
#[derive(Serialize, ToSchema)]
#[schema(as = Status)]
pub(super) struct StatusView {
    /// `alive`, `ready`.
    status: &'static str,
    /// What an operator should see to nevertheless.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// Whether it is alive
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "plane",
    responses((status = 200, body = StatusView, description = "It is")),
)]
pub(super) async fn healthz() -> Json<StatusView> {
    Json(StatusView { status: "alive", warnings: Vec::new() })
}

/// Whether calls are taken, and if not, why
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "plane",
    responses(
        (status = 200, body = StatusView, description = "They are"),
        (status = 503, body = ErrorView, description = "They are not"),
    ),
)]
pub(super) async fn readyz(State(admin): State<Arc<Admin>>) -> Result<Json<StatusView>, ApiError> {
    if admin.draining.is_cancelled() {
        return Err(ApiError::unavailable("shutting down: no new calls are taken"));
    }
    match admin.recorder.health().failing().or_else(|| admin.policies.failing()) {
        Some(reason) => Err(ApiError::unavailable(reason)),
        None => Ok(Json(StatusView { status: "ready", warnings: warnings(&admin) })),
    }
}

/// What it counts, for Prometheus
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "plane",
    responses((status = 200, body = String, content_type = "text/plain", description = "The text format of Prometheus")),
)]
pub(super) async fn metrics(State(admin): State<Arc<Admin>>) -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, metrics::CONTENT_TYPE)],
        admin.metrics.page(&admin.recorder, &admin.policies, admin.journal.as_deref()),
    )
}

fn warnings(admin: &Admin) -> Vec<String> {
    let mut warnings = admin.journal.as_ref().map(|journal| journal.warnings()).unwrap_or_default();
    warnings.extend(admin.policies.unconfirmed());
    warnings
}
