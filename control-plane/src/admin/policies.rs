//! `GET /api/policies`, `PUT /api/policies` and `GET /api/policies/kinds`.

mod proposal;

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    response::IntoResponse,
};
use http::{HeaderMap, header};
use jiff::Timestamp;
use luthien_policy::PolicySet;
use serde::Serialize;
use serde_json::Value;
use tracing::info;
use utoipa::ToSchema;

use super::{
    Admin,
    error::{ApiError, ErrorView},
};
use crate::policies::{Current, Policies, Replaced, StoredSet};
use proposal::Proposal;

/// The policies that calls begin with.
#[derive(Serialize, ToSchema)]
#[schema(as = Policies)]
struct PoliciesView {
    revision: String,
    /// `file` or `api`.
    source: Option<&'static str>,
    /// Since when they are current.
    since: Option<String>,
    /// With its defaults written out.
    #[schema(value_type = Object)]
    config: Value,
}

/// What the policies are to be. What `GET` answers is one.
#[derive(ToSchema)]
#[expect(dead_code, reason = "for the document")]
struct Proposed {
    /// The revision that is to be replaced; or in `If-Match`.
    revision: Option<String>,
    /// `policies`, `pipeline`, `bindings`, as in the configuration file.
    #[schema(value_type = Object)]
    config: Value,
}

/// The policies for the calls that begin
#[utoipa::path(
    get,
    path = "/policies",
    tag = "policies",
    responses((status = 200, body = PoliciesView, description = "The policies", headers(("etag" = String)))),
)]
pub(super) async fn show(State(admin): State<Arc<Admin>>) -> impl IntoResponse {
    answer(&admin.policies)
}

/// Other policies for the calls that begin
///
/// If they can be built, and nobody else was faster.
#[utoipa::path(
    put,
    path = "/policies",
    tag = "policies",
    params(("if-match" = Option<String>, Header, description = "The revision that is to be replaced, in quotes; `*`: any")),
    request_body = Proposed,
    responses(
        (status = 200, body = PoliciesView, description = "The policies as they are now", headers(("etag" = String))),
        (status = 409, body = ErrorView, description = "Another revision is current"),
        (status = 422, body = ErrorView, description = "They can't be used"),
        (status = 428, body = ErrorView, description = "What is to be replaced was not said"),
    ),
)]
pub(super) async fn replace(
    State(admin): State<Arc<Admin>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<impl IntoResponse, ApiError> {
    let Proposal { expected, config } = Proposal::read(&headers, &body?)?;
    let built = tokio::task::spawn_blocking(move || PolicySet::build(config)).await;
    let set = built.map_err(|_| ApiError::unavailable("the policies were not built"))??;
    match admin.sets.replace(expected.as_deref(), &StoredSet::now(&set)).await? {
        Replaced::Conflict(current) => Err(ApiError::conflict(format!(
            "revision {} of the policies is current, and not the one that was to be replaced: look at it, and decide again",
            current.revision
        ))),
        Replaced::Done(current) => {
            let before = admin.policies.current().set().revision().to_owned();
            info!(revision = current.revision, before, "the policies were set with the API");
            admin.policies.make_current(set, current);
            Ok(answer(&admin.policies))
        }
    }
}

/// Every kind of policy, and what its configuration may be
#[utoipa::path(
    get,
    path = "/policies/kinds",
    tag = "policies",
    responses((status = 200, body = Vec<Object>, description = "Each with a JSON schema of its configuration")),
)]
pub(super) async fn kinds() -> Json<Value> {
    Json(luthien_policy::kinds())
}

fn answer(policies: &Policies) -> impl IntoResponse + use<> {
    let (set, told) = policies.shown();
    let view = PoliciesView::new(&set, told);
    ([(header::ETAG, format!("\"{}\"", view.revision))], Json(view))
}

impl PoliciesView {
    fn new(set: &PolicySet, told: Option<Current>) -> Self {
        let time = |us| Timestamp::from_microsecond(us).unwrap_or(Timestamp::MAX).to_string();
        Self {
            revision: set.revision().to_owned(),
            source: told.as_ref().map(|told| told.source.name()),
            since: told.map(|told| time(told.since_us)),
            config: set.config().canonical(),
        }
    }
}
