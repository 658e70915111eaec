//! Finds out where a call goes, and what it is told there: what the client said, as it came or in another dialect.

use std::time::{SystemTime, UNIX_EPOCH};

use http::request::Parts;
use luthien_call::{
    conversion::{self, Edited},
    dialect::ClientRequest,
};
use luthien_proto::{message::CallStarted, request::Dialect};
use uuid::Uuid;

use super::{onward::Onward, unconvertible};
use crate::{
    auth::Caller,
    consults::Origin,
    headers::{self, Heads},
    refusal::Refusal,
    routes::{Asked, Routes},
    session,
    trace::Trace,
    upstream::Exchange,
};

/// A call that somebody may make.
pub(super) struct Wanted {
    pub(super) id: Uuid,
    pub(super) at: SystemTime,
    pub(super) dialect: Dialect,
    pub(super) parts: Parts,
    pub(super) caller: Caller,
}

/// A call, and how it goes on.
pub(super) struct Routed {
    /// What the policy service is told of it.
    pub(super) started: CallStarted,
    /// The exchange that it asks leave for.
    pub(super) exchange: Exchange,
    /// How the request gets there if policies change it.
    pub(super) onward: Onward,
    /// What the answer passes where the upstream speaks another dialect.
    pub(super) conversion: Option<conversion::Response>,
    /// What becomes of the answer's headers.
    pub(super) heads: Heads,
    /// Who asks, and of whom.
    pub(super) origin: Origin,
}

impl Wanted {
    pub(super) fn routed(
        self,
        mut request: ClientRequest,
        routes: &Routes,
        trace: &mut Trace,
    ) -> Result<Routed, Refusal> {
        let model = &request.request.model;
        let route = routes.find(model).ok_or_else(|| Refusal::NoRoute(model.clone()))?;
        let upstream = route.upstream_for(self.dialect);
        let same = upstream.dialect == self.dialect;
        let upstream_model = route.upstream_model(model).to_owned();
        let asked = Asked::Call { model: &upstream_model, stream: request.request.stream };
        let uri = upstream.uri(asked, self.parts.uri.query().filter(|_| same)).ok_or(Refusal::Internal)?;
        let mut headers = match same {
            true => headers::to_upstream(&self.parts.headers),
            false => headers::to_foreign_upstream(&self.parts.headers, upstream.dialect),
        };
        self.caller.authorize(self.dialect, upstream, &mut headers)?;
        if upstream.forward_traceparent
            && let Some(value) = trace.header()
        {
            headers.insert("traceparent", value);
        }
        let session = session::marker(&self.parts.headers, &request.request);
        let (caller, dialect) = (self.caller, self.dialect);
        let onward = Onward::new(self.dialect, upstream.clone(), upstream_model.clone(), &session);
        let Edited { body, lost, response: conversion } = onward.first(&mut request).map_err(unconvertible)?;
        let heads = Heads::new(self.dialect, upstream.dialect, &lost.dropped);
        let started = CallStarted {
            session,
            dropped: lost.dropped,
            omitted: lost.omitted,
            capabilities: Vec::new(),
            headers: headers::told(&self.parts.headers),
            call_id: self.id,
            started_at_us: micros(self.at),
            dialect: self.dialect,
            upstream_dialect: upstream.dialect,
            upstream: upstream.name.clone(),
            route: route.pattern.clone(),
            upstream_model,
            client: caller.name.clone(),
            request: request.request,
        };
        trace.routed(&started, &uri);
        let origin = Origin { caller, dialect, upstream: upstream.clone(), session: started.session.clone() };
        Ok(Routed { started, exchange: Exchange::new(uri, headers, body), onward, conversion, heads, origin })
    }
}

fn micros(at: SystemTime) -> i64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
