//! The latest events, for everybody who watches.

use std::{collections::VecDeque, sync::Arc};

use axum::body::Bytes;

use super::view::frame;
use crate::record::{Happening, Place};

const EVENTS_MAX: usize = 4096;
const BYTES_MAX: usize = 8 << 20;

/// An event, made once for all viewers.
pub(super) struct Event {
    pub(super) happening: Happening,
    pub(super) frame: Bytes,
}

impl Event {
    pub(super) fn new(happening: Happening) -> Self {
        Self { frame: frame(&happening), happening }
    }
}

/// Everything that happened between two places.
pub(super) struct Ring {
    /// Behind this, everything is here; `None`: nobody watches, nothing is.
    from: Option<Place>,
    /// Up to this.
    through: Place,
    events: VecDeque<Arc<Event>>,
    bytes: usize,
}

/// What a ring has for a viewer.
pub(super) enum Found {
    /// Some of what is behind its place, and up to where.
    Events(Vec<Arc<Event>>, Place),
    /// Nothing yet.
    Nothing,
    /// The ring does not reach back so far; this is where it begins.
    Before(Option<Place>),
}

impl Ring {
    pub(super) fn new() -> Self {
        Self { from: None, through: Place::START, events: VecDeque::new(), bytes: 0 }
    }

    /// Begins anew; `None`: nobody watches any more.
    pub(super) fn restart(&mut self, from: Option<Place>) {
        *self = Self { from, through: from.unwrap_or(Place::START), ..Self::new() };
    }

    pub(super) fn add(&mut self, happenings: Vec<Happening>, through: Place) {
        for happening in happenings {
            let event = Event::new(happening);
            self.bytes += event.frame.len();
            self.events.push_back(Arc::new(event));
        }
        self.through = through;
        while self.events.len() > EVENTS_MAX || self.bytes > BYTES_MAX {
            let Some(oldest) = self.events.pop_front() else { break };
            self.bytes -= oldest.frame.len();
            self.from = Some(oldest.happening.place);
        }
    }

    /// What is behind a place, at most `limit`.
    pub(super) fn behind(&self, place: Place, limit: usize) -> Found {
        if self.from.is_none_or(|from| place < from) {
            return Found::Before(self.from);
        }
        let start = self.events.partition_point(|event| event.happening.place <= place);
        let events: Vec<_> = self.events.iter().skip(start).take(limit).cloned().collect();
        match events.last() {
            Some(last) if start + events.len() < self.events.len() => {
                let through = last.happening.place;
                Found::Events(events, through)
            }
            _ if place >= self.through => Found::Nothing,
            _ => Found::Events(events, self.through),
        }
    }
}
