//! A store in memory, shared by the control planes. It may be slow, fail, and fail after it wrote; a control plane that
//! dies during a write never learns which.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use luthien_control_plane::record::{Batch, Entry, FullCall, Page, Query, Store, StoreError, Summary};
use tokio::time::sleep;
use uuid::Uuid;

use crate::{plan::Temper, rng::Rng};

/// What is durable.
#[derive(Default)]
pub struct Kept {
    pub summaries: BTreeMap<Uuid, Summary>,
    pub entries: BTreeMap<(Uuid, u32, u64), Entry>,
    /// What was written twice, and not alike.
    pub contradictions: Vec<String>,
    streams: BTreeMap<Uuid, u32>,
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

    /// What a write does before it is durable, and what it may do after.
    async fn labour<T>(&self, what: impl FnOnce(&mut Kept) -> T) -> Result<T, StoreError> {
        let Temper { slow, fails } = self.temper;
        let (wait, fails, after) = self.draw(|rng| (rng.within(0..=slow), rng.chance(fails), rng.chance(50)));
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
        Box::pin(self.labour(move |kept| {
            let mut epochs = Vec::new();
            for call in calls {
                let streams = kept.streams.entry(call.call_id).or_default();
                let epoch = *streams;
                *streams += 1;
                kept.summaries.insert(call.call_id, Summary { epoch, ..call.clone() });
                epochs.push(epoch);
            }
            epochs
        }))
    }

    fn write<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.labour(move |kept| {
            for summary in &batch.summaries {
                let later = kept.summaries.get(&summary.call_id).is_some_and(|known| known.epoch > summary.epoch);
                if !later {
                    kept.summaries.insert(summary.call_id, summary.clone());
                }
            }
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

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}
