//! How long what is on record is kept, and how it is forgotten: a period at a time, the oldest first, in steps that nobody
//! waits long for.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Period, Recorder, Store, StoreError};

/// How often it is looked whether anything is to be forgotten.
const ROUND: Duration = Duration::from_secs(60);
/// How many parts there are of what may be kept. Nothing is forgotten of the newest one, so that much may be missing, or be
/// kept in addition.
const PARTS: u64 = 64;

/// How long what is on record is kept; by default for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Days that ended longer ago are forgotten.
    pub age: Option<Duration>,
    /// When there is more than so many bytes, the oldest is forgotten.
    pub size: Option<u64>,
}

/// How much is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// What it takes, without what is free to be used again.
    pub bytes: u64,
    /// The oldest period of which there is anything.
    pub oldest: Option<Period>,
    /// The newest one.
    pub newest: Option<Period>,
}

/// What was forgotten in a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Calls.
    pub calls: u64,
    /// Whether there may be more to forget.
    pub more: bool,
}

impl Retention {
    /// The period to forget next, if any is due.
    pub fn due(&self, extent: &Extent, now: SystemTime) -> Option<Period> {
        let (oldest, newest) = (extent.oldest?, extent.newest?);
        let kept_since = self.age.and_then(|age| now.checked_sub(age)).map(Period::of);
        let is_old = kept_since.is_some_and(|since| oldest < since);
        let is_too_much = self.size.is_some_and(|size| extent.bytes > size) && oldest < newest;
        (is_old || is_too_much).then_some(oldest)
    }

    /// How much goes into one period, so that something of a day can be forgotten while it lasts.
    pub(super) fn part_bytes(&self) -> Option<u64> {
        self.size.map(|size| size / PARTS)
    }

    fn is_for_ever(&self) -> bool {
        *self == Self::default()
    }
}

/// Forgets what is not to be kept any longer.
pub struct Purger {
    store: Arc<dyn Store>,
    recorder: Recorder,
    retention: Retention,
}

impl Purger {
    /// In that store. What it comes to is told where the recorder tells it.
    pub fn new(store: Arc<dyn Store>, recorder: Recorder, retention: Retention) -> Self {
        Self { store, recorder, retention }
    }

    /// Works until `finish`.
    pub async fn run(self, finish: CancellationToken) {
        if self.retention.is_for_ever() {
            return;
        }
        let work = async {
            loop {
                if let Err(error) = self.round(SystemTime::now()).await {
                    warn!(%error, "the oldest of the record can't be forgotten now");
                }
                sleep(ROUND).await;
            }
        };
        tokio::select! {
            () = work => {}
            () = finish.cancelled() => {}
        }
    }

    /// Forgets what is due now. Tells how many calls.
    ///
    /// # Errors
    /// The store failed; what was forgotten until then is.
    pub async fn round(&self, now: SystemTime) -> Result<u64, StoreError> {
        let (mut forgotten, mut last) = (0, None);
        loop {
            let extent = self.store.extent().await?;
            self.recorder.note_extent(&extent);
            let due = self.retention.due(&extent, now).filter(|period| last != Some(*period));
            let Some(period) = due else { break };
            let calls = self.forget(period).await?;
            info!(calls, period = period.number(), bytes = extent.bytes, "the oldest of the record was forgotten");
            forgotten += calls;
            last = Some(period);
        }
        Ok(forgotten)
    }

    async fn forget(&self, period: Period) -> Result<u64, StoreError> {
        let mut calls = 0;
        loop {
            let began = Instant::now();
            let purged = self.store.purge(period).await?;
            calls += purged.calls;
            self.recorder.note_purged(purged.calls);
            if !purged.more {
                return Ok(calls);
            }
            // Half of the time is for others.
            sleep(began.elapsed()).await;
        }
    }
}
