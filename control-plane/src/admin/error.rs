//! What a request of the admin API gets that can't be answered.

use axum::{
    Json,
    extract::rejection::BytesRejection,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use luthien_policy::BuildError;
use serde::Serialize;
use tracing::{error, warn};
use utoipa::ToSchema;

use crate::record::{StoreError, Trouble};

/// A status, and a message for whoever asked.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    message: String,
    /// What in the request is at fault.
    key: Option<String>,
}

/// Why there is no answer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Error)]
pub(super) struct ErrorView {
    error: ReasonView,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Reason)]
struct ReasonView {
    /// For people.
    message: String,
    /// What in the request is at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

impl ApiError {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), key: None }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn no_token() -> Self {
        let message = "the admin token is needed: Authorization: Bearer …";
        Self::new(StatusCode::UNAUTHORIZED, message)
    }

    pub(super) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    pub(super) fn wrong_method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not know that method")
    }

    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }

    pub(super) fn precondition_required() -> Self {
        let message = "which revision is to be replaced has to be said: If-Match: \"…\", or `revision` in the body; \
                       If-Match: * is whichever is current";
        Self::new(StatusCode::PRECONDITION_REQUIRED, message)
    }

    /// The request can be read, and what it asks for can't be done.
    pub(super) fn unprocessable(key: impl Into<String>, why: impl Into<String>) -> Self {
        let (key, why) = (key.into(), why.into());
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, message: format!("{key}: {why}"), key: Some(key) }
    }

    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }
}

impl From<StoreError> for ApiError {
    fn from(reason: StoreError) -> Self {
        if Trouble::of(&reason) == Trouble::Outage {
            warn!(%reason, "the database can't be asked at present");
            return Self::unavailable(format!("the database can't be asked at present: {reason}"));
        }
        error!(error = %reason, "the database can't be read or written");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the database can't be read or written; the log says why")
    }
}

impl From<BytesRejection> for ApiError {
    fn from(rejection: BytesRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

impl From<BuildError> for ApiError {
    fn from(BuildError { key, why }: BuildError) -> Self {
        Self::unprocessable(format!("config.{key}"), why)
    }
}

impl From<ApiError> for ErrorView {
    fn from(ApiError { message, key, .. }: ApiError) -> Self {
        Self { error: ReasonView { message, key } }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status;
        let mut response = (status, Json(ErrorView::from(self))).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
