//! What the plane counts, and the page that tells it.

use luthien_policy::{CoverageEntry, EntryBody, NoteEntry, OutcomeEntry, PolicyCoverage};
use luthien_proto::{
    event::Kind,
    message::{Outcome, Severity},
    request::Dialect,
};
use luthien_service::metrics::{Counter, Gauge, Page};
use serde_json::Value;

use crate::record::Recorder;

const OUTCOMES: [Outcome; 5] =
    [Outcome::Delivered, Outcome::CutByClient, Outcome::EndedByPolicy, Outcome::Failed, Outcome::Unknown];
const SEVERITIES: [Severity; 4] = [Severity::Debug, Severity::Info, Severity::Warning, Severity::Error];
/// What becomes of a call's chunks, all policies together.
const DECISIONS: [&str; 5] = ["passed", "replaced", "dropped", "undecided", "not_shown"];
/// What one policy does with a chunk, as the coverage on record spells it.
pub(crate) const RULINGS: [&str; 7] = ["passed", "held", "replaced", "dropped", "ended", "undecided", "unseen"];
/// By kind; the last is what belongs to no block.
const PLACES: usize = Kind::ALL.len() + 1;

/// What all threads of the plane count.
#[derive(Debug)]
pub struct Metrics {
    calls: [[Counter; OUTCOMES.len()]; Dialect::ALL.len()],
    open_calls: Gauge,
    chunks: [Counter; DECISIONS.len()],
    failures: [Counter; Failure::ALL.len()],
    policies: Vec<PolicyMetrics>,
}

/// What is counted of one policy.
#[derive(Debug)]
struct PolicyMetrics {
    name: String,
    chunks: [[Counter; RULINGS.len()]; PLACES],
    notes: [Counter; SEVERITIES.len()],
    failed: Counter,
}

/// Why a call's stream did not end well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    Fault,
    Lost,
    Panicked,
    Cut,
    NotDurable,
}

impl Failure {
    const ALL: [Self; 5] = [Self::Fault, Self::Lost, Self::Panicked, Self::Cut, Self::NotDurable];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fault => "fault",
            Self::Lost => "lost",
            Self::Panicked => "panicked",
            Self::Cut => "cut",
            Self::NotDurable => "not_durable",
        }
    }
}

impl Metrics {
    /// For a plane with policies of these names.
    pub fn new(policies: Vec<String>) -> Self {
        let policy = |name| PolicyMetrics {
            name,
            chunks: Default::default(),
            notes: Default::default(),
            failed: Counter::default(),
        };
        Self {
            calls: Default::default(),
            open_calls: Gauge::default(),
            chunks: Default::default(),
            failures: Default::default(),
            policies: policies.into_iter().map(policy).collect(),
        }
    }

    /// A call began; it is open until what this returns is dropped.
    pub(crate) fn open_call(&self) -> OpenCall<'_> {
        self.open_calls.change(0, 1);
        OpenCall(self)
    }

    /// An entry of a call's record was made.
    pub(crate) fn entry(&self, dialect: Dialect, entry: &EntryBody) {
        match entry {
            EntryBody::Resumed(_)
            | EntryBody::Request(_)
            | EntryBody::Block(_)
            | EntryBody::Step(_)
            | EntryBody::Consult(_)
            | EntryBody::Interest(_) => {}
            EntryBody::Admission(admission) => self.notes(&admission.annotations),
            EntryBody::Verdict(verdict) => self.notes(&verdict.annotations),
            EntryBody::Note(note) => self.notes(std::slice::from_ref(note)),
            EntryBody::Coverage(coverage) => self.coverage(coverage),
            EntryBody::Outcome(outcome) => {
                self.notes(&outcome.annotations);
                self.outcome(dialect, outcome);
            }
        }
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

    fn notes(&self, notes: &[NoteEntry]) {
        for note in notes {
            let Some(policy) = self.policies.iter().find(|policy| policy.name == note.policy) else { continue };
            let counters = SEVERITIES.iter().zip(&policy.notes);
            counters.filter(|(severity, _)| severity.name() == note.severity).for_each(|(_, counter)| counter.one());
        }
    }

    fn coverage(&self, coverage: &CoverageEntry) {
        for covered in &coverage.policies {
            if let Some(policy) = self.policies.iter().find(|policy| policy.name == covered.policy) {
                policy.covered(covered);
            }
        }
    }

    /// The page, with what the recorder knows.
    pub(crate) fn page(&self, recorder: &Recorder) -> String {
        let mut page = Page::new();
        self.write_calls(&mut page);
        self.write_policies(&mut page);
        recorder.write_metrics(&mut page);
        page.finish()
    }

    fn write_calls(&self, page: &mut Page) {
        let mut series = page.counter("luthien_control_plane_calls_total", "Calls that are over.");
        for (dialect, counters) in Dialect::ALL.into_iter().zip(&self.calls) {
            for (outcome, counter) in OUTCOMES.into_iter().zip(counters) {
                series.value(&[("dialect", dialect.name()), ("outcome", outcome.name())], counter.get());
            }
        }
        page.gauge("luthien_control_plane_open_calls", "Calls that are not over.").value(&[], self.open_calls.get());
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

    fn write_policies(&self, page: &mut Page) {
        let name = "luthien_control_plane_policy_chunks_total";
        let mut series = page.counter(name, "What policies did with chunks of calls that are over.");
        for policy in &self.policies {
            for (kind, counters) in kinds().zip(&policy.chunks) {
                for (ruling, counter) in RULINGS.into_iter().zip(counters) {
                    series.value(&[("policy", &policy.name), ("kind", kind), ("decision", ruling)], counter.get());
                }
            }
        }
        let mut series = page.counter("luthien_control_plane_annotations_total", "Annotations of policies.");
        for policy in &self.policies {
            for (severity, counter) in SEVERITIES.into_iter().zip(&policy.notes) {
                series.value(&[("policy", &policy.name), ("severity", severity.name())], counter.get());
            }
        }
        let mut series = page.counter("luthien_control_plane_policy_failures_total", "Calls in which a policy failed.");
        self.policies.iter().for_each(|policy| series.value(&[("policy", &policy.name)], policy.failed.get()));
    }
}

impl PolicyMetrics {
    fn covered(&self, covered: &PolicyCoverage) {
        self.failed.add(covered.failed.into());
        for (kind, counters) in kinds().zip(&self.chunks) {
            let Some(tally) = covered.kinds.get(kind) else { continue };
            for (ruling, counter) in RULINGS.into_iter().zip(counters) {
                counter.add(tally.get(ruling).and_then(Value::as_u64).unwrap_or_default());
            }
        }
    }
}

/// As the coverage on record spells them.
fn kinds() -> impl Iterator<Item = &'static str> {
    Kind::ALL.into_iter().map(Kind::name).chain(["call"])
}

/// Counts as open until it is dropped.
pub(crate) struct OpenCall<'a>(&'a Metrics);

impl Drop for OpenCall<'_> {
    fn drop(&mut self) {
        self.0.open_calls.change(1, 0);
    }
}
