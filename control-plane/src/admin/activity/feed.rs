//! What the store tells of what happens, read once for all who watch, and only while somebody does.
//!
//! The record is written without knowing of them: neither their number nor their slowness matters to it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, Semaphore, SemaphorePermit, watch},
    time::sleep,
};
use tracing::{debug, info, warn};

use super::ring::{Found, Ring};
use crate::record::{Activities, Activity, Place, Recorder, StoreError};

/// Between two looks at the store, when something was written here.
const PAUSE: Duration = Duration::from_millis(20);
/// The same, when nothing was: other control planes may have written something.
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// Of how many calls is read at a time what was written at a time.
const ROWS: u32 = 128;
/// How many events a viewer is given at a time.
const EVENTS: usize = 64;
/// How many viewers may read the store at once: those who come back after a while.
const READERS: usize = 2;
/// How much is kept for them.
const KEPT: u32 = 100_000;
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// What happens, for all who watch.
pub struct Feed {
    activity: Arc<dyn Activity>,
    ring: Mutex<Ring>,
    /// Counts what was added; its receivers are the viewers.
    added: watch::Sender<u64>,
    /// Told of a new viewer.
    wanted: Notify,
    readers: Semaphore,
}

impl Feed {
    /// Of that store.
    pub fn new(activity: Arc<dyn Activity>) -> Arc<Self> {
        Arc::new(Self {
            activity,
            ring: Mutex::new(Ring::new()),
            added: watch::Sender::new(0),
            wanted: Notify::new(),
            readers: Semaphore::new(READERS),
        })
    }

    /// Reads what happens, for ever. Whoever writes the record here tells when there is something new.
    pub async fn run(self: Arc<Self>, recorder: Recorder) {
        tokio::select! {
            () = self.watch(&recorder) => {}
            () = self.forget() => {}
        }
    }

    async fn watch(&self, recorder: &Recorder) {
        loop {
            self.wanted.notified().await;
            self.follow(recorder).await;
        }
    }

    async fn forget(&self) {
        loop {
            sleep(FORGET_EVERY).await;
            if let Err(error) = self.activity.forget(KEPT).await {
                debug!(%error, "old activity was not forgotten");
            }
        }
    }

    /// Somebody begins to watch.
    pub(super) fn join(&self) -> watch::Receiver<u64> {
        let added = self.added.subscribe();
        self.wanted.notify_one();
        added
    }

    /// The end of what there is.
    pub(super) async fn end(&self) -> Result<Place, StoreError> {
        self.activity.end().await
    }

    /// What happened lately, behind a place.
    pub(super) fn behind(&self, place: Place) -> Found {
        self.ring().behind(place, EVENTS)
    }

    /// What happened behind a place, from the store.
    pub(super) async fn read(&self, place: Place) -> Result<Activities, StoreError> {
        let _turn: Result<SemaphorePermit<'_>, _> = self.readers.acquire().await;
        self.activity.after(place, ROWS).await
    }

    /// Reads while somebody watches.
    async fn follow(&self, recorder: &Recorder) {
        let mut trouble = Trouble::default();
        let mut place: Option<Place> = None;
        let mut pause = PAUSE;
        while self.added.receiver_count() > 0 {
            match self.step(place).await {
                Ok(Step { through, is_news, is_more }) => {
                    trouble.over();
                    place = Some(through);
                    if is_more {
                        continue;
                    }
                    pause = if is_news { PAUSE } else { (pause * 2).min(PAUSE_MAX) };
                }
                Err(error) => {
                    trouble.is(&error);
                    pause = PAUSE_MAX;
                }
            }
            sleep(PAUSE).await;
            tokio::select! {
                () = recorder.health().news() => pause = PAUSE,
                () = sleep(pause - PAUSE) => {}
            }
        }
        self.ring().restart(None);
    }

    /// Reads on behind a place; `None`: from now on.
    async fn step(&self, place: Option<Place>) -> Result<Step, StoreError> {
        let Some(place) = place else {
            let end = self.activity.end().await?;
            self.ring().restart(Some(end));
            self.tell();
            return Ok(Step { through: end, is_news: true, is_more: false });
        };
        let Activities { happenings, through, is_more, is_gap } = self.activity.after(place, ROWS).await?;
        let is_news = !happenings.is_empty();
        {
            let mut ring = self.ring();
            if is_gap {
                ring.restart(Some(through));
            } else {
                ring.add(happenings, through);
            }
        }
        if is_news || is_gap {
            self.tell();
        }
        Ok(Step { through, is_news, is_more })
    }

    fn tell(&self) {
        self.added.send_modify(|added| *added += 1);
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Step {
    through: Place,
    is_news: bool,
    is_more: bool,
}

/// Whether the store can be read at present.
#[derive(Default)]
struct Trouble(bool);

impl Trouble {
    fn is(&mut self, error: &StoreError) {
        if !std::mem::replace(&mut self.0, true) {
            warn!(%error, "those who watch the activity wait: the record can't be read");
        }
    }

    fn over(&mut self) {
        if std::mem::take(&mut self.0) {
            info!("the record can be read again");
        }
    }
}
