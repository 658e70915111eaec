//! `GET /api/export`: whole calls, one per line.

use std::{convert::Infallible, sync::Arc};

use axum::{
    body::{Body, Bytes},
    extract::{RawQuery, State},
    response::IntoResponse,
};
use futures_util::{Stream, stream};
use http::header;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::{
    Admin,
    calls::{CallFilters, FullCallView, params},
    error::{ApiError, ErrorView},
};
use crate::record::{FullCall, Page, Query, Store, Summary};

/// What an export has besides filters.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "for the document")]
struct ExportParams {
    /// Behind the page of `GET /api/calls` that gave this cursor.
    cursor: Option<String>,
    /// At most so many calls; all, where nobody says.
    limit: Option<u64>,
}

/// A line of an export.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum ExportLine {
    /// A call.
    Call(Box<FullCallView>),
    /// What kept the export from its end.
    Failed(ErrorView),
}

/// How many calls are looked up at a time.
const PAGE: u32 = 100;

/// Whole calls, newest first, one per line
///
/// Each is what `GET /api/calls/{id}?deltas=true` answers. Whatever keeps the export from its end is told in a last line
/// that has an `error` and no `call_id`.
#[utoipa::path(
    get,
    path = "/export",
    tag = "calls",
    params(CallFilters, ExportParams),
    responses((status = 200, body = ExportLine, content_type = "application/jsonl", description = "A line for each call")),
)]
pub(super) async fn export(
    State(admin): State<Arc<Admin>>,
    RawQuery(query): RawQuery,
) -> Result<impl IntoResponse, ApiError> {
    let (query, limit) = params::unlimited(&query.unwrap_or_default()).map_err(ApiError::bad_request)?;
    let mut export = Export { store: Arc::clone(&admin.store), query, left: limit, page: Vec::new(), is_over: false };
    // What can't be begun has a status of its own.
    export.turn().await?;
    let lines = Body::from_stream(export.lines());
    Ok(([(header::CONTENT_TYPE, "application/jsonl")], lines))
}

/// An export under way: a page of summaries and one call at a time, however many there are.
struct Export {
    store: Arc<dyn Store>,
    query: Query,
    /// How many calls may still be told of; `None`: all.
    left: Option<u64>,
    /// In the other order.
    page: Vec<Summary>,
    /// There is no other page.
    is_over: bool,
}

impl Export {
    fn lines(self) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
        stream::unfold(Some(self), async |export| {
            let mut export = export?;
            match export.next().await {
                Ok(Some(call)) => {
                    let call = FullCallView::new(call.epoch(), true, call);
                    Some((Ok(line(&ExportLine::Call(Box::new(call)))), Some(export)))
                }
                Ok(None) => None,
                Err(error) => Some((Ok(line(&ExportLine::Failed(error.into()))), None)),
            }
        })
    }

    /// The next call. One that was purged in the meantime is left out.
    async fn next(&mut self) -> Result<Option<FullCall>, ApiError> {
        loop {
            if self.page.is_empty() && !self.is_over {
                self.turn().await?;
            }
            let Some(summary) = self.page.pop() else { return Ok(None) };
            if let Some(call) = self.store.call(summary.call_id).await? {
                return Ok(Some(call));
            }
        }
    }

    /// Turns to the next page.
    async fn turn(&mut self) -> Result<(), ApiError> {
        let left = self.left.unwrap_or(u64::MAX);
        self.query.limit = u32::try_from(left).unwrap_or(PAGE).min(PAGE);
        let Page { calls, next } = self.store.calls(&self.query).await?;
        self.left = self.left.map(|left| left.saturating_sub(calls.len() as u64));
        self.is_over = next.is_none() || self.left == Some(0);
        self.query.after = next;
        self.page = calls;
        self.page.reverse();
        Ok(())
    }
}

fn line(view: &ExportLine) -> Bytes {
    let mut line = serde_json::to_vec(view).unwrap_or_default();
    line.push(b'\n');
    line.into()
}
