//! The admin API: what is on record, and the policies, for those who hold the admin token.

mod activity;
mod calls;
mod error;
mod export;
mod guard;
mod health;
mod openapi;
mod policies;
mod sessions;
mod token;

use std::sync::Arc;

use axum::{Router, middleware};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::{
    metrics::Metrics,
    policies::{Policies, SetStore},
    record::{Journal, Recorder, Store},
};
use error::ApiError;

pub use activity::Feed;
pub use token::{AdminToken, TokenError};

/// What the API answers from.
pub struct Admin {
    /// Where the record is read.
    pub store: Arc<dyn Store>,
    /// Where policy sets are kept.
    pub sets: Arc<dyn SetStore>,
    /// Those of this process.
    pub policies: Policies,
    /// How its writing goes.
    pub recorder: Recorder,
    /// What is before the database, if anything is.
    pub journal: Option<Arc<Journal>>,
    /// What opens the API.
    pub token: AdminToken,
    /// What the plane counts.
    pub metrics: Arc<Metrics>,
    /// Cancelled when no more calls are taken.
    pub draining: CancellationToken,
    /// What happens, for those who watch.
    pub feed: Arc<Feed>,
    /// Ends what has no end of its own.
    pub closing: CancellationToken,
    /// Whether the listener is on a loopback address: then requests that name any other host are refused.
    pub loopback: bool,
}

/// All paths of the admin listener.
pub fn router(admin: Admin) -> Router {
    let admin = Arc::new(admin);
    let api = Router::from(openapi::guarded())
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(Arc::clone(&admin), guard::require_token));
    Router::from(openapi::open())
        .nest("/api", api)
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(Arc::clone(&admin), guard::check_origin))
        .layer(middleware::map_response(guard::secure_headers))
        .with_state(admin)
}

async fn not_found() -> ApiError {
    ApiError::not_found("there is nothing at this path")
}

async fn wrong_method() -> ApiError {
    ApiError::wrong_method()
}

/// RFC 3339; a time that a proxy made up and no calendar has is brought to the nearest that there is.
fn time(us: i64) -> String {
    let nearest = if us < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_microsecond(us).unwrap_or(nearest).to_string()
}
