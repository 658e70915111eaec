//! Our half of a stream. It ends with OK only where a conversation says so: a clean end tells the proxy that the call is on
//! record, and must not be what is left when a task dies.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_util::Stream;
use luthien_proto::{FromService, wire::EnforceResponse};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// Replies that wait for the proxy to read them; then the conversation waits.
const WAITING_MAX: usize = 32;

/// The conversation's end.
pub(super) struct Replier {
    replies: mpsc::Sender<Reply>,
    cut: CancellationToken,
    is_closed: bool,
}

/// The transport's end.
pub(super) struct Replies {
    replies: mpsc::Receiver<Reply>,
    ended: bool,
}

enum Reply {
    Say(Box<EnforceResponse>),
    Close(Result<(), Status>),
}

/// Both ends. Once `cut` is cancelled, nothing waits for the proxy any more.
pub(super) fn channel(cut: CancellationToken) -> (Replier, Replies) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    (Replier { replies: sender, cut, is_closed: false }, Replies { replies: receiver, ended: false })
}

impl Replier {
    /// Says something. Whether anybody still listens shows on the other half of the stream.
    pub(super) fn say(&self, message: FromService) -> impl Future<Output = ()> {
        let reply = (!self.is_closed).then(|| Reply::Say(Box::new(message.into())));
        async {
            if let Some(reply) = reply {
                self.send(reply).await;
            }
        }
    }

    /// Closes the stream: nothing is said any more.
    pub(super) async fn close(&mut self, end: Result<(), Status>) {
        if !std::mem::replace(&mut self.is_closed, true) {
            self.send(Reply::Close(end)).await;
        }
    }

    async fn send(&self, reply: Reply) {
        let reply = match self.replies.try_send(reply) {
            Ok(()) | Err(TrySendError::Closed(_)) => return,
            Err(TrySendError::Full(reply)) => reply,
        };
        tokio::select! {
            biased;
            permit = self.replies.reserve() => if let Ok(permit) = permit {
                permit.send(reply);
            },
            () = self.cut.cancelled() => {}
        }
    }
}

impl Stream for Replies {
    type Item = Result<EnforceResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let end = match ready!(self.replies.poll_recv(context)) {
            Some(Reply::Say(message)) => return Poll::Ready(Some(Ok(*message))),
            Some(Reply::Close(end)) => end,
            None => Err(Status::internal("the call's conversation ended without an end")),
        };
        self.ended = true;
        Poll::Ready(end.err().map(Err))
    }
}
