//! The body of an answer: it plays the script, as fast as it is read.

use std::{
    collections::VecDeque,
    fmt, io,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame};

use super::{Fate, reply::Step};

pub(super) struct Scripted {
    steps: VecDeque<Step>,
    waiting: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    flushed: bool,
    fate: Arc<Fate>,
}

impl Scripted {
    pub(super) fn new(steps: Vec<Step>, fate: Arc<Fate>) -> Self {
        Self { steps: steps.into(), waiting: None, flushed: false, fate }
    }
}

impl Body for Scripted {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        loop {
            if let Some(waiting) = &mut self.waiting {
                match waiting.as_mut().poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(()) => self.waiting = None,
                }
            }
            match self.steps.pop_front() {
                Some(Step::Send(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Some(Step::Pause(pause)) => self.waiting = Some(Box::pin(tokio::time::sleep(pause))),
                Some(Step::Wait(gate)) => self.waiting = Some(Box::pin(async move { gate.pass().await })),
                Some(Step::Cut) if !self.flushed => {
                    // The connection writes what it has when the body has nothing for it: first that, then the cut.
                    self.flushed = true;
                    self.steps.push_front(Step::Cut);
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Some(Step::Cut) => return Poll::Ready(Some(Err(io::Error::other("cut by the script")))),
                None => {
                    self.fate.complete.store(true, Ordering::SeqCst);
                    return Poll::Ready(None);
                }
            }
        }
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        if self.steps.is_empty() && self.waiting.is_none() {
            self.fate.complete.store(true, Ordering::SeqCst);
        }
        self.fate.dropped.store(true, Ordering::SeqCst);
    }
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripted").field("steps", &self.steps).finish_non_exhaustive()
    }
}
