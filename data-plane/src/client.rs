//! The way to the client: a queue of bytes that a call fills and the connection empties.
//!
//! The body is complete only if the call says so. Whatever else happens to a call (an abort, a panic, the end of the
//! process) breaks the connection off, so that nothing cut short looks whole.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body::{Frame, SizeHint};
use luthien_call::call::Input;
use thiserror::Error;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

/// Pieces on their way to a connection: few, so that what was accepted tells what was written.
const PIECES: usize = 2;
/// The largest piece: what a stalled client is measured by.
const PIECE_BYTES: usize = 64 * 1024;

/// Status and headers of an answer.
pub(crate) type AnswerHead = (StatusCode, HeaderMap);

/// The call's end.
pub(crate) struct Client {
    head: Option<oneshot::Sender<AnswerHead>>,
    body: State,
    queue: VecDeque<Piece>,
    patience: Patience,
    connection: CancellationToken,
}

enum State {
    Open(mpsc::Sender<Piece>),
    /// The connection has everything, or is gone.
    Over,
}

struct Patience {
    stall: Duration,
    /// When the oldest piece in the queue began to wait.
    since: Option<Instant>,
}

enum Piece {
    Data(Bytes),
    End,
    Abort,
}

/// The connection's end.
pub(crate) struct Answer {
    pub(crate) head: oneshot::Receiver<AnswerHead>,
    pub(crate) body: Body,
}

/// Makes both ends. A client that takes nothing for `stall` is given up, and `connection` cancelled.
pub(crate) fn channel(stall: Duration, connection: CancellationToken) -> (Client, Answer) {
    let (head_sender, head) = oneshot::channel();
    let (sender, receiver) = mpsc::channel(PIECES);
    let client = Client {
        head: Some(head_sender),
        body: State::Open(sender),
        queue: VecDeque::new(),
        patience: Patience { stall, since: None },
        connection,
    };
    (client, Answer { head, body: Body(Source::Call(receiver)) })
}

impl Client {
    pub(crate) fn send_head(&mut self, head: AnswerHead) {
        if let Some(sender) = self.head.take() {
            // A receiver that is gone shows as the body's being dropped.
            let _ = sender.send(head);
        }
    }

    pub(crate) fn write(&mut self, mut bytes: Bytes) {
        while bytes.len() > PIECE_BYTES {
            self.push(Piece::Data(bytes.split_to(PIECE_BYTES)));
        }
        if !bytes.is_empty() {
            self.push(Piece::Data(bytes));
        }
    }

    pub(crate) fn finish(&mut self) {
        self.push(Piece::End);
    }

    pub(crate) fn abort(&mut self) {
        self.push(Piece::Abort);
    }

    fn push(&mut self, piece: Piece) {
        if matches!(self.body, State::Over) {
            return;
        }
        self.queue.push_back(piece);
        self.patience.since.get_or_insert_with(Instant::now);
    }

    /// What happens next on this side. May be dropped and called again.
    pub(crate) async fn next(&mut self) -> Input {
        while let State::Open(_) = self.body {
            if let Some(input) = self.step().await {
                return input;
            }
        }
        std::future::pending().await
    }

    /// Waits until the connection has everything, or is gone.
    pub(crate) async fn flush(&mut self) {
        while !self.queue.is_empty() {
            // What it took is of no interest any more.
            let _ = self.step().await;
        }
    }

    async fn step(&mut self) -> Option<Input> {
        let State::Open(sender) = &self.body else { return None };
        if self.queue.is_empty() {
            sender.closed().await;
            return Some(self.gone());
        }
        let sent = match timeout_at(self.patience.deadline(), sender.reserve()).await {
            Ok(Ok(permit)) => send_first(&mut self.queue, permit),
            Ok(Err(_)) => Sent::Nowhere,
            Err(_) => {
                self.connection.cancel();
                Sent::Nowhere
            }
        };
        self.patience.since = (!self.queue.is_empty()).then(Instant::now);
        match sent {
            Sent::Data(bytes) => Some(Input::ClientTook(bytes)),
            Sent::Last => {
                self.over();
                None
            }
            Sent::Nowhere => Some(self.gone()),
        }
    }

    fn gone(&mut self) -> Input {
        self.over();
        Input::ClientGone
    }

    fn over(&mut self) {
        self.body = State::Over;
        self.queue.clear();
    }
}

enum Sent {
    /// So many bytes.
    Data(usize),
    /// All that there is to send.
    Last,
    /// Nobody is there any more.
    Nowhere,
}

fn send_first(queue: &mut VecDeque<Piece>, permit: mpsc::Permit<'_, Piece>) -> Sent {
    match queue.pop_front() {
        Some(Piece::Data(bytes)) => {
            let taken = bytes.len();
            permit.send(Piece::Data(bytes));
            Sent::Data(taken)
        }
        Some(Piece::End) => {
            permit.send(Piece::End);
            Sent::Last
        }
        // A body whose sender is gone before its end breaks off.
        Some(Piece::Abort) | None => Sent::Last,
    }
}

impl Patience {
    fn deadline(&self) -> Instant {
        self.since.unwrap_or_else(Instant::now) + self.stall
    }
}

/// A body for the client.
pub struct Body(Source);

enum Source {
    Full(Option<Bytes>),
    Call(mpsc::Receiver<Piece>),
}

impl Body {
    pub(crate) fn full(bytes: impl Into<Bytes>) -> Self {
        Self(Source::Full(Some(bytes.into()).filter(|bytes| !bytes.is_empty())))
    }
}

/// The response can't be completed.
#[derive(Debug, Error)]
#[error("the response was broken off")]
pub struct BrokenOff;

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let piece = match &mut self.get_mut().0 {
            Source::Full(bytes) => return Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Source::Call(receiver) => ready!(receiver.poll_recv(cx)),
        };
        Poll::Ready(match piece {
            Some(Piece::Data(bytes)) => Some(Ok(Frame::data(bytes))),
            Some(Piece::End) => None,
            Some(Piece::Abort) | None => Some(Err(BrokenOff)),
        })
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, Source::Full(None))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Source::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Source::Call(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn pair() -> (Client, Answer) {
        channel(Duration::from_secs(60), CancellationToken::new())
    }

    #[tokio::test]
    async fn what_is_finished_arrives_whole() {
        let (mut client, answer) = pair();
        client.write(Bytes::from(vec![b'x'; 3 * PIECE_BYTES + 5]));
        client.finish();
        let reader = tokio::spawn(answer.body.collect());
        client.flush().await;
        assert_eq!(reader.await.unwrap().unwrap().to_bytes().len(), 3 * PIECE_BYTES + 5);
    }

    #[tokio::test]
    async fn what_is_aborted_or_forgotten_breaks_off_after_what_was_written() {
        for abort in [true, false] {
            let (mut client, mut answer) = pair();
            client.write(Bytes::from_static(b"begun"));
            if abort {
                client.abort();
            }
            client.flush().await;
            drop(client);
            assert_eq!(answer.body.frame().await.unwrap().unwrap().into_data().unwrap(), "begun");
            assert!(answer.body.frame().await.unwrap().is_err());
        }
    }

    #[tokio::test]
    async fn a_dropped_body_is_a_client_that_left_and_is_told_once() {
        let (mut client, answer) = pair();
        drop(answer);
        assert!(matches!(client.next().await, Input::ClientGone));
        client.write(Bytes::from_static(b"late"));
        client.flush().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_for_long_is_given_up() {
        let connection = CancellationToken::new();
        let (mut client, _answer) = channel(Duration::from_secs(60), connection.clone());
        (0..3).for_each(|_| client.write(Bytes::from_static(b"x")));
        assert!(matches!(client.next().await, Input::ClientTook(1)));
        assert!(matches!(client.next().await, Input::ClientTook(1)));
        assert!(!connection.is_cancelled());
        assert!(matches!(client.next().await, Input::ClientGone));
        assert!(connection.is_cancelled());
    }
}
