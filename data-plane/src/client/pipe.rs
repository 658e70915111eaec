//! Between a call and its connection: room for a few pieces, and word of what the other end does.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;

/// Pieces on their way to a connection: few, so that what was accepted tells what was written.
const PIECES: usize = 2;

/// The call's end. Dropped before it has finished, it breaks the body off.
pub(super) struct Inlet(Arc<Pipe>);

/// The connection's end.
pub(super) struct Outlet(Arc<Pipe>);

pub(super) fn pipe() -> (Inlet, Outlet) {
    let pipe = Arc::new(Pipe::default());
    (Inlet(pipe.clone()), Outlet(pipe))
}

#[derive(Default)]
struct Pipe(Mutex<State>);

#[derive(Default)]
struct State {
    pieces: VecDeque<Bytes>,
    inlet: End,
    outlet: End,
    finished: bool,
}

#[derive(Default)]
struct End {
    is_gone: bool,
    /// What it waits for is told here.
    waker: Option<Waker>,
}

impl Pipe {
    /// Never held while something is woken.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something that the end which `other` picks may wait for.
    fn change(&self, change: impl FnOnce(&mut State), other: impl FnOnce(&mut State) -> &mut End) {
        let mut state = self.state();
        change(&mut state);
        let waker = other(&mut state).waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }
}

impl End {
    fn wait(&mut self, cx: &Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            waker @ None => *waker = Some(cx.waker().clone()),
        }
    }
}

impl Inlet {
    pub(super) fn has_room(&self) -> bool {
        self.0.state().pieces.len() < PIECES
    }

    /// Whether the connection is gone.
    pub(super) fn is_gone(&self) -> bool {
        self.0.state().outlet.is_gone
    }

    /// Gives the connection a piece, and back how long it is.
    pub(super) fn put(&self, piece: Bytes) -> usize {
        let len = piece.len();
        self.0.change(|state| state.pieces.push_back(piece), |state| &mut state.outlet);
        len
    }

    /// What was put is the whole of it.
    pub(super) fn finish(&self) {
        self.0.state().finished = true;
    }

    /// Waits until there is room, or nobody who would take anything.
    pub(super) async fn room(&self) {
        self.until(|state| state.pieces.len() < PIECES || state.outlet.is_gone).await;
    }

    /// Waits until the connection is gone.
    pub(super) async fn gone(&self) {
        self.until(|state| state.outlet.is_gone).await;
    }

    async fn until(&self, met: impl Fn(&State) -> bool) {
        poll_fn(|cx| {
            let mut state = self.0.state();
            if met(&state) {
                return Poll::Ready(());
            }
            state.inlet.wait(cx);
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Inlet {
    fn drop(&mut self) {
        self.0.change(|state| state.inlet.is_gone = true, |state| &mut state.outlet);
    }
}

impl Outlet {
    /// The next piece; `None`: there will be no other.
    pub(super) fn poll_take(&mut self, cx: &Context<'_>) -> Poll<Option<Bytes>> {
        let mut state = self.0.state();
        let Some(piece) = state.pieces.pop_front() else {
            if state.inlet.is_gone {
                return Poll::Ready(None);
            }
            state.outlet.wait(cx);
            return Poll::Pending;
        };
        // One that was full has somebody wait for room; else nobody waits for a piece to be taken.
        let waker = if state.pieces.len() + 1 == PIECES { state.inlet.waker.take() } else { None };
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        Poll::Ready(Some(piece))
    }

    /// Whether what was taken is the whole of it.
    pub(super) fn is_finished(&self) -> bool {
        self.0.state().finished
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.0.change(
            |state| {
                state.outlet.is_gone = true;
                state.pieces.clear();
            },
            |state| &mut state.inlet,
        );
    }
}
