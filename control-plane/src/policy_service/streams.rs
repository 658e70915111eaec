//! Which streams of calls this control plane has, on all of its threads: a call that is resumed here has no use for the
//! streams that it had before.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The streams of a process; cheap to clone.
#[derive(Clone, Default)]
pub struct Streams(Arc<Mutex<HashMap<Uuid, Vec<Arc<Stream>>>>>);

struct Stream {
    epoch: u32,
    superseded: CancellationToken,
}

/// A stream's place among those of its call; given up when it is dropped.
pub(super) struct Place {
    streams: Streams,
    call_id: Uuid,
    stream: Arc<Stream>,
}

impl Streams {
    /// Takes a place for a stream. Those of the call that came before it are superseded; so is it, if there is a later one.
    pub(super) fn enter(&self, call_id: Uuid, epoch: u32) -> Place {
        let stream = Arc::new(Stream { epoch, superseded: CancellationToken::new() });
        let mut streams = self.lock();
        let of_call = streams.entry(call_id).or_default();
        of_call.iter().filter(|other| other.epoch < epoch).for_each(|other| other.superseded.cancel());
        if of_call.iter().any(|other| other.epoch > epoch) {
            stream.superseded.cancel();
        }
        of_call.push(Arc::clone(&stream));
        drop(streams);
        Place { streams: self.clone(), call_id, stream }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Vec<Arc<Stream>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Returns when the call goes on with another stream.
    pub(super) async fn superseded(&self) {
        self.stream.superseded.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut streams = self.streams.lock();
        let Some(of_call) = streams.get_mut(&self.call_id) else { return };
        of_call.retain(|stream| !Arc::ptr_eq(stream, &self.stream));
        if of_call.is_empty() {
            streams.remove(&self.call_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_superseded(place: &Place) -> bool {
        place.stream.superseded.is_cancelled()
    }

    #[test]
    fn the_last_stream_of_a_call_supersedes_those_before_it_in_whatever_order_they_come() {
        let streams = Streams::default();
        let (first, other) = (streams.enter(Uuid::from_u128(1), 0), streams.enter(Uuid::from_u128(2), 0));
        let third = streams.enter(Uuid::from_u128(1), 2);
        let second = streams.enter(Uuid::from_u128(1), 1);
        assert!(is_superseded(&first) && is_superseded(&second));
        assert!(!is_superseded(&third) && !is_superseded(&other));
    }

    #[test]
    fn nothing_is_kept_of_streams_that_are_gone() {
        let streams = Streams::default();
        let (first, again) = (streams.enter(Uuid::from_u128(1), 0), streams.enter(Uuid::from_u128(1), 0));
        assert!(!is_superseded(&first) && !is_superseded(&again));
        drop(first);
        let resumed = streams.enter(Uuid::from_u128(1), 1);
        assert!(is_superseded(&again));
        drop(resumed);
        drop(again);
        assert!(streams.lock().is_empty());
    }
}
