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
    record::{
        Batch, Conversation, Cursor, Entry, Extent, FullCall, Hash, Message, Page, Period, Purged, Query, SessionPage,
        SessionQuery, Store, StoreError, Summary, Written,
    },
};
use tokio::time::sleep;
use uuid::Uuid;

use crate::{plan::Temper, rng::Rng, trace::now};

/// What is durable.
#[derive(Debug, Default)]
pub struct Kept {
    pub summaries: BTreeMap<Uuid, Summary>,
    pub entries: BTreeMap<(Uuid, u32, u64), Entry>,
    /// Since when they are durable, in milliseconds.
    pub since: BTreeMap<(Uuid, u32, u64), u64>,
    /// What entries refer to.
    pub messages: BTreeMap<Hash, Message>,
    /// What was written twice, and not alike.
    pub contradictions: Vec<String>,
}

impl Kept {
    fn write(&mut self, batch: &Batch) -> Written {
        batch.summaries.iter().for_each(|summary| self.summarise(summary));
        self.messages.extend(batch.messages.iter().map(|message| (message.hash, message.clone())));
        let mut conflicts = Vec::new();
        for entry in &batch.entries {
            let key = (entry.call_id, entry.epoch, entry.seq);
            match self.entries.get(&key) {
                Some(known) if known != entry => {
                    self.contradictions.push(format!("{known:?} and {entry:?}"));
                    conflicts.push(entry.key());
                }
                Some(_) => {}
                None => {
                    self.entries.insert(key, entry.clone());
                    self.since.insert(key, now());
                }
            }
        }
        Written { conflicts }
    }

    fn summarise(&mut self, summary: &Summary) {
        if self.summaries.get(&summary.call_id).is_none_or(|kept| summary.supersedes(kept)) {
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

    /// What happens before something is durable. It may fail when it is.
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
    fn write<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<Written, StoreError>> {
        Box::pin(self.labour(move |kept| kept.write(batch)))
    }

    fn calls<'a>(&'a self, _: &'a Query) -> BoxFuture<'a, Result<Page, StoreError>> {
        Box::pin(async { Err(failure()) })
    }

    fn call(&self, _: Uuid) -> BoxFuture<'_, Result<Option<FullCall>, StoreError>> {
        Box::pin(async { Err(failure()) })
    }

    fn sessions<'a>(&'a self, _: &'a SessionQuery) -> BoxFuture<'a, Result<SessionPage, StoreError>> {
        Box::pin(async { Err(failure()) })
    }

    fn session<'a>(
        &'a self,
        _: &'a str,
        _: Option<Cursor>,
        _: u32,
    ) -> BoxFuture<'a, Result<Option<Conversation>, StoreError>> {
        Box::pin(async { Err(failure()) })
    }

    fn continued<'a>(&'a self, _: &'a Asked) -> BoxFuture<'a, Result<Vec<Summary>, StoreError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn extent(&self) -> BoxFuture<'_, Result<Extent, StoreError>> {
        Box::pin(async { Err(failure()) })
    }

    fn purge(&self, _: Period) -> BoxFuture<'_, Result<Purged, StoreError>> {
        Box::pin(async { Err(failure()) })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}
