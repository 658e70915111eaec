//! Watches a call for metrics and traces: what happens to it and what it does passes by here, and nothing is changed.

use std::time::Instant;

use luthien_call::call::{Call, Input, Output};
use luthien_proto::{message::CallEnded, request::Dialect};

use crate::{
    driver::now,
    metrics::{Metrics, UpstreamMetrics},
    trace::Trace,
};

/// One call as those see it who look from outside.
pub(crate) struct Watch<'a> {
    metrics: &'a Metrics,
    upstream: Option<&'a UpstreamMetrics>,
    trace: Trace,
    dialect: Dialect,
    /// When the request went to the upstream.
    forwarded: Option<Instant>,
    /// Whether that is over.
    answered: bool,
    held_bytes: usize,
    /// What the policy service was told of the end.
    ended: Option<CallEnded>,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(metrics: &'a Metrics, trace: Trace, upstream: &str, dialect: Dialect) -> Self {
        let upstream = metrics.upstream(upstream);
        Self { metrics, upstream, trace, dialect, forwarded: None, answered: false, held_bytes: 0, ended: None }
    }

    /// What happens to the call.
    pub(crate) fn input(&mut self, input: &Input) {
        self.trace.input(input);
        match input {
            Input::UpstreamHead(_) => {
                if let (Some(upstream), Some(forwarded)) = (self.upstream, self.forwarded) {
                    upstream.head.observe(now().saturating_duration_since(forwarded));
                }
            }
            Input::UpstreamEnd | Input::UpstreamFailed(_) => self.upstream_over(),
            Input::Service(_)
            | Input::ServiceClosed(_)
            | Input::Consulted { .. }
            | Input::UpstreamData(_)
            | Input::ClientTook(_)
            | Input::ClientGone
            | Input::Tick => {}
        }
    }

    /// What the call does.
    pub(crate) fn output(&mut self, output: &Output) {
        self.trace.output(output);
        match output {
            Output::Forward(_) => self.forwarded = Some(now()),
            Output::CancelUpstream => self.upstream_over(),
            Output::Ended(ended) => self.ended = Some(ended.clone()),
            Output::OpenService
            | Output::Tell(_)
            | Output::CloseService
            | Output::DropService
            | Output::Report(_)
            | Output::Consult(_)
            | Output::CancelConsult(_)
            | Output::Head(_)
            | Output::Write(_)
            | Output::Finish
            | Output::Abort
            | Output::Done(_) => {}
        }
    }

    /// What the call is like, after it did all that it had to do.
    pub(crate) fn settled(&mut self, call: &Call) {
        let held_bytes = call.held_bytes();
        self.metrics.held_bytes.change(self.held_bytes, held_bytes);
        self.held_bytes = held_bytes;
    }

    /// Whether the policy service was told of the end.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// The call is over.
    pub(crate) fn done(&mut self, call: &Call) {
        let (stats, ended) = (call.stats(), self.ended.take().unwrap_or_else(|| call.ended()));
        self.metrics.ended(self.dialect, &ended, &stats);
        if let (Some(upstream), Some(_)) = (self.upstream, self.forwarded) {
            upstream.ended(ended.upstream_status, stats.upstream_failure);
        }
        self.trace.done(call, &ended);
    }

    fn upstream_over(&mut self) {
        let first = !std::mem::replace(&mut self.answered, true);
        if let (Some(upstream), Some(forwarded), true) = (self.upstream, self.forwarded, first) {
            upstream.whole.observe(now().saturating_duration_since(forwarded));
        }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.metrics.held_bytes.change(self.held_bytes, 0);
    }
}
