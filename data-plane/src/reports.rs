//! What policy services have to be told of calls that none of them had at their end: kept until one can be heard.

mod teller;

use std::collections::VecDeque;

use luthien_proto::{
    codec::EncodedReport,
    message::{CallReport, ServiceFailure},
};
use luthien_service::metrics::Counter;
use tokio::sync::watch;
use tracing::warn;
use uuid::Uuid;

/// What may wait, of all threads together.
const BYTES_MAX: usize = 16 << 20;
const REPORTS_MAX: usize = 10_000;

/// Reports of all threads that wait to be told.
#[derive(Debug)]
pub(crate) struct Reports {
    waiting: watch::Sender<Waiting>,
    bytes_max: usize,
    reports_max: usize,
    told: Counter,
    lost: Counter,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Oldest first.
    queue: VecDeque<Report>,
    /// How many are being told.
    telling: usize,
    /// What all of these are.
    bytes: usize,
}

/// A report that waits.
#[derive(Debug)]
struct Report {
    call_id: Uuid,
    /// With its request, if there is room for that.
    full: Option<EncodedReport>,
    bare: EncodedReport,
    /// The client was refused, and nothing else happened: the first to go where there is no room.
    is_refusal: bool,
}

impl Default for Reports {
    fn default() -> Self {
        Self::with_room(BYTES_MAX, REPORTS_MAX)
    }
}

impl Reports {
    fn with_room(bytes_max: usize, reports_max: usize) -> Self {
        let waiting = watch::Sender::default();
        Self { waiting, bytes_max, reports_max, told: Counter::default(), lost: Counter::default() }
    }

    /// Takes one. Where there is no room for its request, that is left out; where there is none at all, the oldest go.
    pub(crate) fn push(&self, report: CallReport) {
        let mut report = Report::new(report);
        let mut dropped = Vec::new();
        self.waiting.send_modify(|waiting| {
            if waiting.bytes + report.bytes() > self.bytes_max {
                report.full = None;
            }
            while waiting.len() >= self.reports_max || waiting.bytes + report.bytes() > self.bytes_max {
                let Some(oldest) = waiting.drop_one() else { break };
                dropped.push(oldest.call_id);
            }
            waiting.bytes += report.bytes();
            waiting.queue.push_back(report);
        });
        for call_id in dropped {
            self.lost.one();
            warn!(%call_id, "how the call ended will not be on record: too many others wait for a control plane");
        }
    }

    /// Returns when nothing waits.
    pub(crate) async fn drained(&self) {
        // The sender is here, and is not dropped meanwhile.
        let _ = self.waiting.subscribe().wait_for(|waiting| waiting.len() == 0).await;
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.borrow().len()
    }

    /// How many were told, and how many will never be.
    pub(crate) fn counts(&self) -> [(&'static str, u64); 2] {
        [("told", self.told.get()), ("lost", self.lost.get())]
    }
}

impl Drop for Reports {
    fn drop(&mut self) {
        let calls = self.waiting();
        if calls > 0 {
            warn!(calls, "how these calls ended will not be on record: no control plane could be told in time");
        }
    }
}

impl Waiting {
    fn len(&self) -> usize {
        self.queue.len() + self.telling
    }

    fn drop_one(&mut self) -> Option<Report> {
        let at = self.queue.iter().position(|report| report.is_refusal).unwrap_or(0);
        let report = self.queue.remove(at)?;
        self.bytes -= report.bytes();
        Some(report)
    }
}

impl Report {
    fn new(mut report: CallReport) -> Self {
        let call_id = report.started.call_id;
        let is_refusal = report.cause == ServiceFailure::NotAdmitted && report.ended.opened.is_none();
        let was_left_out = report.request_left_out;
        let request = report.leave_request_out();
        let bare = EncodedReport::from(report.clone());
        let full = (!was_left_out).then(|| {
            (report.started.request, report.request_left_out) = (request, false);
            EncodedReport::from(report)
        });
        Self { call_id, full, bare, is_refusal }
    }

    fn bytes(&self) -> usize {
        self.full.as_ref().map_or(0, EncodedReport::size) + self.bare.size()
    }

    /// As it is said.
    fn said(&self) -> &EncodedReport {
        self.full.as_ref().unwrap_or(&self.bare)
    }
}

#[cfg(test)]
mod tests;
