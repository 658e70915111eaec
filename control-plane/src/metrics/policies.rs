//! What is counted of each policy. Which there are changes while the plane runs.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use luthien_policy::{CoverageEntry, NoteEntry, PolicyCoverage};
use luthien_proto::{event::Kind, message::Severity};
use luthien_service::metrics::{Counter, Page};
use serde_json::Value;

use super::{RemoteCause, RemoteMetrics};

const SEVERITIES: [Severity; 4] = [Severity::Debug, Severity::Info, Severity::Warning, Severity::Error];
/// What one policy does with a chunk, as the coverage on record spells it.
pub(crate) const RULINGS: [&str; 7] = ["passed", "held", "replaced", "dropped", "ended", "undecided", "unseen"];
/// By kind; the last is what belongs to no block.
const PLACES: usize = Kind::ALL.len() + 1;

/// The policies that were ever in use since the plane began. Calls only read the list.
#[derive(Debug, Default)]
pub(super) struct Policies(RwLock<Vec<PolicyMetrics>>);

/// What is counted of one policy.
#[derive(Debug)]
struct PolicyMetrics {
    name: String,
    chunks: [[Counter; RULINGS.len()]; PLACES],
    notes: [Counter; SEVERITIES.len()],
    failed: Counter,
    /// Counts only where somebody else serves it.
    remote: Arc<RemoteMetrics>,
}

impl Policies {
    /// Policies of these names may judge calls.
    pub(super) fn know<'n>(&self, names: impl IntoIterator<Item = &'n String>) {
        let mut policies = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for name in names {
            if !policies.iter().any(|policy| policy.name == *name) {
                policies.push(PolicyMetrics::new(name.clone()));
            }
        }
    }

    pub(super) fn notes(&self, notes: &[NoteEntry]) {
        if notes.is_empty() {
            return;
        }
        let policies = self.read();
        for note in notes {
            let Some(policy) = policies.iter().find(|policy| policy.name == note.policy) else { continue };
            let counters = SEVERITIES.iter().zip(&policy.notes);
            counters.filter(|(severity, _)| severity.name() == note.severity).for_each(|(_, counter)| counter.one());
        }
    }

    pub(super) fn coverage(&self, coverage: &CoverageEntry) {
        let policies = self.read();
        for covered in &coverage.policies {
            if let Some(policy) = policies.iter().find(|policy| policy.name == covered.policy) {
                policy.covered(covered);
            }
        }
    }

    /// The counters of one that somebody else serves.
    pub(super) fn remote(&self, name: &str) -> Arc<RemoteMetrics> {
        let policies = self.read();
        let known = policies.iter().find(|policy| policy.name == name);
        known.map_or_else(Arc::default, |policy| Arc::clone(&policy.remote))
    }

    pub(super) fn write(&self, page: &mut Page) {
        let policies = self.read();
        let name = "luthien_control_plane_policy_chunks_total";
        let mut series = page.counter(name, "What policies did with chunks of calls that are over.");
        for policy in &*policies {
            for (kind, counters) in kinds().zip(&policy.chunks) {
                for (ruling, counter) in RULINGS.into_iter().zip(counters) {
                    series.value(&[("policy", &policy.name), ("kind", kind), ("decision", ruling)], counter.get());
                }
            }
        }
        let mut series = page.counter("luthien_control_plane_annotations_total", "Annotations of policies.");
        for policy in &*policies {
            for (severity, counter) in SEVERITIES.into_iter().zip(&policy.notes) {
                series.value(&[("policy", &policy.name), ("severity", severity.name())], counter.get());
            }
        }
        let mut series = page.counter("luthien_control_plane_policy_failures_total", "Calls in which a policy failed.");
        policies.iter().for_each(|policy| series.value(&[("policy", &policy.name)], policy.failed.get()));
        write_remote(page, &policies);
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<PolicyMetrics>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PolicyMetrics {
    fn new(name: String) -> Self {
        Self {
            name,
            chunks: Default::default(),
            notes: Default::default(),
            failed: Counter::default(),
            remote: Arc::default(),
        }
    }

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

fn write_remote(page: &mut Page, policies: &[PolicyMetrics]) {
    let told = || policies.iter().filter(|policy| policy.remote.calls.get() > 0);
    let mut series =
        page.counter("luthien_control_plane_remote_calls_total", "Calls that remote policies were told of.");
    told().for_each(|policy| series.value(&[("policy", &policy.name)], policy.remote.calls.get()));
    let mut series =
        page.counter("luthien_control_plane_remote_lost_total", "Calls to which a remote policy was lost.");
    for policy in told() {
        for (cause, counter) in RemoteCause::ALL.into_iter().zip(&policy.remote.lost) {
            series.value(&[("policy", &policy.name), ("cause", cause.name())], counter.get());
        }
    }
    let help = "From what a remote policy was told to its next word.";
    let mut series = page.histogram("luthien_control_plane_remote_answer_seconds", help);
    told().for_each(|policy| series.times(&[("policy", &policy.name)], &policy.remote.answers));
}

/// As the coverage on record spells them.
fn kinds() -> impl Iterator<Item = &'static str> {
    Kind::ALL.into_iter().map(Kind::name).chain(["call"])
}
