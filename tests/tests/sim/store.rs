//! A store in memory, shared by the control planes. It may be slow, fail, and fail after it wrote; a control plane that
//! dies during a write never learns which.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use luthien_control_plane::{
    continuation::Asked,
    record::{Batch, Entry, FullCall, Page, Query, Store, StoreError, Summary},
};
use luthien_proto::message::Outcome;
use tokio::time::sleep;
use uuid::Uuid;

use crate::{plan::Temper, rng::Rng};

/// What is durable.
#[derive(Debug, Default)]
pub struct Kept {
    pub summaries: BTreeMap<Uuid, Summary>,
    pub entries: BTreeMap<(Uuid, u32, u64), Entry>,
    /// What was written twice, and not alike.
    pub contradictions: Vec<String>,
}

impl Kept {
    /// Gives a stream the epoch that it wants, or one that nobody has.
    fn open(&mut self, call: &Summary) -> u32 {
        let id = call.call_id;
        let Some(known) = self.summaries.get(&id) else {
            self.summaries.insert(id, call.clone());
            return call.epoch;
        };
        let is_taken = self.entries.range((id, call.epoch, 0)..=(id, call.epoch, u64::MAX)).next().is_some();
        if call.epoch < known.epoch && !is_taken {
            return call.epoch;
        }
        let epoch = call.epoch.max(known.epoch + 1);
        let outcome = known.outcome.filter(|outcome| outcome.name() != "unknown");
        self.summaries.insert(id, Summary { epoch, outcome, ..call.clone() });
        epoch
    }

    fn summarise(&mut self, summary: &Summary) {
        let is_known = |outcome: Option<Outcome>| outcome.is_some_and(|outcome| outcome.name() != "unknown");
        let stays = self
            .summaries
            .get(&summary.call_id)
            .is_some_and(|kept| kept.epoch > summary.epoch || is_known(kept.outcome) && !is_known(summary.outcome));
        if !stays {
            self.summaries.insert(summary.call_id, summary.clone());
        }
    }
}

#[derive(Clone)]
pub struct Memory {
    kept: Arc<Mutex<Kept>>,
    temper: Temper,
    rng: Arc<Mutex<Rng>>,
}

impl Memory {
    pub fn new(seed: u64, temper: Temper) -> Self {
        Self { kept: Arc::default(), temper, rng: Arc::new(Mutex::new(Rng::new(seed, "store at work"))) }
    }

    pub fn look<T>(&self, look: impl FnOnce(&Kept) -> T) -> T {
        look(&self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn draw<T>(&self, draw: impl FnOnce(&mut Rng) -> T) -> T {
        draw(&mut self.rng.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What happens before something is durable. If it may be repeated, it may fail when it is.
    async fn labour<T>(&self, repeatable: bool, what: impl FnOnce(&mut Kept) -> T) -> Result<T, StoreError> {
        let Temper { slow, fails } = self.temper;
        let (wait, fails, after) =
            self.draw(|rng| (rng.within(0..=slow), rng.chance(fails), rng.chance(50) && repeatable));
        sleep(Duration::from_millis(wait)).await;
        if fails && !after {
            return Err(failure());
        }
        let done = what(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner));
        if fails { Err(failure()) } else { Ok(done) }
    }
}

fn failure() -> StoreError {
    StoreError::File { path: "memory".to_owned(), source: io::Error::other("the simulation wants it so") }
}

impl Store for Memory {
    fn open<'a>(&'a self, calls: &'a [Summary]) -> BoxFuture<'a, Result<Vec<u32>, StoreError>> {
        Box::pin(self.labour(false, move |kept| calls.iter().map(|call| kept.open(call)).collect()))
    }

    fn write<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.labour(true, move |kept| {
            batch.summaries.iter().for_each(|summary| kept.summarise(summary));
            for entry in &batch.entries {
                let key = (entry.call_id, entry.epoch, entry.seq);
                match kept.entries.get(&key) {
                    Some(known) if known != entry => kept.contradictions.push(format!("{known:?} and {entry:?}")),
                    Some(_) => {}
                    None => {
                        kept.entries.insert(key, entry.clone());
                    }
                }
            }
        }))
    }

    fn calls<'a>(&'a self, _: &'a Query) -> BoxFuture<'a, Result<Page, StoreError>> {
        Box::pin(async { Err(failure()) })
    }

    fn call(&self, _: Uuid) -> BoxFuture<'_, Result<Option<FullCall>, StoreError>> {
        Box::pin(async { Err(failure()) })
    }

    fn continued<'a>(&'a self, _: &'a Asked) -> BoxFuture<'a, Result<Vec<Summary>, StoreError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}
