//! Our half of a stream. It ends with OK only where a conversation says so: a clean end tells the proxy that the call is on
//! record, and must not be what is left when a task dies.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_channel::mpsc;
use futures_util::Stream;
use luthien_proto::FromService;
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// Replies that wait for the proxy to read them; then the conversation waits.
const WAITING_MAX: usize = 32;

/// The conversation's end.
pub(super) struct Replier {
    replies: mpsc::Sender<Reply>,
    /// What found no room yet.
    unsent: VecDeque<Reply>,
    is_closed: bool,
}

/// The transport's end.
pub(super) struct Replies {
    replies: mpsc::Receiver<Reply>,
    ended: bool,
}

enum Reply {
    Say(FromService),
    Close(Result<(), Status>),
}

/// Both ends.
pub(super) fn channel() -> (Replier, Replies) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let replier = Replier { replies: sender, unsent: VecDeque::new(), is_closed: false };
    (replier, Replies { replies: receiver, ended: false })
}

impl Replier {
    /// Says something. Whether anybody still listens shows on the other half of the stream.
    pub(super) fn say(&mut self, message: FromService) {
        if !self.is_closed {
            self.send(Reply::Say(message));
        }
    }

    /// Closes the stream: nothing is said any more.
    pub(super) fn close(&mut self, end: Result<(), Status>) {
        if !std::mem::replace(&mut self.is_closed, true) {
            self.send(Reply::Close(end));
        }
    }

    /// Whether the proxy reads as fast as it is told.
    pub(super) fn is_flushed(&self) -> bool {
        self.unsent.is_empty()
    }

    /// Waits until there is room for all that was said. May be dropped while it waits, and called again.
    pub(super) async fn flush(&mut self) {
        while let Some(reply) = self.unsent.pop_front() {
            match self.replies.try_send(reply) {
                Ok(()) => {}
                Err(unsent) if unsent.is_disconnected() => self.unsent.clear(),
                Err(unsent) => {
                    self.unsent.push_front(unsent.into_inner());
                    // That nobody listens any more shows when it is tried again.
                    let _ = poll_fn(|context| self.replies.poll_ready(context)).await;
                }
            }
        }
    }

    /// As [`Self::flush`]. Once `cut` is cancelled, nothing waits for the proxy any more.
    pub(super) async fn flushed(&mut self, cut: &CancellationToken) {
        tokio::select! {
            biased;
            () = self.flush() => {}
            () = cut.cancelled() => {}
        }
    }

    fn send(&mut self, reply: Reply) {
        if self.is_flushed() {
            match self.replies.try_send(reply) {
                Err(unsent) if unsent.is_full() => self.unsent.push_back(unsent.into_inner()),
                Ok(()) | Err(_) => {}
            }
        } else {
            self.unsent.push_back(reply);
        }
    }
}

impl Stream for Replies {
    type Item = Result<FromService, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let end = match ready!(Pin::new(&mut self.replies).poll_next(context)) {
            Some(Reply::Say(message)) => return Poll::Ready(Some(Ok(message))),
            Some(Reply::Close(end)) => end,
            None => Err(Status::internal("the call's conversation ended without an end")),
        };
        self.ended = true;
        Poll::Ready(end.err().map(Err))
    }
}
