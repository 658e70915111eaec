//! What the plane counts, and the page that tells it.

mod policies;
mod remote;

use std::sync::Arc;

use luthien_policy::{EntryBody, OutcomeEntry};
use luthien_proto::{
    message::{Admission, AdmissionDecision, Outcome, ServiceFailure},
    request::Dialect,
};
use luthien_service::metrics::{Counter, Gauge, Page};

use crate::record::{Journal, Recorder};
use policies::Policies;
pub(crate) use policies::RULINGS;
pub(crate) use remote::{RemoteCause, RemoteMetrics};

const OUTCOMES: [Outcome; 5] =
    [Outcome::Delivered, Outcome::CutByClient, Outcome::EndedByPolicy, Outcome::Failed, Outcome::Unknown];
/// What is said to a request.
const ADMISSIONS: [&str; 3] = ["forward", "reject", "answer"];
/// What becomes of a call's chunks, all policies together.
const DECISIONS: [&str; 5] = ["passed", "replaced", "dropped", "undecided", "not_shown"];
/// What all threads of the plane count.
#[derive(Debug, Default)]
pub struct Metrics {
    calls: [[Counter; OUTCOMES.len()]; Dialect::ALL.len()],
    open_calls: Gauge,
    admissions: [Counter; ADMISSIONS.len()],
    chunks: [Counter; DECISIONS.len()],
    failures: [Counter; Failure::ALL.len()],
    /// Streams that went on with a call.
    resumed: Counter,
    /// Calls that were reported, by what kept a control plane from having them.
    reports: [Counter; ServiceFailure::ALL.len()],
    policies: Policies,
}

/// Why a call's stream did not end well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    Fault,
    Lost,
    Panicked,
    UnknownRevision,
    Superseded,
    HandedOver,
    Cut,
    NotDurable,
}

impl Failure {
    const ALL: [Self; 8] = [
        Self::Fault,
        Self::Lost,
        Self::Panicked,
        Self::UnknownRevision,
        Self::Superseded,
        Self::HandedOver,
        Self::Cut,
        Self::NotDurable,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fault => "fault",
            Self::Lost => "lost",
            Self::Panicked => "panicked",
            Self::UnknownRevision => "unknown_revision",
            Self::Superseded => "superseded",
            Self::HandedOver => "handed_over",
            Self::Cut => "cut",
            Self::NotDurable => "not_durable",
        }
    }
}

impl Metrics {
    /// Policies of these names may judge calls.
    pub fn know<'n>(&self, policies: impl IntoIterator<Item = &'n String>) {
        self.policies.know(policies);
    }

    /// A call began; it is open until what this returns is dropped.
    pub(crate) fn open_call(&self) -> OpenCall<'_> {
        self.open_calls.change(0, 1);
        OpenCall(self)
    }

    /// The counters of a policy that somebody else serves.
    pub(crate) fn remote(&self, policy: &str) -> Arc<RemoteMetrics> {
        self.policies.remote(policy)
    }

    /// An entry of a call's record was made.
    pub(crate) fn entry(&self, dialect: Dialect, entry: &EntryBody) {
        match entry {
            EntryBody::Resumed(_)
            | EntryBody::Request(_)
            | EntryBody::Block(_)
            | EntryBody::Part(_)
            | EntryBody::Step(_)
            | EntryBody::Consult(_)
            | EntryBody::Interest(_)
            | EntryBody::Report(_) => {}
            EntryBody::Admission(admission) => self.policies.notes(&admission.annotations),
            EntryBody::Verdict(verdict) => self.policies.notes(&verdict.annotations),
            EntryBody::Note(note) => self.policies.notes(std::slice::from_ref(note)),
            EntryBody::Coverage(coverage) => self.policies.coverage(coverage),
            EntryBody::Outcome(outcome) => {
                self.policies.notes(&outcome.annotations);
                self.outcome(dialect, outcome);
            }
        }
    }

    /// A call was admitted, or not.
    pub(crate) fn admitted(&self, admission: &Admission) {
        let decision = match &admission.decision {
            AdmissionDecision::Forward(_) => 0,
            AdmissionDecision::Reject(_) => 1,
            AdmissionDecision::Answer(_) => 2,
        };
        self.admissions[decision].one();
    }

    /// A stream goes on with a call.
    pub(crate) fn resumed(&self) {
        self.resumed.one();
    }

    /// A call was reported that no control plane had at its end; the report is durable.
    pub(crate) fn reported(&self, cause: ServiceFailure) {
        self.reports[cause as usize].one();
    }

    /// A call's stream did not end well.
    pub(crate) fn failed(&self, failure: Failure) {
        let counters = Failure::ALL.iter().zip(&self.failures);
        counters.filter(|(it, _)| **it == failure).for_each(|(_, counter)| counter.one());
    }

    fn outcome(&self, dialect: Dialect, ended: &OutcomeEntry) {
        let counters = OUTCOMES.iter().zip(&self.calls[dialect as usize]);
        counters.filter(|(outcome, _)| outcome.name() == ended.outcome).for_each(|(_, counter)| counter.one());
        let counts = [ended.passed, ended.replaced, ended.dropped, ended.held, ended.not_shown];
        self.chunks.iter().zip(counts).for_each(|(counter, count)| counter.add(count));
    }

    /// The page, with what the recorder knows and which policies are current.
    pub(crate) fn page(
        &self,
        recorder: &Recorder,
        sets: &crate::policies::Policies,
        journal: Option<&Journal>,
    ) -> String {
        let mut page = Page::new();
        self.write_calls(&mut page);
        self.policies.write(&mut page);
        sets.write_metrics(&mut page);
        recorder.write_metrics(&mut page);
        if let Some(journal) = journal {
            journal.write_metrics(&mut page);
        }
        page.finish()
    }

    fn write_calls(&self, page: &mut Page) {
        let mut series = page.counter("luthien_control_plane_calls_total", "Calls that are over.");
        for (dialect, counters) in Dialect::ALL.into_iter().zip(&self.calls) {
            for (outcome, counter) in OUTCOMES.into_iter().zip(counters) {
                series.value(&[("dialect", dialect.name()), ("outcome", outcome.name())], counter.get());
            }
        }
        let mut series =
            page.counter("luthien_control_plane_admissions_total", "What the policies said to requests, by decision.");
        for (decision, counter) in ADMISSIONS.into_iter().zip(&self.admissions) {
            series.value(&[("decision", decision)], counter.get());
        }
        page.gauge("luthien_control_plane_open_calls", "Calls that are not over.").value(&[], self.open_calls.get());
        page.counter(
            "luthien_control_plane_calls_resumed_total",
            "Streams that went on with a call that had another before.",
        )
        .value(&[], self.resumed.get());
        let mut series = page.counter(
            "luthien_control_plane_reports_total",
            "Calls that no control plane had at their end, by their proxies' reports.",
        );
        for (cause, counter) in ServiceFailure::ALL.into_iter().zip(&self.reports) {
            series.value(&[("cause", cause.name())], counter.get());
        }
        let mut series =
            page.counter("luthien_control_plane_streams_failed_total", "Streams of calls that did not end well.");
        for (failure, counter) in Failure::ALL.into_iter().zip(&self.failures) {
            series.value(&[("cause", failure.name())], counter.get());
        }
        let mut series = page
            .counter("luthien_control_plane_chunks_total", "Chunks of calls that are over, by what became of them.");
        for (decision, counter) in DECISIONS.into_iter().zip(&self.chunks) {
            series.value(&[("decision", decision)], counter.get());
        }
    }
}

/// Counts as open until it is dropped.
pub(crate) struct OpenCall<'a>(&'a Metrics);

impl Drop for OpenCall<'_> {
    fn drop(&mut self) {
        self.0.open_calls.change(1, 0);
    }
}
