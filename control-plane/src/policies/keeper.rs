//! Keeps the sets of a process and those of the store the same: the one task that asks the store.

use std::{
    io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use luthien_policy::{BuildError, PolicySet, PolicySetConfig};
use thiserror::Error;
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{
    Current, InUse, Lookup, Policies, SetStore, StoredSet,
    remembered::{Memory, Remembered},
};
use crate::{
    metrics::Metrics,
    record::{StoreError, Trouble},
};

/// A set that another control plane made current is used within this time, and what it takes to build it.
const POLL: Duration = Duration::from_millis(500);
/// How often the store is told which sets are needed.
const TEND: Duration = Duration::from_secs(60);
/// How long a set is kept that no call needs: a call may be resumed as long as its data plane likes.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// Asks the store for what is new, and tells it what is needed.
pub(crate) struct Keeper {
    policies: Policies,
    store: Arc<dyn SetStore>,
    lookups: mpsc::UnboundedReceiver<Lookup>,
    /// Of the configuration file.
    file: StoredSet,
}

/// There is no set to begin with.
#[derive(Debug, Error)]
pub enum CannotStart {
    /// The store can't be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The current set is from the API, and this program can't use it.
    #[error("revision {revision}, which is current, can't be used: {source}")]
    Unusable {
        /// Which.
        revision: String,
        /// Why.
        source: Unusable,
    },
    /// The store can't be asked, and neither can the own memory.
    #[error("{}: {source}; without it the policies of the file are used", path.display())]
    Memory {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// A set that is kept can't be used by this program.
#[derive(Debug, Error)]
pub enum Unusable {
    /// There is no such set.
    #[error("it is not in the database")]
    Missing,
    /// It is no configuration of ours.
    #[error("it can't be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// It can't be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The task that builds it was lost.
    #[error("it was not built: {0}")]
    Lost(#[from] tokio::task::JoinError),
}

impl Keeper {
    /// The sets of a process whose file has `set`. They are the same for all control planes of the store. One that can't be
    /// asked at present is asked later: until then there is the set that was current last as far as it is remembered in
    /// the directory, or else that of the file.
    pub(crate) async fn start(
        set: PolicySet,
        store: Arc<dyn SetStore>,
        metrics: Arc<Metrics>,
        directory: Option<PathBuf>,
    ) -> Result<(Self, Policies), CannotStart> {
        let file = StoredSet::now(&set);
        let memory = directory.map(|directory| Memory::new(&directory, set.revision()));
        let (set, told) = match store.begin(&file).await {
            Ok(current) => (current_set(set, &current, &*store).await?, Some(current)),
            Err(error) if Trouble::of(&error) == Trouble::Outage => {
                warn!(%error, "the store can't be asked which policies are current");
                (remembered_set(set, memory.as_ref()).await?, None)
            }
            Err(error) => return Err(error.into()),
        };
        let (sender, lookups) = mpsc::unbounded_channel();
        let policies = Policies::new(set, told, metrics, Some(sender), memory);
        Ok((Self { policies: policies.clone(), store, lookups, file }, policies))
    }

    /// Works until `finish`. None of its three works waits for another: a store may read while it can't write.
    pub(crate) async fn run(self, finish: CancellationToken) {
        let Self { policies, store, mut lookups, file } = self;
        let kept = Kept { policies, store, file };
        tokio::select! {
            () = finish.cancelled() => {}
            () = kept.find(&mut lookups) => {}
            () = kept.follow() => {}
            () = kept.tend_again_and_again() => {}
        }
        kept.tend().await;
    }
}

/// The sets of a process, and those of the store.
struct Kept {
    policies: Policies,
    store: Arc<dyn SetStore>,
    file: StoredSet,
}

impl Kept {
    /// Looks for what calls need.
    async fn find(&self, lookups: &mut mpsc::UnboundedReceiver<Lookup>) {
        while let Some(Lookup { revision, found }) = lookups.recv().await {
            // An earlier question may have brought it.
            let known = match self.policies.known(&revision) {
                Some(known) => Some(known),
                None => self.look_up(&revision).await,
            };
            // Whoever asked may have given up.
            let _ = found.send(known);
        }
    }

    async fn look_up(&self, revision: &str) -> Option<InUse> {
        match load(&*self.store, revision).await {
            Ok(Ok(set)) => Some(self.policies.add(set)),
            Ok(Err(Unusable::Missing)) => None,
            Ok(Err(reason)) => {
                error!(revision, %reason, "a call's policies can't be used");
                None
            }
            Err(reason) => {
                error!(revision, %reason, "a call's policies can't be looked for");
                None
            }
        }
    }

    /// Takes over what other control planes make current.
    async fn follow(&self) {
        let mut poll = interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // What should be current and can't be used here.
        let mut unusable = None;
        loop {
            poll.tick().await;
            // A store that can't be read is told by the record, which needs it more often.
            let Ok(Some(current)) = self.current().await else { continue };
            if self.policies.shown().1.as_ref() == Some(&current) {
                self.policies.fail(None);
            } else if unusable.as_ref() != Some(&current) {
                unusable = self.take_over(current).await;
            }
        }
    }

    /// Which set is current. A store that could not be asked at the start hears first what the file has.
    async fn current(&self) -> Result<Option<Current>, StoreError> {
        match self.policies.unconfirmed() {
            Some(_) => self.store.begin(&StoredSet { now_us: now_us(), ..self.file.clone() }).await.map(Some),
            None => self.store.current().await,
        }
    }

    /// Tells what can't be used.
    async fn take_over(&self, current: Current) -> Option<Current> {
        let revision = &current.revision;
        match load(&*self.store, revision).await {
            Ok(Ok(set)) => {
                info!(revision, source = current.source.name(), "other policies are current");
                self.policies.make_current(set, current);
                None
            }
            Ok(Err(reason)) => {
                error!(revision, %reason, "the current policies can't be used; calls begin with the ones before");
                self.policies.fail(Some(format!("revision {revision} of the policies can't be used: {reason}")));
                Some(current)
            }
            Err(_) => None,
        }
    }

    async fn tend_again_and_again(&self) {
        let mut tend = interval(TEND);
        tend.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tend.tick().await;
            self.tend().await;
        }
    }

    /// Tells the store what is needed, and lets it forget what is not.
    async fn tend(&self) {
        let used: Vec<_> = self.policies.take_used().iter().map(|set| StoredSet::now(set)).collect();
        let told = async {
            self.store.touch(&used).await?;
            let kept_us = i64::try_from(KEPT.as_micros()).unwrap_or(i64::MAX);
            self.store.forget(now_us().saturating_sub(kept_us)).await
        };
        match told.await {
            Ok(0) => {}
            Ok(forgotten) => info!(forgotten, "policy sets that no call needs were forgotten"),
            Err(error) => warn!(%error, "the store can't be told which policies are needed"),
        }
    }
}

impl StoredSet {
    /// A set as it is at this moment.
    pub(crate) fn now(set: &PolicySet) -> Self {
        Self { revision: set.revision().to_owned(), config: set.config().canonical().to_string(), now_us: now_us() }
    }
}

/// The set that is current, of a process whose file has another one or the same.
async fn current_set(file: PolicySet, current: &Current, store: &dyn SetStore) -> Result<PolicySet, CannotStart> {
    if current.revision == file.revision() {
        return Ok(file);
    }
    let unusable = |source| CannotStart::Unusable { revision: current.revision.clone(), source };
    info!(revision = current.revision, "the policies are those that were last set with the API");
    load(store, &current.revision).await?.map_err(unusable)
}

/// The set that was current last, unless the file has another one than then: as the store would tell.
async fn remembered_set(file: PolicySet, memory: Option<&Memory>) -> Result<PolicySet, CannotStart> {
    let Some(memory) = memory else { return Ok(file) };
    let path = memory.path().to_owned();
    let remembered = memory.load().map_err(|source| CannotStart::Memory { path, source })?;
    match remembered {
        Some(Remembered { revision, config, file_revision }) if file_revision == file.revision() => {
            build(config).await.map_err(|source| CannotStart::Unusable { revision, source })
        }
        Some(_) | None => Ok(file),
    }
}

async fn load(store: &dyn SetStore, revision: &str) -> Result<Result<PolicySet, Unusable>, StoreError> {
    let Some(config) = store.config(revision).await? else { return Ok(Err(Unusable::Missing)) };
    Ok(build(config).await)
}

/// Builds a set beside the thread, which serves others too.
async fn build(config: String) -> Result<PolicySet, Unusable> {
    let build = move || Ok(PolicySet::build(serde_json::from_str::<PolicySetConfig>(&config)?)?);
    tokio::task::spawn_blocking(build).await?
}

fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
