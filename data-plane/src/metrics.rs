//! What the plane counts, and the page that tells it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use luthien_call::call::{Fate, HELD_BOUNDS_US, Stats, UpstreamFailure};
use luthien_proto::{
    event::Kind,
    message::{CallEnded, Outcome, ServiceFailure},
    request::Dialect,
};
use luthien_service::metrics::{Counter, Gauge, Histogram, LATENCIES_US, Page};

use crate::{config, refusal::Refusal, reports::Reports};

const OUTCOMES: [Outcome; 5] =
    [Outcome::Delivered, Outcome::CutByClient, Outcome::EndedByPolicy, Outcome::Failed, Outcome::Unknown];
const UPSTREAM_ERRORS: [&str; 6] = ["status_4xx", "status_5xx", "unreachable", "broken_off", "timed_out", "failed"];

/// What all threads of the plane count.
#[derive(Debug)]
pub(crate) struct Metrics {
    calls: [[Counter; OUTCOMES.len()]; Dialect::ALL.len()],
    call_times: [Histogram; Dialect::ALL.len()],
    first_byte: [Histogram; Dialect::ALL.len()],
    /// Seldom enough for a lock.
    refused: Mutex<BTreeMap<&'static str, u64>>,
    chunks: [[Counter; Fate::ALL.len()]; Kind::ALL.len() + 1],
    held: Histogram,
    /// What all calls hold.
    pub(crate) held_bytes: Gauge,
    service_failures: [Counter; ServiceFailure::ALL.len()],
    resumed: Counter,
    outgrown: Counter,
    consults: [Counter; Consulted::ALL.len()],
    upstreams: Vec<UpstreamMetrics>,
}

/// What became of a question to a model.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Consulted {
    Answered,
    Failed,
    /// What was answered to an equal one did.
    Reused,
}

impl Consulted {
    const ALL: [Self; 3] = [Self::Answered, Self::Failed, Self::Reused];

    fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::Reused => "reused",
        }
    }
}

/// What is counted of one upstream.
#[derive(Debug)]
pub(crate) struct UpstreamMetrics {
    name: String,
    errors: [Counter; UPSTREAM_ERRORS.len()],
    /// From the request to the head of the answer.
    pub(crate) head: Histogram,
    /// From the request to the end of the answer.
    pub(crate) whole: Histogram,
}

impl Metrics {
    pub(crate) fn new(upstreams: &[config::Upstream]) -> Self {
        let latencies = || Histogram::new(LATENCIES_US);
        let upstream = |upstream: &config::Upstream| UpstreamMetrics {
            name: upstream.name.clone(),
            errors: Default::default(),
            head: latencies(),
            whole: latencies(),
        };
        Self {
            calls: Default::default(),
            call_times: [(); Dialect::ALL.len()].map(|()| latencies()),
            first_byte: [(); Dialect::ALL.len()].map(|()| latencies()),
            refused: Mutex::default(),
            chunks: Default::default(),
            held: Histogram::new(&HELD_BOUNDS_US),
            held_bytes: Gauge::default(),
            service_failures: Default::default(),
            resumed: Counter::default(),
            outgrown: Counter::default(),
            consults: Default::default(),
            upstreams: upstreams.iter().map(upstream).collect(),
        }
    }

    /// A request became no call.
    pub(crate) fn refused(&self, refusal: &Refusal) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner).entry(refusal.kind()).or_default() += 1;
    }

    /// A model was consulted.
    pub(crate) fn consulted(&self, how: Consulted) {
        self.consults[how as usize].one();
    }

    /// A call is over.
    pub(crate) fn ended(&self, dialect: Dialect, ended: &CallEnded, stats: &Stats) {
        let at = dialect as usize;
        let outcome = OUTCOMES.iter().zip(&self.calls[at]).find(|(outcome, _)| **outcome == ended.outcome);
        if let Some((_, counter)) = outcome {
            counter.one();
        }
        self.call_times[at].observe(Duration::from_micros(ended.ended_us));
        if ended.client_first_us > 0 {
            self.first_byte[at].observe(Duration::from_micros(ended.client_first_us));
        }
        for (counters, kind) in self.chunks.iter().zip(kinds()) {
            for (counter, fate) in counters.iter().zip(Fate::ALL) {
                counter.add(stats.chunks(kind, fate));
            }
        }
        self.held.merge(&stats.held, stats.waited.total_us);
        self.resumed.add(stats.resumed);
        self.outgrown.add(u64::from(stats.outgrown));
        for (counter, failure) in self.service_failures.iter().zip(ServiceFailure::ALL) {
            counter.add(u64::from(stats.service_failure == Some(failure)));
        }
    }

    /// That upstream's own.
    pub(crate) fn upstream(&self, name: &str) -> Option<&UpstreamMetrics> {
        self.upstreams.iter().find(|upstream| upstream.name == name)
    }

    /// The page, with so many calls open.
    pub(crate) fn page(&self, open_calls: usize, reports: &Reports) -> String {
        let mut page = Page::new();
        self.write_calls(&mut page, open_calls);
        self.write_chunks(&mut page);
        self.write_peers(&mut page);
        write_reports(reports, &mut page);
        page.finish()
    }

    fn write_calls(&self, page: &mut Page, open_calls: usize) {
        let mut series = page.counter("luthien_data_plane_calls_total", "Calls that are over.");
        for (dialect, counters) in Dialect::ALL.into_iter().zip(&self.calls) {
            for (outcome, counter) in OUTCOMES.into_iter().zip(counters) {
                series.value(&[("dialect", dialect.name()), ("outcome", outcome.name())], counter.get());
            }
        }
        page.gauge("luthien_data_plane_open_calls", "Calls that are not over.").value(&[], open_calls);
        let mut series = page.counter("luthien_data_plane_requests_refused_total", "Requests that became no call.");
        for (reason, count) in self.refused.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            series.value(&[("reason", reason)], count);
        }
        let times = [
            ("luthien_data_plane_call_seconds", "From the request to the end of the call.", &self.call_times),
            ("luthien_data_plane_first_byte_seconds", "From the request to the client's first byte.", &self.first_byte),
        ];
        for (name, help, histograms) in times {
            let mut series = page.histogram(name, help);
            for (dialect, histogram) in Dialect::ALL.into_iter().zip(histograms) {
                series.times(&[("dialect", dialect.name())], histogram);
            }
        }
    }

    fn write_chunks(&self, page: &mut Page) {
        let mut series = page.counter(
            "luthien_data_plane_chunks_total",
            "Chunks of calls that are over, by kind and what became of them.",
        );
        for (kind, counters) in kinds().zip(&self.chunks) {
            for (fate, counter) in Fate::ALL.into_iter().zip(counters) {
                let kind = kind.map_or("call", Kind::name);
                series.value(&[("kind", kind), ("decision", fate.name())], counter.get());
            }
        }
        page.histogram("luthien_data_plane_held_seconds", "From a chunk's arrival to its verdict.")
            .times(&[], &self.held);
        page.gauge("luthien_data_plane_held_bytes", "Bytes that arrived and were not released.")
            .value(&[], self.held_bytes.get());
    }

    fn write_peers(&self, page: &mut Page) {
        let mut series =
            page.counter("luthien_data_plane_control_plane_losses_total", "Calls that lost their policy service.");
        for (counter, cause) in self.service_failures.iter().zip(ServiceFailure::ALL) {
            series.value(&[("cause", cause.name())], counter.get());
        }
        page.counter("luthien_data_plane_calls_resumed_total", "Times that another policy service took a call over.")
            .value(&[], self.resumed.get());
        page.counter(
            "luthien_data_plane_calls_unresumable_total",
            "Calls that had told more than is kept, when it was lost.",
        )
        .value(&[], self.outgrown.get());
        let mut series = page.counter("luthien_data_plane_consults_total", "Questions of policies to models.");
        for (counter, how) in self.consults.iter().zip(Consulted::ALL) {
            series.value(&[("outcome", how.name())], counter.get());
        }
        let mut series =
            page.counter("luthien_data_plane_upstream_errors_total", "Exchanges with upstreams that failed.");
        for upstream in &self.upstreams {
            for (counter, error) in upstream.errors.iter().zip(UPSTREAM_ERRORS) {
                series.value(&[("upstream", &upstream.name), ("error", error)], counter.get());
            }
        }
        let mut series =
            page.histogram("luthien_data_plane_upstream_head_seconds", "From the request to the head of the answer.");
        self.upstreams.iter().for_each(|upstream| series.times(&[("upstream", &upstream.name)], &upstream.head));
        let mut series =
            page.histogram("luthien_data_plane_upstream_seconds", "From the request to the end of the answer.");
        self.upstreams.iter().for_each(|upstream| series.times(&[("upstream", &upstream.name)], &upstream.whole));
    }
}

impl UpstreamMetrics {
    /// An exchange is over that gave this status (0: none) and failed so.
    pub(crate) fn ended(&self, status: u16, failure: Option<UpstreamFailure>) {
        if let Some(error) = error(status, failure) {
            self.errors.iter().zip(UPSTREAM_ERRORS).filter(|(_, name)| *name == error).for_each(|(it, _)| it.one());
        }
    }
}

fn write_reports(reports: &Reports, page: &mut Page) {
    let mut series = page.counter(
        "luthien_data_plane_reports_total",
        "Calls that no control plane had at their end, by whether one was told of it since.",
    );
    for (outcome, count) in reports.counts() {
        series.value(&[("outcome", outcome)], count);
    }
    page.gauge("luthien_data_plane_reports_waiting", "Those that wait for a control plane.")
        .value(&[], reports.waiting());
}

/// What went wrong with an upstream, by the names of metrics and spans.
pub(crate) fn error(status: u16, failure: Option<UpstreamFailure>) -> Option<&'static str> {
    match (status, failure) {
        (400..500, _) => Some("status_4xx"),
        (500.., _) => Some("status_5xx"),
        (_, None) => None,
        (_, Some(UpstreamFailure::Unreachable)) => Some("unreachable"),
        (_, Some(UpstreamFailure::BrokenOff)) => Some("broken_off"),
        (_, Some(UpstreamFailure::TimedOut)) => Some("timed_out"),
        (_, Some(UpstreamFailure::Failed)) => Some("failed"),
    }
}

/// Every kind, and last what belongs to no block.
fn kinds() -> impl Iterator<Item = Option<Kind>> {
    Kind::ALL.into_iter().map(Some).chain([None])
}
