//! The policy sets that calls are judged by: the one that is current, for the calls that begin, and those that older calls
//! began with and go on with, on whichever control plane.

mod keeper;
mod remembered;
mod store;

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use luthien_policy::PolicySet;
use luthien_service::metrics::Page;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tracing::warn;

pub(crate) use keeper::{CannotStart, Keeper};
pub use store::{Current, Replaced, SetStore, Source, StoredSet};

use crate::metrics::Metrics;
use remembered::Memory;

/// How long a set is looked for that is not in memory.
const FIND_MAX: Duration = Duration::from_secs(4);

/// The policy sets of a process; cheap to clone, for any thread.
#[derive(Clone)]
pub struct Policies(Arc<Shared>);

struct Shared {
    sets: RwLock<Sets>,
    metrics: Arc<Metrics>,
    /// To whoever looks in the store for sets that are not in memory; where there is no store, to nobody.
    lookups: Option<mpsc::UnboundedSender<Lookup>>,
    /// Where the current set is remembered for the next start, where the store may be out of reach.
    memory: Option<Memory>,
}

struct Sets {
    current: Arc<Known>,
    /// Which set is current, as the store tells.
    told: Option<Current>,
    known: HashMap<String, Arc<Known>>,
    /// Why the set that should be current is not.
    failing: Option<String>,
}

/// A set in memory.
struct Known {
    set: Arc<PolicySet>,
    /// Whether a call had need of it since the keeper last asked.
    was_used: AtomicBool,
}

/// A set that a call needs: it is not forgotten while this is there.
pub struct InUse(Arc<Known>);

/// Somebody needs the set of a revision.
struct Lookup {
    revision: String,
    found: oneshot::Sender<Option<InUse>>,
}

impl Policies {
    /// One set for all calls, which is kept nowhere.
    pub fn fixed(set: PolicySet, metrics: Arc<Metrics>) -> Self {
        Self::new(set, None, metrics, None, None)
    }

    fn new(
        set: PolicySet,
        told: Option<Current>,
        metrics: Arc<Metrics>,
        lookups: Option<mpsc::UnboundedSender<Lookup>>,
        memory: Option<Memory>,
    ) -> Self {
        announce(&set, &metrics);
        if let (Some(memory), Some(_)) = (&memory, &told) {
            memory.remember(&set);
        }
        let current = Arc::new(Known::new(set));
        let known = HashMap::from([(current.set.revision().to_owned(), Arc::clone(&current))]);
        let sets = RwLock::new(Sets { current, told, known, failing: None });
        Self(Arc::new(Shared { sets, metrics, lookups, memory }))
    }

    /// The set for a call that begins.
    pub fn current(&self) -> InUse {
        InUse::new(&self.read().current)
    }

    /// The current set; since when it is and where it came from, unless it is kept nowhere.
    pub(crate) fn shown(&self) -> (Arc<PolicySet>, Option<Current>) {
        let sets = self.read();
        (Arc::clone(&sets.current.set), sets.told.clone())
    }

    /// Why the set that should be current is not.
    pub fn failing(&self) -> Option<String> {
        self.read().failing.clone()
    }

    /// That nobody has told yet which set is current, where somebody should.
    pub(crate) fn unconfirmed(&self) -> Option<String> {
        let is_told = self.0.lookups.is_none() || self.read().told.is_some();
        (!is_told).then(|| {
            let revision = self.read().current.set.revision().to_owned();
            format!("the database can't be asked which policies are current: calls begin with revision {revision}")
        })
    }

    /// What there is to count of them.
    pub(crate) fn write_metrics(&self, page: &mut Page) {
        let (set, _) = self.shown();
        page.gauge("luthien_control_plane_policies_info", "The revision of the policies that calls begin with.")
            .value(&[("revision", set.revision())], 1);
        page.gauge(
            "luthien_control_plane_policies_failing",
            "Whether the policies that should be current can't be used.",
        )
        .value(&[], u8::from(self.failing().is_some()));
    }

    /// The set that a call began with.
    pub async fn find(&self, revision: &str) -> Option<InUse> {
        if let Some(known) = self.known(revision) {
            return Some(known);
        }
        let (found, finding) = oneshot::channel();
        self.0.lookups.as_ref()?.send(Lookup { revision: revision.to_owned(), found }).ok()?;
        timeout(FIND_MAX, finding).await.ok()?.ok()?
    }

    /// Calls that begin from now on are judged by this set.
    pub(crate) fn make_current(&self, set: PolicySet, told: Current) {
        announce(&set, &self.0.metrics);
        if let Some(memory) = &self.0.memory {
            memory.remember(&set);
        }
        let mut sets = self.write();
        let known = sets.add(set);
        sets.current = known;
        sets.told = Some(told);
        sets.failing = None;
    }

    fn known(&self, revision: &str) -> Option<InUse> {
        self.read().known.get(revision).map(InUse::new)
    }

    fn add(&self, set: PolicySet) -> InUse {
        self.0.metrics.know(&set.names());
        InUse::new(&self.write().add(set))
    }

    fn fail(&self, reason: Option<String>) {
        if self.failing() != reason {
            self.write().failing = reason;
        }
    }

    /// The sets that were needed since the last time; what nobody needs is forgotten.
    fn take_used(&self) -> Vec<Arc<PolicySet>> {
        let mut sets = self.write();
        let current = Arc::clone(&sets.current);
        sets.known.retain(|_, known| {
            // One is ours.
            let is_held = Arc::strong_count(known) > 1 || Arc::ptr_eq(known, &current);
            known.was_used.swap(false, Ordering::Relaxed) || is_held
        });
        sets.known.values().map(|known| Arc::clone(&known.set)).collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Sets> {
        self.0.sets.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Sets> {
        self.0.sets.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sets {
    fn add(&mut self, set: PolicySet) -> Arc<Known> {
        let known = self.known.entry(set.revision().to_owned()).or_insert_with(|| Arc::new(Known::new(set)));
        Arc::clone(known)
    }
}

impl Known {
    fn new(set: PolicySet) -> Self {
        Self { set: Arc::new(set), was_used: AtomicBool::new(false) }
    }
}

impl InUse {
    fn new(known: &Arc<Known>) -> Self {
        known.was_used.store(true, Ordering::Relaxed);
        Self(Arc::clone(known))
    }

    /// The set.
    pub fn set(&self) -> &Arc<PolicySet> {
        &self.0.set
    }
}

fn announce(set: &PolicySet, metrics: &Metrics) {
    metrics.know(&set.names());
    if set.pipeline().policies().is_empty() {
        let revision = set.revision();
        warn!(
            revision,
            "the default pipeline is empty: a call that no binding matches is admitted, and nothing is judged"
        );
    }
}

#[cfg(test)]
mod tests {
    use luthien_policy::PolicySetConfig;
    use serde_json::json;

    use super::*;

    fn set(name: &str) -> PolicySet {
        let config = json!({ "policies": [{ "name": name, "kind": "noop" }], "pipeline": [name] });
        PolicySet::build(serde_json::from_value::<PolicySetConfig>(config).unwrap()).unwrap()
    }

    fn told(revision: &str) -> Current {
        Current { revision: revision.to_owned(), source: Source::Api, since_us: 0 }
    }

    fn revisions(sets: Vec<Arc<PolicySet>>) -> Vec<String> {
        let mut revisions: Vec<_> = sets.into_iter().map(|set| set.revision().to_owned()).collect();
        revisions.sort();
        revisions
    }

    #[tokio::test]
    async fn a_call_keeps_its_set_and_others_begin_with_the_current_one() {
        let (first, second) = (set("a"), set("b"));
        let (one, two) = (first.revision().to_owned(), second.revision().to_owned());
        let policies = Policies::fixed(first, Arc::default());
        let call = policies.current();
        policies.make_current(second, told(&two));
        assert_eq!(call.set().revision(), one);
        assert_eq!(policies.current().set().revision(), two);
        assert_eq!(policies.find(&one).await.unwrap().set().revision(), one);
        assert!(policies.find("unheard-of").await.is_none());
    }

    #[tokio::test]
    async fn a_set_that_no_call_needs_is_forgotten_unless_it_is_current() {
        let (first, second) = (set("a"), set("b"));
        let (one, two) = (first.revision().to_owned(), second.revision().to_owned());
        let policies = Policies::fixed(first, Arc::default());
        let call = policies.current();
        policies.make_current(second, told(&two));
        let mut both = vec![one.clone(), two.clone()];
        both.sort();
        assert_eq!(revisions(policies.take_used()), both);
        assert_eq!(revisions(policies.take_used()), both, "the call runs");
        drop(call);
        drop(policies.find(&one).await);
        assert_eq!(revisions(policies.take_used()), both, "a call had need of it");
        assert_eq!(revisions(policies.take_used()), [two]);
        assert!(policies.find(&one).await.is_none());
    }
}
