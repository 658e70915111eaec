//! Which streams of calls this control plane has, on all of its threads: a call that is resumed here has no use for the
//! streams that it had before.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use uuid::Uuid;

/// The streams of a process; cheap to clone.
#[derive(Clone, Default)]
pub struct Streams(Arc<Mutex<HashMap<Uuid, Vec<Arc<Stream>>>>>);

struct Stream {
    epoch: u32,
    superseded: CancellationToken,
}

/// Why a stream has no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// Another stream of the call has its epoch.
    Taken,
    /// The call has gone on with a later one.
    Late,
}

/// A stream's place among those of its call; given up when it is dropped.
pub(super) struct Place {
    streams: Streams,
    call_id: Uuid,
    stream: Arc<Stream>,
}

impl Streams {
    /// Takes a place for a stream. Those of the call that came before it are superseded.
    pub(super) fn enter(&self, call_id: Uuid, epoch: u32) -> Result<Place, NoPlace> {
        let mut streams = self.lock();
        let of_call = streams.entry(call_id).or_default();
        match of_call.iter().map(|other| other.epoch).max() {
            Some(last) if last == epoch => return Err(NoPlace::Taken),
            Some(last) if last > epoch => return Err(NoPlace::Late),
            Some(_) | None => {}
        }
        of_call.iter().for_each(|other| other.superseded.cancel());
        let stream = Arc::new(Stream { epoch, superseded: CancellationToken::new() });
        of_call.push(Arc::clone(&stream));
        drop(streams);
        Ok(Place { streams: self.clone(), call_id, stream })
    }

    /// The call is over, after as many streams as that: none of them is of any use.
    pub(super) fn supersede(&self, call_id: Uuid, epoch: u32) {
        let streams = self.lock();
        let of_call = streams.get(&call_id).into_iter().flatten();
        of_call.filter(|stream| stream.epoch < epoch).for_each(|stream| stream.superseded.cancel());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Vec<Arc<Stream>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Returns when the call goes on with another stream.
    pub(super) fn superseded(&self) -> WaitForCancellationFutureOwned {
        self.stream.superseded.clone().cancelled_owned()
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
    fn the_last_stream_of_a_call_supersedes_those_before_it_and_comes_before_none() {
        let streams = Streams::default();
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let (first, other) = (streams.enter(one, 0).unwrap(), streams.enter(two, 0).unwrap());
        assert_eq!(streams.enter(one, 0).err(), Some(NoPlace::Taken));
        assert!(!is_superseded(&first));
        let third = streams.enter(one, 2).unwrap();
        assert!(is_superseded(&first) && !is_superseded(&third) && !is_superseded(&other));
        assert_eq!(streams.enter(one, 1).err(), Some(NoPlace::Late));
        assert_eq!(streams.enter(one, 2).err(), Some(NoPlace::Taken));
    }

    #[test]
    fn a_call_that_is_over_supersedes_its_streams_and_leaves_nothing() {
        let streams = Streams::default();
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let (lost, other) = (streams.enter(one, 1).unwrap(), streams.enter(two, 0).unwrap());
        streams.supersede(one, 1);
        assert!(!is_superseded(&lost));
        streams.supersede(one, 2);
        assert!(is_superseded(&lost) && !is_superseded(&other));
        drop((lost, other));
        streams.supersede(one, 2);
        assert!(streams.lock().is_empty());
    }

    #[test]
    fn nothing_is_kept_of_streams_that_are_gone() {
        let streams = Streams::default();
        let first = streams.enter(Uuid::from_u128(1), 0).unwrap();
        let second = streams.enter(Uuid::from_u128(1), 1).unwrap();
        drop(first);
        assert_eq!(streams.enter(Uuid::from_u128(1), 1).err(), Some(NoPlace::Taken));
        drop(second);
        assert!(streams.lock().is_empty());
    }
}
