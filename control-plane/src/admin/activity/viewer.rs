//! One who watches.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::body::Bytes;
use futures_util::{Stream, stream};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    feed::Feed,
    filter::Filter,
    ring::{Event, Found},
    view::{Missing, gap},
};
use crate::record::{Activities, Place, StoreError};

/// How long nothing is sent.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// Before a store that failed is asked again.
const AGAIN: Duration = Duration::from_millis(500);

/// One who watches. It costs its place in what happened, and nothing else, while it does not read.
pub(super) struct Viewer {
    feed: Arc<Feed>,
    added: watch::Receiver<u64>,
    filter: Filter,
    place: Place,
    stage: Stage,
    /// Ends all viewers.
    closing: CancellationToken,
}

#[derive(Clone, Copy, PartialEq)]
enum Stage {
    /// Nothing was sent.
    New,
    /// It reads what happened before the ring begins.
    Behind,
    /// It reads the ring.
    Live,
}

impl Viewer {
    /// From behind `since`, or from now on.
    pub(super) async fn new(
        feed: Arc<Feed>,
        since: Option<Place>,
        filter: Filter,
        closing: CancellationToken,
    ) -> Result<Self, StoreError> {
        let place = match since {
            Some(place) => place,
            None => feed.end().await?,
        };
        Ok(Self { added: feed.join(), feed, filter, place, stage: Stage::New, closing })
    }

    /// What it gets. Nothing is read for it while it takes nothing.
    pub(super) fn frames(self) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
        stream::unfold(self, async |mut viewer| {
            let closing = viewer.closing.clone();
            tokio::select! {
                biased;
                () = closing.cancelled() => None,
                frame = viewer.next() => Some((Ok(frame), viewer)),
            }
        })
    }

    async fn next(&mut self) -> Bytes {
        if self.stage == Stage::New {
            self.stage = Stage::Behind;
            // So that the client knows that it watches.
            return Bytes::from_static(b": watching\nretry: 1000\n\n");
        }
        let silent_until = Instant::now() + KEEPALIVE;
        while Instant::now() < silent_until {
            self.added.mark_unchanged();
            let frames = match self.feed.behind(self.place) {
                Found::Events(events, through) => {
                    (self.place, self.stage) = (through, Stage::Live);
                    self.wanted(&events)
                }
                Found::Nothing => {
                    self.stage = Stage::Live;
                    let _ = timeout_at(silent_until, self.added.changed()).await;
                    continue;
                }
                Found::Before(Some(from)) if self.stage == Stage::Live => {
                    self.place = from;
                    return gap(from, Missing::Slow);
                }
                Found::Before(_) => self.catch_up().await,
            };
            if !frames.is_empty() {
                return frames;
            }
        }
        Bytes::from_static(b": still here\n\n")
    }

    /// Reads on from the store.
    async fn catch_up(&mut self) -> Bytes {
        let Ok(Activities { happenings, through, is_more, is_gap }) = self.feed.read(self.place).await else {
            // The feed says so.
            sleep(AGAIN).await;
            return Bytes::new();
        };
        let mut frames = Vec::new();
        if is_gap {
            frames
                .extend_from_slice(&gap(if happenings.is_empty() { through } else { self.place }, Missing::Forgotten));
        }
        self.place = through;
        let events: Vec<_> = happenings.into_iter().map(|happening| Arc::new(Event::new(happening))).collect();
        frames.extend_from_slice(&self.wanted(&events));
        if !is_more && frames.is_empty() {
            // The ring begins soon, if it has not.
            let _ = timeout(AGAIN, self.added.changed()).await;
        }
        frames.into()
    }

    fn wanted(&self, events: &[Arc<Event>]) -> Bytes {
        let wanted: Vec<&Event> =
            events.iter().map(Arc::as_ref).filter(|event| self.filter.lets_by(&event.happening)).collect();
        match &*wanted {
            [] => Bytes::new(),
            [event] => event.frame.clone(),
            events => events.iter().flat_map(|event| event.frame.iter().copied()).collect(),
        }
    }
}
